//! What an instance leaves behind that has ended.

use std::time::Duration;

use super::World;
use super::machine::{LEASE, Machine};
use crate::entity::PageRequest;

pub(super) async fn check_left_behind(world: &World) {
    what_was_removed_since_the_look_is_not_left_behind(world).await;
    what_was_left_behind_is_asked_for_again(world).await;
}

async fn what_was_removed_since_the_look_is_not_left_behind(world: &World) {
    let mut machine = Machine::new(world).await;
    let id = machine.running(world).await;
    world.clock.advance(Duration::from_secs(1));
    let at = world.cloud.begin_report(machine.node, machine.session).await.unwrap();
    let seen = machine.found(at);
    world.cloud.delete(id).await.unwrap();
    machine.work(world).await;
    assert_eq!(world.cloud.report(machine.node, machine.session, &seen).await.unwrap().changed, 0);
    assert_eq!(machine.take(world).await, [], "there is nothing to be removed");
    machine.is_empty(world, "it was removed while the agent looked").await;
}

async fn what_was_left_behind_is_asked_for_again(world: &World) {
    let mut machine = Machine::new(world).await;
    let id = machine.running(world).await;
    world.cloud.abandon_instance(id, "it does not answer").await.unwrap();
    machine.restart(world).await;
    for _ in 0..5 {
        assert_eq!(machine.take(world).await.len(), 1);
        world.clock.advance(LEASE * 2);
    }
    assert_eq!(machine.take(world).await, [], "it is parked");
    let page = PageRequest::default();
    let left = world.cloud.repositories().foreign_instances().list(machine.node, page).await.unwrap();
    let parked = left.entries.first().unwrap().command_id.unwrap();
    world.cloud.retry_command(parked).await.unwrap();
    machine.work(world).await;
    machine.report(world).await.unwrap();
    machine.is_empty(world, "what was left behind was removed").await;
}
