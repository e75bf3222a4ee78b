//! Reservations: what is passed over is not delayed.

use super::super::{Job, QueuePolicy, QueueTree, Reservation, Settings};
use super::kit::{ALL, at, gang, granted, id, job, node, plain, queue, secs, submit, tick};

fn lasting(seconds: u64, job: Job) -> Job {
    Job { estimate: Some(secs(seconds)), ..job }
}

/// Two nodes; the first is full until second 100.
fn half_full() -> super::super::Queue {
    let mut queue = plain(QueuePolicy::Backfill, 2);
    submit(&mut queue, [lasting(100, job(1, 8))]);
    assert_eq!(tick(&mut queue, at(0)), [1]);
    queue
}

#[test]
fn the_first_that_does_not_fit_gets_the_earliest_moment_at_which_it_will() {
    let mut queue = half_full();
    submit(&mut queue, [lasting(50, gang(2, 2, 8))]);
    let plan = queue.tick(at(10));
    let nodes = vec![node(0, 0).id, node(1, 0).id];
    assert_eq!(plan.reservations, [Reservation { job: id(2), at: Some(at(100)), nodes }]);
    // Whoever runs longer than expected may end at any moment.
    assert_eq!(queue.tick(at(200)).reservations[0].at, Some(at(200)));
}

#[test]
fn behind_a_reservation_only_what_ends_before_it_starts_on_its_nodes() {
    let mut queue = half_full();
    submit(&mut queue, [lasting(50, gang(2, 2, 8))]);
    // Until second 100 there are ninety.
    submit(&mut queue, [lasting(91, job(3, 1)), lasting(90, job(4, 1)), job(5, 1)]);
    assert_eq!(tick(&mut queue, at(10)), [4]);
    assert_eq!(tick(&mut queue, at(9)), [3]);
    assert!(tick(&mut queue, at(50)).is_empty());
    // The run that it waits for ends as expected, and nobody is in its way.
    for run in [1, 3, 4] {
        queue.end(id(run));
    }
    assert_eq!(tick(&mut queue, at(100)), [2]);
}

#[test]
fn who_has_run_longer_than_expected_is_not_taken_for_short() {
    let mut queue = half_full();
    submit(&mut queue, [lasting(50, gang(2, 2, 8))]);
    let over = Job { done: secs(20), ..lasting(20, job(3, 1)) };
    submit(&mut queue, [over, Job { done: secs(19), ..lasting(20, job(4, 1)) }]);
    assert_eq!(tick(&mut queue, at(10)), [4]);
}

#[test]
fn a_short_one_behind_many_long_ones_of_its_kind_is_found() {
    let mut queue = half_full();
    submit(&mut queue, [lasting(50, gang(2, 2, 8))]);
    submit(&mut queue, (3..15).map(|number| lasting(120, job(number, 1))));
    submit(&mut queue, [lasting(80, job(20, 1))]);
    assert_eq!(tick(&mut queue, at(10)), [20]);
}

#[test]
fn whoever_stays_off_the_kept_nodes_starts_however_long_it_runs() {
    let settings = Settings { reservations: 1, ..Settings::new(QueuePolicy::Backfill) };
    let mut queue = queue(settings, QueueTree::single(ALL), 3);
    submit(&mut queue, [lasting(100, job(1, 8)), lasting(500, job(2, 5))]);
    assert_eq!(tick(&mut queue, at(0)), [1, 2]);
    submit(&mut queue, [lasting(9, gang(3, 2, 8)), job(4, 4), job(5, 3)]);
    // Four are only free on a node that is kept; three are beside the run that lasts.
    assert_eq!(tick(&mut queue, at(10)), [5]);
}

#[test]
fn as_many_get_a_reservation_as_are_allowed_and_none_where_there_are_none() {
    let with = |reservations| {
        let settings = Settings { reservations, ..Settings::new(QueuePolicy::Backfill) };
        let mut queue = queue(settings, QueueTree::single(ALL), 2);
        submit(&mut queue, [lasting(100, job(1, 8)), lasting(70, job(2, 5))]);
        assert_eq!(tick(&mut queue, at(0)), [1, 2]);
        submit(&mut queue, [lasting(9, job(3, 7)), lasting(9, job(4, 8)), lasting(300, job(5, 1))]);
        let plan = queue.tick(at(10));
        let reserved = |at: &Reservation| (at.job.as_u128(), at.at.unwrap());
        (plan.reservations.iter().map(reserved).collect::<Vec<_>>(), granted(&plan))
    };
    assert_eq!(with(0), (vec![], vec![5]));
    assert_eq!(with(1), (vec![(3, at(70))], vec![]));
    // The second waits for the other node.
    assert_eq!(with(2), (vec![(3, at(70)), (4, at(100))], vec![]));
}

#[test]
fn what_starts_in_the_same_tick_is_expected_to_end_as_well() {
    let mut queue = plain(QueuePolicy::Backfill, 1);
    submit(&mut queue, [lasting(40, job(1, 6)), lasting(10, job(2, 8)), lasting(40, job(3, 2))]);
    let plan = queue.tick(at(10));
    assert_eq!(granted(&plan), [1, 3]);
    assert_eq!(plan.reservations[0].at, Some(at(50)));
}

#[test]
fn nobody_is_passed_over_for_ever_where_nothing_is_known() {
    let mut queue = plain(QueuePolicy::Backfill, 2);
    submit(&mut queue, [job(1, 5), job(2, 5)]);
    tick(&mut queue, at(2));
    submit(&mut queue, [job(3, 8), job(4, 1), job(5, 3)]);
    let patience = queue.settings().patience;
    let plan = queue.tick(at(2).plus(patience));
    assert_eq!((granted(&plan), plan.reservations.len()), (vec![4, 5], 0));
    // From now on the node is kept whose run began first.
    let now = at(3).plus(patience);
    let plan = queue.tick(now);
    assert_eq!(plan.reservations, [Reservation { job: id(3), at: None, nodes: vec![node(0, 0).id] }]);
    assert_eq!(tick(&mut queue, now), [4]);
    queue.end(id(1));
    assert_eq!(tick(&mut queue, now), [3]);
}
