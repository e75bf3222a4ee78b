//! One tick: [`Round`].

use std::collections::BTreeSet;
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};
use uuid::Uuid;

use super::cover::Covers;
use super::line::{Dead, Line, Next, Turn, View};
use super::order::{OrderKey, Standing};
use super::pending::{Entry, KindId, Pending, ShapeId};
use super::plan::{Grant, Plan};
use super::policy::Rules;
use super::preempt::Wants;
use super::reservations::Ends;
use super::running::RunningSet;
use super::settings::Settings;
use super::shares::Shares;
use super::trial::Trial;
use super::victims::Victims;
use crate::sched::Placement;
use crate::time::Timestamp;

/// The most reservations that are told apart when a run looks which of them it does not disturb.
pub(super) const MOST_RESERVATIONS: usize = 64;

/// How many of a kind are passed over to find one that is short enough to go before a reservation.
const MOST_PASSED: u32 = 64;

/// A decision in the making.
///
/// While it lasts, capacity and quotas only shrink: what stops for somebody ends after it. So what did not fit once
/// need not be tried again, which is what keeps a tick cheap however many wait.
#[derive(Debug)]
pub(super) struct Round<'a> {
    pub(super) now: Timestamp,
    pub(super) settings: &'a Settings,
    pub(super) rules: Rules,
    pub(super) pending: &'a Pending,
    pub(super) running: &'a RunningSet,
    pub(super) shares: Shares<'a>,
    pub(super) trial: Trial<'a>,
    pub(super) plan: Plan,
    /// Nodes that are kept until a known moment.
    pub(super) holds: Vec<Hold>,
    /// Places that are kept until others have stopped.
    pub(super) kept: Vec<Kept>,
    /// Runs that are provided for: they wait for others to stop.
    pub(super) settled: FxHashSet<Uuid>,
    /// Kinds of which nobody else gets a turn.
    no_turn: Dead,
    /// How many of a kind were passed over.
    passed: FxHashMap<KindId, u32>,
    /// Whether a shape fits with this many holds passed over, all that there were.
    beside: FxHashMap<ShapeId, (usize, bool)>,
    /// Shapes that do not fit whoever ends, beside what is kept.
    pub(super) never: FxHashSet<ShapeId>,
    /// Shapes that do not fit, with these holds passed over.
    dead: FxHashSet<(ShapeId, u64)>,
    /// Shapes that a queue's quota refuses.
    refused: FxHashSet<(Uuid, ShapeId)>,
    /// Queues of which a run that goes first does not fit.
    stopped: FxHashSet<Uuid>,
    /// Priorities up to which preemption for a shape of a queue is of no use.
    pub(super) hopeless: FxHashMap<(Uuid, ShapeId), i32>,
    /// Everybody's place, where the order looks at everybody.
    pub(super) standing: Standing,
    /// The place of the run whose turn it is.
    pub(super) turn: Option<OrderKey>,
    pub(super) victims: Option<Victims>,
    /// Those that the plan stops.
    pub(super) taken: FxHashSet<Uuid>,
    /// The same, as they will wait.
    pub(super) gone: Vec<Wants>,
    /// Those that start, and those for whom others stop.
    pub(super) provided: Vec<Uuid>,
    /// Their queues.
    pub(super) takers: BTreeSet<Uuid>,
    pub(super) covers: Option<Covers>,
    pub(super) ends: Option<Ends<'a>>,
}

/// Nodes that are kept for a run, except from those that end before.
#[derive(Debug, Clone)]
pub(super) struct Hold {
    pub(super) until: Timestamp,
    pub(super) nodes: Vec<Uuid>,
}

/// A place that is kept for a run until others have stopped.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) claimant: Uuid,
    pub(super) wants: Wants,
    /// Those that are asked to stop by this plan. Those that were before are known to be stopping.
    pub(super) victims: Vec<Uuid>,
    pub(super) placements: Vec<Placement>,
    pub(super) nodes: Vec<Uuid>,
}

/// Why a run does not start now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blocked {
    Quota,
    Capacity,
}

impl<'a> Round<'a> {
    pub(super) fn new(
        now: Timestamp,
        settings: &'a Settings,
        (pending, running): (&'a Pending, &'a RunningSet),
        shares: Shares<'a>,
        trial: Trial<'a>,
        standing: Standing,
    ) -> Self {
        Self {
            now,
            settings,
            rules: settings.policy.rules(),
            pending,
            running,
            shares,
            trial,
            plan: Plan::default(),
            holds: Vec::new(),
            kept: Vec::new(),
            settled: FxHashSet::default(),
            no_turn: Dead::default(),
            passed: FxHashMap::default(),
            beside: FxHashMap::default(),
            never: FxHashSet::default(),
            dead: FxHashSet::default(),
            refused: FxHashSet::default(),
            stopped: FxHashSet::default(),
            hopeless: FxHashMap::default(),
            standing,
            turn: None,
            victims: None,
            taken: FxHashSet::default(),
            gone: Vec::new(),
            provided: Vec::new(),
            takers: BTreeSet::new(),
            covers: None,
            ends: None,
        }
    }

    /// Gives everybody their turn.
    pub(super) fn run(&mut self) {
        let pending = self.pending;
        self.no_turn = Dead::new(pending);
        let mut line = Line::new(self.rules.line, pending, self.view());
        while self.plan.grants.len() < self.settings.most_grants
            && !self.no_turn.all()
            && let Some(turn) = line.turn(self.view())
        {
            self.turn = Some(turn.order);
            let Some(next) = self.take(turn) else { break };
            line.settle(next);
            if next == Next::NoKind {
                self.pass_over(turn.kind, &mut line);
            }
        }
        self.stop_nobody_in_vain();
    }

    /// Nobody of a kind gets a turn any more, and nobody else who would fare as it did.
    fn pass_over(&mut self, kind: KindId, line: &mut Line<'_>) {
        let Some((blocked, _)) = self.pending.kind(kind) else { return };
        self.no_turn.add(kind);
        line.died(kind, self.view());
        for other in self.no_turn.alike(self.pending, blocked) {
            let least = self.pending.kind(other).and_then(|(kind, _)| kind.least());
            let short = least.is_some_and(|least| self.ends_before_a_hold(least));
            // Among those of the same place and no higher priority, only a shorter one may still find something.
            if !short {
                self.no_turn.add(other);
                line.died(other, self.view());
            }
        }
    }

    /// Whether a run that takes so long ends before the last of the holds.
    fn ends_before_a_hold(&self, long: Duration) -> bool {
        let end = self.now.plus(long);
        self.holds.iter().any(|hold| end <= hold.until)
    }

    const fn view(&self) -> View<'_> {
        View { shares: &self.shares, tree: self.trial.tree, dead: &self.no_turn, standing: &self.standing }
    }

    /// One turn; none if nobody else gets one.
    fn take(&mut self, turn: Turn) -> Option<Next> {
        let Some(entry) = self.pending.get(turn.order.id) else {
            return Some(Next::Job);
        };
        if self.settled.contains(&turn.order.id) {
            return Some(Next::Job);
        }
        if self.stopped.contains(&entry.kind.queue) {
            return Some(Next::NoLane);
        }
        if self.stands_back(entry, turn.order) {
            return Some(Next::NoKind);
        }
        let started = if self.is_for_gone(entry) { Err(Blocked::Quota) } else { self.attempt(entry) };
        let Err(blocked) = started else {
            return Some(Next::Job);
        };
        let provided = self.preempt(entry) || (blocked == Blocked::Capacity && self.reserve(entry));
        if self.rules.head_blocks {
            if blocked == Blocked::Capacity {
                return None;
            }
            self.stopped.insert(entry.kind.queue);
            return Some(Next::NoLane);
        }
        if provided || (blocked == Blocked::Capacity && self.may_pass(entry)) {
            return Some(Next::Job);
        }
        Some(Next::NoKind)
    }

    /// Whether one of the kind of a run that does not fit may be short enough to end before a reservation.
    fn may_pass(&mut self, entry: &Entry) -> bool {
        let Some(least) = entry.kind.least() else {
            return false;
        };
        if !self.ends_before_a_hold(least) || !self.fits_beside_holds(entry) {
            return false;
        }
        let passed = self.passed.entry(entry.lane.kind).or_insert(0);
        *passed += 1;
        *passed <= MOST_PASSED
    }

    /// Whether a run would fit if nothing were kept for others.
    fn fits_beside_holds(&mut self, entry: &Entry) -> bool {
        let count = self.holds.len();
        if let Some((known, fits)) = self.beside.get(&entry.kind.shape)
            && *known == count
        {
            return *fits;
        }
        let start = self.trial.mark();
        self.holds.iter().flat_map(|hold| &hold.nodes).for_each(|node| self.trial.open(*node));
        let fits = self.trial.has_room(&entry.job.ask);
        self.trial.back_to(start);
        self.beside.insert(entry.kind.shape, (count, fits));
        fits
    }

    /// Starts a run, if that is possible.
    pub(super) fn attempt(&mut self, entry: &Entry) -> Result<(), Blocked> {
        let place = (entry.kind.queue, entry.kind.shape);
        if self.refused.contains(&place) {
            return Err(Blocked::Quota);
        }
        if self.trial.tree.fits(entry.job.queue, entry.total).is_err() {
            self.refused.insert(place);
            return Err(Blocked::Quota);
        }
        let placements = self.place(entry).ok_or(Blocked::Capacity)?;
        self.provide(entry);
        self.begin(entry, placements);
        Ok(())
    }

    /// Starts a run, which is provided for, where it was placed.
    pub(super) fn begin(&mut self, entry: &Entry, placements: Vec<Placement>) {
        if let Some(ends) = &mut self.ends {
            ends.add(entry, &placements, self.now);
        }
        self.plan.grants.push(Grant { job: entry.job.id, placements });
    }

    /// Counts what a run will have as its own from now on.
    pub(super) fn provide(&mut self, entry: &Entry) {
        self.trial.charge(entry.job.queue, entry.total);
        self.shares.grant(entry.job.account, entry.total);
        self.settled.insert(entry.job.id);
        self.cover(entry);
        self.provided.push(entry.job.id);
        self.takers.insert(entry.job.queue);
    }

    pub(super) fn place(&mut self, entry: &Entry) -> Option<Vec<Placement>> {
        let shape = entry.kind.shape;
        if !self.dead.contains(&(shape, 0)) {
            if let Ok(placements) = self.trial.place_gang(&entry.job.ask) {
                return Some(placements);
            }
            self.dead.insert((shape, 0));
        }
        let passed = self.passed_over(entry);
        if passed == 0 || self.dead.contains(&(shape, passed)) {
            return None;
        }
        let open = |(at, _): &(usize, &Hold)| passed >> at & 1 == 1;
        let kept =
            self.holds.iter().enumerate().filter(open).flat_map(|(_, hold)| hold.nodes.iter().copied());
        let nodes: Vec<Uuid> = kept.collect();
        for node in &nodes {
            self.trial.open(*node);
        }
        let placed = self.trial.place_gang(&entry.job.ask);
        for node in &nodes {
            self.trial.close(*node);
        }
        if placed.is_err() {
            self.dead.insert((shape, passed));
        }
        placed.ok()
    }

    /// The holds that a run need not respect, since it is expected to end before them, as bits.
    fn passed_over(&self, entry: &Entry) -> u64 {
        // Who has run longer than expected may run for ever.
        let Some(left) = entry.job.remaining().filter(|left| !left.is_zero()) else {
            return 0;
        };
        let end = self.now.plus(left);
        let fits = |(at, hold): (usize, &Hold)| u64::from(end <= hold.until) << at;
        self.holds.iter().take(MOST_RESERVATIONS).enumerate().map(fits).sum()
    }

    /// Closes nodes to all others.
    pub(super) fn close(&mut self, placements: &[Placement]) -> Vec<Uuid> {
        let mut nodes: Vec<Uuid> = placements.iter().map(|placement| placement.node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        for node in &nodes {
            self.trial.close(*node);
        }
        nodes
    }
}
