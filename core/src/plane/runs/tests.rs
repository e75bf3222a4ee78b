//! The tables of what is decided over runs, and what holds for all of them.

use std::time::Duration;

use proptest::prelude::*;

use super::policy::{Next, RunPolicy, after_failure, too_old};
use crate::entity::{RunAsk, RunCause, RunEvent, RunState, TrainingRun};
use crate::store::{Fingerprint, Json};
use crate::time::Timestamp;

const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

/// A run that is queued.
pub(super) fn sample() -> TrainingRun {
    let id = uuid::Uuid::from_u128(7);
    TrainingRun {
        id: id.into(),
        owner_id: id.into(),
        training_id: Some(id.into()),
        of_training: id.into(),
        queue_id: Some(id.into()),
        config: Json::new(&serde_json::json!({})).unwrap(),
        trigger_word: "ohxw".into(),
        base_model: None,
        ask: RunAsk::default(),
        request_fingerprint: Fingerprint::of(b"run"),
        priority: 0,
        estimate_ms: None,
        min_runtime_ms: 0,
        due: None,
        not_before: None,
        state: RunState::Queued,
        state_deadline: Some(NOW),
        images_left: 0,
        attempt: 1,
        max_failures: 3,
        failures: 0,
        preemptions: 0,
        cause: None,
        status_info: None,
        kept_ms: 0,
        held_ms: 0,
        artifact_key: None,
        artifact_bytes: None,
        artifact_sha256: None,
        created_at: NOW,
        updated_at: NOW,
        ended_at: None,
    }
}

fn running(failures: u32) -> TrainingRun {
    TrainingRun { state: RunState::Training, failures, ..sample() }
}

#[test]
fn each_cause_has_its_end_and_only_some_are_tried_again() {
    // The cause; the end of a run that is not tried again; whether it is tried again, and counts as a failure.
    let table = [
        (RunCause::Crashed, RunEvent::Fail, true),
        (RunCause::Invalid, RunEvent::Fail, false),
        (RunCause::Hardware, RunEvent::Fail, true),
        (RunCause::WorkerLost, RunEvent::Stall, true),
        (RunCause::NotBegun, RunEvent::Stall, true),
        (RunCause::NoProgress, RunEvent::Stall, true),
        (RunCause::NotPrepared, RunEvent::Stall, true),
        (RunCause::NoGpus, RunEvent::Stall, true),
        (RunCause::NotUploaded, RunEvent::Stall, true),
        (RunCause::NotRented, RunEvent::Fail, true),
        (RunCause::Preempted, RunEvent::Fail, true),
        (RunCause::Requested, RunEvent::Abort, false),
    ];
    assert_eq!(table.map(|(cause, ..)| cause), RunCause::ALL);
    let policy = RunPolicy::default();
    for (cause, end, again) in table {
        let requeued = matches!(after_failure(&running(2), cause, NOW, &policy), Next::Requeue(_));
        assert_eq!(requeued, again, "{cause}");
        let last = after_failure(&running(3), cause, NOW, &policy);
        if cause == RunCause::Preempted {
            assert_eq!(last, Next::Requeue(NOW), "it is nobody's fault, however often");
        } else {
            assert_eq!(last, Next::End(end), "{cause}");
        }
        for state in RunState::ALL.iter().filter(|state| !state.has_lease()) {
            let run = TrainingRun { state: *state, ..sample() };
            assert_eq!(after_failure(&run, cause, NOW, &policy), Next::End(end), "{cause} while {state}");
        }
    }
}

#[test]
fn every_state_of_a_live_run_has_a_deadline_and_no_other() {
    let policy = RunPolicy::default();
    for state in RunState::ALL {
        let deadline = policy.deadline(*state, None, NOW);
        assert_eq!(deadline.is_none(), state.is_terminal(), "{state}");
        let has_cause = too_old(*state).is_some();
        assert_eq!(has_cause, !state.is_terminal() && *state != RunState::Queued, "{state}");
    }
    let later = NOW.plus(Duration::from_secs(5));
    assert_eq!(policy.deadline(RunState::Queued, Some(later), NOW), Some(later));
    assert_eq!(policy.deadline(RunState::Queued, Some(NOW), later), Some(later));
    assert_eq!(policy.deadline(RunState::WaitingForGpu, None, NOW), Some(Timestamp::MAX));
    let policy = policy.waiting(Some(Duration::from_secs(5)));
    assert_eq!(policy.deadline(RunState::WaitingForGpu, None, NOW), Some(later));
}

proptest! {
    #[test]
    fn a_pause_is_at_most_the_longest_and_at_least_half_of_what_it_is_of(
        id in any::<u128>(),
        failures in 0_u32..200,
        first in 1_u64..10_000_000,
        longest in 1_u64..100_000_000,
    ) {
        let policy = RunPolicy::default().backoff(Duration::from_micros(first), Duration::from_micros(longest));
        let run = TrainingRun {
            id: uuid::Uuid::from_u128(id).into(),
            max_failures: u32::MAX,
            ..running(failures)
        };
        let Next::Requeue(at) = after_failure(&run, RunCause::Crashed, NOW, &policy) else {
            return Err(TestCaseError::fail("it is tried again"));
        };
        let pause = at.since(NOW);
        let whole = Duration::from_micros(first)
            .saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX))
            .min(Duration::from_micros(longest));
        prop_assert!(pause <= whole && pause * 2 >= whole, "{pause:?} of {whole:?}");
        prop_assert_eq!(after_failure(&run, RunCause::Crashed, NOW, &policy), Next::Requeue(at));
    }

    #[test]
    fn what_is_decided_is_what_the_table_of_states_allows(
        state in proptest::sample::select(RunState::ALL),
        cause in proptest::sample::select(RunCause::ALL),
        failures in 0_u32..5,
        max_failures in 0_u32..5,
    ) {
        let run = TrainingRun { state, max_failures, failures, ..sample() };
        let event = match after_failure(&run, cause, NOW, &RunPolicy::default()) {
            Next::Requeue(_) => RunEvent::Requeue,
            Next::End(event) => event,
        };
        // What has ended is never decided over, and absorbs whatever it would be.
        prop_assert_eq!(state.on(event).is_ok(), !state.is_terminal());
    }

    #[test]
    fn a_run_ends_after_its_failures_however_they_are_ordered(
        causes in proptest::collection::vec(proptest::sample::select(RunCause::ALL), 1..40),
        max_failures in 0_u32..5,
    ) {
        let mut run = TrainingRun { max_failures, ..running(0) };
        for cause in causes {
            match after_failure(&run, cause, NOW, &RunPolicy::default()) {
                Next::Requeue(_) if cause != RunCause::Preempted => run.failures += 1,
                Next::Requeue(_) => {}
                Next::End(_) => break,
            }
        }
        prop_assert!(run.failures <= max_failures);
    }
}
