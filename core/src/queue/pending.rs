//! What waits, so that a tick looks at few of many: [`Pending`].

use std::collections::{BTreeMap, BTreeSet, btree_set};

use rustc_hash::FxHashMap;
use uuid::Uuid;

use super::job::{Ask, Job};
use super::policy::{LineKind, QueuePolicy};
use super::resources::Resources;
use crate::time::Timestamp;

/// The number of a shape.
pub(super) type ShapeId = u32;

/// The place of a run among those whose order does not change while they wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct JobKey {
    /// What the policy orders by.
    pub(super) rank: i64,
    pub(super) submitted: Timestamp,
    pub(super) id: Uuid,
}

/// Runs that are alike to a tick: where the first of them does not fit, hardly another one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct LaneKey {
    pub(super) queue: Uuid,
    /// The account, where the order depends on it.
    pub(super) account: Uuid,
    pub(super) shape: ShapeId,
    /// How long they are expected to run: the binary logarithm of the seconds, [`UNKNOWN`] where that is not known.
    pub(super) length: u8,
}

/// The length of runs of which nothing is known.
pub(super) const UNKNOWN: u8 = u8::MAX;

/// A run that waits.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) job: Job,
    pub(super) key: JobKey,
    pub(super) lane: LaneKey,
    /// What all members ask for together.
    pub(super) total: Resources,
}

/// All runs that wait, in lanes.
#[derive(Debug, Clone, Default)]
pub(super) struct Pending {
    policy: QueuePolicy,
    jobs: FxHashMap<Uuid, Entry>,
    lanes: BTreeMap<LaneKey, BTreeSet<JobKey>>,
    /// Those that are not to be started yet, by when they are.
    later: BTreeSet<(Timestamp, Uuid)>,
    shapes: FxHashMap<Ask, (ShapeId, usize)>,
    free_shapes: Vec<ShapeId>,
}

impl Pending {
    pub(super) fn new(policy: QueuePolicy) -> Self {
        Self { policy, ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    pub(super) fn get(&self, id: Uuid) -> Option<&Entry> {
        self.jobs.get(&id)
    }

    /// All that wait, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.jobs.values()
    }

    pub(super) fn lanes(&self) -> impl Iterator<Item = (&LaneKey, &BTreeSet<JobKey>)> {
        self.lanes.iter()
    }

    /// Adds a run that is not there yet.
    pub(super) fn add(&mut self, job: Job) {
        let entry = Entry { key: key(self.policy, &job), lane: self.lane(&job), total: job.ask.total(), job };
        match entry.job.not_before {
            Some(at) => drop(self.later.insert((at, entry.job.id))),
            None => drop(self.lanes.entry(entry.lane).or_default().insert(entry.key)),
        }
        self.jobs.insert(entry.job.id, entry);
    }

    pub(super) fn remove(&mut self, id: Uuid) -> Option<Entry> {
        let entry = self.jobs.remove(&id)?;
        if let Some(lane) = self.lanes.get_mut(&entry.lane)
            && lane.remove(&entry.key)
            && lane.is_empty()
        {
            self.lanes.remove(&entry.lane);
        }
        if let Some(at) = entry.job.not_before {
            self.later.remove(&(at, id));
        }
        if let Some((shape, uses)) = self.shapes.get_mut(&entry.job.ask) {
            *uses -= 1;
            if *uses == 0 {
                self.free_shapes.push(*shape);
                self.shapes.remove(&entry.job.ask);
            }
        }
        Some(entry)
    }

    /// Moves those to their lanes whose time has come.
    pub(super) fn wake(&mut self, now: Timestamp) {
        while let Some((at, id)) = self.later.first().copied()
            && at <= now
        {
            self.later.pop_first();
            if let Some(entry) = self.jobs.get(&id) {
                self.lanes.entry(entry.lane).or_default().insert(entry.key);
            }
        }
    }

    /// The same runs, ordered by another policy.
    pub(super) fn reorder(&mut self, policy: QueuePolicy) {
        let jobs = std::mem::take(&mut self.jobs);
        *self = Self::new(policy);
        jobs.into_values().for_each(|entry| self.add(entry.job));
    }

    fn lane(&mut self, job: &Job) -> LaneKey {
        let shape = if let Some((shape, uses)) = self.shapes.get_mut(&job.ask) {
            *uses += 1;
            *shape
        } else {
            let next = u32::try_from(self.shapes.len() + self.free_shapes.len()).unwrap_or(u32::MAX);
            let shape = self.free_shapes.pop().unwrap_or(next);
            self.shapes.insert(job.ask.clone(), (shape, 1));
            shape
        };
        let account = match self.policy.rules().line {
            LineKind::Fixed => Uuid::nil(),
            LineKind::Shares => job.account,
        };
        LaneKey { queue: job.queue, account, shape, length: length(job) }
    }
}

/// The place of a run in a fixed order.
pub(super) fn key(policy: QueuePolicy, job: &Job) -> JobKey {
    let rank = match policy {
        QueuePolicy::Fifo | QueuePolicy::Backfill => 0,
        QueuePolicy::Priority | QueuePolicy::FairShare => -i64::from(job.priority),
        QueuePolicy::ShortestRemaining => {
            job.remaining().map_or(i64::MAX, |left| i64::try_from(left.as_micros()).unwrap_or(i64::MAX))
        }
    };
    JobKey { rank, submitted: job.submitted, id: job.id }
}

fn length(job: &Job) -> u8 {
    let seconds = job.remaining().map(|left| left.as_secs() + 1);
    seconds.and_then(|seconds| u8::try_from(seconds.ilog2()).ok()).unwrap_or(UNKNOWN)
}

/// A lane that is gone along.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    pub(super) lane: LaneKey,
    rest: btree_set::Iter<'a, JobKey>,
    /// How many of it were passed over.
    pub(super) passed: u32,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(lane: LaneKey, jobs: &'a BTreeSet<JobKey>) -> Self {
        Self { lane, rest: jobs.iter(), passed: 0 }
    }

    pub(super) fn next(&mut self) -> Option<JobKey> {
        self.rest.next().copied()
    }
}
