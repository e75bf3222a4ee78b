//! What is promised to and of the worker of a run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Lab, wrong_state};
use crate::entity::{
    BindingState, PageRequest, RunCause, RunId, RunState, StatusTold, TrainingImageState, TrainingStatus,
};
use crate::error::Error;
use crate::plane::checks::World;
use crate::plane::{Artifact, NewStatus, RunLease};

/// A SHA-256.
pub(super) const SHA256: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

pub(super) async fn check_worker(world: &World) {
    a_run_is_trained_uploaded_and_complete(world).await;
    what_comes_too_early_is_refused(world).await;
    messages_are_numbered_without_gaps_however_many_send(world).await;
    the_same_message_is_kept_once(world).await;
    what_is_no_message_is_refused(world).await;
    an_earlier_attempt_says_nothing_any_more(world).await;
    a_run_that_has_ended_absorbs_everything(world).await;
}

/// The messages of a run.
pub(super) async fn statuses(world: &World, run: RunId) -> Vec<TrainingStatus> {
    let page = PageRequest { limit: 1000, ..PageRequest::default() };
    let page = world.cloud.repositories().training_statuses().list(run, page).await.unwrap();
    page.entries.into_iter().map(|entry| entry.value).collect()
}

/// The last message of a run.
async fn last(world: &World, run: RunId) -> Option<TrainingStatus> {
    let last = world.cloud.repositories().training_statuses().last(run).await.unwrap();
    last.map(|entry| entry.value)
}

async fn a_run_is_trained_uploaded_and_complete(world: &World) {
    let lab = Lab::new(world).await;
    lab.images(world, 2, TrainingImageState::Resized).await;
    let lease = lab.held(world).await;
    world.clock.advance(Duration::from_secs(1));
    let began = world.cloud.begin_run(&lease).await.unwrap();
    assert_eq!((began.state, began.attempt), (RunState::Training, 1));
    assert_eq!(world.cloud.begin_run(&lease).await.unwrap(), began);
    assert_eq!(world.pulse(lease.run).await.heard_at, began.updated_at, "it was heard");
    let told = StatusTold { done: Some(5), total: Some(100), ..StatusTold::default() };
    let first = world.cloud.tell(&lease, NewStatus::of("training").told(told.clone())).await.unwrap();
    assert_eq!((first.sequence, first.attempt, &first.told), (1, 1, &told));
    world.clock.advance(Duration::from_secs(10));
    let key = world.cloud.uploading_run(&lease).await.unwrap();
    assert_eq!(key, format!("runs/{}/1/artifact", lease.run));
    assert_eq!(world.cloud.uploading_run(&lease).await.unwrap(), key);
    world.cloud.tell(&lease, NewStatus::of("uploading")).await.unwrap();
    for wrong in [format!("runs/{}/2/artifact", lease.run), "else/where".into(), String::new()] {
        let refused = world.cloud.complete_run(&lease, &Artifact::new(wrong, 5, SHA256)).await;
        assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    }
    let refused = world.cloud.complete_run(&lease, &Artifact::new(key.clone(), 5, "no hash")).await;
    assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    assert_eq!(world.run(lease.run).await.state, RunState::Uploading);
    let artifact = Artifact::new(key.clone(), 5, SHA256);
    world.clock.advance(Duration::from_secs(1));
    let complete = world.cloud.complete_run(&lease, &artifact).await.unwrap();
    assert_eq!((complete.state, complete.artifact_key.as_ref()), (RunState::Completed, Some(&key)));
    assert_eq!((complete.artifact_bytes, complete.held_ms), (Some(5), 12_000));
    assert_eq!(world.cloud.complete_run(&lease, &artifact).await.unwrap(), complete);
    assert_eq!(world.run(lease.run).await, complete);
    wrong_state(world.cloud.complete_run(&lease, &Artifact::new(key, 6, SHA256)).await);
    // Only who had it is told what became of it.
    for other in [RunLease { token: 2, ..lease }, RunLease { attempt: 2, ..lease }] {
        wrong_state(world.cloud.complete_run(&other, &artifact).await);
    }
    world.pins_nothing(lease.run).await;
    assert_eq!(world.lease(lease.lease).await.state, BindingState::Released);
    assert_eq!(lab.counted(world).await, 0);
    assert_eq!(statuses(world, lease.run).await.len(), 2);
    lab.submit(world).await;
}

async fn what_comes_too_early_is_refused(world: &World) {
    let lab = Lab::new(world).await;
    let lease = lab.held(world).await;
    let artifact = Artifact::new(format!("runs/{}/1/artifact", lease.run), 5, SHA256);
    wrong_state(world.cloud.uploading_run(&lease).await);
    wrong_state(world.cloud.complete_run(&lease, &artifact).await);
    world.cloud.begin_run(&lease).await.unwrap();
    wrong_state(world.cloud.complete_run(&lease, &artifact).await);
    world.cloud.uploading_run(&lease).await.unwrap();
    wrong_state(world.cloud.begin_run(&lease).await);
    assert_eq!(world.run(lease.run).await.state, RunState::Uploading);
    // Who shows what was never given is told that there is no such thing, or that it is not theirs.
    let other = lab_lease(world).await;
    for forged in [
        RunLease { lease: world.id().into(), ..lease },
        RunLease { run: world.id().into(), ..lease },
        RunLease { run: other.run, ..lease },
    ] {
        let refused = world.cloud.tell(&forged, NewStatus::of("training")).await;
        assert!(matches!(refused, Err(Error::NotFound { .. })), "{refused:?}");
        let refused = world.cloud.complete_run(&forged, &artifact).await;
        assert!(matches!(refused, Err(Error::NotFound { .. })), "{refused:?}");
    }
    for stale in
        [RunLease { token: 0, ..lease }, RunLease { token: 2, ..lease }, RunLease { attempt: 2, ..lease }]
    {
        every_word_is_refused(world, &stale).await;
    }
    assert_eq!(world.run(lease.run).await.state, RunState::Uploading);
}

async fn lab_lease(world: &World) -> RunLease {
    Lab::new(world).await.training(world).await
}

async fn messages_are_numbered_without_gaps_however_many_send(world: &World) {
    let lease = lab_lease(world).await;
    assert_eq!(last(world, lease.run).await, None, "nothing was told yet");
    let senders: Vec<_> = (0..16)
        .map(|sender| {
            let cloud = Arc::clone(&world.cloud);
            tokio::spawn(async move {
                for number in 0..4 {
                    let message = NewStatus::of("training").message_id(format!("{sender}-{number}"));
                    while let Err(error) = cloud.tell(&lease, message.clone()).await {
                        assert!(error.is_retryable(), "{error:?}");
                    }
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    let numbers: Vec<u64> = statuses(world, lease.run).await.iter().map(|status| status.sequence).collect();
    assert_eq!(numbers, (1..=64).collect::<Vec<u64>>());
    assert_eq!(world.pulse(lease.run).await.sequence, 64);
    let said_last = last(world, lease.run).await.unwrap();
    assert_eq!((said_last.run_id, said_last.sequence), (lease.run, 64));
}

async fn the_same_message_is_kept_once(world: &World) {
    let lease = lab_lease(world).await;
    let message = NewStatus::of("training").message_id("m-1");
    let senders: Vec<_> = (0..16)
        .map(|_| {
            let (cloud, message) = (Arc::clone(&world.cloud), message.clone());
            tokio::spawn(async move { cloud.tell(&lease, message).await.unwrap() })
        })
        .collect();
    let mut kept = Vec::new();
    for sender in senders {
        kept.push(sender.await.unwrap());
    }
    assert!(kept.iter().all(|status| *status == kept[0]), "{kept:?}");
    // It is the id that counts, and it counts in one run.
    let again = world.cloud.tell(&lease, NewStatus::of("uploading").message_id("m-1")).await.unwrap();
    assert_eq!(again, kept[0]);
    assert_eq!(statuses(world, lease.run).await.len(), 1);
    let other = lab_lease(world).await;
    assert_eq!(world.cloud.tell(&other, message).await.unwrap().sequence, 1);
    // Without an id each is another one.
    world.cloud.tell(&lease, NewStatus::of("training")).await.unwrap();
    world.cloud.tell(&lease, NewStatus::of("training")).await.unwrap();
    assert_eq!(statuses(world, lease.run).await.len(), 3);
}

async fn what_is_no_message_is_refused(world: &World) {
    let lease = lab_lease(world).await;
    let metrics = |metrics: &[(&str, f64)]| {
        let metrics = metrics.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        NewStatus::of("training").told(StatusTold { metrics, ..StatusTold::default() })
    };
    let many: BTreeMap<String, f64> = (0..33).map(|number| (format!("m{number}"), 1.0)).collect();
    let note = |note: String| {
        NewStatus::of("training").told(StatusTold { note: Some(note), ..StatusTold::default() })
    };
    let bad = [
        NewStatus::of(""),
        NewStatus::of("Training"),
        NewStatus::of("a b"),
        NewStatus::of("a".repeat(65)),
        NewStatus::of("training").message_id(""),
        NewStatus::of("training").message_id("m".repeat(129)),
        NewStatus::of("training").message_id("a\0b"),
        metrics(&[("loss", f64::NAN)]),
        metrics(&[("loss", f64::INFINITY)]),
        metrics(&[("", 1.0)]),
        metrics(&[(&"m".repeat(65), 1.0)]),
        NewStatus::of("training").told(StatusTold { metrics: many, ..StatusTold::default() }),
        note("n".repeat(4097)),
        note("a\0b".into()),
    ];
    for message in bad {
        let refused = world.cloud.tell(&lease, message.clone()).await;
        assert!(matches!(refused, Err(Error::Invalid { .. })), "{message:?}: {refused:?}");
    }
    let good = [metrics(&[("loss", 0.25), ("lr", -1e-9)]), note("n".repeat(4096)), NewStatus::of("a_1")];
    for message in good {
        let kept = world.cloud.tell(&lease, message.clone()).await.unwrap();
        assert_eq!((&kept.status, &kept.told), (&message.status, &message.told));
    }
}

/// Nothing that is said with this lease has an effect.
pub(super) async fn every_word_is_refused(world: &World, lease: &RunLease) {
    let (run, told) = (world.run(lease.run).await, statuses(world, lease.run).await);
    wrong_state(world.cloud.begin_run(lease).await);
    wrong_state(world.cloud.tell(lease, NewStatus::of("training").message_id("late")).await);
    wrong_state(world.cloud.uploading_run(lease).await);
    let key = format!("runs/{}/{}/artifact", lease.run, lease.attempt);
    wrong_state(world.cloud.complete_run(lease, &Artifact::new(key, 7, SHA256)).await);
    wrong_state(world.cloud.fail_run(lease, RunCause::Hardware, None).await);
    wrong_state(world.cloud.return_run(lease, "late").await);
    assert_eq!(world.run(lease.run).await, run);
    assert_eq!(statuses(world, lease.run).await, told);
}

async fn an_earlier_attempt_says_nothing_any_more(world: &World) {
    let lab = Lab::new(world).await;
    let first = lab.training(world).await;
    world.cloud.tell(&first, NewStatus::of("training").message_id("m-1")).await.unwrap();
    let failed = world.cloud.fail_run(&first, RunCause::Crashed, Some("out of memory")).await.unwrap();
    assert_eq!((failed.state, failed.failures, failed.cause), (RunState::Queued, 1, Some(RunCause::Crashed)));
    assert_eq!(world.cloud.fail_run(&first, RunCause::Crashed, Some("out of memory")).await.unwrap(), failed);
    every_word_is_refused(world, &first).await;
    world.clock.advance(failed.not_before.unwrap().since(world.now().await));
    world.advance().await;
    let second = world.claim(first.run).await;
    assert_eq!(second.attempt, 2);
    wrong_state(world.cloud.fail_run(&first, RunCause::Crashed, Some("out of memory")).await);
    every_word_is_refused(world, &first).await;
    world.cloud.begin_run(&second).await.unwrap();
    every_word_is_refused(world, &first).await;
    let kept = world.cloud.tell(&second, NewStatus::of("training").message_id("m-2")).await.unwrap();
    assert_eq!((kept.sequence, kept.attempt), (2, 2));
    assert_eq!(world.cloud.uploading_run(&second).await.unwrap(), format!("runs/{}/2/artifact", first.run));
    every_word_is_refused(world, &first).await;
    // Another key for each attempt: what the first one has uploaded is not taken for what the second one has.
    let of_first = Artifact::new(format!("runs/{}/1/artifact", first.run), 7, SHA256);
    let refused = world.cloud.complete_run(&second, &of_first).await;
    assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
}

async fn a_run_that_has_ended_absorbs_everything(world: &World) {
    for end in [RunState::Completed, RunState::Failed, RunState::Aborted, RunState::Stalled] {
        let lab = Lab::new(world).await;
        let run = world.cloud.submit_run(lab.ask().max_failures(0)).await.unwrap().id;
        world.advance().await;
        let lease = world.claim(run).await;
        world.cloud.begin_run(&lease).await.unwrap();
        match end {
            RunState::Completed => {
                let key = world.cloud.uploading_run(&lease).await.unwrap();
                world.cloud.complete_run(&lease, &Artifact::new(key, 5, SHA256)).await.unwrap();
            }
            RunState::Failed => drop(world.cloud.fail_run(&lease, RunCause::Crashed, None).await.unwrap()),
            RunState::Aborted => drop(world.cloud.abort_run(run, "enough").await.unwrap()),
            _ => {
                world.clock.advance(super::DAY);
                world.cloud.sweep_runs().await.unwrap();
            }
        }
        assert_eq!(world.run(run).await.state, end);
        world.pins_nothing(run).await;
        every_word_is_refused(world, &lease).await;
        let ended = world.run(run).await;
        if end == RunState::Aborted {
            assert_eq!(world.cloud.abort_run(run, "again").await.unwrap(), ended);
        } else {
            wrong_state(world.cloud.abort_run(run, "late").await);
        }
        world.clock.advance(super::DAY);
        world.advance().await;
        world.cloud.sweep_runs().await.unwrap();
        assert_eq!(world.run(run).await, ended);
        assert_eq!(lab.counted(world).await, 0);
    }
}
