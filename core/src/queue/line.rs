//! Whose turn is next: [`Line`].

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rustc_hash::FxHashMap;
use uuid::Uuid;

use super::order::{OrderKey, Standing};
use super::pending::{Cursor, JobKey, Kind, KindId, LaneKey, Pending, ShapeId};
use super::policy::LineKind;
use super::share::Share;
use super::shares::Shares;
use super::tree::QueueTree;

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
    pub(super) lane: LaneKey,
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
    pub(super) pending: &'a Pending,
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
        for (lane, _) in pending.lanes() {
            if dead.place(lane.kind).is_some_and(|dead| std::mem::replace(dead, false))
                && let Some((kind, _)) = pending.kind(lane.kind)
            {
                dead.alive += 1;
                dead.by_place.entry((kind.queue, kind.shape)).or_default().push(lane.kind);
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
                pending.lanes().for_each(|(lane, jobs)| line.add(Cursor::new(*lane, jobs)));
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
            Self::Shares(line) => line.best(ROOT, view),
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
    lanes: Vec<Cursor<'a>>,
}

impl<'a> FixedLine<'a> {
    fn add(&mut self, mut cursor: Cursor<'a>) {
        if let Some(first) = cursor.next() {
            self.heads.push(Reverse((first, self.lanes.len())));
            self.lanes.push(cursor);
        }
    }

    /// The first of those whose kinds still get turns.
    fn turn(&mut self, dead: &Dead) -> Option<Turn> {
        loop {
            let Reverse((key, at)) = *self.heads.peek()?;
            let lane = self.lanes.get(at)?.lane;
            if !dead.has(lane.kind) {
                return Some(Turn { lane, order: key.order(true) });
            }
            self.heads.pop();
        }
    }

    fn settle(&mut self, next: Next) {
        let Some(Reverse((_, at))) = self.heads.pop() else { return };
        let Some(cursor) = self.lanes.get_mut(at) else { return };
        if next == Next::Job
            && let Some(key) = cursor.next()
        {
            self.heads.push(Reverse((key, at)));
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
                return Some(Turn { lane, order });
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

/// A knock-out from the accounts up to the roots, in which whoever would have the least share wins.
///
/// Entries are looked at again when they come to the top: a grant only raises shares. What may put somebody further to
/// the front, that the run whose turn it would have been gets none, is told ([`died`](Self::died)).
#[derive(Debug)]
pub(super) struct ShareLine<'a> {
    places: Vec<Place<'a>>,
    /// The accounts by the kind of the run whose turn it would be.
    first: Vec<Vec<usize>>,
}

#[derive(Debug)]
struct Place<'a> {
    who: Uuid,
    parent: usize,
    lanes: FixedLine<'a>,
    /// Those that compete below; none below an account.
    below: Option<BinaryHeap<Reverse<(Rank, usize, u32)>>>,
    /// Tells the entry of this place that counts from older ones.
    stamp: u32,
}

/// What a knock-out is decided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    borrows: bool,
    share: Share,
    order: OrderKey,
}

/// The place above the roots.
const ROOT: usize = 0;

impl<'a> ShareLine<'a> {
    fn new(pending: &'a Pending, view: View<'_>) -> Self {
        let first = vec![Vec::new(); pending.kinds()];
        let mut line = Self { places: vec![Place::queue(Uuid::nil(), ROOT)], first };
        let mut queues: FxHashMap<Uuid, usize> = FxHashMap::default();
        let mut last: Option<(Uuid, Uuid, usize)> = None;
        for (lane, jobs) in pending.lanes() {
            let parent = match last {
                Some((queue, _, parent)) if queue == lane.queue => parent,
                _ => line.queue(lane.queue, view.tree, &mut queues),
            };
            if last.is_none_or(|(queue, account, _)| (queue, account) != (lane.queue, lane.account)) {
                line.push(Place::account(lane.account, parent));
            }
            last = Some((lane.queue, lane.account, parent));
            // An account comes after its queues, and its lanes after it.
            if let Some(account) = line.places.last_mut() {
                account.lanes.add(Cursor::new(*lane, jobs));
            }
        }
        // Those below come after those above.
        for at in (1..line.places.len()).rev() {
            line.enter(at, view);
        }
        line
    }

    /// The place of a queue, after those above it.
    fn queue(&mut self, queue: Uuid, tree: &QueueTree, known: &mut FxHashMap<Uuid, usize>) -> usize {
        let path: Vec<Uuid> = tree.path(queue).map(|node| node.id).collect();
        let below =
            |parent, queue| *known.entry(queue).or_insert_with(|| self.push(Place::queue(queue, parent)));
        path.into_iter().rev().fold(ROOT, below)
    }

    fn push(&mut self, place: Place<'a>) -> usize {
        self.places.push(place);
        self.places.len() - 1
    }

    /// Lets a place compete with those beside it, by what it has to offer now.
    fn enter(&mut self, at: usize, view: View<'_>) {
        let turn = self.best(at, view);
        let rank = turn.and_then(|turn| self.rank(at, turn, view));
        let Some(place) = self.places.get_mut(at) else { return };
        place.stamp += 1;
        let (stamp, parent, account) = (place.stamp, place.parent, place.below.is_none());
        let Some(rank) = rank else { return };
        if let Some(kind) = turn.filter(|_| account).map(|turn| turn.lane.kind)
            && let Some(first) = usize::try_from(kind).ok().and_then(|kind| self.first.get_mut(kind))
        {
            first.push(at);
        }
        if let Some(heap) = self.places.get_mut(parent).and_then(|place| place.below.as_mut()) {
            heap.push(Reverse((rank, at, stamp)));
        }
    }

    /// Nobody of a kind gets a turn any more: whoever would have offered one of it offers something else.
    fn died(&mut self, kind: KindId, view: View<'_>) {
        let first = usize::try_from(kind).ok().and_then(|kind| self.first.get_mut(kind));
        let accounts = first.map(std::mem::take).unwrap_or_default();
        for account in &accounts {
            self.enter(*account, view);
        }
        // They are all of one queue, since their kind is.
        let above = |line: &Self, at: usize| line.places.get(at).map_or(ROOT, |place| place.parent);
        let mut at = accounts.first().map_or(ROOT, |account| above(self, *account));
        while at != ROOT {
            self.enter(at, view);
            at = above(self, at);
        }
    }

    /// The winner below a place.
    fn best(&mut self, at: usize, view: View<'_>) -> Option<Turn> {
        loop {
            let place = self.places.get_mut(at)?;
            let Some(heap) = &mut place.below else {
                return place.lanes.turn(view.dead);
            };
            let Reverse((rank, child, stamp)) = *heap.peek()?;
            if self.places.get(child)?.stamp == stamp {
                let turn = self.best(child, view);
                if turn.and_then(|turn| self.rank(child, turn, view)) == Some(rank) {
                    return turn;
                }
                self.enter(child, view);
            }
            self.drop_entry(at, (rank, child, stamp));
        }
    }

    /// Drops what was on top, if it still is.
    fn drop_entry(&mut self, at: usize, entry: (Rank, usize, u32)) {
        let heap = self.places.get_mut(at).and_then(|place| place.below.as_mut());
        let Some(heap) = heap else { return };
        if heap.peek() == Some(&Reverse(entry)) {
            heap.pop();
        }
    }

    fn rank(&self, at: usize, turn: Turn, view: View<'_>) -> Option<Rank> {
        let View { pending, shares, tree, .. } = view;
        let (_, amount) = *pending.kind(turn.lane.kind)?;
        let place = self.places.get(at)?;
        let (borrows, share) = if place.below.is_some() {
            (tree.is_borrowing_with(place.who, amount), shares.of_queue(tree, place.who, amount))
        } else {
            (false, shares.of_account(place.who, amount))
        };
        Some(Rank { borrows, share, order: turn.order })
    }

    fn settle(&mut self, next: Next) {
        let mut at = ROOT;
        while let Some(place) = self.places.get_mut(at) {
            match &place.below {
                Some(heap) => match heap.peek() {
                    Some(Reverse((_, child, _))) => at = *child,
                    None => return,
                },
                None => return place.lanes.settle(next),
            }
        }
    }
}

impl Place<'_> {
    fn queue(who: Uuid, parent: usize) -> Self {
        Self { who, parent, lanes: FixedLine::default(), below: Some(BinaryHeap::new()), stamp: 0 }
    }

    fn account(who: Uuid, parent: usize) -> Self {
        Self { below: None, ..Self::queue(who, parent) }
    }
}
