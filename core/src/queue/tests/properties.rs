//! What holds of every plan, whatever waits and runs.

use std::collections::BTreeSet;

use proptest::prelude::*;
use uuid::Uuid;

use super::super::{
    Ask, Job, Plan, PreemptionReason, Queue, QueueNode, QueuePolicy, QueueTree, Quota, Settings,
};
use super::kit::{at, carry_out, gpus, id, node, secs, submit, tick};
use crate::time::Timestamp;

/// A queue under random quotas in which some run and some wait.
#[derive(Debug, Clone)]
struct World {
    policy: QueuePolicy,
    nodes: u64,
    quotas: Vec<Quota>,
    /// Who runs already, then who waits.
    jobs: Vec<(Sample, bool)>,
    quantum: u64,
}

#[derive(Debug, Clone)]
struct Sample {
    queue: usize,
    account: u128,
    priority: i32,
    members: u32,
    gpus: u32,
    spread: bool,
    preemptible: bool,
    estimate: Option<u64>,
    min_runtime: u64,
    submitted: u64,
}

/// When everything is decided.
const NOW: u64 = 1_000;

fn quota() -> impl Strategy<Value = Quota> {
    let limit = |most: i64| prop_oneof![3 => Just(None), 1 => (0..most).prop_map(|gpus| Some(gpus * 1000))];
    (prop::option::weighted(0.9, 0_i64..16), limit(8), limit(8)).prop_map(|(nominal, borrowing, lending)| {
        Quota { nominal: nominal.map(|gpus| gpus * 1000), borrowing, lending }
    })
}

fn sample() -> impl Strategy<Value = Sample> {
    let what = (0_usize..5, 0_u128..3, -1_i32..3, 1_u32..4, 0_u32..6, any::<bool>());
    let when =
        (prop::bool::weighted(0.9), prop::option::weighted(0.7, 1_u64..2_000), 0_u64..1_200, 0_u64..NOW);
    (what, when).prop_map(
        |(
            (queue, account, priority, members, gpus, spread),
            (preemptible, estimate, min_runtime, submitted),
        )| {
            let min_runtime = min_runtime.saturating_sub(600);
            Sample {
                queue,
                account,
                priority,
                members,
                gpus,
                spread,
                preemptible,
                estimate,
                min_runtime,
                submitted,
            }
        },
    )
}

fn world() -> impl Strategy<Value = World> {
    let jobs = prop::collection::vec((sample(), any::<bool>()), 0..24);
    let policy = prop::sample::select(QueuePolicy::ALL.to_vec());
    (policy, 1_u64..5, prop::collection::vec(quota(), 5), jobs, 0_u64..400)
        .prop_map(|(policy, nodes, quotas, jobs, quantum)| World { policy, nodes, quotas, jobs, quantum })
}

/// The root, two queues under it, and two under the first of these.
fn tree(quotas: &[Quota]) -> QueueTree {
    let mut tree = QueueTree::new();
    for (at, quota) in quotas.iter().enumerate() {
        let node = match at {
            0 => QueueNode::new(name(0)),
            1 | 2 => QueueNode::under(name(at), name(0)),
            _ => QueueNode::under(name(at), name(1)),
        };
        let quota = if at == 0 && quota.nominal == Some(0) { Quota::default() } else { *quota };
        tree.set(node.gpus(quota)).unwrap();
    }
    tree
}

fn name(queue: usize) -> Uuid {
    id(9_000 + u128::try_from(queue).unwrap())
}

fn queue(world: &World) -> Queue {
    let mut settings = Settings::new(QueuePolicy::Backfill);
    settings.quantum = secs(world.quantum);
    let mut queue = Queue::new(settings.clone(), tree(&world.quotas));
    for number in 0..world.nodes {
        queue.upsert_node(&node(number, 8)).unwrap();
    }
    let job = |(number, sample): (u128, &Sample)| Job {
        priority: sample.priority,
        preemptible: sample.preemptible,
        estimate: sample.estimate.map(secs),
        min_runtime: secs(sample.min_runtime),
        ..Job::new(
            id(number),
            name(sample.queue),
            id(100 + sample.account),
            at(sample.submitted),
            Ask::gang(gpus(sample.gpus), sample.members, sample.spread).unwrap(),
        )
    };
    let (runs, waits): (Vec<_>, Vec<_>) = (1_u128..).zip(&world.jobs).partition(|(_, (_, runs))| *runs);
    for (number, (sample, _)) in runs {
        submit(&mut queue, [job((number, sample))]);
        tick(&mut queue, at(sample.submitted));
    }
    for (number, (sample, _)) in waits {
        submit(&mut queue, [job((number, sample))]);
    }
    settings.policy = world.policy;
    queue.set_settings(settings);
    queue
}

/// Ends those, as a plan wants.
fn without(queue: &Queue, victims: impl IntoIterator<Item = Uuid>) -> Queue {
    let mut queue = queue.clone();
    victims.into_iter().for_each(|victim| drop(queue.end(victim)));
    queue
}

/// Whether a run could start in a queue from which those are gone, beside what a plan starts.
fn could_start(queue: &Queue, plan: &Plan, gone: &[Uuid], claimant: Uuid) -> bool {
    let mut after = without(queue, gone.iter().copied());
    let now = at(NOW);
    for grant in &plan.grants {
        if after.start(grant.job, grant.placements.clone(), now).is_err() {
            return false;
        }
    }
    // Only quotas and room decide.
    let mut settings = Settings::new(QueuePolicy::Backfill);
    (settings.reclaim, settings.preempt_by_priority, settings.reservations) = (false, false, 0);
    after.set_settings(settings);
    let others: Vec<Uuid> = after.iter_pending().map(|job| job.id).filter(|job| *job != claimant).collect();
    for other in others {
        after.withdraw(other);
    }
    after.tick(now).grants.len() == 1
}

/// Somebody who takes back from a claimant what a plan took for it, if nothing else has happened.
fn taken_back(queue: &Queue, plan: &Plan) -> Option<(Uuid, Uuid)> {
    // The first alone, and where nobody starts: those behind it are decided on what it leaves.
    let first = plan.preemptions.first().filter(|_| plan.grants.is_empty()).map(|at| at.claimant);
    first.and_then(|claimant| {
        let mut after = queue.clone();
        let own: Vec<_> = plan.preemptions.iter().filter(|at| at.claimant == claimant).cloned().collect();
        let victims: BTreeSet<Uuid> = own.iter().map(|at| at.victim).collect();
        carry_out(&mut after, Plan { preemptions: own, ..Plan::default() }, at(NOW));
        let mut next = after.tick(at(NOW));
        next.grants.retain(|grant| grant.job == claimant);
        next.preemptions.clear();
        carry_out(&mut after, next, at(NOW));
        let Plan { preemptions, grants, .. } = after.tick(at(NOW));
        // Not after somebody else has changed what is so.
        let alone = grants.is_empty();
        let mut own = preemptions.iter().take_while(|at| alone && victims.contains(&at.claimant));
        let back = own.find(|at| at.victim == claimant);
        back.map(|at| (at.claimant, at.victim))
    })
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
    fn nobody_stops_in_vain(world in world()) {
        let mut queue = queue(&world);
        // A node that is kept for somebody is not there for others.
        let mut settings = queue.settings().clone();
        settings.reservations = 0;
        queue.set_settings(settings);
        let plan = queue.tick(at(NOW));
        // The first claimant alone: those behind it are decided on what it leaves.
        if let Some(first) = plan.preemptions.first().map(|preemption| preemption.claimant) {
            let own: Vec<Uuid> = plan
                .preemptions
                .iter()
                .filter(|preemption| preemption.claimant == first)
                .map(|preemption| preemption.victim)
                .collect();
            prop_assert!(could_start(&queue, &plan, &own, first), "those that stop are enough");
            for spared in &own {
                let fewer: Vec<Uuid> = own.iter().copied().filter(|victim| victim != spared).collect();
                prop_assert!(!could_start(&queue, &plan, &fewer, first), "{} need not stop", spared);
            }
        }
    }

    #[test]
    fn carrying_plans_out_comes_to_an_end(world in world()) {
        let mut queue = queue(&world);
        let now: Timestamp = at(NOW);
        let jobs = queue.pending_count() + queue.running_count();
        let mut quiet = 0;
        for _ in 0..(4 * jobs + 4) {
            let plan = queue.tick(now);
            if !plan.preemptions.is_empty() {
                prop_assert_eq!(taken_back(&queue, &plan), None);
            }
            quiet = if plan.grants.is_empty() && plan.preemptions.is_empty() { quiet + 1 } else { 0 };
            if quiet == 2 {
                return Ok(());
            }
            carry_out(&mut queue, plan, now);
        }
        prop_assert!(false, "no end after {} ticks", 4 * jobs + 4);
    }
}
