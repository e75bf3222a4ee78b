//! What becomes of an image whose instance ends while it is being saved.

use std::sync::Arc;
use std::time::Duration;

use super::super::World;
use super::super::cut::Cut;
use super::super::machine::{LEASE, Machine, instance};
use super::{answer, command, image, images_of, save, take_one};
use crate::entity::{
    CommandId, CommandKind, CommandState, ImageId, ImageStatus, InstanceId, InstanceName, InstanceState,
    NodeId,
};
use crate::error::Error;
use crate::plane::{CommandOutcome, ImportedInstance, SaveImageRequest};

pub(super) async fn check_meanwhile(world: &World) {
    an_instance_that_is_deleted_meanwhile_is_saved_first(world).await;
    an_instance_that_is_lost_meanwhile_leaves_an_image_that_failed(world).await;
    what_was_given_up_is_tried_again_while_there_is_something_to_save(world).await;
    who_loses_the_race_for_an_instance_sees_what_has_become_of_it(world).await;
    an_instance_without_an_agent_is_saved_when_there_is_one(world).await;
}

async fn an_instance_that_is_deleted_meanwhile_is_saved_first(world: &World) {
    // How the agent answers, how the image ends, and what may be tried after.
    for (outcome, ends) in [(None, ImageStatus::Ready), (Some("the disk is full"), ImageStatus::Failed)] {
        let mut machine = Machine::new(world).await;
        let id = machine.running(world).await;
        let saved = save(world, id).await.unwrap().id;
        assert_eq!(world.cloud.delete(id).await.unwrap().state, InstanceState::Deleting);
        let held = take_one(world, &machine).await;
        assert_eq!(held.command.kind, CommandKind::SaveImage);
        world.cloud.delete(id).await.unwrap();
        match outcome {
            None => answer(world, &mut machine, &held).await,
            Some(why) => {
                world
                    .cloud
                    .complete_command(&held, &CommandOutcome::Failed(why.into()))
                    .await
                    .map(drop)
                    .unwrap();
            }
        }
        assert_eq!(image(world, saved).await.status, ends);
        let held = take_one(world, &machine).await;
        assert_eq!(held.command.kind, CommandKind::DeleteInstance);
        answer(world, &mut machine, &held).await;
        assert_eq!(instance(world, id).await.state, InstanceState::Deleted);
        machine.is_empty(world, "it was deleted").await;
        assert_eq!(image(world, saved).await.status, ends, "the image outlives its instance");
    }
    // An agent that never says anything of it does not keep the instance for ever.
    let mut machine = Machine::new(world).await;
    let id = machine.running(world).await;
    let saved = save(world, id).await.unwrap().id;
    world.cloud.delete(id).await.unwrap();
    let mut kinds = Vec::new();
    for _ in 0..6 {
        kinds.extend(machine.take(world).await.iter().map(|held| held.command.kind));
        world.clock.advance(LEASE * 2);
    }
    assert_eq!(kinds, [CommandKind::SaveImage; 5]);
    assert_eq!(image(world, saved).await.status, ImageStatus::Failed);
    machine.work(world).await;
    machine.is_empty(world, "it was given up").await;
}

async fn an_instance_that_is_lost_meanwhile_leaves_an_image_that_failed(world: &World) {
    let mut machine = Machine::new(world).await;
    // It vanishes before the agent has begun to save it.
    let id = machine.running(world).await;
    let saved = save(world, id).await.unwrap().id;
    world.clock.advance(Duration::from_millis(1));
    machine.containers.clear();
    machine.report(world).await.unwrap();
    assert_eq!(instance(world, id).await.state, InstanceState::Lost);
    assert!(machine.take(world).await.is_empty(), "there is nothing to be saved");
    let why = command(world, saved).await;
    assert_eq!(why.result.as_deref(), Some("withdrawn: what it saves is gone"));
    assert_eq!(image(world, saved).await.status, ImageStatus::Failed);
    // It vanishes while the agent saves it.
    let id = machine.running(world).await;
    let saved = save(world, id).await.unwrap().id;
    let held = take_one(world, &machine).await;
    machine.containers.clear();
    machine.report(world).await.unwrap();
    assert_eq!(instance(world, id).await.state, InstanceState::Lost);
    answer(world, &mut machine, &held).await;
    assert_eq!(command(world, saved).await.result.as_deref(), Some("no such container"));
    assert_eq!(image(world, saved).await.status, ImageStatus::Failed);
    // Somebody gives it up.
    for whole_node in [false, true] {
        let id = machine.running(world).await;
        let saved = save(world, id).await.unwrap().id;
        let held = take_one(world, &machine).await;
        if whole_node {
            world.cloud.mark_node_dead(machine.node, "it burns").await.unwrap();
        } else {
            world.cloud.abandon_instance(id, "it does not answer").await.unwrap();
        }
        let late = world.cloud.complete_command(&held, &machine.execute(&held.command)).await;
        assert!(matches!(late, Err(Error::WrongState { .. })), "{late:?}");
        assert_eq!(instance(world, id).await.state, InstanceState::Lost);
        let failed = image(world, saved).await;
        assert_eq!((failed.status, failed.command_id), (ImageStatus::Failed, None));
        machine.restart(world).await;
        machine.work(world).await;
        world.cloud.delete_image(saved).await.unwrap();
    }
    machine.report(world).await.unwrap();
    machine.is_empty(world, "all were lost").await;
    assert!(world.cloud.audit().await.unwrap().is_clean());
}

async fn what_was_given_up_is_tried_again_while_there_is_something_to_save(world: &World) {
    let mut machine = Machine::new(world).await;
    let id = machine.running(world).await;
    let parked = async || {
        let saved = save(world, id).await.unwrap().id;
        for _ in 0..6 {
            machine.take(world).await;
            world.clock.advance(LEASE * 2);
        }
        assert_eq!(command(world, saved).await.state, CommandState::Parked);
        assert_eq!(image(world, saved).await.status, ImageStatus::Failed);
        saved
    };
    let (again, vain, gone) = (parked().await, parked().await, parked().await);
    let retry = async |image: ImageId| world.cloud.retry_command(CommandId::new(image.uuid())).await;
    retry(again).await.unwrap();
    assert_eq!(image(world, again).await.status, ImageStatus::Fetching);
    assert_eq!(instance(world, id).await.command_id, Some(CommandId::new(again.uuid())));
    let busy = retry(vain).await;
    assert!(matches!(busy, Err(Error::WrongState { .. })), "the instance waits for the other one: {busy:?}");
    machine.work(world).await;
    assert_eq!(image(world, again).await.status, ImageStatus::Ready);
    world.cloud.delete_image(gone).await.unwrap();
    let nothing = retry(gone).await;
    assert!(matches!(nothing, Err(Error::WrongState { .. })), "nobody has the image any more: {nothing:?}");
    world.cloud.delete(id).await.unwrap();
    machine.work(world).await;
    let late = retry(vain).await;
    assert!(matches!(late, Err(Error::WrongState { .. })), "the instance is gone: {late:?}");
    assert_eq!(image(world, vain).await.status, ImageStatus::Failed);
}

async fn who_loses_the_race_for_an_instance_sees_what_has_become_of_it(world: &World) {
    let mut machine = Machine::new(world).await;
    // The deletion is first.
    let id = machine.running(world).await;
    let cloud = Arc::clone(&world.cloud);
    let other = async move { drop(cloud.delete(id).await.unwrap()) };
    let raced = world.over(Arc::new(Cut::after(world.cloud.store(), 100).raced_by(other)));
    let refused = raced.save_image(SaveImageRequest::of(id)).await;
    assert!(matches!(refused, Err(Error::WrongState { state: "deleting", .. })), "{refused:?}");
    machine.work(world).await;
    assert_eq!((machine.images.len(), images_of(world, &machine).await), (0, 0));
    // The image is.
    let id = machine.running(world).await;
    let (cloud, saved) = (Arc::clone(&world.cloud), ImageId::new(world.id()));
    let other = async move { drop(cloud.save_image(SaveImageRequest::of(id).id(saved)).await.unwrap()) };
    let raced = world.over(Arc::new(Cut::after(world.cloud.store(), 100).raced_by(other)));
    raced.delete(id).await.unwrap();
    machine.work(world).await;
    assert_eq!(image(world, saved).await.status, ImageStatus::Ready, "it was saved before it was removed");
    machine.is_empty(world, "it was deleted").await;
}

/// An instance that was brought in with its key on a node that no agent has joined.
async fn brought_in(world: &World) -> (NodeId, InstanceId) {
    let owner = world.user().await;
    let (node, id) = (world.node(owner).await, InstanceId::new(world.id()));
    let now = world.cloud.store().read(Vec::new()).await.unwrap().now;
    let name = InstanceName::new(format!("i-{}", world.fresh())).unwrap();
    let mut new = ImportedInstance::new(id, owner, node, name, now.minus(Duration::from_mins(1)));
    new = new.key(format!("c-{id}"));
    for answer in world.cloud.import_instances(&[new]).await {
        answer.unwrap();
    }
    (node, id)
}

async fn an_instance_without_an_agent_is_saved_when_there_is_one(world: &World) {
    for deleted in [false, true] {
        let (node, id) = brought_in(world).await;
        let saved = save(world, id).await.unwrap();
        assert_eq!(saved.status, ImageStatus::Fetching);
        assert_eq!(
            instance(world, id).await.command_id,
            None,
            "it waits for nothing that nobody may ever do"
        );
        if deleted {
            assert_eq!(world.cloud.delete(id).await.unwrap().state, InstanceState::Deleted);
        }
        let session = world.cloud.join_node(node).await.unwrap();
        let taken = world.cloud.take_commands(node, session, 10, LEASE).await.unwrap();
        let told: Vec<_> = taken.iter().map(|held| held.command.kind).collect();
        let expected: &[CommandKind] = if deleted { &[] } else { &[CommandKind::SaveImage] };
        assert_eq!(told, expected);
        let ends = if deleted { ImageStatus::Failed } else { ImageStatus::Fetching };
        assert_eq!(image(world, saved.id).await.status, ends);
    }
    let (_, id) = brought_in(world).await;
    let cloud = Arc::clone(&world.cloud);
    let other = async move { drop(cloud.delete(id).await.unwrap()) };
    let raced = world.over(Arc::new(Cut::after(world.cloud.store(), 100).raced_by(other)));
    let refused = raced.save_image(SaveImageRequest::of(id)).await;
    assert!(matches!(refused, Err(Error::WrongState { state: "deleted", .. })), "{refused:?}");
}
