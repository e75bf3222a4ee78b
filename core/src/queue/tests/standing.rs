//! The orders that look at everybody.

use std::fmt::Write as _;
use std::time::Duration;

use proptest::prelude::*;
use uuid::Uuid;

use super::super::{Ask, Job, Queue, QueuePolicy, QueueTree, Resources, Settings};
use super::kit::{ALL, at, gpus, granted, id, job, node, queue, secs, stopped, submit, tick};
use crate::time::Timestamp;

fn lasting(seconds: u64, job: Job) -> Job {
    Job { estimate: Some(secs(seconds)), ..job }
}

fn under(policy: QueuePolicy, nodes: u64) -> Queue {
    queue(Settings { quantum: secs(0), ..Settings::new(policy) }, QueueTree::single(ALL), nodes)
}

#[test]
fn whoever_got_the_least_since_it_came_goes_first_and_the_others_give_way() {
    let mut queue = under(QueuePolicy::MaxMin, 1);
    submit(&mut queue, [job(1, 8), job(2, 8)]);
    assert_eq!(tick(&mut queue, at(10)), [1]);
    // As much as a moment is enough.
    assert_eq!(stopped(&queue.tick(at(11))), [(1, 2)]);
    // One that comes later begins with what the least of the others has, not with nothing.
    let plan = queue.tick(at(11));
    super::kit::carry_out(&mut queue, plan, at(11));
    assert_eq!(tick(&mut queue, at(11)), [2]);
    submit(&mut queue, [job(13, 8)]);
    assert_eq!(stopped(&queue.tick(at(13))), [(2, 1)]);
    // Half the weight, twice the use.
    queue.set_weight(id(2), 2000);
    let heavy = Job { account: id(2), ..job(14, 8) };
    submit(&mut queue, [heavy]);
    assert_eq!(stopped(&queue.tick(at(14))), [(2, 1)]);
}

#[test]
fn the_worst_finish_time_ratio_goes_first() {
    let mut queue = under(QueuePolicy::FinishTimeFairness, 1);
    // After a hundred seconds the short one is at two, the long one little above one.
    submit(&mut queue, [lasting(1_000, Job { submitted: at(0), ..job(1, 8) })]);
    submit(&mut queue, [lasting(100, Job { submitted: at(0), ..job(2, 8) })]);
    assert_eq!(granted(&queue.tick(at(100))), [2]);
    // The ratio of one that runs stays, those of the others grow.
    tick(&mut queue, at(100));
    assert_eq!(stopped(&queue.tick(at(150))), []);
    submit(&mut queue, [lasting(10, Job { submitted: at(100), ..job(3, 8) })]);
    assert_eq!(stopped(&queue.tick(at(150))), [(2, 3)]);
}

#[test]
fn the_least_work_goes_first_then_what_is_urgent_or_critical_comes_before_it() {
    let mut queue = under(QueuePolicy::Balanced, 4);
    let new = |number, seconds, gpus| lasting(seconds, Job { submitted: at(1_000), ..job(number, gpus) });
    // 2 × √4 is more than 3 × √1; the gang of all nodes is the least work of all with its short time.
    submit(&mut queue, [new(1, 2_000, 4), new(2, 3_000, 1), new(3, 100, 8), new(5, 20_000, 1)]);
    // The longest has as long to go as all work takes: it is critical.
    assert_eq!(granted(&queue.tick(at(1_000))), [5, 3, 2, 1]);
    // One that has waited for long beside what it needs is urgent.
    submit(&mut queue, [lasting(500, Job { submitted: at(0), ..job(4, 1) })]);
    assert_eq!(granted(&queue.tick(at(1_000))), [4, 5, 3, 2, 1]);
}

#[test]
fn critical_runs_fit_beside_each_other() {
    // As each has D to go or more, and all work is at most G × D; the slack of two minutes is left out of it.
    let mut queue = under(QueuePolicy::Balanced, 2);
    let new = |number, seconds, gpus| lasting(seconds, Job { submitted: at(0), ..job(number, gpus) });
    submit(&mut queue, (1..=6).map(|number| new(number, 90_000, 4)).chain([new(7, 10, 8)]));
    // All are as long as each other, and all work takes longer: nobody is critical, the short one goes first.
    assert_eq!(granted(&queue.tick(at(0)))[0], 7);
    submit(&mut queue, [new(8, 900_000, 1)]);
    assert_eq!(granted(&queue.tick(at(0)))[..2], [8, 7]);
}

#[test]
fn what_was_remembered_travels_with_a_run_that_was_preempted() {
    let mut queue = under(QueuePolicy::MaxMin, 1);
    submit(&mut queue, [job(1, 8), job(2, 8)]);
    assert_eq!(tick(&mut queue, at(0)), [1]);
    let run = queue.end(id(1)).unwrap();
    assert_ne!(run.job.history, super::super::History::default());
    let done = secs(500);
    submit(&mut queue, [Job { done, ..run.job }]);
    assert_eq!(tick(&mut queue, at(500)), [2]);
}

#[test]
fn the_extremes_of_times_weights_and_amounts_have_a_place() {
    for policy in [QueuePolicy::Balanced, QueuePolicy::FinishTimeFairness, QueuePolicy::MaxMin] {
        let mut queue = under(policy, 1);
        queue.set_weight(id(5), 0);
        queue.set_weight(id(6), u32::MAX);
        let huge = Duration::from_secs(u64::MAX);
        let ask = Ask::gang(gpus(16), 1024, false).unwrap();
        for (number, account) in [(1, 5), (2, 6)] {
            let job = Job { account: id(account), estimate: Some(huge), done: huge, ..job(number, 0) };
            submit(&mut queue, [Job { ask: ask.clone(), submitted: Timestamp::MIN, ..job }]);
        }
        submit(&mut queue, [job(3, 0), lasting(0, job(4, 8))]);
        assert_eq!(tick(&mut queue, Timestamp::MAX).len(), 2, "{policy}");
        assert!(queue.why_pending(id(1), Timestamp::MAX).is_some());
        assert!(queue.tick(at(0)).grants.is_empty());
    }
}

/// Runs everything that is there to its end, a tick at every event and every minute: the makespan, the mean time that
/// a run is there, and the number of preemptions.
fn simulate(policy: QueuePolicy, jobs: &[(u64, u64, u32)]) -> (u64, u64, u64) {
    let mut settings = Settings::new(policy);
    settings.quantum = secs(300);
    let mut queue = Queue::new(settings, QueueTree::single(ALL));
    (0..8).for_each(|number| queue.upsert_node(&node(number, 4)).unwrap());
    let mut coming: Vec<(u64, Job)> = jobs
        .iter()
        .zip(1_u128..)
        .map(|((arrival, seconds, count), number)| {
            let ask = Ask::gang(gpus(1), *count, false).unwrap();
            let job = Job::new(id(number), ALL, id(1), at(*arrival), ask);
            (*arrival, Job { estimate: Some(secs(*seconds)), ..job })
        })
        .collect();
    coming.sort_by_key(|(arrival, _)| std::cmp::Reverse(*arrival));
    let (mut now, mut sum, mut preemptions) = (0, 0, 0);
    let first = coming.last().unwrap().0;
    loop {
        while coming.last().is_some_and(|(arrival, _)| *arrival <= now) {
            submit(&mut queue, coming.pop().map(|(_, job)| job));
        }
        let over: Vec<Uuid> = queue
            .iter_running()
            .filter(|run| run.expected_end() <= Some(at(now)))
            .map(|run| run.job.id)
            .collect();
        for run in over {
            let run = queue.end(run).unwrap();
            sum += at(now).since(run.job.submitted).as_secs();
        }
        loop {
            let plan = queue.tick(at(now));
            preemptions += plan.preemptions.len() as u64;
            let again = !plan.preemptions.is_empty();
            super::kit::carry_out(&mut queue, plan, at(now));
            if !again {
                break;
            }
        }
        let ends = queue.iter_running().filter_map(super::super::Running::expected_end);
        let end = ends.min().map(|end| end.since(at(0)).as_secs().max(now + 1));
        let tick = (queue.pending_count() > 0).then_some((now / 60 + 1) * 60);
        let Some(next) = [end, tick, coming.last().map(|(arrival, _)| *arrival)].into_iter().flatten().min()
        else {
            return (now - first, sum / jobs.len() as u64, preemptions);
        };
        now = next;
    }
}

#[test]
fn the_default_order_is_between_the_shortest_first_and_the_fair_ones() {
    // A fixed stream of jobs at a load above what there is, of very different lengths.
    let mut state = 12_345_u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut arrival = 0;
    let jobs: Vec<(u64, u64, u32)> = (0..100)
        .map(|_| {
            arrival += random(80);
            let gpus = [1, 1, 1, 1, 2, 2, 4, 8][usize::try_from(random(8)).unwrap()];
            (arrival, 600 * 2_u64.pow(u32::try_from(random(5)).unwrap()) + random(500), gpus)
        })
        .collect();
    let of = |policy| simulate(policy, &jobs);
    let (balanced, shortest) = (of(QueuePolicy::Balanced), of(QueuePolicy::ShortestRemaining));
    let (fair, ratio, fifo) =
        (of(QueuePolicy::MaxMin), of(QueuePolicy::FinishTimeFairness), of(QueuePolicy::Fifo));
    let mut told = String::new();
    write!(told, "{balanced:?} {shortest:?} {fair:?} {ratio:?} {fifo:?}").unwrap();
    assert!(balanced.0 <= shortest.0 && balanced.0 <= fair.0, "{told}");
    assert!(balanced.1 <= fair.1 && balanced.1 <= fifo.1 && shortest.1 <= balanced.1, "{told}");
    assert!(balanced.2 < fair.2, "{told}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn places_do_not_depend_on_the_order_of_submission(
        jobs in prop::collection::vec((1_u32..9, 1_u64..5_000, 0_u64..1_000, 0_u64..3_000), 1..20),
        order in any::<prop::sample::Index>(),
    ) {
        for policy in [QueuePolicy::Balanced, QueuePolicy::FinishTimeFairness, QueuePolicy::MaxMin] {
            let mut all: Vec<Job> = (1_u64..)
                .zip(&jobs)
                .map(|(number, (gpus, estimate, submitted, done))| Job {
                    done: secs(*done),
                    submitted: at(*submitted),
                    ..lasting(*estimate, job(number, *gpus))
                })
                .collect();
            let mut one = under(policy, 2);
            submit(&mut one, all.clone());
            let turn = order.index(all.len());
            all.rotate_left(turn);
            let mut other = under(policy, 2);
            submit(&mut other, all);
            prop_assert_eq!(one.tick(at(2_000)), other.tick(at(2_000)));
            prop_assert_eq!(one.capacity(), Resources::gpus_milli(16_000));
        }
    }
}
