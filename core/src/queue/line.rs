//! Whose turn is next: [`Line`].

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use uuid::Uuid;

use super::pending::{Cursor, JobKey, LaneKey, Pending};
use super::policy::LineKind;
use super::share::Share;
use super::shares::Shares;
use super::tree::QueueTree;

/// The runs in the order of a policy, while some of them get what they ask for.
#[derive(Debug)]
pub(super) enum Line<'a> {
    Fixed(FixedLine<'a>),
    Shares(ShareLine<'a>),
}

/// The run whose turn it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    pub(super) lane: LaneKey,
    pub(super) key: JobKey,
}

/// How to go on after a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// With the next of the lane when its turn comes.
    Job,
    /// The same, unless too many of the lane were passed over.
    Passed,
    /// Without the lane.
    NoLane,
}

/// How many runs of a lane are passed over to find one that is short enough to go before a reservation.
const LOOK_BEHIND: u32 = 16;

impl<'a> Line<'a> {
    pub(super) fn new(kind: LineKind, pending: &'a Pending, shares: &Shares<'_>, tree: &QueueTree) -> Self {
        match kind {
            LineKind::Fixed => {
                let mut line = FixedLine::default();
                pending.lanes().for_each(|(lane, jobs)| line.add(Cursor::new(*lane, jobs)));
                Self::Fixed(line)
            }
            LineKind::Shares => Self::Shares(ShareLine::new(pending, shares, tree)),
        }
    }

    /// The run whose turn it is, until it is settled.
    pub(super) fn turn(&mut self, pending: &Pending, shares: &Shares<'_>, tree: &QueueTree) -> Option<Turn> {
        match self {
            Self::Fixed(line) => line.turn(),
            Self::Shares(line) => line.best(ROOT, pending, shares, tree),
        }
    }

    /// Goes on after the last turn.
    pub(super) fn settle(&mut self, next: Next) {
        match self {
            Self::Fixed(line) => line.settle(next),
            Self::Shares(line) => line.settle(next),
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

    fn turn(&self) -> Option<Turn> {
        let Reverse((key, at)) = *self.heads.peek()?;
        Some(Turn { lane: self.lanes.get(at)?.lane, key })
    }

    fn settle(&mut self, next: Next) {
        let Some(Reverse((_, at))) = self.heads.pop() else { return };
        let Some(cursor) = self.lanes.get_mut(at) else { return };
        cursor.passed = if next == Next::Passed { cursor.passed + 1 } else { 0 };
        if next != Next::NoLane
            && cursor.passed <= LOOK_BEHIND
            && let Some(key) = cursor.next()
        {
            self.heads.push(Reverse((key, at)));
        }
    }
}

/// A knock-out from the accounts up to the roots, in which whoever would have the least share wins.
///
/// Only what is on top of a heap is looked at again: a grant raises the shares of those who won, and of nobody else but
/// an account that waits in several queues, which is noticed when it comes to the top.
#[derive(Debug)]
pub(super) struct ShareLine<'a> {
    places: Vec<Place<'a>>,
}

#[derive(Debug)]
struct Place<'a> {
    who: Uuid,
    lanes: FixedLine<'a>,
    /// Those that compete below; none below an account.
    below: Option<BinaryHeap<Reverse<(Rank, usize)>>>,
}

/// What a knock-out is decided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    borrows: bool,
    share: Share,
    key: JobKey,
}

/// The place above the roots.
const ROOT: usize = 0;

impl<'a> ShareLine<'a> {
    fn new(pending: &'a Pending, shares: &Shares<'_>, tree: &QueueTree) -> Self {
        let mut line = Self { places: vec![Place::queue(Uuid::nil())] };
        let mut queues = std::collections::BTreeMap::new();
        let mut below: Vec<Vec<usize>> = vec![Vec::new()];
        let mut last: Option<(Uuid, Uuid, usize)> = None;
        for (lane, jobs) in pending.lanes() {
            let account = match last {
                Some((queue, account, at)) if (queue, account) == (lane.queue, lane.account) => at,
                _ => {
                    let mut child = line.push(Place::account(lane.account), &mut below);
                    last = Some((lane.queue, lane.account, child));
                    let account = child;
                    for node in tree.path(lane.queue) {
                        let (at, known) = match queues.get(&node.id) {
                            Some(at) => (*at, true),
                            None => (line.push(Place::queue(node.id), &mut below), false),
                        };
                        queues.insert(node.id, at);
                        below.get_mut(at).into_iter().for_each(|below| below.push(child));
                        child = at;
                        if known {
                            child = ROOT;
                            break;
                        }
                    }
                    if child != ROOT {
                        below.first_mut().into_iter().for_each(|below| below.push(child));
                    }
                    account
                }
            };
            line.places
                .get_mut(account)
                .into_iter()
                .for_each(|place| place.lanes.add(Cursor::new(*lane, jobs)));
        }
        line.fill(ROOT, &below, pending, shares, tree);
        line
    }

    fn push(&mut self, place: Place<'a>, below: &mut Vec<Vec<usize>>) -> usize {
        self.places.push(place);
        below.push(Vec::new());
        self.places.len() - 1
    }

    /// Lets those below a place compete, from the bottom up.
    fn fill(
        &mut self,
        at: usize,
        below: &[Vec<usize>],
        pending: &Pending,
        shares: &Shares<'_>,
        tree: &QueueTree,
    ) {
        for &child in below.get(at).into_iter().flatten() {
            self.fill(child, below, pending, shares, tree);
            if let Some(turn) = self.best(child, pending, shares, tree)
                && let Some(rank) = self.rank(child, turn, pending, shares, tree)
                && let Some(heap) = self.places.get_mut(at).and_then(|place| place.below.as_mut())
            {
                heap.push(Reverse((rank, child)));
            }
        }
    }

    /// The winner below a place.
    fn best(&mut self, at: usize, pending: &Pending, shares: &Shares<'_>, tree: &QueueTree) -> Option<Turn> {
        loop {
            let place = self.places.get(at)?;
            let Some(heap) = &place.below else {
                return place.lanes.turn();
            };
            let Reverse((rank, child)) = *heap.peek()?;
            let turn = self.best(child, pending, shares, tree);
            let fresh = turn.and_then(|turn| self.rank(child, turn, pending, shares, tree));
            if fresh == Some(rank) {
                return turn;
            }
            let heap = self.places.get_mut(at)?.below.as_mut()?;
            heap.pop();
            heap.extend(fresh.map(|fresh| Reverse((fresh, child))));
        }
    }

    fn rank(
        &self,
        at: usize,
        turn: Turn,
        pending: &Pending,
        shares: &Shares<'_>,
        tree: &QueueTree,
    ) -> Option<Rank> {
        let place = self.places.get(at)?;
        let amount = pending.get(turn.key.id)?.total;
        let (borrows, share) = if place.below.is_some() {
            (tree.is_borrowing_with(place.who, amount), shares.of_queue(tree, place.who, amount))
        } else {
            (false, shares.of_account(place.who, amount))
        };
        Some(Rank { borrows, share, key: turn.key })
    }

    fn settle(&mut self, next: Next) {
        let mut at = ROOT;
        while let Some(place) = self.places.get_mut(at) {
            match &place.below {
                Some(heap) => match heap.peek() {
                    Some(Reverse((_, child))) => at = *child,
                    None => return,
                },
                None => return place.lanes.settle(next),
            }
        }
    }
}

impl Place<'_> {
    fn queue(who: Uuid) -> Self {
        Self { who, lanes: FixedLine::default(), below: Some(BinaryHeap::new()) }
    }

    fn account(who: Uuid) -> Self {
        Self { below: None, ..Self::queue(who) }
    }
}
