//! Nodes that are deleted, with everything that is only theirs.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::World;
use super::cut::Cut;
use super::machine::{Container, Machine};
use crate::ControlPlane;
use crate::amount::{CpuMilli, MemoryMib, StorageMib};
use crate::entity::{
    COMMANDS, Entity as _, INSTANCES, Image, ImageStatus, NodeId, NodeState, PortMap, TABLES, UserId,
};
use crate::error::Error;
use crate::identity::{Caller, Origin};
use crate::plane::{LaunchRequest, NewApiKey, NewCommand, NewImage, NodeDeletion, PortKey, Shared, Standing};
use crate::ports::{Family, Protocol};
use crate::store::{Batch, Scan, StoreExt as _, Value, Write};

pub(super) async fn check_node_deletion(world: &World) {
    a_plan_tells_exactly_what_goes(world).await;
    live_instances_stand_in_the_way(world).await;
    an_agent_is_heard_no_more_and_cannot_join(world).await;
    whoever_owns_a_node_deletes_it_and_nobody_else(world).await;
    what_was_cut_off_takes_no_work_and_is_finished(world).await;
    a_launch_that_races_is_first_or_finds_no_node(world).await;
    an_agent_that_joins_meanwhile_does_not_keep_the_node(world).await;
}

/// A machine with something in every table that refers to nodes, and who has grants of it.
async fn with_everything(world: &World) -> (Machine, UserId) {
    let mut machine = Machine::new(world).await;
    let (cloud, node) = (&world.cloud, machine.node);
    let friend = world.user().await;
    let ended = machine.running(world).await;
    cloud.delete(ended).await.unwrap();
    machine.work(world).await;
    let image = cloud.fetch_image(NewImage::new(node, "https://example.org/a")).await.unwrap().id;
    machine.work(world).await;
    cloud.share(friend, Shared::Image(image), None).await.unwrap();
    cloud.share(friend, Shared::Node(node), None).await.unwrap();
    cloud.create_api_key(machine.owner, NewApiKey::agent("agent", node)).await.unwrap();
    let port = PortKey { family: Family::Ipv4, protocol: Protocol::Tcp, port: 63_001 };
    let uses = (CpuMilli::from_u32(100), MemoryMib::from_u32(200), StorageMib::from_u32(300));
    let foreign = Container { mark: None, runs: true, uses, ports: vec![port] };
    machine.containers.insert("foreign".into(), foreign);
    machine.report(world).await.unwrap();
    let kept = PortMap {
        id: world.id().into(),
        node_id: node,
        instance_id: None,
        family: Family::Ipv4,
        protocol: Protocol::Udp,
        port: 53,
        managed: false,
        name: Some("dns".into()),
        foreign_id: None,
        created_at: crate::time::Timestamp::EPOCH,
    };
    cloud.repositories().port_maps().create(kept).await.unwrap();
    (machine, friend)
}

/// More commands and images than one step takes.
async fn fill(world: &World, node: NodeId, commands: usize, images: usize) {
    let at = world.cloud.store().read(Vec::new()).await.unwrap().now;
    let command = world.cloud.send_command(NewCommand::ping(node)).await.unwrap().value;
    let image = Image {
        id: world.id().into(),
        node_id: node,
        name: None,
        status: ImageStatus::Failed,
        command_id: None,
        key: None,
        url: None,
        remote: None,
        size_mib: None,
        os_hint: None,
        description: None,
        published: false,
        native_timestamp: at,
        created_at: at,
        updated_at: at,
    };
    let commands = (1..commands)
        .map(|_| Write::Insert(crate::entity::Command { id: world.id().into(), ..command.clone() }.to_row()));
    let images =
        (0..images).map(|_| Write::Insert(Image { id: world.id().into(), ..image.clone() }.to_row()));
    let writes: Vec<Write> = commands.chain(images).collect();
    for some in writes.chunks(2_000) {
        let mut batch = Batch::new(world.id(), "fill");
        batch.writes = some.to_vec();
        world.cloud.store().commit(batch).await.unwrap();
    }
}

/// How many rows of each table name the node, in any column but the history of instances and the audit trail.
async fn rows_of(world: &World, node: NodeId) -> BTreeMap<&'static str, usize> {
    let mut rows = BTreeMap::new();
    for table in TABLES.iter().filter(|table| table.name != "logs") {
        for row in world.cloud.store().scan_all(Scan::of(table).limit(1000)).await.unwrap() {
            let named = table
                .columns
                .iter()
                .zip(row.values())
                .any(|(column, value)| column.name != "last_node_id" && *value == Value::from(node));
            *rows.entry(table.name).or_default() += usize::from(named);
        }
    }
    rows.retain(|_, count| *count > 0);
    rows
}

async fn counts(world: &World) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for table in TABLES.iter().filter(|table| table.name != "logs") {
        let rows = world.cloud.store().scan_all(Scan::of(table).limit(1000)).await.unwrap();
        counts.insert(table.name, rows.len());
    }
    counts
}

async fn nodes_of(world: &World, user: UserId) -> u32 {
    world.cloud.repositories().quotas().require(user).await.unwrap().nodes
}

async fn is_gone(world: &World, node: NodeId, why: &str) {
    assert_eq!(rows_of(world, node).await, BTreeMap::new(), "{why}");
    assert!(world.cloud.audit().await.unwrap().is_clean(), "{why}");
    let again = world.cloud.delete_node(node).await;
    assert!(matches!(again, Err(Error::NotFound { .. })), "{why}: {again:?}");
}

async fn a_plan_tells_exactly_what_goes(world: &World) {
    let (machine, _) = with_everything(world).await;
    let node = machine.node;
    fill(world, node, 2_500, 1_100).await;
    let plan = world.cloud.plan_node_deletion(node).await.unwrap();
    assert_eq!(plan.stands, []);
    for table in
        ["api_keys", "gpus", "port_maps", "foreign_instances", "managed_images", "managed_compute_nodes"]
    {
        assert!(plan.goes.iter().any(|(goes, _)| *goes == table), "{table}: {plan:?}");
    }
    assert!(plan.goes.iter().any(|(table, rows)| *table == COMMANDS.name && *rows >= 2_500), "{plan:?}");
    let (before, owned) = (counts(world).await, nodes_of(world, machine.owner).await);
    world.cloud.delete_node(node).await.unwrap();
    let after = counts(world).await;
    let gone: BTreeMap<&str, usize> = before
        .iter()
        .map(|(table, rows)| (*table, rows - after.get(table).unwrap()))
        .filter(|(_, rows)| *rows > 0)
        .collect();
    assert_eq!(gone, plan.goes.iter().copied().collect());
    assert_eq!(nodes_of(world, machine.owner).await, owned - 1);
    is_gone(world, node, "all went").await;
    let gone = world.cloud.plan_node_deletion(node).await;
    assert!(matches!(gone, Err(Error::NotFound { kind: "compute_node", .. })), "{gone:?}");
}

async fn live_instances_stand_in_the_way(world: &World) {
    let mut machine = Machine::new(world).await;
    let node = machine.node;
    let (one, two) = (machine.running(world).await, machine.launch(world).await.id);
    let plan: NodeDeletion = world.cloud.plan_node_deletion(node).await.unwrap();
    assert_eq!(plan.stands, [Standing::LiveInstances(2)]);
    let before = counts(world).await;
    let refused = world.cloud.delete_node(node).await;
    let by = "instances";
    assert!(matches!(refused, Err(Error::StillUsed { by: it, .. }) if it == by), "{refused:?}");
    assert_eq!(counts(world).await, before);
    assert_eq!(world.cloud.node_status(node).await.unwrap().state, NodeState::Active, "it is as it was");
    // The owner deletes one, and the other one is given up with its node.
    world.cloud.delete(two).await.unwrap();
    machine.work(world).await;
    assert!(world.cloud.delete_node(node).await.is_err());
    world.cloud.mark_node_dead(node, "it burned").await.unwrap();
    world.cloud.delete_node(node).await.unwrap();
    is_gone(world, node, "its instances were given up").await;
    let history = super::machine::instance(world, one).await;
    assert_eq!((history.node_id, history.last_node_id), (None, node));
}

async fn an_agent_is_heard_no_more_and_cannot_join(world: &World) {
    let (mut machine, _) = with_everything(world).await;
    let node = machine.node;
    let made = world.cloud.create_api_key(machine.owner, NewApiKey::agent("other", node)).await.unwrap();
    let caller = world.cloud.authenticate(&made.secret, Origin::unknown()).await.unwrap();
    let agent = world.cloud.acting(caller);
    machine.session = agent.join_node().await.unwrap();
    let access =
        async || world.cloud.repositories().user_access().require(machine.owner).await.unwrap().revision;
    let epoch = access().await;
    world.cloud.begin_node_deletion(node).await.unwrap();
    assert!(access().await > epoch, "keys were taken from the owner");
    assert_eq!(world.cloud.node_status(node).await.unwrap().state, NodeState::Dead);
    assert!(machine.report(world).await.is_err(), "it is heard no longer");
    let joined = agent.join_node().await;
    assert!(matches!(joined, Err(Error::Unauthenticated)), "{joined:?}");
    world.cloud.finish_node_deletion(node).await.unwrap();
    is_gone(world, node, "its agent had a key").await;
}

async fn whoever_owns_a_node_deletes_it_and_nobody_else(world: &World) {
    let (machine, friend) = with_everything(world).await;
    let node = machine.node;
    let friend = world.cloud.acting(Caller::trusted(friend));
    let refused = friend.delete_node(node).await;
    assert!(matches!(refused, Err(Error::Denied { action: "node.delete" })), "{refused:?}");
    assert!(friend.plan_node_deletion(node).await.is_err());
    let stranger = world.cloud.acting(Caller::trusted(world.user().await));
    assert!(matches!(stranger.delete_node(node).await, Err(Error::NotFound { .. })));
    let owner = world.cloud.acting(Caller::trusted(machine.owner));
    assert_eq!(owner.plan_node_deletion(node).await.unwrap().stands, []);
    owner.delete_node(node).await.unwrap();
    is_gone(world, node, "its owner wanted it").await;
}

async fn what_was_cut_off_takes_no_work_and_is_finished(world: &World) {
    for steps in 0.. {
        let (machine, _) = with_everything(world).await;
        let (node, owner) = (machine.node, machine.owner);
        fill(world, node, 1_200, 900).await;
        let cut = Arc::new(Cut::after(world.cloud.store(), steps));
        let answer = world.over(cut).delete_node(node).await;
        if answer.is_ok() {
            assert!(steps > 3, "{steps} steps");
            return is_gone(world, node, "it was not cut off").await;
        }
        assert!(matches!(answer, Err(Error::Store(_))), "{answer:?}");
        assert!(world.cloud.audit().await.unwrap().is_clean(), "after {steps} steps");
        if steps > 0 {
            let launch = LaunchRequest::new(owner, format!("i-{}", world.fresh())).on_node(node);
            assert!(world.cloud.launch(launch).await.is_err(), "after {steps} steps");
            assert!(world.cloud.create_api_key(owner, NewApiKey::agent("late", node)).await.is_err());
        }
        world.cloud.delete_node(node).await.unwrap();
        is_gone(world, node, &format!("after {steps} steps")).await;
        assert_eq!(nodes_of(world, owner).await, 0, "after {steps} steps");
    }
}

async fn a_launch_that_races_is_first_or_finds_no_node(world: &World) {
    let owner = world.user().await;
    let request = |node| LaunchRequest::new(owner, format!("i-{}", world.fresh())).on_node(node);
    // The launch is first: the deletion finds an instance, and the node is as it was.
    let node = world.node(owner).await;
    let (cloud, launch) = (Arc::clone(&world.cloud), request(node));
    let other = async move { drop(cloud.launch(launch).await.unwrap()) };
    let raced = world.over(Arc::new(Cut::after(world.cloud.store(), 100).raced_by(other)));
    let refused = raced.delete_node(node).await;
    assert!(matches!(refused, Err(Error::StillUsed { .. })), "{refused:?}");
    assert_eq!(world.cloud.node_status(node).await.unwrap().state, NodeState::Active);
    let live = Scan::of(&INSTANCES).by("instances_node").with(node);
    let live = world.cloud.store().scan_all(live).await.unwrap();
    world.cloud.delete(live.first().unwrap().id("id").unwrap()).await.unwrap();
    world.cloud.delete_node(node).await.unwrap();
    is_gone(world, node, "a launch was first").await;
    // The deletion is first: the launch finds no node.
    let node = world.node(owner).await;
    world.cloud.capacity().await.unwrap();
    let cloud = Arc::clone(&world.cloud);
    let other = async move { cloud.delete_node(node).await.unwrap() };
    let raced = world.over(Arc::new(Cut::after(world.cloud.store(), 100).raced_by(other)));
    let refused = raced.launch(request(node)).await;
    assert!(refused.is_err(), "{refused:?}");
    is_gone(world, node, "the deletion was first").await;
}

async fn an_agent_that_joins_meanwhile_does_not_keep_the_node(world: &World) {
    let (machine, _) = with_everything(world).await;
    let node = machine.node;
    fill(world, node, 1_200, 0).await;
    let cut = Arc::new(Cut::after(world.cloud.store(), 2));
    let plane: ControlPlane = world.over(cut);
    assert!(plane.delete_node(node).await.is_err());
    // The application lets one in, which needs no key, and what was decided before is not done.
    let before = rows_of(world, node).await;
    let cloud = Arc::clone(&world.cloud);
    let other = async move {
        cloud.join_node(node).await.unwrap();
    };
    let raced = world.over(Arc::new(Cut::after(world.cloud.store(), 1).raced_by(other)));
    assert!(raced.finish_node_deletion(node).await.is_err());
    assert_eq!(rows_of(world, node).await, before);
    assert_eq!(world.cloud.node_status(node).await.unwrap().state, NodeState::Active);
    world.cloud.finish_node_deletion(node).await.unwrap();
    is_gone(world, node, "an agent had joined").await;
}
