//! Who goes first under which policy.

use super::super::{Job, QueuePolicy, Settings};
use super::kit::{at, gang, granted, id, job, plain, queue, secs, siblings, stopped, submit, tick};

#[test]
fn first_come_first_served_stops_at_the_first_that_does_not_fit() {
    let mut queue = plain(QueuePolicy::Fifo, 1);
    submit(&mut queue, [job(3, 2), job(1, 4), job(2, 6)]);
    assert_eq!(tick(&mut queue, at(9)), [1]);
    queue.end(id(1)).unwrap();
    assert_eq!(tick(&mut queue, at(9)), [2, 3]);
}

#[test]
fn a_quota_stops_first_come_first_served_in_its_queue_only() {
    let mut tree = siblings(&[2, 8]);
    let hard = super::super::Quota::hard(2_000);
    tree.set(super::super::QueueNode::under(id(1), super::kit::ALL).gpus(hard)).unwrap();
    let mut queue = queue(Settings::new(QueuePolicy::Fifo), tree, 1);
    let of = |queue, number, gpus| Job { queue: id(queue), ..job(number, gpus) };
    submit(&mut queue, [of(1, 1, 3), of(1, 2, 1), of(2, 3, 1)]);
    assert_eq!(tick(&mut queue, at(9)), [3]);
}

#[test]
fn backfill_passes_over_what_does_not_fit() {
    let mut queue = plain(QueuePolicy::Backfill, 1);
    submit(&mut queue, [job(1, 4), job(2, 6), job(3, 2)]);
    assert_eq!(tick(&mut queue, at(9)), [1, 3]);
}

#[test]
fn the_higher_priority_goes_first_then_the_older_then_the_lower_id() {
    let mut queue = plain(QueuePolicy::Priority, 1);
    let of = |number, priority, submitted| Job { priority, submitted: at(submitted), ..job(number, 1) };
    submit(&mut queue, [of(1, 0, 1), of(2, 5, 3), of(3, 5, 2), of(5, -1, 0), of(4, 0, 1)]);
    assert_eq!(granted(&queue.tick(at(9))), [3, 2, 1, 4, 5]);
}

#[test]
fn the_least_remaining_time_goes_first_and_what_is_not_known_last() {
    let mut queue = plain(QueuePolicy::ShortestRemaining, 1);
    let of = |number, estimate: u64, done| Job {
        estimate: Some(secs(estimate)),
        done: secs(done),
        ..job(number, 1)
    };
    submit(&mut queue, [job(1, 1), of(2, 90, 0), of(3, 100, 80), of(4, 30, 0)]);
    assert_eq!(granted(&queue.tick(at(9))), [3, 4, 2, 1]);
}

#[test]
fn longer_ones_give_way_to_shorter_ones_after_their_quantum() {
    let settings = Settings { quantum: secs(60), ..Settings::new(QueuePolicy::ShortestRemaining) };
    let mut queue = queue(settings, super::super::QueueTree::single(super::kit::ALL), 1);
    let of = |number, estimate| Job { estimate: Some(secs(estimate)), ..job(number, 4) };
    submit(&mut queue, [of(1, 1000), of(2, 500)]);
    assert_eq!(tick(&mut queue, at(0)), [2, 1]);
    submit(&mut queue, [of(3, 100)]);
    assert!(queue.tick(at(59)).preemptions.is_empty());
    let plan = queue.tick(at(60));
    // The one that has the longest to go.
    assert_eq!(stopped(&plan), [(1, 3)]);
    super::kit::carry_out(&mut queue, plan, at(60));
    assert_eq!(tick(&mut queue, at(60)), [3]);
    // The other way round there is nothing to gain.
    assert!(queue.tick(at(600)).preemptions.is_empty());
}

#[test]
fn a_policy_has_one_name_everywhere() {
    for policy in QueuePolicy::ALL {
        assert_eq!(policy.to_string().parse(), Ok(policy));
        assert_eq!(serde_json::to_string(&policy).unwrap(), format!("\"{policy}\""));
    }
    assert!("FIFO".parse::<QueuePolicy>().is_err());
}

#[test]
fn no_more_start_in_a_tick_than_are_allowed() {
    let settings = Settings { most_grants: 2, ..Settings::new(QueuePolicy::Backfill) };
    let mut queue = queue(settings, super::super::QueueTree::single(super::kit::ALL), 2);
    submit(&mut queue, [gang(1, 2, 1), job(2, 1), job(3, 1)]);
    assert_eq!(tick(&mut queue, at(9)), [1, 2]);
    assert_eq!(tick(&mut queue, at(9)), [3]);
}
