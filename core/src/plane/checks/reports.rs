//! What machines report, and what becomes of it.

use std::time::Duration;

use super::World;
use super::machine::{Container, Machine, gpus, instance};
use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use crate::entity::{DesiredState, Entity as _};
use crate::entity::{GpuHealth, ImageStatus, InstanceState, NodeState, PORT_MAPS, PageRequest, PortMap};
use crate::error::Error;
use crate::machine::{FoundInstance, FoundState, Inventory};
use crate::plane::{LaunchRequest, NewNode, PortKey};
use crate::ports::{Family, Protocol};
use crate::store::{Scan, StoreExt as _};

pub(super) async fn check_reports(world: &World) {
    a_report_makes_a_node_what_it_is_and_again_changes_nothing(world).await;
    what_vanished_is_lost_and_frees_what_it_held(world).await;
    what_is_being_made_or_changed_since_is_not_judged(world).await;
    what_stopped_by_itself_is_stopped_and_can_be_started(world).await;
    what_nobody_launched_is_counted_and_has_no_owner(world).await;
    a_gpu_that_vanished_takes_no_work_and_stays_whose_it_was(world).await;
    a_node_that_has_shrunk_only_shrinks(world).await;
    images_come_and_go_and_stay_published(world).await;
    a_report_of_an_agent_that_was_replaced_changes_nothing(world).await;
    a_given_up_node_frees_everything_and_what_comes_back_is_removed(world).await;
    an_instance_is_given_up_alone(world).await;
    whose_machine_it_is_answers_for_it(world).await;
    a_report_of_any_length_is_taken_in(world).await;
}

async fn a_report_makes_a_node_what_it_is_and_again_changes_nothing(world: &World) {
    let mut machine = Machine::new(world).await;
    assert_eq!(machine.report(world).await.unwrap().changed, 0);
    let repositories = world.cloud.repositories();
    let node = repositories.compute_nodes().require(machine.node).await.unwrap();
    assert_eq!(node.gpu_model.as_deref(), Some("H100"));
    let ledger = repositories.node_ledgers().require(machine.node).await.unwrap();
    assert_eq!(ledger.cpu_milli_total, CpuMilli::from_u32(64_000));
    assert_eq!(ledger.gpu_milli_total, GpuMilli::from_u32(2000));
    let keys: Vec<_> = gpus(world, machine.node).await.into_iter().map(|gpu| gpu.key.unwrap()).collect();
    assert_eq!(keys, machine.gpus);
    // A node that was registered with GPUs knows them by their keys from then on.
    let new = NewNode::new(machine.owner, format!("known-{}", world.fresh())).gpus(2, "H100");
    let node = world.cloud.register_node(new).await.unwrap().id;
    let before: Vec<_> = gpus(world, node).await.into_iter().map(|gpu| gpu.id).collect();
    let session = world.cloud.join_node(node).await.unwrap();
    let mut other = Machine { node, session, gpus: vec!["a".into(), "b".into()], ..machine };
    other.report(world).await.unwrap();
    let after = gpus(world, node).await;
    assert_eq!(after.iter().map(|gpu| gpu.id).collect::<Vec<_>>(), before);
    assert!(after.iter().all(|gpu| gpu.key.is_some() && gpu.health == GpuHealth::Healthy));
}

async fn what_vanished_is_lost_and_frees_what_it_held(world: &World) {
    let mut machine = Machine::new(world).await;
    let (kept, lost) = (machine.running(world).await, machine.running(world).await);
    let key = instance(world, lost).await.key.clone().unwrap();
    machine.containers.remove(&key);
    let found = machine.report(world).await.unwrap();
    assert_eq!((found.lost, found.deleted), (vec![lost], vec![]));
    assert_eq!(instance(world, lost).await.state, InstanceState::Lost);
    assert_eq!(instance(world, kept).await.state, InstanceState::Running);
    assert!(world.cloud.audit().await.unwrap().is_clean());
    // One whose removal was not answered, and is not there: it was removed.
    world.cloud.delete(kept).await.unwrap();
    let held = machine.take(world).await.pop().unwrap();
    let busy = crate::plane::CommandOutcome::Failed("busy".into());
    world.cloud.complete_command(&held, &busy).await.unwrap();
    machine.containers.clear();
    let found = machine.report(world).await.unwrap();
    assert_eq!((found.lost, found.deleted), (vec![], vec![kept]));
    machine.is_empty(world, "all is gone").await;
    // What is not told says nothing.
    let id = machine.running(world).await;
    machine.containers.clear();
    world.clock.advance(Duration::from_secs(1));
    let at = world.cloud.begin_report(machine.node, machine.session).await.unwrap();
    let silent = Inventory::taken_at(at);
    assert_eq!(world.cloud.report(machine.node, machine.session, &silent).await.unwrap().changed, 0);
    assert_eq!(instance(world, id).await.state, InstanceState::Running);
}

async fn what_is_being_made_or_changed_since_is_not_judged(world: &World) {
    let mut machine = Machine::new(world).await;
    let requested = machine.launch(world).await.id;
    machine.report(world).await.unwrap();
    assert_eq!(instance(world, requested).await.state, InstanceState::Requested);
    let held = machine.take(world).await.pop().unwrap();
    machine.report(world).await.unwrap();
    assert_eq!(instance(world, requested).await.state, InstanceState::Creating, "a row in creation is kept");
    // The agent looks, then makes it, and reports what it has seen before.
    world.clock.advance(Duration::from_secs(1));
    let at = world.cloud.begin_report(machine.node, machine.session).await.unwrap();
    let seen = machine.found(at);
    let made = machine.execute(&held.command);
    world.cloud.complete_command(&held, &made).await.unwrap();
    let found = world.cloud.report(machine.node, machine.session, &seen).await.unwrap();
    assert_eq!(found.lost, []);
    assert_eq!(instance(world, requested).await.state, InstanceState::Running);
    assert_eq!(machine.report(world).await.unwrap().lost, []);
}

async fn what_stopped_by_itself_is_stopped_and_can_be_started(world: &World) {
    let mut machine = Machine::new(world).await;
    let id = machine.running(world).await;
    machine.containers.values_mut().for_each(|container| container.runs = false);
    machine.report(world).await.unwrap();
    let stopped = instance(world, id).await;
    assert_eq!((stopped.state, stopped.desired), (InstanceState::Stopped, DesiredState::Running));
    assert_eq!(stopped.status_info.as_deref(), Some("Exited (0)"), "as its machine says it");
    world.cloud.start(id).await.unwrap();
    machine.work(world).await;
    assert_eq!(instance(world, id).await.state, InstanceState::Running);
    machine.containers.values_mut().for_each(|container| container.runs = true);
    assert_eq!(machine.report(world).await.unwrap().lost, []);
}

async fn what_nobody_launched_is_counted_and_has_no_owner(world: &World) {
    let mut machine = Machine::new(world).await;
    let port = PortKey { family: Family::Ipv4, protocol: Protocol::Tcp, port: 63_007 };
    let amounts = (CpuMilli::from_u32(63_000), MemoryMib::from_u32(10), StorageMib::from_u32(20));
    let stray = Container { mark: None, runs: true, uses: amounts, ports: vec![port] };
    machine.containers.insert("somebody's".into(), stray.clone());
    let found = machine.report(world).await.unwrap();
    assert_eq!((found.foreign, found.lost), (1, vec![]));
    let repositories = world.cloud.repositories();
    let listed = repositories.foreign_instances().list(machine.node, PageRequest::default()).await.unwrap();
    assert_eq!(listed.entries.first().unwrap().key, "somebody's");
    let used = repositories.node_ledgers().require(machine.node).await.unwrap();
    assert_eq!((used.cpu_milli, used.instances), (amounts.0, 0));
    assert!(world.cloud.audit().await.unwrap().is_clean());
    let quota = repositories.quotas().require(machine.owner).await.unwrap();
    assert_eq!(quota.instances, 0, "it is nobody's");
    // There is no room beside it, and its port is taken.
    let refused = world.cloud.launch(machine.request(world)).await;
    assert!(matches!(refused, Err(Error::NoCapacity(_))), "{refused:?}");
    let given = LaunchRequest::new(machine.owner, format!("i-{}", world.fresh()));
    let given = given.on_node(machine.node).port(port.family, port.protocol, port.port);
    let refused = world.cloud.launch(given.clone()).await;
    assert!(matches!(refused, Err(Error::NoFreePort { .. })), "{refused:?}");
    // It grows beyond the node, moves to another port, and goes.
    let grown =
        Container { uses: (CpuMilli::from_u32(90_000), amounts.1, amounts.2), ports: Vec::new(), ..stray };
    machine.containers.insert("somebody's".into(), grown);
    assert!(machine.report(world).await.unwrap().changed > 0);
    assert_eq!(machine.report(world).await.unwrap().changed, 0);
    let over = repositories.node_ledgers().require(machine.node).await.unwrap();
    assert!(over.cpu_milli > over.cpu_milli_total, "it is recorded, whether there is room or not");
    assert!(matches!(world.cloud.launch(given.clone()).await, Err(Error::NoCapacity(_))), "it takes nothing");
    machine.containers.values_mut().for_each(|container| container.uses.0 = CpuMilli::from_u32(1));
    machine.report(world).await.unwrap();
    let with_port = world.cloud.launch(given).await.unwrap();
    world.cloud.delete(with_port.id).await.unwrap();
    machine.containers.clear();
    machine.report(world).await.unwrap();
    machine.is_empty(world, "it has gone").await;
    assert!(world.cloud.audit().await.unwrap().is_clean());
}

async fn a_gpu_that_vanished_takes_no_work_and_stays_whose_it_was(world: &World) {
    let mut machine = Machine::new(world).await;
    let id = machine.running(world).await;
    let held = gpus(world, machine.node).await.into_iter().find(|gpu| !gpu.used_milli.is_zero()).unwrap();
    let key = held.key.clone().unwrap();
    machine.gpus.retain(|gpu| *gpu != key);
    let found = machine.report(world).await.unwrap();
    assert_eq!(found.gpus_gone, [(held.id, vec![id])], "who holds it is told");
    let gone = world.cloud.repositories().gpus().require(held.id).await.unwrap();
    assert_eq!((gone.health, gone.used_milli), (GpuHealth::Gone, GpuMilli::from_u32(500)));
    assert_eq!(machine.report(world).await.unwrap().changed, 0);
    let ledger = world.cloud.repositories().node_ledgers().require(machine.node).await.unwrap();
    assert_eq!(
        ledger.gpu_milli_total,
        GpuMilli::from_u32(1500),
        "1000 are there, and 500 of what is gone are held"
    );
    let whole = |world: &World| {
        LaunchRequest::new(machine.owner, format!("i-{}", world.fresh())).gpus(1).on_node(machine.node)
    };
    // What is held of a GPU that is gone takes nothing away of the one that is there, and gives nothing.
    world.cloud.launch(whole(world)).await.unwrap();
    let refused = world.cloud.launch(whole(world)).await;
    assert!(matches!(refused, Err(Error::NoCapacity(_))), "{refused:?}");
    world.cloud.delete(id).await.unwrap();
    machine.work(world).await;
    machine.report(world).await.unwrap();
    let ledger = world.cloud.repositories().node_ledgers().require(machine.node).await.unwrap();
    assert_eq!(ledger.gpu_milli_total, GpuMilli::from_u32(1000));
    // It comes back, healthy; one that an operator has quarantined stays so.
    machine.gpus.insert(0, key);
    machine.report(world).await.unwrap();
    let back = world.cloud.repositories().gpus().require(held.id).await.unwrap();
    assert_eq!(back.health, GpuHealth::Healthy);
    let at = world.cloud.begin_report(machine.node, machine.session).await.unwrap();
    let gpus = world.cloud.repositories().gpus();
    gpus.set_health(back.id, GpuHealth::Quarantined, at, back.revision).await.unwrap();
    machine.report(world).await.unwrap();
    assert_eq!(gpus.require(held.id).await.unwrap().health, GpuHealth::Quarantined);
    // One by one all are replaced: none of the old ones stands in the way.
    for round in 0..40 {
        machine.gpus =
            vec![format!("new-{round}-a-{}", machine.node), format!("new-{round}-b-{}", machine.node)];
        machine.report(world).await.unwrap();
    }
    assert!(super::machine::gpus(world, machine.node).await.len() <= crate::sched::MAX_GPUS as usize);
    assert!(world.cloud.audit().await.unwrap().is_clean());
}

async fn a_node_that_has_shrunk_only_shrinks(world: &World) {
    let mut machine = Machine::new(world).await;
    let (first, second) = (machine.running(world).await, machine.running(world).await);
    machine.capacity.0 = CpuMilli::from_u32(2000);
    machine.report(world).await.unwrap();
    let ledger = world.cloud.repositories().node_ledgers().require(machine.node).await.unwrap();
    assert!(ledger.cpu_milli > ledger.cpu_milli_total);
    let small = LaunchRequest::new(machine.owner, format!("i-{}", world.fresh()))
        .cpu(CpuMilli::from_u32(1))
        .on_node(machine.node);
    assert!(matches!(world.cloud.launch(small.clone()).await, Err(Error::NoCapacity(_))));
    world.cloud.delete(first).await.unwrap();
    machine.work(world).await;
    world.cloud.launch(small).await.unwrap();
    machine.work(world).await;
    assert_eq!(instance(world, second).await.state, InstanceState::Running);
    assert!(world.cloud.audit().await.unwrap().is_clean());
}

async fn images_come_and_go_and_stay_published(world: &World) {
    let mut machine = Machine::new(world).await;
    let key = format!("sha256:{}", world.fresh());
    machine.images.push(key.clone());
    assert_eq!(machine.report(world).await.unwrap().changed, 1);
    let images = world.cloud.repositories().images();
    let listed = async || {
        let filter = crate::entity::ImageFilter { node_id: Some(machine.node), published: None };
        images.list(filter, PageRequest::default()).await.unwrap().entries
    };
    let [found] = <[_; 1]>::try_from(listed().await).unwrap();
    assert_eq!((found.status, found.published, found.key.as_ref()), (ImageStatus::Ready, false, Some(&key)));
    world.cloud.publish_image(found.id).await.unwrap();
    let mut without = machine.clone();
    without.images.clear();
    without.report(world).await.unwrap();
    let gone = images.require(found.id).await.unwrap();
    assert_eq!((gone.status, gone.published), (ImageStatus::Failed, true));
    assert_eq!(machine.report(world).await.unwrap().changed, 1);
    let back = images.require(found.id).await.unwrap();
    assert_eq!((back.status, back.published), (ImageStatus::Ready, true));
    // One that is being fetched is judged by its command alone.
    let url = format!("https://example.org/{}", world.fresh());
    let fetched = world.cloud.fetch_image(crate::plane::NewImage::new(machine.node, url)).await.unwrap();
    machine.report(world).await.unwrap();
    assert_eq!(images.require(fetched.id).await.unwrap().status, ImageStatus::Fetching);
    machine.work(world).await;
    assert_eq!(machine.report(world).await.unwrap().changed, 0);
}

async fn a_report_of_an_agent_that_was_replaced_changes_nothing(world: &World) {
    let mut machine = Machine::new(world).await;
    let id = machine.running(world).await;
    let at = world.cloud.begin_report(machine.node, machine.session).await.unwrap();
    let late =
        Inventory { cpu_milli: Some(CpuMilli::from_u32(1)), ..machine.found(at) }.instances(Vec::new());
    let old = machine.session;
    machine.restart(world).await;
    for _ in 0..20 {
        let answer = world.cloud.report(machine.node, old, &late).await;
        assert!(matches!(answer, Err(Error::WrongState { kind: "node session", .. })), "{answer:?}");
        assert!(world.cloud.begin_report(machine.node, old).await.is_err());
    }
    assert_eq!(instance(world, id).await.state, InstanceState::Running);
    let ledger = world.cloud.repositories().node_ledgers().require(machine.node).await.unwrap();
    assert_eq!(ledger.cpu_milli_total, CpuMilli::from_u32(64_000));
}

async fn a_given_up_node_frees_everything_and_what_comes_back_is_removed(world: &World) {
    let mut machine = Machine::new(world).await;
    let mut ids = vec![machine.running(world).await, machine.running(world).await];
    ids.push(machine.running(world).await);
    ids.push(machine.launch(world).await.id);
    world.cloud.delete(*ids.first().unwrap()).await.unwrap();
    for reason in ["", " ", "a\0b", &"x".repeat(513)] {
        let refused = world.cloud.mark_node_dead(machine.node, reason).await;
        assert!(matches!(refused, Err(Error::Invalid { .. })), "{reason:?}");
    }
    let old = machine.session;
    let freed = world.cloud.mark_node_dead(machine.node, "the rack has burnt down").await.unwrap();
    assert_eq!(freed.instances, 4);
    assert_eq!(world.cloud.mark_node_dead(machine.node, "again").await.unwrap().instances, 0);
    for id in &ids {
        assert_eq!(instance(world, *id).await.state, InstanceState::Lost);
    }
    let containers = std::mem::take(&mut machine.containers);
    machine.is_empty(world, "its owner answers for it").await;
    assert!(world.cloud.audit().await.unwrap().is_clean());
    let refused = world.cloud.launch(machine.request(world)).await;
    assert!(refused.is_err(), "a dead node takes nothing: {refused:?}");
    // The machine was only asleep: its agent wakes up, and is not heard.
    machine.containers = containers;
    for _ in 0..20 {
        assert!(world.cloud.begin_report(machine.node, old).await.is_err());
        assert!(world.cloud.take_commands(machine.node, old, 10, super::machine::LEASE).await.is_err());
    }
    // It joins anew, and removes what others may have been given meanwhile.
    let found = machine.restart(world).await;
    assert_eq!((found.foreign, found.lost), (3, vec![]));
    assert_eq!(world.cloud.node_status(machine.node).await.unwrap().state, NodeState::Active);
    machine.work(world).await;
    machine.report(world).await.unwrap();
    machine.is_empty(world, "what was given up is removed").await;
    assert_eq!(machine.report(world).await.unwrap().changed, 0);
    machine.running(world).await;
}

async fn an_instance_is_given_up_alone(world: &World) {
    let mut machine = Machine::new(world).await;
    let (one, other) = (machine.running(world).await, machine.running(world).await);
    world.cloud.stop(one).await.unwrap();
    let held = machine.take(world).await.pop().unwrap();
    let given_up = world.cloud.abandon_instance(one, "it hangs in the kernel").await.unwrap();
    assert_eq!(given_up.state, InstanceState::Lost);
    let again = world.cloud.abandon_instance(one, "again").await;
    assert!(matches!(again, Err(Error::WrongState { .. })), "{again:?}");
    let outcome = machine.execute(&held.command);
    assert!(world.cloud.complete_command(&held, &outcome).await.is_err());
    assert_eq!(machine.restart(world).await.foreign, 1);
    machine.work(world).await;
    machine.report(world).await.unwrap();
    assert_eq!(machine.containers.len(), 1);
    assert_eq!(instance(world, other).await.state, InstanceState::Running);
    assert!(world.cloud.audit().await.unwrap().is_clean());
}

async fn whose_machine_it_is_answers_for_it(world: &World) {
    let mut machine = Machine::new(world).await;
    let guest = world.user().await;
    let acting = |user| world.cloud.acting(crate::identity::Caller::trusted(user));
    world.cloud.share(guest, crate::plane::Shared::Node(machine.node), None).await.unwrap();
    let theirs = LaunchRequest::new(guest, format!("i-{}", world.fresh())).on_node(machine.node);
    let theirs = acting(guest).launch(theirs).await.unwrap().id;
    machine.work(world).await;
    // Whose instance it is cannot say what became of somebody else's machine.
    let refused = acting(guest).abandon_instance(machine.node, theirs, "I want my limit back").await;
    assert!(matches!(refused, Err(Error::Denied { .. })), "{refused:?}");
    let refused = acting(guest).mark_node_dead(machine.node, "I want my limit back").await;
    assert!(matches!(refused, Err(Error::Denied { .. })), "{refused:?}");
    let stranger = acting(world.user().await).mark_node_dead(machine.node, "it is mine").await;
    assert!(matches!(stranger, Err(Error::NotFound { .. })), "{stranger:?}");
    let elsewhere = Machine::new(world).await;
    let other = acting(elsewhere.owner).abandon_instance(elsewhere.node, theirs, "it is on mine").await;
    assert!(matches!(other, Err(Error::NotFound { .. })), "{other:?}");
    let lost = acting(machine.owner).abandon_instance(machine.node, theirs, "it hangs").await.unwrap();
    assert_eq!(lost.state, InstanceState::Lost);
    assert_eq!(acting(machine.owner).mark_node_dead(machine.node, "burnt").await.unwrap().instances, 0);
}

async fn a_report_of_any_length_is_taken_in(world: &World) {
    let mut machine = Machine::new(world).await;
    let ports = |at: u16| PortKey { family: Family::Ipv6, protocol: Protocol::Udp, port: at + 1 };
    for at in 0..1_500_u16 {
        let uses = (CpuMilli::from_u32(1), MemoryMib::ZERO, StorageMib::ZERO);
        let container = Container { mark: None, runs: true, uses, ports: vec![ports(at)] };
        machine.containers.insert(format!("c{at:05}"), container);
    }
    let found = machine.report(world).await.unwrap();
    assert_eq!((found.foreign, found.changed), (1_500, 1_500));
    assert_eq!(machine.report(world).await.unwrap().changed, 0);
    let taken = Scan::of(&PORT_MAPS).by("port_maps_node").with(machine.node);
    let taken = world.cloud.store().scan_all(taken).await.unwrap();
    assert!(
        taken.len() == 1_500 && taken.iter().all(|row| PortMap::from_row(row).unwrap().foreign_id.is_some())
    );
    machine.containers.clear();
    machine.report(world).await.unwrap();
    machine.is_empty(world, "all of it").await;
    // A thousand times the same one is no report.
    let at = world.cloud.begin_report(machine.node, machine.session).await.unwrap();
    let twice = vec![FoundInstance::new("a", FoundState::Running); 1000];
    let refused =
        world.cloud.report(machine.node, machine.session, &Inventory::taken_at(at).instances(twice)).await;
    assert!(matches!(refused, Err(Error::Invalid { .. })));
}
