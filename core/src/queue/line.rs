//! Whose turn is next: [`Line`].

mod shares;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rustc_hash::FxHashMap;
use uuid::Uuid;

use super::order::{OrderKey, Standing};
use super::pending::{JobKey, Kind, KindId, Lane, LaneKey, Pending, ShapeId};
use super::policy::LineKind;
use super::shares::Shares;
use super::tree::QueueTree;
use shares::ShareLine;

/// The runs in the order of a policy, while some of them get what they ask for.
#[derive(Debug)]
pub(super) enum Line<'a> {
    Fixed(FixedLine<'a>),
    Shares(ShareLine<'a>),
    Standing(StandingLine),
}

/// The run whose turn it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    pub(super) kind: KindId,
    pub(super) order: OrderKey,
}

/// How to go on after a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// With the next of the lane when its turn comes.
    Job,
    /// Without the lane.
    NoLane,
    /// Without any of its kind.
    NoKind,
}

/// What a turn is decided by.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) shares: &'a Shares<'a>,
    pub(super) tree: &'a QueueTree,
    pub(super) dead: &'a Dead,
    pub(super) standing: &'a Standing,
}

/// The kinds of which nobody else gets a turn.
#[derive(Debug, Default)]
pub(super) struct Dead {
    kinds: Vec<bool>,
    alive: usize,
    by_place: FxHashMap<(Uuid, ShapeId), Vec<KindId>>,
}

impl Dead {
    pub(super) fn new(pending: &Pending) -> Self {
        let by_place = FxHashMap::default();
        let mut dead = Self { kinds: vec![true; pending.kinds()], alive: 0, by_place };
        for number in pending.kinds_due() {
            if let Some((kind, _)) = pending.kind(number)
                && let Some(place) = dead.place(number)
            {
                *place = false;
                dead.alive += 1;
                dead.by_place.entry((kind.queue, kind.shape)).or_default().push(number);
            }
        }
        dead
    }

    pub(super) fn add(&mut self, kind: KindId) {
        if let Some(kind) = self.place(kind) {
            let was = std::mem::replace(kind, true);
            self.alive -= usize::from(!was);
        }
    }

    /// The numbers of all kinds of a queue and shape of no higher priority that still get turns.
    pub(super) fn alike(&self, pending: &Pending, to: &Kind) -> Vec<KindId> {
        let kinds = self.by_place.get(&(to.queue, to.shape)).into_iter().flatten().copied();
        let lower = |kind: &KindId| pending.kind(*kind).is_some_and(|(kind, _)| kind.priority <= to.priority);
        kinds.filter(|kind| !self.has(*kind)).filter(lower).collect()
    }

    /// Whether nobody gets a turn any more.
    pub(super) const fn all(&self) -> bool {
        self.alive == 0
    }

    fn has(&self, kind: KindId) -> bool {
        usize::try_from(kind).ok().and_then(|kind| self.kinds.get(kind)).is_none_or(|dead| *dead)
    }

    fn place(&mut self, kind: KindId) -> Option<&mut bool> {
        self.kinds.get_mut(usize::try_from(kind).ok()?)
    }
}

impl<'a> Line<'a> {
    pub(super) fn new(kind: LineKind, pending: &'a Pending, view: View<'_>) -> Self {
        match kind {
            LineKind::Fixed => {
                let mut line = FixedLine::default();
                pending.lanes().for_each(|(key, lane)| line.add(key.kind, lane));
                Self::Fixed(line)
            }
            LineKind::Shares => Self::Shares(ShareLine::new(pending, view)),
            LineKind::Standing => Self::Standing(StandingLine::new(view.standing)),
        }
    }

    /// The run whose turn it is, until it is settled.
    pub(super) fn turn(&mut self, view: View<'_>) -> Option<Turn> {
        match self {
            Self::Fixed(line) => line.turn(view.dead),
            Self::Shares(line) => line.turn(view),
            Self::Standing(line) => line.turn(view.dead),
        }
    }

    /// Goes on after the last turn.
    pub(super) fn settle(&mut self, next: Next) {
        match self {
            Self::Fixed(line) => line.settle(next),
            Self::Shares(line) => line.settle(next),
            Self::Standing(line) => drop(line.places.pop()),
        }
    }

    /// Goes on without a kind, of which nobody gets a turn any more.
    pub(super) fn died(&mut self, kind: KindId, view: View<'_>) {
        match self {
            // It is skipped when it comes to the top.
            Self::Fixed(_) | Self::Standing(_) => {}
            Self::Shares(line) => line.died(kind, view),
        }
    }
}

/// Lanes in the order of their first runs.
#[derive(Debug, Default)]
pub(super) struct FixedLine<'a> {
    heads: BinaryHeap<Reverse<(JobKey, usize)>>,
    lanes: Vec<(KindId, &'a Lane)>,
}

impl<'a> FixedLine<'a> {
    fn add(&mut self, kind: KindId, lane: &'a Lane) {
        self.heads.push(Reverse((lane.first, self.lanes.len())));
        self.lanes.push((kind, lane));
    }

    /// The first of those whose kinds still get turns.
    fn turn(&mut self, dead: &Dead) -> Option<Turn> {
        loop {
            let Reverse((key, at)) = *self.heads.peek()?;
            let (kind, _) = *self.lanes.get(at)?;
            if !dead.has(kind) {
                return Some(Turn { kind, order: key.order(true) });
            }
            self.heads.pop();
        }
    }

    fn settle(&mut self, next: Next) {
        let Some(Reverse((key, at))) = self.heads.pop() else { return };
        if next == Next::Job
            && let Some((_, lane)) = self.lanes.get(at)
        {
            self.heads.extend(lane.behind(key).map(|key| Reverse((key, at))));
        }
    }
}

/// Those that wait, in the order of their places at this moment.
#[derive(Debug)]
pub(super) struct StandingLine {
    places: BinaryHeap<Reverse<(OrderKey, LaneKey)>>,
    /// How many came to the top in vain since all were looked through for such.
    vain: usize,
}

impl StandingLine {
    fn new(standing: &Standing) -> Self {
        Self { places: standing.waiting.iter().copied().map(Reverse).collect(), vain: 0 }
    }

    fn turn(&mut self, dead: &Dead) -> Option<Turn> {
        loop {
            let Reverse((order, lane)) = *self.places.peek()?;
            if !dead.has(lane.kind) {
                return Some(Turn { kind: lane.kind, order });
            }
            self.places.pop();
            self.vain += 1;
            // Taking many off the top costs more than looking through all.
            if self.vain > self.places.len() / 32 {
                self.vain = 0;
                self.places.retain(|Reverse((_, lane))| !dead.has(lane.kind));
            }
        }
    }
}
