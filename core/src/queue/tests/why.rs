//! Why a run waits.

use super::super::{GangMisfit, Job, QueueMisfit, QueuePolicy, QueueTree, Reason, Resource, Settings};
use super::kit::{ALL, at, carry_out, gang, gpus, id, job, plain, queue, secs, siblings, submit, tick};
use crate::sched::NoFit;

#[test]
fn what_runs_or_is_not_there_does_not_wait() {
    let mut queue = plain(QueuePolicy::FairShare, 1);
    submit(&mut queue, [job(1, 1)]);
    tick(&mut queue, at(1));
    assert_eq!(queue.why_pending(id(1), at(1)), None);
    assert_eq!(queue.why_pending(id(2), at(1)), None);
}

#[test]
fn everything_that_is_in_the_way_is_told() {
    let mut queue = queue(Settings::new(QueuePolicy::Backfill), siblings(&[4, 8]), 2);
    let of = |queue, number, gpus| Job { queue: id(queue), estimate: Some(secs(100)), ..job(number, gpus) };
    submit(&mut queue, [of(1, 1, 5), of(2, 2, 5)]);
    assert_eq!(tick(&mut queue, at(2)), [1, 2]);
    let waiting = Job { queue: id(2), not_before: Some(at(60)), ..gang(4, 3, 4) };
    submit(&mut queue, [of(2, 3, 4), waiting]);
    let why = queue.why_pending(id(4), at(5)).unwrap();
    let removed = NoFit { nodes: 2, gpu: 2, ..NoFit::default() };
    assert_eq!(
        why.reasons,
        [
            Reason::NotDue { at: at(60) },
            Reason::Quota(QueueMisfit {
                queue: id(2),
                at: ALL,
                resource: Resource::GpuMilli,
                available: 2_000,
                asked: 12_000,
            }),
            Reason::NoRoom(GangMisfit { members: 3, fitting: 0, removed }),
        ]
    );
    assert_eq!((why.ahead, why.first_ahead), (1, vec![id(3)]));
    assert_eq!(why.share.to_string(), "62.5000%");
    // When both have ended.
    assert_eq!(why.expected_start, Some(at(102)));
}

#[test]
fn a_run_whose_turn_it_is_not_is_told_who_is_ahead() {
    let mut queue = plain(QueuePolicy::FairShare, 1);
    let of = |account, number| Job { account: id(account), ..job(number, 8) };
    submit(&mut queue, (1..=7).map(|number| of(1, number)));
    submit(&mut queue, [of(2, 8)]);
    queue.add_use(id(1), 0, crate::queue::Resources::gpus_milli(1_000_000_000));
    let why = queue.why_pending(id(7), at(9)).unwrap();
    assert_eq!(why.reasons, []);
    assert_eq!((why.ahead, why.first_ahead), (7, vec![id(8), id(1), id(2), id(3), id(4)]));
    assert_eq!(why.expected_start, Some(at(9)));
    assert_eq!(queue.why_pending(id(8), at(9)).unwrap().ahead, 0);
}

#[test]
fn a_run_for_which_others_stop_is_told_for_whom_it_waits() {
    let mut queue = plain(QueuePolicy::Priority, 1);
    submit(&mut queue, [job(1, 8)]);
    tick(&mut queue, at(1));
    submit(&mut queue, [Job { priority: 1, ..job(2, 8) }]);
    let plan = queue.tick(at(2));
    queue.stopping(plan.preemptions[0].victim, Some(plan.preemptions[0].claimant));
    let why = queue.why_pending(id(2), at(2)).unwrap();
    assert_eq!(why.reasons.last(), Some(&Reason::Stopping { victims: vec![id(1)] }));
    assert_eq!(why.expected_start, Some(at(2)));
    assert_eq!(queue.end(id(1)).map(|run| run.stopping), Some(true));
    let plan = queue.tick(at(2));
    carry_out(&mut queue, plan, at(2));
    assert_eq!(queue.why_pending(id(2), at(3)), None);
}

#[test]
fn asking_changes_nothing() {
    let mut queue = queue(Settings::default(), QueueTree::single(ALL), 2);
    submit(&mut queue, [job(1, 8), gang(2, 2, 8), Job { priority: 3, ..job(3, 5) }]);
    let before = (queue.cluster().clone(), queue.clone().tick(at(9)));
    for number in 1..=3 {
        assert!(queue.why_pending(id(number), at(9)).is_some());
    }
    assert_eq!((queue.cluster().clone(), queue.tick(at(9))), before);
    assert_eq!(gpus(1).gpu_milli_total(), 1000);
}
