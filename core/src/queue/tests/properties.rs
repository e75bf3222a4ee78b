//! What holds of every plan, whatever waits and runs.

use std::collections::BTreeSet;

use proptest::prelude::*;
use uuid::Uuid;

use super::super::{Plan, Preemption, PreemptionReason, Queue, QueuePolicy, Settings};
use super::kit::{at, carry_out, secs};
use super::worlds::{NOW, queue, world};

fn claimants(plan: &Plan) -> BTreeSet<Uuid> {
    plan.preemptions.iter().map(|at| at.claimant).collect()
}

/// Starts of what may start those whom others stopped for, and says which of them.
fn start_claimants(queue: &mut Queue, plan: &Plan) -> BTreeSet<Uuid> {
    let claimants = claimants(plan);
    let mut next = queue.tick(at(NOW));
    next.grants.retain(|grant| claimants.contains(&grant.job));
    next.preemptions.clear();
    let started = next.grants.iter().map(|grant| grant.job).collect();
    carry_out(queue, next, at(NOW));
    started
}

/// Somebody who takes back what a plan took for others.
///
/// A plan that starts somebody in passing may go on to stop one that comes before that, for a third: what is free goes
/// to whoever has the turn. So of those that it merely starts, only what a quota takes back is looked at, and only
/// where nobody starts first.
fn taken_back(after: &mut Queue, plan: &Plan) -> Option<Preemption> {
    let victims: BTreeSet<Uuid> = plan.preemptions.iter().map(|at| at.victim).collect();
    let claimants = claimants(plan);
    let next = after.tick(at(NOW));
    let started = |at: &Preemption| {
        let by_quota = matches!(at.reason, PreemptionReason::Reclaim { .. }) && next.grants.is_empty();
        by_quota && plan.grants.iter().any(|grant| grant.job == at.victim)
    };
    let back =
        |at: &&Preemption| victims.contains(&at.claimant) && (claimants.contains(&at.victim) || started(at));
    next.preemptions.iter().find(back).cloned()
}

/// Whether a run could start if one of those that stop for it did not, beside all else that a plan decides.
fn need_not_stop(queue: &Queue, plan: &Plan, spared: &Preemption) -> bool {
    let mut after = queue.clone();
    for at in plan.preemptions.iter().filter(|at| at.claimant != spared.claimant) {
        after.stopping(at.victim, Some(at.claimant));
    }
    let claimant = after.withdraw(spared.claimant).unwrap();
    for at in plan.preemptions.iter().filter(|at| at.victim != spared.victim) {
        after.end(at.victim);
    }
    carry_out(&mut after, Plan { grants: plan.grants.clone(), ..Plan::default() }, at(NOW));
    let others = claimants(plan).into_iter().filter(|other| *other != claimant.id).count();
    if start_claimants(&mut after, plan).len() < others {
        // Then it is another that needs it.
        return false;
    }
    // Only quotas and room decide.
    let mut settings = Settings::new(QueuePolicy::Backfill);
    (settings.reclaim, settings.preempt_by_priority, settings.reservations) = (false, false, 0);
    after.set_settings(settings);
    let others: Vec<Uuid> = after.iter_pending().map(|job| job.id).collect();
    for other in others {
        after.withdraw(other);
    }
    after.submit(claimant).unwrap();
    after.tick(at(NOW)).grants.len() == 1
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn what_a_plan_starts_fits_and_whom_it_stops_may_be_stopped(world in world()) {
        let mut queue = queue(&world);
        let before = queue.clone();
        let plan = queue.tick(at(NOW));
        prop_assert_eq!(queue.cluster(), before.cluster());
        prop_assert_eq!(&queue.tick(at(NOW)), &plan);
        // In order, each within quotas and nodes, charged as the plan assumes.
        let mut after = before.clone();
        for grant in &plan.grants {
            let job = after.pending(grant.job).unwrap().clone();
            prop_assert_eq!(after.tree().fits(job.queue, job.ask.total()), Ok(()));
            prop_assert_eq!(after.start(grant.job, grant.placements.clone(), at(NOW)), Ok(()));
            if job.ask.spread() {
                let nodes: BTreeSet<_> = grant.placements.iter().map(|placement| placement.node).collect();
                prop_assert_eq!(nodes.len(), grant.placements.len());
            }
        }
        let mut seen = BTreeSet::new();
        // What is kept for those that others stop for counts as theirs.
        let mut tree = after.tree().clone();
        for claimant in plan.preemptions.iter().map(|preemption| preemption.claimant).collect::<BTreeSet<_>>() {
            let claimant = before.pending(claimant).unwrap();
            tree.charge(claimant.queue, claimant.ask.total());
        }
        for preemption in &plan.preemptions {
            let victim = before.running(preemption.victim).unwrap();
            let claimant = before.pending(preemption.claimant).unwrap();
            prop_assert!(seen.insert(preemption.victim), "nobody stops twice");
            let quantum = match preemption.reason {
                PreemptionReason::Order => queue.settings().quantum,
                _ => secs(0),
            };
            prop_assert!(victim.may_be_preempted(at(NOW), quantum));
            match preemption.reason {
                PreemptionReason::Reclaim { borrower, resource } => {
                    prop_assert_eq!(borrower, victim.job.queue);
                    prop_assert!(victim.job.ask.total().get(resource) > 0);
                    prop_assert!(tree.is_borrowing(borrower));
                }
                PreemptionReason::Priority { .. } => {
                    prop_assert_eq!(claimant.queue, victim.job.queue);
                    prop_assert!(claimant.priority > victim.job.priority);
                }
                PreemptionReason::Order => {
                    let by_shares = [QueuePolicy::Fifo, QueuePolicy::Backfill, QueuePolicy::Priority, QueuePolicy::FairShare];
                    prop_assert!(!by_shares.contains(&world.policy));
                }
            }
        }
    }

    #[test]
    fn whoever_others_stop_for_starts_and_each_of_those_had_to(world in world()) {
        let mut queue = queue(&world);
        // A node that is kept for somebody is not there for others.
        let settings = Settings { reservations: 0, ..queue.settings().clone() };
        queue.set_settings(settings);
        let plan = queue.tick(at(NOW));
        let all = claimants(&plan);
        if !all.is_empty() {
            let mut after = queue.clone();
            carry_out(&mut after, plan.clone(), at(NOW));
            prop_assert_eq!(start_claimants(&mut after, &plan), all, "those that stop are enough");
            prop_assert_eq!(taken_back(&mut after, &plan), None, "{:?}", plan.preemptions);
        }
        for preemption in &plan.preemptions {
            prop_assert!(!need_not_stop(&queue, &plan, preemption), "{:?}", preemption);
        }
    }

    #[test]
    fn carrying_plans_out_comes_to_an_end(world in world()) {
        let mut queue = queue(&world);
        let jobs = queue.pending_count() + queue.running_count();
        let mut quiet = 0;
        for _ in 0..(4 * jobs + 4) {
            let plan = queue.tick(at(NOW));
            quiet = if plan.grants.is_empty() && plan.preemptions.is_empty() { quiet + 1 } else { 0 };
            if quiet == 2 {
                return Ok(());
            }
            carry_out(&mut queue, plan, at(NOW));
        }
        prop_assert!(false, "no end after {} ticks", 4 * jobs + 4);
    }
}
