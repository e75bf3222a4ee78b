//! What a tick of the queue costs over many runs that wait: [`Waiting`], and a plain scan beside it.

use std::collections::HashMap;
use std::time::Duration;

use apportion::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use apportion::queue::{
    Ask, Job, Queue, QueueNode, QueuePolicy, QueueTree, Quota, Resources, Settings, Share,
};
use apportion::sched::{Cluster, Demand, GpuDemand, GpuState, NodeState, Policy, Scheduler};
use apportion::time::Timestamp;
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use uuid::Uuid;

use crate::stores::Failed;

/// The seed of what waits.
const SEED: u64 = 7;
/// GPUs of a node.
const GPUS: usize = 8;
/// The root of the queues.
const ROOT: Uuid = Uuid::from_u128(1);

/// How much waits, and on what.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Nodes of eight GPUs.
    pub nodes: u32,
    /// Runs that wait.
    pub pending: u32,
    /// Accounts that they are of.
    pub accounts: u32,
    /// Queues under the root, each with an equal part of the GPUs; none for the root alone, without limits.
    pub queues: u32,
}

/// A full cluster and many that wait.
#[derive(Debug)]
pub struct Waiting {
    queue: Queue,
    now: Timestamp,
}

impl Waiting {
    /// A cluster that was empty when they came, and has since been filled by ticks.
    pub fn new(settings: Settings, extent: Extent) -> Result<Self, Failed> {
        let mut queue = Queue::new(settings, tree(extent)?);
        for number in 0..extent.nodes {
            queue.upsert_node(&node(number))?;
        }
        let running = extent.nodes * 4;
        for job in jobs(extent, running + extent.pending)? {
            queue.submit(job)?;
        }
        let mut waiting = Self { queue, now: moment(20_000_000) };
        waiting.carry_out()?;
        Ok(waiting)
    }

    /// How many wait and how many run.
    pub fn counts(&self) -> (usize, usize) {
        (self.queue.pending_count(), self.queue.running_count())
    }

    /// Lets every so-many-th run end.
    pub fn end_one_of(&mut self, many: usize) {
        let ending: Vec<Uuid> = self.queue.iter_running().step_by(many).map(|run| run.job.id).collect();
        for run in ending {
            drop(self.queue.end(run));
        }
        self.now = self.now.plus(Duration::from_mins(1));
    }

    /// One tick, of which nothing is carried out: how many it starts and stops.
    pub fn tick(&mut self) -> (usize, usize) {
        let plan = self.queue.tick(self.now);
        (plan.grants.len(), plan.preemptions.len())
    }

    /// What a tick starts, in order.
    pub fn granted(&mut self) -> Vec<Uuid> {
        self.queue.tick(self.now).grants.iter().map(|grant| grant.job).collect()
    }

    /// Makes urgent what waits from now on, so that a tick preempts.
    pub fn submit_urgent(&mut self, count: u32) -> Result<(), Failed> {
        for at in 0..count {
            let ask = Ask::one(demand(1 + at % 8)?);
            let id = Uuid::from_u128(u128::from(at) + 9_000_000_000);
            let queue = self.queue.tree().iter().last().map_or(ROOT, |node| node.id);
            self.queue.submit(Job { priority: 9, ..Job::new(id, queue, ROOT, self.now, ask) })?;
        }
        Ok(())
    }

    fn carry_out(&mut self) -> Result<(), Failed> {
        for grant in self.queue.tick(self.now).grants {
            self.queue.start(grant.job, grant.placements, self.now)?;
        }
        Ok(())
    }

    /// The same decisions by a plain scan: for each, over all that wait and whose shape did fit so far, whoever would
    /// have the least share. One queue, no reservations, no preemption.
    pub fn scan(&self) -> Vec<Uuid> {
        let mut held: HashMap<Uuid, Resources> = HashMap::new();
        for run in self.queue.iter_running() {
            let held = held.entry(run.job.account).or_default();
            *held = held.plus(run.job.ask.total());
        }
        let mut waiting: Vec<&Job> = self.queue.iter_pending().collect();
        let total = self.queue.capacity();
        let mut cluster = self.queue.cluster().clone();
        let mut scheduler = Scheduler::new(self.queue.settings().placement, 0);
        let mut granted = Vec::new();
        loop {
            let mut first: HashMap<Uuid, &Job> = HashMap::new();
            for job in &waiting {
                let best = first.entry(job.account).or_insert(job);
                if (job.submitted, job.id) < (best.submitted, best.id) {
                    *best = job;
                }
            }
            let least = first.values().min_by_key(|job| {
                let held = held.get(&job.account).copied().unwrap_or_default();
                (Share::dominant(held.plus(job.ask.total()), total, 1000), job.submitted, job.id)
            });
            let Some(job) = least.copied() else { break };
            if place(&mut cluster, &mut scheduler, &job.ask) {
                let held = held.entry(job.account).or_default();
                *held = held.plus(job.ask.total());
                granted.push(job.id);
                waiting.retain(|other| other.id != job.id);
            } else {
                waiting.retain(|other| other.ask != job.ask);
            }
        }
        granted
    }
}

/// Places one member after the other, and takes them back if one does not fit.
fn place(cluster: &mut Cluster, scheduler: &mut Scheduler, ask: &Ask) -> bool {
    let mut placed = Vec::new();
    for _ in 0..ask.members() {
        match scheduler.find(cluster, ask.demand(), &[]) {
            Some(placement) if cluster.place(&placement).is_ok() => placed.push(placement),
            _ => {
                for placement in placed {
                    let released = cluster.release(&placement);
                    debug_assert!(released.is_ok(), "what was placed is released");
                }
                return false;
            }
        }
    }
    true
}

/// Settings of which a plain scan knows everything.
pub fn plain() -> Settings {
    let mut settings = Settings::new(QueuePolicy::FairShare);
    (settings.reservations, settings.reclaim, settings.preempt_by_priority) = (0, false, false);
    settings.placement = Policy::BestFit;
    settings
}

fn moment(seconds: u64) -> Timestamp {
    Timestamp::EPOCH.plus(Duration::from_secs(seconds))
}

fn node(number: u32) -> NodeState {
    let mut node = NodeState::empty(Uuid::from_u128(u128::from(number) + 1_000), number.into());
    (node.cpu_free, node.memory_free) = (128_000, 1 << 20);
    node.gpus = vec![GpuState::IDLE; GPUS];
    node
}

fn tree(extent: Extent) -> Result<QueueTree, Failed> {
    let mut tree = QueueTree::single(ROOT);
    let each = i64::from(extent.nodes) * 8_000 / i64::from(extent.queues.max(1));
    for at in 0..extent.queues {
        tree.set(QueueNode::new(ROOT).gpus(Quota::nominal(0)))?;
        tree.set(QueueNode::under(queue_of(at), ROOT).gpus(Quota::nominal(each)))?;
    }
    Ok(tree)
}

fn queue_of(at: u32) -> Uuid {
    Uuid::from_u128(u128::from(at) + 100)
}

fn demand(gpus: u32) -> Result<Demand, Failed> {
    let gpu = match gpus {
        0 => GpuDemand::Share(GpuMilli::from_u32(500)),
        gpus => GpuDemand::Whole(gpus),
    };
    let part = gpus.max(1);
    let (cpu, memory) = (CpuMilli::from_u32(4_000 * part), MemoryMib::from_u32(16_384 * part));
    Ok(Demand::new(cpu, memory, StorageMib::ZERO, gpu, vec![])?)
}

/// Runs of twelve shapes, mostly small, submitted one after the other; of three in four it is known how long they run.
fn jobs(extent: Extent, count: u32) -> Result<Vec<Job>, Failed> {
    let mut rng = Pcg64::seed_from_u64(SEED);
    let shapes: [(u32, u32, u32); 12] = [
        (1, 0, 20),
        (1, 1, 30),
        (1, 2, 12),
        (1, 4, 8),
        (1, 8, 10),
        (2, 8, 5),
        (4, 8, 3),
        (8, 8, 2),
        (16, 8, 1),
        (4, 1, 4),
        (8, 1, 3),
        (4, 4, 2),
    ];
    let mut jobs = Vec::new();
    for number in 0..count {
        let mut pick = rng.random_range(0..100);
        let at = shapes.iter().position(|(_, _, weight)| {
            let found = pick < *weight;
            pick = pick.saturating_sub(*weight);
            found
        });
        let (members, gpus, _) = at.and_then(|at| shapes.get(at)).copied().unwrap_or((1, 1, 0));
        let queue = if extent.queues == 0 { ROOT } else { queue_of(rng.random_range(0..extent.queues)) };
        let account = Uuid::from_u128(u128::from(rng.random_range(0..extent.accounts)) + 1_000_000);
        let id = Uuid::from_u128(u128::from(number) + 10_000_000);
        let ask = Ask::gang(demand(gpus)?, members, false)?;
        let seconds = 2_u64.pow(rng.random_range(6..18)) + rng.random_range(0..60);
        let mut job = Job::new(id, queue, account, moment(number.into()), ask);
        job.estimate = (number % 4 != 0).then_some(Duration::from_secs(seconds));
        jobs.push(job);
    }
    Ok(jobs)
}
