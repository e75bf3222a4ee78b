//! A replay on its way: [`Course`].

use std::collections::VecDeque;
use std::time::Duration;

use apportion::amount::{CpuMilli, MemoryMib, StorageMib};
use apportion::queue::{Ask, Job, Queue, QueuePolicy, QueueTree, Resources, Running, Settings};
use apportion::sched::{Demand, GpuDemand, GpuState, NodeState, Placement};
use apportion::time::Timestamp;
use uuid::Uuid;

use super::{Attempt, Discipline, Gangs, QueueReplayError, Setup};
use crate::generate::Draw;
use crate::jobs::JobRow;

/// The most decisions at one moment. Each but the last starts or stops somebody, and nobody takes back what they gave
/// up; so it is never reached, but would a policy not come to rest, the course goes on all the same.
const MOST_ROUNDS: usize = 1_000;
/// The priorities of the jobs under [`QueuePolicy::Priority`], in turn: traces name none.
const PRIORITIES: usize = 3;
/// The only queue.
const ALL: Uuid = Uuid::from_u128(1 << 64);
/// The ids of the accounts begin behind this one.
const ACCOUNTS: u128 = 2 << 64;

/// A replay on its way.
pub(super) struct Course<'a> {
    pub(super) jobs: &'a [JobRow],
    pub(super) setup: &'a Setup,
    discipline: Discipline,
    pub(super) queue: Queue,
    now_s: u64,
    /// Those that have not come yet.
    coming: VecDeque<(u64, usize, Job)>,
    pub(super) attempts: Vec<Attempt>,
}

impl<'a> Course<'a> {
    pub(super) fn new(
        jobs: &'a [JobRow],
        setup: &'a Setup,
        discipline: Discipline,
    ) -> Result<Self, QueueReplayError> {
        let queue = idle(setup, discipline.settings(setup))?;
        let mut draw = Draw::new(setup.seed);
        let mut coming = Vec::with_capacity(jobs.len());
        for (at, row) in jobs.iter().enumerate() {
            coming.push((row.arrival_s, at, job(at, row, setup, discipline, &mut draw)?));
        }
        coming.sort_by_key(|(arrival_s, at, _)| (*arrival_s, *at));
        Ok(Self { jobs, setup, discipline, queue, now_s: 0, coming: coming.into(), attempts: Vec::new() })
    }

    /// Goes on to the next moment at which something is to be decided. Answers whether there is one.
    pub(super) fn go_on(&mut self) -> Result<bool, QueueReplayError> {
        let Some(now_s) = self.next_s()? else { return Ok(false) };
        self.now_s = now_s;
        self.end_those_done();
        self.let_in()?;
        match self.discipline {
            Discipline::Counted => self.choose_and_place(moment(now_s))?,
            Discipline::Policy(_) | Discipline::Skipping => self.decide()?,
        }
        Ok(true)
    }

    /// The next moment at which something is to be decided; none when all is done.
    fn next_s(&self) -> Result<Option<u64>, QueueReplayError> {
        let arrival = self.coming.front().map(|(arrival_s, ..)| *arrival_s);
        let end = self.queue.iter_running().filter_map(|run| self.end_s(run)).min();
        let waiting = self.queue.pending_count();
        if arrival.is_none() && end.is_none() {
            return if waiting == 0 { Ok(None) } else { Err(QueueReplayError::Stuck { waiting }) };
        }
        let busy = waiting > 0 || end.is_some();
        let tick = (self.now_s + 1).checked_next_multiple_of(self.setup.tick_s).filter(|_| busy);
        Ok([arrival, end, tick].into_iter().flatten().min())
    }

    /// When a run is done, if nobody stops it.
    fn end_s(&self, run: &Running) -> Option<u64> {
        let left = self.jobs.get(place(run.job.id))?.duration_s.saturating_sub(run.job.done.as_secs());
        Some(seconds(run.started) + left)
    }

    fn end_those_done(&mut self) {
        let over = |run: &&Running| self.end_s(run).is_some_and(|end_s| end_s <= self.now_s);
        let done: Vec<Uuid> = self.queue.iter_running().filter(over).map(|run| run.job.id).collect();
        for id in done {
            if let Some(run) = self.queue.end(id) {
                self.note(&run, true);
            }
        }
    }

    fn let_in(&mut self) -> Result<(), QueueReplayError> {
        while self.coming.front().is_some_and(|(arrival_s, ..)| *arrival_s <= self.now_s)
            && let Some((_, _, job)) = self.coming.pop_front()
        {
            self.queue.submit(job)?;
        }
        Ok(())
    }

    /// Carries out what the queue decides until it has nothing more to say: those for whom others stop start at the
    /// same moment, by a later decision.
    fn decide(&mut self) -> Result<(), QueueReplayError> {
        let now = moment(self.now_s);
        for _ in 0..MOST_ROUNDS {
            let plan = self.queue.tick(now);
            if plan.grants.is_empty() && plan.preemptions.is_empty() {
                break;
            }
            for preemption in &plan.preemptions {
                self.queue.stopping(preemption.victim, Some(preemption.claimant));
            }
            for grant in plan.grants {
                self.queue.start(grant.job, grant.placements, now)?;
            }
            for preemption in plan.preemptions {
                self.stop(preemption.victim, now)?;
            }
        }
        Ok(())
    }

    /// Stops a run, which waits again with what it has done.
    pub(super) fn stop(&mut self, run: Uuid, now: Timestamp) -> Result<(), QueueReplayError> {
        let Some(run) = self.queue.end(run) else { return Ok(()) };
        self.note(&run, false);
        let done = run.job.done + now.since(run.started);
        Ok(self.queue.submit(Job { done, attempt: run.job.attempt + 1, ..run.job })?)
    }

    /// Writes down an attempt that is over, and charges it to its account.
    fn note(&mut self, run: &Running, done: bool) {
        let from_s = seconds(run.started);
        let node = |placement: &Placement| {
            let node = u64::try_from(placement.node.as_u128()).unwrap_or(u64::MAX);
            placement.gpus.iter().map(move |_| node).collect::<Vec<_>>()
        };
        let mut nodes: Vec<u64> = run.placements.iter().flat_map(node).collect();
        nodes.sort_unstable();
        self.charge(run.job.account, run.job.ask.total(), from_s);
        self.attempts.push(Attempt { job: place(run.job.id), nodes, from_s, until_s: self.now_s, done });
    }

    /// Adds what was used since a moment to what an account has used, in the periods in which use is kept.
    fn charge(&mut self, account: Uuid, held: Resources, from_s: u64) {
        let decay = self.queue.settings().decay;
        let mut from_s = from_s;
        while from_s < self.now_s {
            let until_s = (from_s + 1).next_multiple_of(decay.period.as_secs().max(1)).min(self.now_s);
            let long = u32::try_from(until_s - from_s).unwrap_or(u32::MAX);
            self.queue.add_use(account, decay.period_of(moment(from_s)), held.times(long));
            from_s = until_s;
        }
    }
}

/// A queue of nodes on which nothing runs.
pub(super) fn idle(setup: &Setup, settings: Settings) -> Result<Queue, QueueReplayError> {
    let mut queue = Queue::new(settings, QueueTree::single(ALL));
    for (rank, gpus) in (0_u64..).zip(nodes(setup)) {
        let gpus = (0..gpus).map(|_| GpuState::IDLE).collect();
        queue.upsert_node(&NodeState { gpus, ..NodeState::empty(Uuid::from_u128(rank.into()), rank) })?;
    }
    Ok(queue)
}

/// The GPUs of each node.
pub(super) fn nodes(setup: &Setup) -> impl Iterator<Item = u32> + use<> {
    let (whole, per_node) = (setup.gpus / setup.per_node.max(1), setup.per_node);
    let rest = setup.gpus - whole * per_node;
    (0..whole).map(move |_| per_node).chain((rest > 0).then_some(rest))
}

fn job(
    at: usize,
    row: &JobRow,
    setup: &Setup,
    discipline: Discipline,
    draw: &mut Draw,
) -> Result<Job, QueueReplayError> {
    let most = match setup.gangs {
        Gangs::Any => setup.gpus,
        Gangs::OneNode => nodes(setup).max().unwrap_or(0),
    };
    if row.gpus > most {
        return Err(QueueReplayError::TooLarge { job: row.name.clone(), gpus: row.gpus, most });
    }
    let ask = ask(row.gpus, setup.gangs)?;
    let number = u64::try_from(at).unwrap_or(u64::MAX);
    let account = ACCOUNTS + u128::from(number.checked_rem(setup.accounts.into()).unwrap_or_default());
    let mut job =
        Job::new(Uuid::from_u128(number.into()), ALL, Uuid::from_u128(account), moment(row.arrival_s), ask);
    job.estimate = Some(Duration::from_secs(estimate_s(row.duration_s, setup.estimate_error_pct, draw)));
    if discipline == Discipline::Policy(QueuePolicy::Priority) {
        job.priority = i32::try_from(at % PRIORITIES).unwrap_or(0);
    }
    Ok(job)
}

/// So many GPUs.
pub(super) fn ask(gpus: u32, gangs: Gangs) -> Result<Ask, QueueReplayError> {
    let whole =
        |gpus| Demand::new(CpuMilli::ZERO, MemoryMib::ZERO, StorageMib::ZERO, GpuDemand::Whole(gpus), vec![]);
    Ok(match gangs {
        Gangs::Any => Ask::gang(whole(1)?, gpus, false)?,
        Gangs::OneNode => Ask::one(whole(gpus)?),
    })
}

/// A duration that is wrong by at most so many per cent, each error as likely as any other.
fn estimate_s(duration_s: u64, error_pct: u32, draw: &mut Draw) -> u64 {
    let most = u64::from(error_pct.min(100)) * 10;
    let per_mille = 1_000 - most + draw.below(2 * most + 1);
    (duration_s.saturating_mul(per_mille) / 1_000).max(1)
}

/// The place of a job in the trace.
pub(super) fn place(id: Uuid) -> usize {
    usize::try_from(id.as_u128()).unwrap_or(usize::MAX)
}

fn moment(s: u64) -> Timestamp {
    Timestamp::EPOCH.plus(Duration::from_secs(s))
}

fn seconds(at: Timestamp) -> u64 {
    at.since(Timestamp::EPOCH).as_secs()
}
