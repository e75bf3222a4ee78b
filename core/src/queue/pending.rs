//! What waits, so that a tick looks at few of many: [`Pending`].

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::hash::Hash;
use std::ops::Bound;
use std::time::Duration;

use rustc_hash::FxHashMap;
use uuid::Uuid;

use super::job::{Ask, Job};
use super::policy::{LineKind, QueuePolicy};
use super::resources::Resources;
use super::settings::Settings;
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

/// The number of a kind.
pub(super) type KindId = u32;

/// What makes runs alike to a tick: where one of a kind finds no place, and nobody stops for it, hardly another one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    pub(super) queue: Uuid,
    pub(super) shape: ShapeId,
    /// A higher priority may preempt where a lower one may not.
    pub(super) priority: i32,
    /// How long they are expected to run: the binary logarithm of the seconds, [`UNKNOWN`] where that is not known or
    /// does not matter.
    pub(super) length: u8,
}

/// Runs of a kind and, where the order depends on it, of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct LaneKey {
    pub(super) queue: Uuid,
    pub(super) account: Uuid,
    pub(super) kind: KindId,
}

/// The length of runs of which nothing is known.
pub(super) const UNKNOWN: u8 = u8::MAX;

/// A run that waits.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) job: Job,
    pub(super) key: JobKey,
    pub(super) lane: LaneKey,
    pub(super) kind: Kind,
    /// What all members ask for together.
    pub(super) total: Resources,
}

/// All runs that wait, in lanes.
#[derive(Debug, Clone, Default)]
pub(super) struct Pending {
    policy: QueuePolicy,
    /// Whether it matters how long a run is expected to run.
    lengths: bool,
    jobs: FxHashMap<Uuid, Entry>,
    lanes: BTreeMap<LaneKey, Lane>,
    /// How many lanes there are of each kind.
    lanes_of: Vec<usize>,
    /// Those that are not to be started yet, by when they are.
    later: BTreeSet<(Timestamp, Uuid)>,
    shapes: Numbers<Ask>,
    kinds: Numbers<Kind>,
    /// The kinds by their numbers, with what each asks for.
    known: Vec<(Kind, Resources)>,
}

/// The runs of a lane in their order: most lanes have one run, which is to be seen without going anywhere else.
#[derive(Debug, Clone)]
pub(super) struct Lane {
    pub(super) first: JobKey,
    /// Those behind it.
    pub(super) rest: BTreeSet<JobKey>,
}

impl Lane {
    const fn new(first: JobKey) -> Self {
        Self { first, rest: BTreeSet::new() }
    }

    fn add(&mut self, mut key: JobKey) {
        if key < self.first {
            std::mem::swap(&mut key, &mut self.first);
        }
        self.rest.insert(key);
    }

    /// Takes one out; answers whether there is none left.
    fn remove(&mut self, key: JobKey) -> bool {
        if key != self.first {
            self.rest.remove(&key);
            return false;
        }
        match self.rest.pop_first() {
            Some(next) => self.first = next,
            None => return true,
        }
        false
    }

    /// The run behind this one.
    pub(super) fn behind(&self, key: JobKey) -> Option<JobKey> {
        self.rest.range((Bound::Excluded(key), Bound::Unbounded)).next().copied()
    }
}

/// Small numbers for what is equal, used again when nobody uses them.
#[derive(Debug, Clone)]
struct Numbers<T> {
    by_value: FxHashMap<T, (u32, usize)>,
    free: Vec<u32>,
}

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Self { by_value: FxHashMap::default(), free: Vec::new() }
    }
}

impl<T: Clone + Eq + Hash> Numbers<T> {
    fn take(&mut self, value: &T) -> u32 {
        if let Some((number, uses)) = self.by_value.get_mut(value) {
            *uses += 1;
            return *number;
        }
        let next = u32::try_from(self.by_value.len() + self.free.len()).unwrap_or(u32::MAX);
        let number = self.free.pop().unwrap_or(next);
        self.by_value.insert(value.clone(), (number, 1));
        number
    }

    fn give_back(&mut self, value: &T) {
        if let Some((number, uses)) = self.by_value.get_mut(value) {
            *uses -= 1;
            if *uses == 0 {
                self.free.push(*number);
                self.by_value.remove(value);
            }
        }
    }
}

impl Pending {
    pub(super) fn new(settings: &Settings) -> Self {
        let lengths = settings.policy.rules().reserves && settings.reservations > 0;
        Self { policy: settings.policy, lengths, ..Self::default() }
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

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.jobs.values_mut()
    }

    pub(super) fn lanes(&self) -> impl ExactSizeIterator<Item = (&LaneKey, &Lane)> {
        self.lanes.iter()
    }

    /// Adds a run that is not there yet.
    pub(super) fn add(&mut self, job: Job) {
        let (lane, kind) = self.lane(&job);
        let entry = Entry { key: key(self.policy, &job), lane, kind, total: job.ask.total(), job };
        match entry.job.not_before {
            Some(at) => drop(self.later.insert((at, entry.job.id))),
            None => self.enter(entry.lane, entry.key),
        }
        self.jobs.insert(entry.job.id, entry);
    }

    pub(super) fn remove(&mut self, id: Uuid) -> Option<Entry> {
        let entry = self.jobs.remove(&id)?;
        if let Some(lane) = self.lanes.get_mut(&entry.lane)
            && lane.remove(entry.key)
        {
            self.lanes.remove(&entry.lane);
            self.count_lane(entry.lane.kind, |lanes| lanes - 1);
        }
        if let Some(at) = entry.job.not_before {
            self.later.remove(&(at, id));
        }
        self.shapes.give_back(&entry.job.ask);
        self.kinds.give_back(&entry.kind);
        Some(entry)
    }

    /// Moves those to their lanes whose time has come.
    pub(super) fn wake(&mut self, now: Timestamp) {
        while let Some((at, id)) = self.later.first().copied()
            && at <= now
        {
            self.later.pop_first();
            if let Some((lane, key)) = self.jobs.get(&id).map(|entry| (entry.lane, entry.key)) {
                self.enter(lane, key);
            }
        }
    }

    /// Lets a run wait in its lane.
    fn enter(&mut self, lane: LaneKey, key: JobKey) {
        match self.lanes.entry(lane) {
            btree_map::Entry::Occupied(mut lane) => lane.get_mut().add(key),
            btree_map::Entry::Vacant(place) => {
                place.insert(Lane::new(key));
                self.count_lane(lane.kind, |lanes| lanes + 1);
            }
        }
    }

    fn count_lane(&mut self, kind: KindId, change: impl FnOnce(usize) -> usize) {
        if let Some(lanes) = usize::try_from(kind).ok().and_then(|kind| self.lanes_of.get_mut(kind)) {
            *lanes = change(*lanes);
        }
    }

    /// The same runs, in another order.
    pub(super) fn reorder(&mut self, settings: &Settings) {
        let jobs = std::mem::take(&mut self.jobs);
        *self = Self::new(settings);
        for entry in jobs.into_values() {
            self.add(entry.job);
        }
    }

    /// The kind of a number, and what it asks for.
    pub(super) fn kind(&self, number: KindId) -> Option<&(Kind, Resources)> {
        self.known.get(usize::try_from(number).ok()?)
    }

    /// The numbers of the kinds of which some wait and are due.
    pub(super) fn kinds_due(&self) -> impl Iterator<Item = KindId> {
        (0..).zip(&self.lanes_of).filter(|(_, lanes)| **lanes > 0).map(|(kind, _)| kind)
    }

    /// One more than the highest number of a kind.
    pub(super) const fn kinds(&self) -> usize {
        self.known.len()
    }

    fn lane(&mut self, job: &Job) -> (LaneKey, Kind) {
        let rules = self.policy.rules();
        let shape = self.shapes.take(&job.ask);
        let length = if self.lengths { length(job) } else { UNKNOWN };
        let kind = Kind { queue: job.queue, shape, priority: job.priority, length };
        let number = self.kinds.take(&kind);
        let known = (kind, job.ask.total());
        if let Some(place) = usize::try_from(number).ok().and_then(|number| self.known.get_mut(number)) {
            *place = known;
        } else {
            // Numbers are dense: this is the next.
            self.known.push(known);
            self.lanes_of.push(0);
        }
        let account = match rules.line {
            LineKind::Fixed | LineKind::Standing => Uuid::nil(),
            LineKind::Shares => job.account,
        };
        (LaneKey { queue: job.queue, account, kind: number }, kind)
    }
}

/// The place of a run in a fixed order.
pub(super) fn key(policy: QueuePolicy, job: &Job) -> JobKey {
    let rank = match policy {
        // Where everybody is looked at, this is only the order among those that wait for others to stop.
        QueuePolicy::Fifo
        | QueuePolicy::Backfill
        | QueuePolicy::MaxMin
        | QueuePolicy::FinishTimeFairness
        | QueuePolicy::Balanced => 0,
        QueuePolicy::Priority | QueuePolicy::FairShare => -i64::from(job.priority),
        QueuePolicy::ShortestRemaining => {
            job.remaining().map_or(i64::MAX, |left| i64::try_from(left.as_micros()).unwrap_or(i64::MAX))
        }
    };
    JobKey { rank, submitted: job.submitted, id: job.id }
}

impl Kind {
    /// The least that a run of this kind is expected to run; none where that is not known.
    pub(super) fn least(&self) -> Option<Duration> {
        // A second was added, so that it has a logarithm.
        (self.length != UNKNOWN).then(|| Duration::from_secs((1_u64 << self.length.min(63)) - 1))
    }
}

fn length(job: &Job) -> u8 {
    let seconds = job.remaining().map(|left| left.as_secs() + 1);
    seconds.and_then(|seconds| u8::try_from(seconds.ilog2()).ok()).unwrap_or(UNKNOWN)
}
