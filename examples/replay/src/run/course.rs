//! The course of a replay, told by the store's change feed.
//!
//! The feed has every commit since the first one, and each says which event it comes from. So a replay that was cut
//! short and resumed has the same report as one that was not.

use std::collections::BTreeSet;

use apportion::sched::TaskMix;
use apportion::store::{Cursor, MAX_CHANGES, Record, Store, StoreError, Value};

use super::mirror::Mirror;
use super::progress::{EVENTS, PROGRESS};
use crate::events::{Change, Event};
use crate::report::{NodeHeat, Sample};

/// The most samples that are kept: of a longer replay every second event has one, or every third.
const MAX_SAMPLES: usize = 50_000;

/// What happened, from the first event to the last.
#[derive(Debug)]
pub(super) struct Course {
    /// The state after each event, or some of them.
    pub(super) series: Vec<Sample>,
    /// How full the nodes with GPUs were.
    pub(super) heat: Vec<NodeHeat>,
    /// The GPU allocation in per cent, as the mean over time.
    pub(super) allocation_pct_mean: f64,
    /// The state when most was given out.
    pub(super) peak: Sample,
    /// Fragments in per cent of what is free, as the mean over time.
    pub(super) fragmentation_pct_mean: f64,
    /// The state at the end.
    pub(super) end: Sample,
    /// GPU milli that are given out at the end.
    pub(super) end_used_milli: u64,
}

/// Follows the feed from its beginning to its end.
pub(super) async fn follow(store: &dyn Store, events: &[Event], mix: TaskMix) -> Result<Course, StoreError> {
    let mut follower = Follower::new(events, mix);
    let mut cursor = Cursor::START;
    loop {
        let changes = store.changes(cursor, MAX_CHANGES).await?;
        changes.records.iter().try_for_each(|record| follower.take(record))?;
        cursor = changes.next;
        if changes.lag == 0 {
            return Ok(follower.finish());
        }
    }
}

struct Follower<'a> {
    events: &'a [Event],
    mirror: Mirror,
    /// How many events were told of.
    at: usize,
    stride: usize,
    /// Pods that were refused and whose time is not over.
    unmet: BTreeSet<usize>,
    now: Sample,
    peak: Sample,
    peak_milli: u64,
    series: Vec<Sample>,
    /// Allocation and fragmentation in per cent, times the seconds for which they held.
    areas: (f64, f64),
    began_s: i64,
}

impl<'a> Follower<'a> {
    fn new(events: &'a [Event], mix: TaskMix) -> Self {
        Self {
            events,
            mirror: Mirror::new(mix),
            at: 0,
            stride: events.len().div_ceil(MAX_SAMPLES).max(1),
            unmet: BTreeSet::new(),
            now: Sample::default(),
            peak: Sample::default(),
            peak_milli: 0,
            series: Vec::new(),
            areas: (0.0, 0.0),
            began_s: events.first().map_or(0, |event| event.at_s),
        }
    }

    fn take(&mut self, record: &Record) -> Result<(), StoreError> {
        let told = record.changes.iter().filter(|change| change.table == PROGRESS.name);
        let told = told.flat_map(|change| &change.columns).find_map(|(column, value)| match value {
            Value::Int(events) if *column == EVENTS => usize::try_from(*events).ok(),
            _ => None,
        });
        let carried_out = matches!(record.operation.as_str(), "instance.launch" | "instance.delete");
        if let Some(told) = told {
            // Every event before the one that this commit carries out changed nothing: what came was refused, and
            // what went had been.
            while self.at < told.saturating_sub(usize::from(carried_out)) {
                self.pass(false);
            }
        }
        self.mirror.take(record)?;
        if told.is_some() && carried_out {
            self.pass(true);
        }
        Ok(())
    }

    /// Goes past one event.
    fn pass(&mut self, carried_out: bool) {
        let Some(event) = self.events.get(self.at) else {
            return;
        };
        if self.at == 0 {
            self.now.at_s = event.at_s;
        }
        let lasted = seconds(event.at_s - self.now.at_s);
        self.areas.0 += self.now.allocation_pct * lasted;
        self.areas.1 += self.now.fragmentation_pct * lasted;
        match (event.change, carried_out) {
            (Change::Create, true) => self.now.running += 1,
            (Change::Delete, true) => self.now.running = self.now.running.saturating_sub(1),
            (Change::Create, false) => {
                self.now.refused += 1;
                self.unmet.insert(event.pod);
            }
            (Change::Delete, false) => {
                self.unmet.remove(&event.pod);
            }
        }
        self.now.at_s = event.at_s;
        self.now.pending = u64::try_from(self.unmet.len()).unwrap_or(u64::MAX);
        self.now.allocation_pct = self.mirror.allocation_pct();
        self.now.fragmentation_pct = self.mirror.fragmentation_pct();
        if self.mirror.used_milli() > self.peak_milli {
            self.peak_milli = self.mirror.used_milli();
            self.peak = self.now;
            self.mirror.mark_peak();
        }
        if self.at.is_multiple_of(self.stride) || self.at + 1 == self.events.len() {
            self.series.push(self.now);
        }
        self.at += 1;
    }

    fn finish(self) -> Course {
        let lasted = seconds(self.now.at_s - self.began_s);
        let mean = |area: f64, only: f64| if lasted > 0.0 { area / lasted } else { only };
        Course {
            heat: self.mirror.heat(),
            allocation_pct_mean: mean(self.areas.0, self.now.allocation_pct),
            fragmentation_pct_mean: mean(self.areas.1, self.now.fragmentation_pct),
            peak: self.peak,
            end: self.now,
            end_used_milli: self.mirror.used_milli(),
            series: self.series,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a weight of a mean: seconds of a trace are far below 2^53")]
fn seconds(lasted: i64) -> f64 {
    lasted as f64
}
