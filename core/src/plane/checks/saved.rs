//! Images that are saved of instances.
#![expect(clippy::panic, reason = "a check fails by panicking")]

mod meanwhile;

use std::sync::Arc;

use super::World;
use super::machine::{Machine, instance};
use crate::amount::CpuMilli;
use crate::entity::{
    Command, CommandId, CommandKind, CommandState, DesiredState, Entry, IMAGES, Image, ImageId, ImageStatus,
    Instance, InstanceId, InstanceState,
};
use crate::error::{Error, Result};
use crate::identity::Caller;
use crate::machine::ImageToSave;
use crate::plane::{CommandLease, CommandOutcome, LaunchRequest, NewCommand, SaveImageRequest, Shared};
use crate::store::{Scan, StoreExt as _};

pub(super) async fn check_saved(world: &World) {
    an_image_of_an_instance_is_ready_when_the_agent_has_saved_it(world).await;
    what_the_agent_cannot_save_has_failed_and_the_instance_is_as_it_was(world).await;
    only_what_is_there_and_waits_for_nothing_is_saved(world).await;
    the_same_image_is_saved_once(world).await;
    who_may_operate_the_instance_and_create_on_its_node_saves_an_image(world).await;
    meanwhile::check_meanwhile(world).await;
}

async fn image(world: &World, id: ImageId) -> Entry<Image> {
    world.cloud.repositories().images().require(id).await.unwrap()
}

/// The command that saves an image.
async fn command(world: &World, id: ImageId) -> Entry<Command> {
    world.cloud.repositories().commands().require(CommandId::new(id.uuid())).await.unwrap()
}

async fn save(world: &World, of: InstanceId) -> Result<Entry<Image>> {
    world.cloud.save_image(SaveImageRequest::of(of).name("mine:1")).await
}

async fn take_one(world: &World, machine: &Machine) -> CommandLease {
    let [one] = <[CommandLease; 1]>::try_from(machine.take(world).await).unwrap();
    one
}

async fn answer(world: &World, machine: &mut Machine, held: &CommandLease) {
    let outcome = machine.execute(&held.command);
    world.cloud.complete_command(held, &outcome).await.unwrap();
}

async fn images_of(world: &World, machine: &Machine) -> usize {
    let of_node = Scan::of(&IMAGES).by("images_node").with(machine.node);
    world.cloud.store().scan_all(of_node).await.unwrap().len()
}

async fn an_image_of_an_instance_is_ready_when_the_agent_has_saved_it(world: &World) {
    let mut machine = Machine::new(world).await;
    let id = machine.running(world).await;
    machine.report(world).await.unwrap();
    let before = instance(world, id).await.value;
    let request = SaveImageRequest::of(id).name("mine:1").description("as it is now");
    let saved = world.cloud.save_image(request).await.unwrap();
    assert_eq!((saved.status, saved.url.as_deref(), saved.published), (ImageStatus::Fetching, None, false));
    assert_eq!(saved.description.as_deref(), Some("as it is now"));
    assert_eq!(image(world, saved.id).await, saved);
    let launch = |image| machine.request(world).image(image);
    for refused in [
        world.cloud.launch(launch(saved.id)).await.map(drop),
        world.cloud.publish_image(saved.id).await.map(drop),
        world.cloud.delete_image(saved.id).await,
        save(world, id).await.map(drop),
    ] {
        assert!(matches!(refused, Err(Error::WrongState { .. })), "{refused:?}");
    }
    let held = take_one(world, &machine).await;
    let told = (held.command.kind, held.command.subject_id, held.command.id.uuid());
    assert_eq!(told, (CommandKind::SaveImage, Some(saved.id.uuid()), saved.id.uuid()));
    let what = ImageToSave::parse(held.command.payload.as_deref().unwrap()).unwrap();
    assert_eq!((what.image, what.instance, &Some(what.key)), (saved.id, id, &before.key));
    assert_eq!(what.name.as_deref(), Some("mine:1"));
    let outcome = machine.execute(&held.command);
    // The machine has it before the control plane is told that this is what was saved.
    machine.report(world).await.unwrap();
    assert_eq!((image(world, saved.id).await, images_of(world, &machine).await), (saved.clone(), 1));
    world.cloud.complete_command(&held, &outcome).await.unwrap();
    world.cloud.complete_command(&held, &outcome).await.unwrap();
    let ready = image(world, saved.id).await;
    assert_eq!((ready.status, ready.size_mib, ready.command_id), (ImageStatus::Ready, Some(5), None));
    assert_eq!(ready.key, Some(format!("saved-{}", saved.id)));
    let after = instance(world, id).await.value;
    assert_eq!(after, Instance { updated_at: after.updated_at, ..before });
    machine.report(world).await.unwrap();
    assert_eq!((image(world, saved.id).await, images_of(world, &machine).await), (ready, 1));
    // What stands is saved as well, and there may be several images of it.
    world.cloud.stop(id).await.unwrap();
    machine.work(world).await;
    let second = save(world, id).await.unwrap().id;
    machine.work(world).await;
    assert_eq!(image(world, second).await.status, ImageStatus::Ready);
    assert_eq!(instance(world, id).await.state, InstanceState::Stopped);
    let from = world.cloud.launch(machine.request(world).image(saved.id)).await.unwrap();
    machine.work(world).await;
    assert_eq!(instance(world, from.id).await.image_id, Some(saved.id));
    world.cloud.delete_image(second).await.unwrap();
    assert_eq!(take_one(world, &machine).await.command.kind, CommandKind::DeleteImage);
    assert!(world.cloud.audit().await.unwrap().is_clean());
}

async fn what_the_agent_cannot_save_has_failed_and_the_instance_is_as_it_was(world: &World) {
    let mut machine = Machine::new(world).await;
    let id = machine.running(world).await;
    let before = instance(world, id).await.value;
    let saved = save(world, id).await.unwrap().id;
    // It is to be stopped meanwhile: that is wanted still when it could not be saved.
    let stopping = world.cloud.stop(id).await.unwrap();
    assert_eq!((stopping.state, stopping.desired), (InstanceState::Running, DesiredState::Stopped));
    let held = take_one(world, &machine).await;
    for nonsense in ["", "saved", "{\"key\":\"\"}"] {
        let answer = world.cloud.complete_command(&held, &CommandOutcome::Done(nonsense.into())).await;
        assert!(matches!(answer, Err(Error::Invalid { .. })), "{nonsense:?} gave {answer:?}");
    }
    let full = CommandOutcome::Failed("the disk is full".into());
    world.cloud.complete_command(&held, &full).await.unwrap();
    let failed = image(world, saved).await;
    assert_eq!((failed.status, failed.command_id, failed.key.clone()), (ImageStatus::Failed, None, None));
    let why = command(world, saved).await;
    assert_eq!((why.state, why.result.as_deref()), (CommandState::Failed, Some("the disk is full")));
    let held = take_one(world, &machine).await;
    assert_eq!(held.command.kind, CommandKind::StopInstance, "it is sent when the other one was answered");
    answer(world, &mut machine, &held).await;
    let after = instance(world, id).await;
    assert_eq!((after.state, &after.status_info), (InstanceState::Stopped, &before.status_info));
    world.cloud.delete_image(saved).await.unwrap();
    assert!(machine.take(world).await.is_empty(), "there is nothing of it to be removed");
    let again = save(world, id).await.unwrap().id;
    machine.work(world).await;
    assert_eq!(image(world, again).await.status, ImageStatus::Ready);
}

async fn only_what_is_there_and_waits_for_nothing_is_saved(world: &World) {
    let mut machine = Machine::new(world).await;
    let refused = async |id, state: &str, when: &str| {
        let answer = save(world, id).await;
        let is =
            matches!(&answer, Err(Error::WrongState { kind: "instance", state: at, .. }) if *at == state);
        assert!(is, "{when}: {answer:?}");
    };
    let id = machine.launch(world).await.id;
    refused(id, "requested", "it is to be made").await;
    let held = take_one(world, &machine).await;
    refused(id, "creating", "it is being made").await;
    answer(world, &mut machine, &held).await;
    world.cloud.stop(id).await.unwrap();
    refused(id, "waiting for another command", "it is being stopped").await;
    machine.work(world).await;
    world.cloud.delete(id).await.unwrap();
    refused(id, "deleting", "it is to be removed").await;
    machine.work(world).await;
    refused(id, "deleted", "it was removed").await;
    let id = machine.running(world).await;
    world.cloud.mark_node_dead(machine.node, "it is gone").await.unwrap();
    refused(id, "lost", "its machine is gone").await;
    // Nobody has told what it is on its machine.
    let owner = world.user().await;
    let request = LaunchRequest::new(owner, format!("i-{}", world.fresh())).cpu(CpuMilli::from_u32(1));
    let id = world.cloud.launch(request.on_node(world.node(owner).await)).await.unwrap().id;
    refused(id, "nothing that an agent has told of", "its node has no agent").await;
    let nothing = save(world, world.id().into()).await;
    assert!(matches!(nothing, Err(Error::NotFound { kind: "instance", .. })), "{nothing:?}");
}

async fn the_same_image_is_saved_once(world: &World) {
    let mut machine = Machine::new(world).await;
    let (id, other) = (machine.running(world).await, machine.running(world).await);
    let chosen = ImageId::new(world.id());
    let request = || SaveImageRequest::of(id).id(chosen).name("mine:1").description("one");
    let saves: Vec<_> = (0..8)
        .map(|_| {
            let (cloud, request) = (Arc::clone(&world.cloud), request());
            tokio::spawn(async move { cloud.save_image(request).await })
        })
        .collect();
    for save in saves {
        assert_eq!(save.await.unwrap().unwrap().id, chosen);
    }
    let different = async |when: &str| {
        for request in [
            request().name("mine:2"),
            request().description("two"),
            SaveImageRequest { instance: other, ..request() },
        ] {
            let answer = world.cloud.save_image(request).await;
            assert!(
                matches!(answer, Err(Error::AlreadyExists { kind: "image", key: "id" })),
                "{when}: {answer:?}"
            );
        }
    };
    different("while it is saved").await;
    machine.work(world).await;
    assert_eq!(machine.images.len(), 1);
    let ready = image(world, chosen).await;
    assert_eq!(world.cloud.save_image(request()).await.unwrap(), ready);
    different("when it was saved").await;
    world.cloud.delete(id).await.unwrap();
    machine.work(world).await;
    assert_eq!(world.cloud.save_image(request()).await.unwrap(), ready, "the instance is gone since");
    world.cloud.delete_image(chosen).await.unwrap();
    let late = world.cloud.save_image(request()).await;
    assert!(matches!(late, Err(Error::AlreadyExists { .. })), "it was deleted since: {late:?}");
    let ping = world.cloud.send_command(NewCommand::ping(machine.node)).await.unwrap().id;
    let taken = world.cloud.save_image(SaveImageRequest::of(other).id(ImageId::new(ping.uuid()))).await;
    assert!(matches!(taken, Err(Error::AlreadyExists { .. })), "{taken:?}");
}

async fn who_may_operate_the_instance_and_create_on_its_node_saves_an_image(world: &World) {
    let mut machine = Machine::new(world).await;
    let (tenant, guest) = (world.user().await, world.user().await);
    world.cloud.share(tenant, Shared::Node(machine.node), None).await.unwrap();
    let acting = |user| world.cloud.acting(Caller::trusted(user));
    let (node, owner) = (machine.node, machine.owner);
    let launch = |image: Option<ImageId>| {
        let request = LaunchRequest::new(tenant, format!("i-{}", world.fresh())).on_node(node);
        LaunchRequest { image, ..request }
    };
    let id = acting(tenant).launch(launch(None)).await.unwrap().id;
    machine.work(world).await;
    let absent = InstanceId::new(world.id());
    let told = async |user, of| match acting(user).save_image(SaveImageRequest::of(of)).await {
        Err(Error::NotFound { kind, .. }) => kind,
        other => panic!("{other:?}"),
    };
    assert_eq!(told(guest, id).await, told(guest, absent).await);
    world.cloud.share(guest, Shared::Node(node), None).await.unwrap();
    assert_eq!(told(guest, id).await, "instance", "the node alone is not enough");
    world.cloud.revoke(guest, Shared::Node(node)).await.unwrap();
    world.cloud.share(guest, Shared::Instance(id), None).await.unwrap();
    assert_eq!(told(guest, id).await, "compute_node", "nor is the instance alone");
    assert_eq!(images_of(world, &machine).await, 0);
    world.cloud.share(guest, Shared::Node(node), None).await.unwrap();
    let by_guest = acting(guest).save_image(SaveImageRequest::of(id)).await.unwrap().id;
    machine.work(world).await;
    // What is in it is the tenant's.
    assert!(matches!(acting(guest).image(by_guest).await, Err(Error::NotFound { .. })));
    let id = acting(tenant).launch(launch(Some(by_guest))).await.unwrap().id;
    machine.work(world).await;
    let own = acting(tenant).save_image(SaveImageRequest::of(id)).await.unwrap().id;
    machine.work(world).await;
    acting(tenant).image(own).await.unwrap();
    assert_eq!(world.cloud.grants_of(Shared::Image(own)).await.unwrap().len(), 1);
    acting(owner).image(own).await.unwrap();
    // Who owns the node needs no grant.
    let mine = machine.running(world).await;
    let mine = acting(owner).save_image(SaveImageRequest::of(mine)).await.unwrap().id;
    assert_eq!(world.cloud.grants_of(Shared::Image(mine)).await.unwrap(), []);
    world.cloud.revoke(tenant, Shared::Node(node)).await.unwrap();
    assert_eq!(told(tenant, id).await, "compute_node", "it is not theirs any more to create on");
}
