//! Commands that are taken, held, answered, taken over and given up.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::World;
use crate::entity::{CommandFilter, CommandKind, CommandState, NodeId, PageRequest};
use crate::error::{Error, Result};
use crate::identity::Origin;
use crate::plane::{CommandLease, CommandOutcome, NewApiKey, NewCommand, NodeSession};
use crate::time::Clock as _;

const LEASE: Duration = Duration::from_mins(1);

pub(super) async fn check_commands(world: &World) {
    a_command_is_sent_once_and_done_once(world).await;
    of_many_who_take_at_once_each_command_is_ones(world).await;
    what_is_said_of_an_earlier_attempt_changes_nothing(world).await;
    an_agent_that_was_replaced_answers_nothing(world).await;
    what_fails_too_often_or_too_late_is_parked_and_can_be_tried_again(world).await;
    what_is_sent_wrongly_is_refused(world).await;
    an_agent_has_the_commands_of_its_node_alone(world).await;
}

async fn joined(world: &World) -> (NodeId, NodeSession) {
    let node = world.node(world.user().await).await;
    (node, world.cloud.join_node(node).await.unwrap())
}

async fn take(world: &World, (node, session): (NodeId, NodeSession)) -> Vec<CommandLease> {
    world.cloud.take_commands(node, session, 100, LEASE).await.unwrap()
}

async fn take_one(world: &World, of: (NodeId, NodeSession)) -> CommandLease {
    let [one] = <[CommandLease; 1]>::try_from(take(world, of).await).unwrap();
    one
}

fn done() -> CommandOutcome {
    CommandOutcome::Done("pong".into())
}

fn is_over<T: std::fmt::Debug>(answer: &Result<T>) -> bool {
    matches!(answer, Err(Error::WrongState { kind: "command", .. }))
}

async fn a_command_is_sent_once_and_done_once(world: &World) {
    let of = joined(world).await;
    let request = NewCommand::ping(of.0).id(world.id().into()).payload("{}");
    let sent = world.cloud.send_command(request.clone()).await.unwrap();
    assert_eq!(world.cloud.send_command(request.clone()).await.unwrap(), sent);
    let other = world.cloud.send_command(request.payload("{\"other\":1}")).await;
    assert!(matches!(other, Err(Error::AlreadyExists { kind: "command", .. })));
    let held = take_one(world, of).await;
    assert_eq!((held.attempt, held.command.payload.as_deref()), (1, Some("{}")));
    assert_eq!(take(world, of).await, [], "it is held");
    world.clock.advance(LEASE / 2);
    world.cloud.extend_command(&held, LEASE).await.unwrap();
    world.clock.advance(LEASE / 2 + Duration::from_secs(1));
    assert_eq!(take(world, of).await, [], "it is still held");
    let first = world.cloud.complete_command(&held, &done()).await.unwrap();
    assert_eq!((first.state, first.result.as_deref()), (CommandState::Done, Some("pong")));
    assert_eq!(
        world.cloud.complete_command(&held, &done()).await.unwrap(),
        first,
        "the same is answered the same"
    );
    assert!(is_over(&world.cloud.complete_command(&held, &CommandOutcome::Failed("no".into())).await));
    assert!(is_over(&world.cloud.extend_command(&held, LEASE).await));
    world.clock.advance(LEASE * 10);
    assert_eq!(take(world, of).await, []);
}

async fn of_many_who_take_at_once_each_command_is_ones(world: &World) {
    let of = joined(world).await;
    let mut sent = BTreeSet::new();
    for _ in 0..40 {
        sent.insert(world.cloud.send_command(NewCommand::ping(of.0)).await.unwrap().id);
    }
    let takers: Vec<_> = (0..8)
        .map(|_| {
            let cloud = Arc::clone(&world.cloud);
            tokio::spawn(async move {
                let mut all = Vec::new();
                loop {
                    match cloud.take_commands(of.0, of.1, 3, LEASE).await {
                        Err(error) if error.is_retryable() => {}
                        taken => {
                            let taken = taken.unwrap();
                            if taken.is_empty() {
                                return all;
                            }
                            all.extend(taken.into_iter().map(|lease| lease.command.id));
                        }
                    }
                }
            })
        })
        .collect();
    let mut taken = Vec::new();
    for taker in takers {
        taken.extend(taker.await.unwrap());
    }
    assert_eq!(taken.len(), 40, "one was taken twice");
    assert_eq!(taken.into_iter().collect::<BTreeSet<_>>(), sent);
}

async fn what_is_said_of_an_earlier_attempt_changes_nothing(world: &World) {
    let of = joined(world).await;
    world.cloud.send_command(NewCommand::ping(of.0)).await.unwrap();
    let slow = take_one(world, of).await;
    world.clock.advance(LEASE + Duration::from_secs(1));
    let other = take_one(world, of).await;
    assert_eq!((other.command.id, other.attempt), (slow.command.id, 2));
    assert!(is_over(&world.cloud.complete_command(&slow, &done()).await), "a late answer counted");
    assert!(is_over(&world.cloud.extend_command(&slow, LEASE).await));
    let kept = world.cloud.repositories().commands().require(other.command.id).await.unwrap();
    assert_eq!(kept, other.command);
    world.cloud.complete_command(&other, &done()).await.unwrap();
    // Nobody took it over: then a late answer is as good as one in time.
    world.cloud.send_command(NewCommand::ping(of.0)).await.unwrap();
    let late = take_one(world, of).await;
    world.clock.advance(LEASE * 2);
    world.cloud.complete_command(&late, &done()).await.unwrap();
}

async fn an_agent_that_was_replaced_answers_nothing(world: &World) {
    let of = joined(world).await;
    world.cloud.send_command(NewCommand::ping(of.0)).await.unwrap();
    let paused = take_one(world, of).await;
    let session = world.cloud.join_node(of.0).await.unwrap();
    for _ in 0..20 {
        assert!(world.cloud.complete_command(&paused, &done()).await.is_err());
        assert!(world.cloud.extend_command(&paused, LEASE).await.is_err());
        assert!(world.cloud.take_commands(of.0, of.1, 1, LEASE).await.is_err());
    }
    // The new one need not wait for the lease to end.
    let other = take_one(world, (of.0, session)).await;
    assert_eq!((other.command.id, other.attempt), (paused.command.id, 2));
    world.cloud.complete_command(&other, &done()).await.unwrap();
}

async fn what_fails_too_often_or_too_late_is_parked_and_can_be_tried_again(world: &World) {
    let of = joined(world).await;
    let poisoned = world.cloud.send_command(NewCommand::ping(of.0).max_attempts(3)).await.unwrap().id;
    for attempt in 1..=3 {
        let held = take_one(world, of).await;
        assert_eq!(held.attempt, attempt);
        if attempt == 1 {
            // Its agent died: the lease ends by itself.
            world.clock.advance(LEASE * 2);
        } else {
            let again = CommandOutcome::Again("no such device".into());
            let state = world.cloud.complete_command(&held, &again).await.unwrap().state;
            assert_eq!(state, if attempt == 3 { CommandState::Parked } else { CommandState::Queued });
        }
    }
    assert_eq!(take(world, of).await, []);
    let soon = world.clock.now().plus(Duration::from_secs(5));
    let late = world.cloud.send_command(NewCommand::ping(of.0).deadline(soon)).await.unwrap().id;
    let lost = world.cloud.send_command(NewCommand::ping(of.0).max_attempts(1)).await.unwrap().id;
    world.clock.advance(Duration::from_secs(6));
    assert_eq!(take_one(world, of).await.command.id, lost);
    world.clock.advance(LEASE * 2);
    assert_eq!(take(world, of).await, []);
    let parked = CommandFilter { node_id: Some(of.0), state: Some(CommandState::Parked) };
    let listed = world.cloud.repositories().commands().list(parked, PageRequest::default()).await.unwrap();
    let ids: BTreeSet<_> = listed.entries.iter().map(|command| command.id).collect();
    assert_eq!(ids, [poisoned, late, lost].into());
    assert!(matches!(world.cloud.retry_command(late).await, Err(Error::Invalid { .. })));
    world.cloud.retry_command(poisoned).await.unwrap();
    assert!(is_over(&world.cloud.retry_command(poisoned).await), "it is parked no longer");
    let held = take_one(world, of).await;
    assert_eq!((held.command.id, held.attempt), (poisoned, 4), "the number of an attempt never comes again");
    world.cloud.complete_command(&held, &done()).await.unwrap();
}

async fn what_is_sent_wrongly_is_refused(world: &World) {
    let (node, session) = joined(world).await;
    let bad = [
        NewCommand { subject: Some(world.id()), ..NewCommand::ping(node) },
        NewCommand { subject: None, ..NewCommand::of(node, CommandKind::LoadImage, world.id()) },
        NewCommand::ping(node).max_attempts(0),
        NewCommand::ping(node).max_attempts(1001),
        NewCommand::ping(node).payload("x".repeat(16_385)),
        NewCommand::ping(node).payload("a\0b"),
    ];
    for request in bad {
        let answer = world.cloud.send_command(request.clone()).await;
        let invalid = matches!(&answer, Err(Error::Invalid { .. }))
            || matches!(&answer, Err(Error::Store(crate::store::StoreError::Invalid { .. })));
        assert!(invalid, "{request:?} gave {answer:?}");
    }
    let nowhere = world.cloud.send_command(NewCommand::ping(NodeId::new(world.id()))).await;
    assert!(matches!(nowhere, Err(Error::NotFound { kind: "compute_node", .. })));
    for limit in [0, 101] {
        assert!(matches!(
            world.cloud.take_commands(node, session, limit, LEASE).await,
            Err(Error::Invalid { .. })
        ));
    }
}

async fn an_agent_has_the_commands_of_its_node_alone(world: &World) {
    let owner = world.user().await;
    let (node, other) = (world.node(owner).await, world.node(owner).await);
    let mut agents = Vec::new();
    for node in [node, other] {
        let made = world.cloud.create_api_key(owner, NewApiKey::agent("agent", node)).await.unwrap();
        let caller = world.cloud.authenticate(&made.secret, Origin::unknown()).await.unwrap();
        agents.push(world.cloud.acting(caller));
        world.cloud.send_command(NewCommand::ping(node)).await.unwrap();
    }
    let [mine, theirs] = <[crate::plane::Acting; 2]>::try_from(agents).unwrap();
    let (session, _) = (mine.join_node().await.unwrap(), theirs.join_node().await.unwrap());
    let taken = mine.take_commands(session, 10, LEASE).await.unwrap();
    assert!(taken.len() == 1 && taken.iter().all(|lease| lease.command.node_id == node));
    let held = taken.into_iter().next().unwrap();
    assert!(matches!(theirs.complete_command(&held, &done()).await, Err(Error::NotFound { .. })));
    assert!(matches!(theirs.extend_command(&held, LEASE).await, Err(Error::NotFound { .. })));
    mine.extend_command(&held, LEASE).await.unwrap();
    mine.complete_command(&held, &done()).await.unwrap();
    let human = world.cloud.acting(crate::identity::Caller::trusted(owner));
    assert!(matches!(human.take_commands(session, 1, LEASE).await, Err(Error::Denied { .. })));
    let listed = human.list_commands(node, Some(CommandState::Done), PageRequest::default()).await.unwrap();
    assert_eq!(listed.entries.len(), 1);
}
