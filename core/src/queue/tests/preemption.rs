//! Who stops for whom.

use super::super::{
    Job, PreemptionReason, Queue, QueueNode, QueuePolicy, QueueTree, Quota, Resource, Settings,
};
use super::kit::{
    ALL, at, carry_out, gang, granted, id, job, node, plain, queue, secs, siblings, start, stopped, submit,
    tick,
};

fn of(queue: u128, number: u64, gpus: u32) -> Job {
    Job { queue: id(queue), account: id(queue), ..job(number, gpus) }
}

fn urgent(priority: i32, job: Job) -> Job {
    Job { priority, ..job }
}

/// Queues of so many GPUs, in which so many jobs run already, on as many nodes of eight as the quotas add up to.
fn loaded(quotas: &[i64], jobs: impl IntoIterator<Item = Job>) -> Queue {
    let gpus: i64 = quotas.iter().sum();
    let mut queue =
        queue(Settings::new(QueuePolicy::FairShare), siblings(quotas), u64::try_from(gpus / 8).unwrap());
    for job in jobs {
        let (now, id) = (job.submitted, job.id);
        submit(&mut queue, [job]);
        tick(&mut queue, now);
        assert!(queue.running(id).is_some());
    }
    queue
}

#[test]
fn a_queue_takes_back_what_is_its_own_and_not_more() {
    let mut queue = loaded(&[8, 8], (1..=4).map(|number| of(2, number, 4)));
    // Nine would be borrowed itself.
    submit(&mut queue, [of(1, 10, 5)]);
    let plan = queue.tick(at(20));
    let reason = PreemptionReason::Reclaim { borrower: id(2), resource: Resource::GpuMilli };
    // Those that began last, as many as it takes: five are free on one node with both of its runs gone.
    assert_eq!(stopped(&plan), [(4, 10), (3, 10)]);
    assert!(plan.preemptions.iter().all(|preemption| preemption.reason == reason));
    carry_out(&mut queue, plan, at(20));
    assert_eq!(tick(&mut queue, at(20)), [10]);
    // Those that stopped wait, since they would take back what they had borrowed.
    let plan = queue.tick(at(21));
    assert_eq!((granted(&plan), stopped(&plan)), (vec![], vec![]));
    submit(&mut queue, [of(1, 11, 4)]);
    assert_eq!(stopped(&queue.tick(at(22))), []);
}

#[test]
fn nothing_is_taken_from_who_does_not_borrow() {
    let mut queue = loaded(&[8, 8], [of(2, 1, 8), of(1, 2, 4), of(1, 3, 4)]);
    submit(&mut queue, [of(1, 10, 1), of(2, 11, 1)]);
    assert_eq!(stopped(&queue.tick(at(20))), []);
    let mut open = queue;
    // A queue without a quota of its own claims nothing, and nothing can be claimed from it.
    open.set_queue(QueueNode::under(id(3), ALL)).unwrap();
    open.end(id(1)).unwrap();
    open.withdraw(id(11)).unwrap();
    submit(&mut open, [of(3, 12, 7)]);
    assert_eq!(tick(&mut open, at(21)).len(), 2);
    submit(&mut open, [of(2, 13, 8), of(3, 14, 8)]);
    assert_eq!(stopped(&open.tick(at(22))), [(10, 13)][..0]);
}

#[test]
fn the_biggest_borrower_gives_first() {
    let mut queue = loaded(&[16, 4, 4], [of(2, 1, 8), of(3, 2, 4), of(3, 3, 4), of(3, 4, 8)]);
    submit(&mut queue, [of(1, 10, 8)]);
    assert_eq!(stopped(&queue.tick(at(20))), [(4, 10)]);
    queue.set_queue(QueueNode::under(id(3), ALL).gpus(Quota::nominal(16_000))).unwrap();
    assert_eq!(stopped(&queue.tick(at(20))), [(1, 10)]);
}

#[test]
fn only_as_much_is_taken_from_a_borrower_as_it_borrows() {
    // Four of twelve are borrowed, in runs of two.
    let mut queue = loaded(&[8, 8], (1..=6).map(|number| of(2, number, 2)));
    submit(&mut queue, [of(1, 10, 8)]);
    let plan = queue.tick(at(20));
    assert_eq!(stopped(&plan), [(6, 10), (5, 10)]);
    carry_out(&mut queue, plan, at(20));
    assert_eq!(tick(&mut queue, at(20)), [10]);
    assert_eq!(queue.tree().held(id(2)).gpu_milli, 8_000);
}

#[test]
fn the_higher_priority_takes_from_the_lower_in_its_queue_only() {
    let mut queue = loaded(&[8, 16], [of(1, 1, 8), urgent(1, of(2, 2, 8)), urgent(2, of(2, 3, 8))]);
    submit(&mut queue, [urgent(2, of(2, 10, 8))]);
    let plan = queue.tick(at(20));
    assert_eq!(stopped(&plan), [(2, 10)]);
    assert_eq!(plan.preemptions[0].reason, PreemptionReason::Priority { claimant: 2, victim: 1 });
    // An equal priority takes nothing.
    queue.withdraw(id(10));
    submit(&mut queue, [urgent(1, of(2, 11, 8))]);
    assert_eq!(stopped(&queue.tick(at(20))), []);
    let off = Settings { preempt_by_priority: false, ..Settings::new(QueuePolicy::FairShare) };
    submit(&mut queue, [urgent(9, of(2, 12, 8))]);
    queue.set_settings(off);
    assert_eq!(stopped(&queue.tick(at(20))), []);
}

#[test]
fn the_lowest_priority_then_the_youngest_then_who_came_last_goes_first() {
    let jobs = [urgent(1, job(1, 2)), job(2, 2), job(3, 2), Job { submitted: at(3), ..job(4, 2) }];
    let mut queue = plain(QueuePolicy::Priority, 1);
    for job in jobs {
        let now = job.submitted;
        submit(&mut queue, [job]);
        tick(&mut queue, now);
    }
    let victims = |queue: &mut Queue, gpus| {
        submit(queue, [urgent(2, job(10, gpus))]);
        let plan = queue.tick(at(20));
        queue.withdraw(id(10));
        stopped(&plan).into_iter().map(|(victim, _)| victim).collect::<Vec<_>>()
    };
    assert_eq!(victims(&mut queue, 2), [4]);
    assert_eq!(victims(&mut queue, 4), [4, 3]);
    assert_eq!(victims(&mut queue, 6), [4, 3, 2]);
    assert_eq!(victims(&mut queue, 8), [4, 3, 2, 1]);
}

#[test]
fn whoever_is_protected_stays() {
    for (protected, now, stops) in [
        (Job { preemptible: false, ..job(1, 8) }, at(500), false),
        (Job { min_runtime: secs(100), ..job(1, 8) }, at(100), false),
        (Job { min_runtime: secs(100), ..job(1, 8) }, at(101), true),
    ] {
        let mut queue = plain(QueuePolicy::Priority, 1);
        submit(&mut queue, [protected]);
        tick(&mut queue, at(1));
        submit(&mut queue, [urgent(1, job(2, 1))]);
        assert_eq!(!queue.tick(now).preemptions.is_empty(), stops);
    }
}

#[test]
fn those_that_stop_are_enough_and_nobody_else_takes_their_place() {
    let mut queue = plain(QueuePolicy::Priority, 2);
    for number in 1..=2 {
        submit(&mut queue, [job(number, 8)]);
        tick(&mut queue, at(number));
    }
    submit(&mut queue, [urgent(1, job(10, 8))]);
    let plan = queue.tick(at(2));
    assert_eq!(stopped(&plan), [(2, 10)]);
    // Whether it is told who stops for whom or not: nobody else has to stop.
    for claimant in [Some(id(10)), None] {
        let mut queue = queue.clone();
        assert!(queue.stopping(id(2), claimant));
        assert_eq!(stopped(&queue.tick(at(3))), []);
        queue.submit(urgent(1, job(11, 5))).unwrap();
        assert_eq!(stopped(&queue.tick(at(3))), [(1, 11)]);
    }
    queue.stopping(id(2), Some(id(10)));
    let kept = queue.tick(at(3)).reservations;
    assert_eq!(kept[0].nodes, [node(1, 0).id]);
    // It was submitted long before, and would go first, were the place not another's.
    queue.end(id(2)).unwrap();
    submit(&mut queue, [urgent(5, Job { submitted: at(0), ..job(2, 8) })]);
    assert_eq!(tick(&mut queue, at(4)), [10]);
    assert!(!queue.stopping(id(2), None));
}

#[test]
fn a_claim_lapses_with_its_run_or_when_it_cannot_be_met() {
    let mut queue = plain(QueuePolicy::Priority, 1);
    submit(&mut queue, [job(1, 8)]);
    tick(&mut queue, at(1));
    submit(&mut queue, [urgent(1, job(2, 8)), urgent(3, Job { not_before: Some(at(50)), ..job(3, 8) })]);
    let plan = queue.tick(at(2));
    queue.stopping(id(1), Some(plan.preemptions[0].claimant));
    let mut withdrawn = queue.clone();
    withdrawn.withdraw(id(2));
    withdrawn.end(id(1));
    assert_eq!(tick(&mut withdrawn, at(60)), [3]);
    // The node has closed when the place is free: the claim lapses, and the order holds again.
    queue.end(id(1));
    queue.set_schedulable(node(0, 0).id, false);
    assert!(tick(&mut queue, at(60)).is_empty());
    queue.set_schedulable(node(0, 0).id, true);
    assert_eq!(tick(&mut queue, at(60)), [3]);
}

#[test]
fn nobody_is_stopped_in_vain() {
    // Half of what is asked for is held by somebody who stays.
    let mut queue = plain(QueuePolicy::Priority, 1);
    submit(&mut queue, [Job { preemptible: false, ..job(1, 4) }, job(2, 2), job(3, 2)]);
    tick(&mut queue, at(3));
    submit(&mut queue, [urgent(1, job(10, 8))]);
    assert_eq!(stopped(&queue.tick(at(4))), []);
    submit(&mut queue, [urgent(1, job(11, 3))]);
    assert_eq!(stopped(&queue.tick(at(4))), [(3, 11), (2, 11)]);
}

#[test]
fn no_more_stop_in_a_tick_than_are_allowed() {
    let settings = Settings { most_preemptions: 3, ..Settings::new(QueuePolicy::Priority) };
    let mut queue = queue(settings, QueueTree::single(ALL), 1);
    submit(&mut queue, (1..=8).map(|number| job(number, 1)));
    tick(&mut queue, at(9));
    submit(&mut queue, [urgent(2, job(10, 2)), urgent(1, job(11, 2)), urgent(1, job(12, 1))]);
    let plan = queue.tick(at(20));
    assert_eq!(stopped(&plan), [(8, 10), (7, 10), (6, 12)]);
    start(&mut queue, plan, at(20));
}

#[test]
fn a_gang_takes_the_place_of_gangs() {
    let mut queue = plain(QueuePolicy::Priority, 4);
    submit(&mut queue, [gang(1, 2, 8), gang(2, 4, 4)]);
    tick(&mut queue, at(2));
    submit(&mut queue, [urgent(1, gang(10, 2, 8))]);
    let plan = queue.tick(at(3));
    assert_eq!(stopped(&plan), [(2, 10)]);
    carry_out(&mut queue, plan, at(3));
    assert_eq!(tick(&mut queue, at(3)), [10]);
}

#[test]
fn an_order_takes_nothing_that_could_be_taken_back() {
    let settings = Settings { quantum: secs(0), ..Settings::new(QueuePolicy::ShortestRemaining) };
    let lasting = |seconds, job| Job { estimate: Some(secs(seconds)), ..job };
    // The long one has the higher priority.
    let mut queue = queue(settings.clone(), QueueTree::single(ALL), 1);
    submit(&mut queue, [lasting(900, urgent(1, job(1, 8)))]);
    tick(&mut queue, at(1));
    submit(&mut queue, [lasting(10, job(2, 8))]);
    assert_eq!(stopped(&queue.tick(at(2))), []);
    submit(&mut queue, [lasting(10, urgent(1, job(3, 8)))]);
    assert_eq!(stopped(&queue.tick(at(2))), [(1, 3)]);
    // The long one is in a queue within its quota, the short one would borrow.
    let mut queue = super::kit::queue(settings, siblings(&[8, 8]), 1);
    submit(&mut queue, [lasting(900, of(1, 1, 8))]);
    tick(&mut queue, at(1));
    queue.set_queue(QueueNode::under(id(2), ALL).gpus(Quota::nominal(4_000))).unwrap();
    submit(&mut queue, [lasting(10, of(2, 2, 8))]);
    assert_eq!(stopped(&queue.tick(at(2))), []);
    queue.withdraw(id(2));
    submit(&mut queue, [lasting(10, of(2, 3, 4))]);
    assert_eq!(stopped(&queue.tick(at(2))), []);
}

/// Ticks until nothing changes any more, and says who runs then.
fn settled(queue: &mut Queue, now: u64) -> Vec<u128> {
    for _ in 0..20 {
        let plan = queue.tick(at(now));
        if plan.grants.is_empty() && plan.preemptions.is_empty() {
            return queue.iter_running().map(|run| run.job.id.as_u128()).collect();
        }
        carry_out(queue, plan, at(now));
    }
    panic!("no end")
}

#[test]
fn large_runs_that_borrow_do_not_take_turns_with_small_ones_within_the_quotas() {
    let mut queue = queue(Settings::new(QueuePolicy::Priority), siblings(&[4, 4]), 1);
    for (name, first) in [(1, 1), (2, 11)] {
        submit(&mut queue, [urgent(1, of(name, first, 6)), of(name, first + 1, 2), of(name, first + 2, 2)]);
    }
    assert_eq!(settled(&mut queue, 20), [2, 3, 12, 13]);
}

#[test]
fn who_would_borrow_stops_nobody_within_the_quota_of_its_queue() {
    let mut queue = loaded(&[8, 8], [of(1, 1, 8), of(2, 2, 4)]);
    let large = |number| urgent(1, Job { queue: id(1), ..gang(number, 3, 4) });
    submit(&mut queue, [large(10)]);
    assert_eq!(stopped(&queue.tick(at(20))), []);
    // Where nobody takes back, nothing speaks against it.
    let mut without = queue.clone();
    without.set_settings(Settings { reclaim: false, ..Settings::new(QueuePolicy::FairShare) });
    assert_eq!(stopped(&without.tick(at(20))), [(1, 10)]);
    // One that is within the quota itself does, whoever is over it then.
    queue.withdraw(id(10));
    submit(&mut queue, [urgent(1, of(1, 11, 8))]);
    assert_eq!(stopped(&queue.tick(at(20))), [(1, 11)]);
}

#[test]
fn what_is_borrowed_is_taken_and_nothing_else() {
    // The urgent one is within the quota of its queue, the three others have what the first queue leaves.
    let others = [of(2, 1, 4), urgent(2, of(2, 2, 4)), urgent(1, of(2, 3, 4)), of(2, 4, 4)];
    let mut queue = loaded(&[12, 4], others);
    submit(&mut queue, [Job { queue: id(1), ..gang(10, 3, 4) }]);
    assert_eq!(stopped(&queue.tick(at(20))), [(4, 10), (1, 10), (3, 10)]);
    queue.withdraw(id(10));
    submit(&mut queue, [of(1, 11, 4)]);
    assert_eq!(stopped(&queue.tick(at(20))), [(4, 11)]);
    // What cannot be stopped uses the quota first: so the urgent one has only what it borrows.
    let held = Job { preemptible: false, ..of(2, 1, 4) };
    let mut queue = loaded(&[4, 4], [held, urgent(2, of(2, 2, 4))]);
    submit(&mut queue, [of(1, 10, 4)]);
    assert_eq!(stopped(&queue.tick(at(20))), [(2, 10)]);
}

#[test]
fn an_order_takes_from_another_queue_what_both_would_borrow() {
    let settings = Settings { quantum: secs(0), ..Settings::new(QueuePolicy::ShortestRemaining) };
    let lasting = |seconds, job| Job { estimate: Some(secs(seconds)), ..job };
    let mut queue = queue(settings, siblings(&[8, 0, 0]), 1);
    submit(&mut queue, [lasting(900, urgent(1, of(2, 1, 8)))]);
    tick(&mut queue, at(1));
    // Not from a higher priority, wherever it is.
    submit(&mut queue, [lasting(10, of(3, 2, 8))]);
    assert_eq!(stopped(&queue.tick(at(2))), []);
    submit(&mut queue, [lasting(10, urgent(1, of(3, 3, 8)))]);
    assert_eq!(stopped(&queue.tick(at(2))), [(1, 3)]);
    // Nor what is within a quota.
    queue.set_queue(QueueNode::under(id(2), ALL).gpus(Quota::nominal(8_000))).unwrap();
    assert_eq!(stopped(&queue.tick(at(2))), []);
}

#[test]
fn what_is_free_goes_to_those_that_stop_before_it_goes_to_those_behind_them() {
    let mut queue = plain(QueuePolicy::Priority, 2);
    submit(&mut queue, [Job { preemptible: false, ..job(1, 7) }, urgent(1, job(2, 8))]);
    tick(&mut queue, at(2));
    submit(&mut queue, [urgent(2, job(3, 8)), job(4, 1)]);
    let plan = queue.tick(at(4));
    assert_eq!((granted(&plan), stopped(&plan)), (vec![], vec![(2, 3)]));
    carry_out(&mut queue, plan, at(4));
    assert_eq!(tick(&mut queue, at(4)), [3, 4]);
}

#[test]
fn a_claim_that_makes_room_for_an_earlier_one_as_well_waits_for_the_next_tick() {
    let mut queue = plain(QueuePolicy::Priority, 2);
    submit(&mut queue, [job(1, 8), job(2, 2), Job { preemptible: false, ..job(3, 6) }]);
    tick(&mut queue, at(3));
    // Two stop of the second node; of the eight that the other would leave, those two and five have room.
    submit(&mut queue, [urgent(2, job(10, 2)), urgent(1, job(11, 5))]);
    let plan = queue.tick(at(4));
    assert_eq!(stopped(&plan), [(2, 10)]);
    carry_out(&mut queue, plan, at(4));
    assert_eq!(tick(&mut queue, at(4)), [10]);
    assert_eq!(stopped(&queue.tick(at(5))), [(1, 11)]);
}
