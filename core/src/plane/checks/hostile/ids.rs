//! Ids of what is not there, of what is taken, and of what is somebody else's.

use super::super::World;
use super::super::machine::{LEASE, Machine};
use super::{Case, case};
use crate::entity::{CommandId, CommandState, ImageId, InstanceId, NodeId, PageRequest, PortMapId, UserId};
use crate::error::{Error, Result};
use crate::identity::Caller;
use crate::plane::{
    Acting, CommandLease, CommandOutcome, LaunchRequest, NewCommand, NewImage, NewNode, NewUser, NodeSession,
    Shared, UsagePages,
};

/// What is not there.
pub(super) fn absent<'w>(world: &'w World, machine: &Machine) -> Vec<Case<'w>> {
    let (cloud, owner, node) = (&world.cloud, machine.owner, machine.node);
    let id = world.id();
    let (instance, nowhere): (InstanceId, NodeId) = (id.into(), id.into());
    let (image, nobody): (ImageId, UserId) = (id.into(), id.into());
    let of_instance = ("not_found", "instance");
    let of_node = ("not_found", "compute_node");
    let of_image = ("not_found", "image");
    let launch = || LaunchRequest::new(owner, format!("i-{}", world.fresh()));
    vec![
        case("stop", of_instance, cloud.stop(instance)),
        case("start", of_instance, cloud.start(instance)),
        case("delete", of_instance, cloud.delete(instance)),
        case("abandon", of_instance, cloud.abandon_instance(instance, "gone")),
        case("cordon", of_node, cloud.cordon_node(nowhere)),
        case("uncordon", of_node, cloud.uncordon_node(nowhere)),
        case("drain", of_node, cloud.drain_node(nowhere)),
        case("dead", of_node, cloud.mark_node_dead(nowhere, "gone")),
        case("status", of_node, cloud.node_status(nowhere)),
        case("join", of_node, cloud.join_node(nowhere)),
        case("fetch", of_node, cloud.fetch_image(NewImage::new(nowhere, "https://example.org/x"))),
        case("send", of_node, cloud.send_command(NewCommand::ping(nowhere))),
        case("retry", ("not_found", "command"), cloud.retry_command(CommandId::new(id))),
        case("publish", of_image, cloud.publish_image(image)),
        case("unpublish", of_image, cloud.unpublish_image(image)),
        case("delete an image", of_image, cloud.delete_image(image)),
        case("launch on no node", ("not_found", "node"), cloud.launch(launch().on_node(nowhere))),
        case("launch from no image", of_image, cloud.launch(launch().image(image).on_node(node))),
        case("launch for nobody", ("not_found", "user"), cloud.launch(LaunchRequest::new(nobody, "i-0"))),
        case("a node of nobody", ("not_found", "user"), cloud.register_node(NewNode::new(nobody, "n"))),
        case("commands of no node", ("wrong_state", "node session"), {
            cloud.take_commands(nowhere, NodeSession(1), 1, LEASE)
        }),
        case(
            "a look at no node",
            ("wrong_state", "node session"),
            cloud.begin_report(nowhere, NodeSession(1)),
        ),
    ]
}

/// What somebody else has.
pub(super) async fn taken<'w>(world: &'w World, machine: &Machine) -> Vec<Case<'w>> {
    let cloud = &world.cloud;
    let other = world.user().await;
    let theirs = machine.launch(world).await.id;
    let ping = cloud.send_command(NewCommand::ping(machine.node)).await.unwrap();
    let launch = LaunchRequest::new(other, "mine").id(theirs);
    let node = NewNode::new(other, "mine").id(machine.node);
    let user = NewUser::new(format!("u-{}@example.org", world.fresh()), "Eve").id(machine.owner);
    let command = NewCommand::ping(machine.node).id(ping.id).payload("{}");
    vec![
        case("an instance of this id", ("already_exists", "id"), cloud.launch(launch)),
        case("a node of this id", ("already_exists", "id"), cloud.register_node(node)),
        case("a user of this id", ("already_exists", "id"), cloud.create_user(user)),
        case("a command of this id", ("already_exists", "id"), cloud.send_command(command)),
    ]
}

/// An agent that writes its own node on a lease has no command of another one by that.
pub(super) async fn forged(world: &World) {
    let (mine, theirs) = (Machine::new(world).await, Machine::new(world).await);
    world.cloud.send_command(NewCommand::ping(theirs.node)).await.unwrap();
    let held = theirs.take(world).await.pop().unwrap();
    let mut command = held.command.clone();
    command.value.node_id = mine.node;
    assert_eq!(mine.session, held.session, "the numbers are the same");
    let forged = CommandLease::new(command, mine.session, held.attempt);
    let outcome = CommandOutcome::Done("forged".into());
    for answer in [
        world.cloud.complete_command(&forged, &outcome).await,
        world.cloud.extend_command(&forged, LEASE).await,
    ] {
        assert!(matches!(answer, Err(Error::NotFound { kind: "command", .. })), "{answer:?}");
    }
    let kept = world.cloud.repositories().commands().require(held.command.id).await.unwrap();
    assert_eq!(kept.revision, held.command.revision, "it is as it was");
}

/// Ids, of something or of nothing.
struct Ids {
    instance: InstanceId,
    node: NodeId,
    image: ImageId,
    port: PortMapId,
    command: CommandId,
    owner: UserId,
}

pub(super) async fn what_is_anothers_is_as_what_is_not_there(world: &World) {
    let mut machine = Machine::new(world).await;
    let instance = machine.running(world).await;
    let image = NewImage::new(machine.node, "https://example.org/theirs");
    let image = world.cloud.fetch_image(image).await.unwrap();
    let ports = world.cloud.repositories().instances().ports(instance).await.unwrap();
    let port = ports.first().unwrap().id;
    let command = image.command_id.unwrap();
    let theirs = Ids { instance, node: machine.node, image: image.id, port, command, owner: machine.owner };
    let id = world.id();
    let nothing = Ids {
        instance: id.into(),
        node: id.into(),
        image: id.into(),
        port: id.into(),
        command: id.into(),
        owner: id.into(),
    };
    let stranger = world.user().await;
    let acting = world.cloud.acting(Caller::trusted(stranger));
    // A list is empty of what may not be seen.
    for node in [theirs.node, nothing.node] {
        assert_eq!(acting.list_ports(node, PageRequest::default()).await.unwrap().entries, []);
    }
    let (before, _) = super::tables(world).await;
    let told = answers(&acting, stranger, &theirs).await;
    assert_eq!(told, answers(&acting, stranger, &nothing).await);
    assert!(told.iter().all(|(_, code)| code.starts_with("not_found")), "{told:?}");
    assert_eq!(super::tables(world).await.0, before, "a stranger has changed something");
}

/// What is answered to everything that can be asked of them.
async fn answers(acting: &Acting, stranger: UserId, ids: &Ids) -> Vec<(&'static str, String)> {
    let page = PageRequest::default;
    let launch = || LaunchRequest::new(stranger, "mine");
    let fetch = NewImage::new(ids.node, "https://example.org/mine");
    let state = Some(CommandState::Queued);
    vec![
        ("node", told(acting.node(ids.node).await)),
        ("status", told(acting.node_status(ids.node).await)),
        ("cordon", told(acting.cordon_node(ids.node).await)),
        ("uncordon", told(acting.uncordon_node(ids.node).await)),
        ("drain", told(acting.drain_node(ids.node).await)),
        ("commands", told(acting.list_commands(ids.node, state, page()).await)),
        ("retry", told(acting.retry_command(ids.node, ids.command).await)),
        ("fetch", told(acting.fetch_image(fetch).await)),
        ("launch on", told(acting.launch(launch().on_node(ids.node)).await)),
        ("launch from", told(acting.launch(launch().image(ids.image)).await)),
        ("share", told(acting.share(stranger, Shared::Node(ids.node), None).await)),
        ("image", told(acting.image(ids.image).await)),
        ("publish", told(acting.publish_image(ids.image).await)),
        ("unpublish", told(acting.unpublish_image(ids.image).await)),
        ("delete an image", told(acting.delete_image(ids.image).await)),
        ("instance", told(acting.instance(ids.instance).await)),
        ("ports", told(acting.ports_of(ids.instance).await)),
        ("stop", told(acting.stop(ids.instance).await)),
        ("start", told(acting.start(ids.instance).await)),
        ("delete", told(acting.delete(ids.instance).await)),
        ("share an instance", told(acting.share(stranger, Shared::Instance(ids.instance), None).await)),
        ("port", told(acting.port(ids.port).await)),
        ("user", told(acting.user(ids.owner).await)),
        ("quota", told(acting.quota(ids.owner).await)),
        ("usage", told(acting.usage(ids.owner, UsagePages::default()).await)),
        ("launch for", told(acting.launch(LaunchRequest::new(ids.owner, "mine")).await)),
        ("a node for", told(acting.register_node(NewNode::new(ids.owner, "mine")).await)),
    ]
}

fn told<T>(answer: Result<T>) -> String {
    match answer {
        Ok(_) => "ok".to_owned(),
        Err(Error::NotFound { kind, .. }) => format!("not_found {kind}"),
        Err(other) => format!("{}: {other}", other.code()),
    }
}
