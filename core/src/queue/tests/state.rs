//! What a queue is told.

use super::super::{InvalidTree, Job};
use super::super::{
    Queue, QueueNode, QueuePolicy, QueueTree, Quota, Resources, Running, Settings, Unacceptable,
};
use super::kit::{ALL, at, gang, gpus, id, job, node, plain, queue, secs, siblings, start, submit, tick};
use crate::sched::{PlaceError, Placement};

#[test]
fn a_plan_that_is_not_carried_out_is_made_again() {
    let mut queue = plain(QueuePolicy::FairShare, 2);
    submit(&mut queue, [job(1, 8), gang(2, 2, 4), job(3, 8)]);
    let plan = queue.tick(at(9));
    assert_eq!(plan.grants.len(), 2);
    assert_eq!(queue.tick(at(9)), plan);
    assert_eq!(queue.clone().tick(at(9)), plan);
    assert_eq!(queue.running_count(), 0);
}

#[test]
fn what_started_and_ended_leaves_no_trace() {
    let mut queue = queue(Settings::new(QueuePolicy::FairShare), siblings(&[8, 8]), 2);
    let fresh = (queue.cluster().clone(), queue.tree().held(ALL));
    submit(&mut queue, [Job { queue: id(1), ..job(1, 8) }, Job { queue: id(2), ..gang(2, 2, 3) }]);
    assert_eq!(tick(&mut queue, at(5)), [2, 1]);
    assert_eq!(queue.tree().held(ALL), Resources::gpus_milli(14_000));
    assert_eq!(queue.capacity(), Resources::gpus_milli(16_000));
    assert_eq!(queue.end(id(1)).unwrap().started, at(5));
    assert_eq!(queue.end(id(1)), None);
    queue.end(id(2)).unwrap();
    assert_eq!((queue.cluster().clone(), queue.tree().held(ALL)), fresh);
}

#[test]
fn what_is_held_elsewhere_counts_until_it_ends() {
    let mut queue = queue(Settings::new(QueuePolicy::FairShare), siblings(&[8, 8]), 2);
    let ten = Resources::gpus_milli(10_000);
    queue.hold_elsewhere(id(9), id(1), id(1), ten).unwrap();
    submit(&mut queue, [Job { queue: id(1), ..job(1, 8) }, Job { queue: id(2), ..job(2, 6) }]);
    assert_eq!(queue.hold_elsewhere(id(9), id(1), id(1), ten), Err(Unacceptable::Known { job: id(9) }));
    assert_eq!(queue.hold_elsewhere(id(1), id(1), id(1), ten), Err(Unacceptable::Known { job: id(1) }));
    let nowhere = queue.hold_elsewhere(id(8), id(7), id(1), ten);
    assert_eq!(nowhere, Err(Unacceptable::UnknownQueue { queue: id(7) }));
    assert_eq!(queue.tree().available(ALL).gpu_milli, 6_000);
    assert_eq!(queue.remove_queue(id(1)), Err(InvalidTree::InUse { queue: id(1) }));

    assert_eq!(tick(&mut queue, at(5)), [2], "six are left");
    assert_eq!(queue.end(id(9)), None, "it did not run here");
    assert_eq!(tick(&mut queue, at(6)), [1]);
    assert_eq!(queue.tree().held(ALL), Resources::gpus_milli(14_000));
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let mut queue = plain(QueuePolicy::Fifo, 1);
    let nowhere = Job { queue: id(7), ..job(1, 1) };
    assert_eq!(queue.submit(nowhere), Err(Unacceptable::UnknownQueue { queue: id(7) }));
    submit(&mut queue, [job(1, 4), job(2, 8)]);
    assert_eq!(queue.submit(job(1, 1)), Err(Unacceptable::Known { job: id(1) }));
    assert_eq!(queue.remove_queue(ALL), Err(InvalidTree::InUse { queue: ALL }));

    let plan = queue.tick(at(9));
    let given = plan.grants[0].placements.clone();
    assert_eq!(queue.start(id(9), given.clone(), at(9)), Err(Unacceptable::NotPending { job: id(9) }));
    assert_eq!(queue.start(id(1), vec![], at(9)), Err(Unacceptable::OtherAsk { job: id(1) }));
    let other = Placement { demand: gpus(3), ..given[0].clone() };
    assert_eq!(queue.start(id(1), vec![other], at(9)), Err(Unacceptable::OtherAsk { job: id(1) }));
    start(&mut queue, plan, at(9));
    let taken = Placement { gpus: (0..8).collect(), demand: gpus(8), ..given[0].clone() };
    let refused = queue.start(id(2), vec![taken], at(9));
    let source = PlaceError::GpuTaken { slot: given[0].gpus[0], milli: 1000 };
    assert_eq!(refused, Err(Unacceptable::Placement { job: id(2), source }));
    assert_eq!(queue.cluster().totals().gpu_idle_milli, 4_000);
    assert_eq!((queue.pending_count(), queue.running_count()), (1, 1));
}

#[test]
fn a_run_that_started_on_a_node_which_closed_meanwhile_is_taken_in() {
    let mut queue = plain(QueuePolicy::Fifo, 1);
    submit(&mut queue, [job(1, 4), job(2, 4)]);
    let plan = queue.tick(at(9));
    assert!(queue.set_schedulable(node(0, 0).id, false));
    start(&mut queue, plan, at(9));
    assert_eq!(queue.cluster().totals().gpu_idle_milli, 0);
    assert!(queue.end(id(1)).is_some());
    assert_eq!(queue.cluster().totals().gpu_idle_milli, 4_000);
    submit(&mut queue, [job(3, 1)]);
    assert!(queue.tick(at(10)).grants.is_empty());
}

#[test]
fn trying_on_a_closed_node_leaves_it_as_it_was() {
    // The victims are on a node that takes nothing new: freeing them is tried, and taken back.
    let mut queue = plain(QueuePolicy::Priority, 1);
    submit(&mut queue, [job(1, 8)]);
    tick(&mut queue, at(1));
    queue.set_schedulable(node(0, 0).id, false);
    submit(&mut queue, [Job { priority: 5, estimate: Some(secs(5)), ..job(2, 8) }]);
    let before = queue.cluster().clone();
    let plan = queue.tick(at(3));
    assert_eq!((plan.grants.len(), plan.preemptions.len(), plan.reservations.len()), (0, 0, 0));
    assert_eq!(*queue.cluster(), before);
}

#[test]
fn a_run_whose_node_has_gone_ends_all_the_same() {
    let mut queue = plain(QueuePolicy::Fifo, 2);
    submit(&mut queue, [gang(1, 2, 8), job(2, 1)]);
    tick(&mut queue, at(1));
    assert!(queue.remove_node(node(0, 0).id));
    assert_eq!(queue.capacity(), Resources::gpus_milli(8_000));
    assert!(queue.tick(at(3)).grants.is_empty());
    queue.end(id(1)).unwrap();
    assert_eq!(queue.cluster().totals().gpu_idle_milli, 8_000);
    assert_eq!(queue.tree().held(ALL), Resources::ZERO);
    assert_eq!(tick(&mut queue, at(4)), [2]);
}

#[test]
fn what_runs_already_is_taken_in_with_what_it_holds() {
    let mut queue = plain(QueuePolicy::Fifo, 1);
    submit(&mut queue, [job(1, 8)]);
    let placements = queue.tick(at(1)).grants.remove(0).placements;
    let run = |number| Running {
        job: job(number, 8),
        started: at(0),
        placements: placements.clone(),
        stopping: false,
    };
    assert_eq!(queue.restore(run(1)), Err(Unacceptable::Known { job: id(1) }));
    queue.restore(run(2)).unwrap();
    assert!(queue.tick(at(2)).grants.is_empty());
    // A node that is read again already lacks what runs there, and its capacity is what it was.
    let full = crate::sched::NodeState {
        gpus: vec![crate::sched::GpuState { free_milli: 0, healthy: true }; 8],
        running: [crate::sched::Tag::Whole(8)].into_iter().collect(),
        ..node(0, 0)
    };
    queue.upsert_node(&full).unwrap();
    assert_eq!(queue.capacity(), Resources::gpus_milli(8_000));
    queue.end(id(2)).unwrap();
    assert_eq!(tick(&mut queue, at(3)), [1]);
}

#[test]
fn a_run_that_is_not_due_waits_and_one_that_is_withdrawn_is_gone() {
    let mut queue = plain(QueuePolicy::Fifo, 1);
    submit(&mut queue, [Job { not_before: Some(at(50)), ..job(1, 1) }, job(2, 1), job(3, 1)]);
    assert_eq!(queue.withdraw(id(3)).unwrap().id, id(3));
    assert_eq!(queue.withdraw(id(3)), None);
    assert_eq!(tick(&mut queue, at(49)), [2]);
    assert_eq!(tick(&mut queue, at(50)), [1]);
    assert_eq!(queue.pending_count(), 0);
}

#[test]
fn settings_may_change_while_runs_wait() {
    let mut queue: Queue = plain(QueuePolicy::Fifo, 1);
    submit(&mut queue, [job(1, 8), Job { priority: 1, ..job(2, 8) }]);
    queue.set_settings(Settings::new(QueuePolicy::Priority));
    assert_eq!(tick(&mut queue, at(9)), [2]);
    queue.set_queue(QueueNode::new(ALL).gpus(Quota::hard(4_000))).unwrap();
    queue.end(id(2)).unwrap();
    assert!(tick(&mut queue, at(10)).is_empty());
    assert_eq!(QueueTree::single(ALL).len(), 1);
}
