//! Reservations: when and where a run that does not fit now is expected to start.

use std::borrow::Cow;
use std::time::Duration;

use uuid::Uuid;

use super::job::{Ask, Running};
use super::pending::Entry;
use super::plan::Reservation;
use super::round::{Hold, MOST_RESERVATIONS, Round};
use super::running::RunningSet;
use super::trial::Trial;
use crate::sched::Placement;
use crate::time::Timestamp;

/// When those that run are expected to end, in that order; those of which it is not known last, the oldest of them
/// first.
#[derive(Debug)]
pub(super) struct Ends<'a> {
    ends: Vec<End<'a>>,
    /// How many of them are in their places: those that were added since come last.
    sorted: usize,
}

#[derive(Debug, Clone)]
struct End<'a> {
    key: EndKey,
    placements: Cow<'a, [Placement]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct EndKey {
    unknown: bool,
    at: Timestamp,
    id: Uuid,
}

/// Where a run is expected to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    /// When, if that is known.
    pub(super) at: Option<Timestamp>,
    pub(super) placements: Vec<Placement>,
}

impl<'a> Ends<'a> {
    pub(super) fn new(running: &'a RunningSet, now: Timestamp) -> Self {
        let end = |run: &'a Running| End { key: key(run, now), placements: Cow::Borrowed(&run.placements) };
        let mut ends: Vec<End<'a>> = running.iter().map(|held| end(&held.run)).collect();
        ends.sort_unstable_by_key(|end| end.key);
        Self { sorted: ends.len(), ends }
    }

    /// Adds what starts now. It gets its place when somebody looks: many start in a tick, and few look.
    pub(super) fn add(&mut self, entry: &Entry, placements: &[Placement], now: Timestamp) {
        let key = end_key(now, entry.job.remaining(), now, entry.job.id);
        self.ends.push(End { key, placements: Cow::Owned(placements.to_vec()) });
    }

    /// The first moment at which a gang fits if everybody ends as expected, and where it goes then.
    ///
    /// What is freed for this is taken back.
    pub(super) fn first_slot(&mut self, trial: &mut Trial<'_>, ask: &Ask, now: Timestamp) -> Option<Slot> {
        if self.sorted < self.ends.len() {
            // This finds what is in its place already, and merges the rest.
            self.ends.sort_by_key(|end| end.key);
            self.sorted = self.ends.len();
        }
        let start = trial.mark();
        let slot = self.least(trial, ask).and_then(|count| {
            let last = count.checked_sub(1).and_then(|last| self.ends.get(last));
            let at = last.map_or(Some(now), |end| (!end.key.unknown).then_some(end.key.at));
            Some(Slot { at, placements: trial.place_gang(ask).ok()? })
        });
        trial.back_to(start);
        slot
    }

    /// The fewest ends, from the first on, after which a gang fits; these are freed then.
    ///
    /// More freed never fits less, so this looks at ever more of them, and then between the last two.
    fn least(&self, trial: &mut Trial<'_>, ask: &Ask) -> Option<usize> {
        let (mut low, mut high, mut step) = (0, 0, 1);
        while !trial.has_room(ask) {
            if high == self.ends.len() {
                return None;
            }
            low = high;
            high = (high + step).min(self.ends.len());
            step *= 2;
            self.between(low, high).for_each(|end| trial.free(&end.placements));
        }
        // It fits after `high`, and not after `low`, or both are none.
        while low + 1 < high {
            let middle = low.midpoint(high);
            self.between(middle, high).for_each(|end| trial.hold(&end.placements));
            if trial.has_room(ask) {
                high = middle;
            } else {
                self.between(middle, high).for_each(|end| trial.free(&end.placements));
                low = middle;
            }
        }
        Some(high)
    }

    fn between(&self, from: usize, to: usize) -> impl Iterator<Item = &End<'a>> {
        self.ends.get(from..to).into_iter().flatten()
    }
}

/// Who stops already is as good as gone.
fn key(run: &Running, now: Timestamp) -> EndKey {
    if run.stopping {
        return EndKey { unknown: false, at: now, id: run.job.id };
    }
    end_key(run.started, run.job.remaining(), now, run.job.id)
}

fn end_key(started: Timestamp, left: Option<Duration>, now: Timestamp, id: Uuid) -> EndKey {
    match left {
        Some(left) => EndKey { unknown: false, at: started.plus(left).max(now), id },
        None => EndKey { unknown: true, at: started, id },
    }
}

impl Round<'_> {
    /// Keeps nodes for a run that does not fit, if it is among the first of these. Answers whether they are kept.
    pub(super) fn reserve(&mut self, entry: &Entry) -> bool {
        if !self.rules.reserves || self.reserved() >= self.settings.reservations.min(MOST_RESERVATIONS) {
            return false;
        }
        if self.never.contains(&entry.kind.shape) {
            return false;
        }
        let Some(slot) = self.slot(entry) else {
            self.never.insert(entry.kind.shape);
            return false;
        };
        let since = entry.job.not_before.map_or(entry.job.submitted, |at| at.max(entry.job.submitted));
        if slot.at.is_none() && self.now.since(since) < self.settings.patience {
            return false;
        }
        let nodes = self.close(&slot.placements);
        self.holds.push(Hold { until: slot.at.unwrap_or(Timestamp::MIN), nodes: nodes.clone() });
        self.settled.insert(entry.job.id);
        self.plan.reservations.push(Reservation { job: entry.job.id, at: slot.at, nodes });
        true
    }

    /// When and where a run would start if everybody ended as expected. Nodes that are kept for others already are
    /// left to them for good, so this may be later than what comes.
    pub(super) fn slot(&mut self, entry: &Entry) -> Option<Slot> {
        let ends = self.ends.get_or_insert_with(|| {
            let mut ends = Ends::new(self.running, self.now);
            for grant in &self.plan.grants {
                if let Some(entry) = self.pending.get(grant.job) {
                    ends.add(entry, &grant.placements, self.now);
                }
            }
            ends
        });
        ends.first_slot(&mut self.trial, &entry.job.ask, self.now)
    }

    fn reserved(&self) -> usize {
        self.holds.len()
    }
}
