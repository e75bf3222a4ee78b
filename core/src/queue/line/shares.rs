//! The order by shares, which change with each grant: [`ShareLine`].

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use rustc_hash::FxHashMap;
use uuid::Uuid;

use super::super::pending::{JobKey, KindId, Lane, Pending, ShapeId};
use super::super::resources::Resources;
use super::super::share::Share;
use super::super::tree::QueueTree;
use super::{Next, Turn, View};

/// A knock-out from the accounts up to the roots, in which whoever would have the least share wins.
///
/// Entries are looked at again when they come to the top: a grant only raises shares. What may put somebody further to
/// the front, that the run whose turn it would have been gets none, is told ([`died`](Self::died)).
///
/// There may be nearly as many accounts and lanes as runs, so both lie in one piece, and nothing is made for each of them.
#[derive(Debug)]
pub(in super::super) struct ShareLine<'a> {
    places: Vec<Place>,
    /// For each place, the number of its last entry, which tells that from older ones.
    stamps: Vec<u32>,
    /// Those that compete below each queue.
    heaps: Vec<Heap>,
    /// The lanes, account by account, and those of an account in the order of their first runs.
    lanes: Vec<Head<'a>>,
    /// The kinds of these lanes.
    kinds: Vec<KindId>,
    /// What runs of each shape ask for.
    amounts: Vec<Resources>,
    offers: Offers,
}

/// A queue or an account that competes with those beside it.
#[derive(Debug)]
struct Place {
    who: Uuid,
    parent: usize,
    /// The number of the account, if it has one.
    number: Option<usize>,
    below: Below,
    /// Whether the last entry is still there.
    entered: bool,
    /// The kind of the run whose turn it would be, when the account was entered last.
    offers: Option<KindId>,
}

#[derive(Debug, Clone)]
enum Below {
    /// Of a queue, the place of its heap.
    Heap(usize),
    /// What is left of an account's lanes.
    Lanes(Range<usize>),
}

/// Those that compete, the winner on top, among entries that do not count any more.
#[derive(Debug, Default)]
struct Heap {
    entries: BinaryHeap<Reverse<Entry>>,
    /// How many entries do not count any more.
    stale: usize,
}

/// The accounts by the kind that they offer, or did: lists in one piece.
#[derive(Debug, Default)]
struct Offers {
    /// The last link of each kind's list.
    last: Vec<Option<usize>>,
    /// An account, and the link before.
    links: Vec<(usize, Option<usize>)>,
}

/// A lane with the first of its runs that had no turn.
#[derive(Debug, Clone, Copy)]
struct Head<'a> {
    key: JobKey,
    kind: KindId,
    shape: ShapeId,
    lane: &'a Lane,
}

/// A place that competes, by what it had to offer when it was entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    rank: Rank,
    place: usize,
    stamp: u32,
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
    pub(super) fn new(pending: &'a Pending, view: View<'_>) -> Self {
        let lanes = pending.lanes();
        let mut line = Self {
            places: Vec::with_capacity(lanes.len()),
            stamps: Vec::new(),
            heaps: Vec::new(),
            lanes: Vec::with_capacity(lanes.len()),
            kinds: Vec::new(),
            amounts: Vec::new(),
            offers: Offers { last: vec![None; pending.kinds()], links: Vec::with_capacity(lanes.len()) },
        };
        line.push_queue(Uuid::nil(), ROOT);
        let mut queues: FxHashMap<Uuid, usize> = FxHashMap::default();
        let mut last: Option<(Uuid, Uuid, usize)> = None;
        for (key, lane) in lanes {
            let parent = match last {
                Some((queue, _, parent)) if queue == key.queue => parent,
                _ => line.queue(key.queue, view.tree, &mut queues),
            };
            if last.is_none_or(|(queue, account, _)| (queue, account) != (key.queue, key.account)) {
                let from = line.lanes.len();
                let number = view.shares.number(key.account);
                line.places
                    .push(Place { number, ..Place::new(key.account, parent, Below::Lanes(from..from)) });
            }
            last = Some((key.queue, key.account, parent));
            let Some((kind, amount)) = pending.kind(key.kind) else { continue };
            line.lanes.push(Head { key: lane.first, kind: key.kind, shape: kind.shape, lane });
            line.know(kind.shape, *amount);
            // An account comes after its queues, and its lanes after it.
            if let Some(Below::Lanes(lanes)) = line.places.last_mut().map(|place| &mut place.below) {
                lanes.end = line.lanes.len();
            }
        }
        line.stamps = vec![0; line.places.len()];
        for at in 1..line.places.len() {
            if let Some((lanes, _)) = line.lanes_of(at) {
                lanes.sort_unstable_by_key(|head| head.key);
            }
        }
        line.kinds = line.lanes.iter().map(|head| head.kind).collect();
        // Those below come after those above.
        for at in (1..line.places.len()).rev() {
            line.enter(at, view);
        }
        line
    }

    /// The place of a queue, after those above it.
    fn queue(&mut self, queue: Uuid, tree: &QueueTree, known: &mut FxHashMap<Uuid, usize>) -> usize {
        let path: Vec<Uuid> = tree.path(queue).map(|node| node.id).collect();
        let below = |parent, queue| *known.entry(queue).or_insert_with(|| self.push_queue(queue, parent));
        path.into_iter().rev().fold(ROOT, below)
    }

    fn push_queue(&mut self, queue: Uuid, parent: usize) -> usize {
        self.places.push(Place::new(queue, parent, Below::Heap(self.heaps.len())));
        self.heaps.push(Heap::default());
        self.places.len() - 1
    }

    /// Notes what runs of a shape ask for.
    fn know(&mut self, shape: ShapeId, amount: Resources) {
        let Ok(shape) = usize::try_from(shape) else { return };
        if self.amounts.len() <= shape {
            self.amounts.resize(shape + 1, Resources::ZERO);
        }
        if let Some(known) = self.amounts.get_mut(shape) {
            *known = amount;
        }
    }

    /// What is left of the lanes of an account, and their kinds once these are noted.
    fn lanes_of(&mut self, at: usize) -> Option<(&mut [Head<'a>], &mut [KindId])> {
        let Below::Lanes(left) = self.places.get(at)?.below.clone() else { return None };
        Some((self.lanes.get_mut(left.clone())?, self.kinds.get_mut(left).unwrap_or_default()))
    }

    fn heap_of(&mut self, at: usize) -> Option<&mut Heap> {
        match self.places.get(at)?.below {
            Below::Heap(heap) => self.heaps.get_mut(heap),
            Below::Lanes(_) => None,
        }
    }

    /// The run whose turn it is.
    pub(super) fn turn(&mut self, view: View<'_>) -> Option<Turn> {
        let Head { key, kind, .. } = self.best(ROOT, view)?;
        Some(Turn { kind, order: key.order(true) })
    }

    /// Nobody of a kind gets a turn any more: whoever would have offered one of it offers something else.
    pub(super) fn died(&mut self, kind: KindId, view: View<'_>) {
        let mut at = ROOT;
        let mut link = self.offers.take(kind);
        while let Some((account, before)) = link.and_then(|link| self.offers.links.get(link)).copied() {
            link = before;
            let Some(place) = self.places.get(account) else { continue };
            // They are all of one queue, since their kind is.
            at = place.parent;
            // Who has offered something else since offers that still.
            if place.offers == Some(kind) {
                self.enter(account, view);
            }
        }
        while at != ROOT {
            self.clean(at);
            self.enter(at, view);
            at = self.places.get(at).map_or(ROOT, |place| place.parent);
        }
    }

    /// Goes on after the last turn.
    pub(super) fn settle(&mut self, next: Next) {
        let mut at = ROOT;
        while let Some(heap) = self.heap_of(at) {
            let Some(Reverse(entry)) = heap.entries.peek() else { return };
            at = entry.place;
        }
        let goes_on =
            next == Next::Job && self.lanes_of(at).is_some_and(|(lanes, kinds)| go_on(lanes, kinds));
        if let Some(Below::Lanes(left)) = self.places.get_mut(at).map(|place| &mut place.below)
            && !goes_on
        {
            left.start += 1;
        }
    }

    /// Lets a place compete with those beside it, by what it has to offer now.
    fn enter(&mut self, at: usize, view: View<'_>) {
        let head = self.best(at, view);
        self.offer(at, head, view);
    }

    fn offer(&mut self, at: usize, head: Option<Head<'a>>, view: View<'_>) {
        let rank = head.and_then(|head| self.rank(at, head, view));
        let Some(place) = self.places.get_mut(at) else { return };
        let Some(stamp) = self.stamps.get_mut(at) else { return };
        *stamp += 1;
        let entry = rank.map(|rank| Reverse(Entry { rank, place: at, stamp: *stamp }));
        let was_entered = std::mem::replace(&mut place.entered, entry.is_some());
        let parent = place.parent;
        if let Some(kind) = head.map(|head| head.kind)
            && matches!(place.below, Below::Lanes(_))
            && place.offers.replace(kind) != Some(kind)
        {
            self.offers.add(kind, at);
        }
        if let Some(heap) = self.heap_of(parent) {
            heap.stale += usize::from(was_entered);
            if let Some(entry) = entry {
                heap.entries.push(entry);
            }
        }
    }

    /// Drops the entries below a queue that do not count any more, where these are many: taking them off the top one by one
    /// costs more.
    fn clean(&mut self, at: usize) {
        let stamps = std::mem::take(&mut self.stamps);
        if let Some(heap) = self.heap_of(at)
            && heap.stale > heap.entries.len() / 12
        {
            heap.entries.retain(|Reverse(entry)| stamps.get(entry.place) == Some(&entry.stamp));
            heap.stale = 0;
        }
        self.stamps = stamps;
    }

    /// The winner below a place.
    fn best(&mut self, at: usize, view: View<'_>) -> Option<Head<'a>> {
        loop {
            let entry = match &mut self.places.get_mut(at)?.below {
                Below::Heap(heap) => self.heaps.get(*heap)?.entries.peek()?.0,
                Below::Lanes(left) => {
                    let kinds = self.kinds.get(left.clone())?;
                    left.start += kinds.iter().take_while(|kind| view.dead.has(**kind)).count();
                    return self.lanes.get(left.clone())?.first().copied();
                }
            };
            if self.stamps.get(entry.place) == Some(&entry.stamp) {
                let head = self.best(entry.place, view);
                if head.and_then(|head| self.rank(entry.place, head, view)) == Some(entry.rank) {
                    return head;
                }
                self.offer(entry.place, head, view);
            }
            self.drop_entry(at, entry);
        }
    }

    /// Drops what was on top, if it still is.
    fn drop_entry(&mut self, at: usize, entry: Entry) {
        if let Some(heap) = self.heap_of(at)
            && heap.entries.peek() == Some(&Reverse(entry))
        {
            heap.entries.pop();
            heap.stale = heap.stale.saturating_sub(1);
        }
    }

    fn rank(&self, at: usize, head: Head<'_>, view: View<'_>) -> Option<Rank> {
        let View { shares, tree, .. } = view;
        let amount = *self.amounts.get(usize::try_from(head.shape).ok()?)?;
        let place = self.places.get(at)?;
        let (borrows, share) = match place.below {
            Below::Heap(_) => {
                (tree.is_borrowing_with(place.who, amount), shares.of_queue(tree, place.who, amount))
            }
            Below::Lanes(_) => (false, shares.of_numbered(place.who, place.number, amount)),
        };
        Some(Rank { borrows, share, key: head.key })
    }
}

/// Goes on in the first of some lanes, and moves it to its place among them. Answers whether anything is left of it.
fn go_on(lanes: &mut [Head<'_>], kinds: &mut [KindId]) -> bool {
    let Some((head, others)) = lanes.split_first_mut() else { return false };
    let Some(key) = head.lane.behind(head.key) else { return false };
    head.key = key;
    let before = others.partition_point(|other| other.key < key);
    if let Some(passed) = lanes.get_mut(..=before) {
        passed.rotate_left(1);
    }
    if let Some(passed) = kinds.get_mut(..=before) {
        passed.rotate_left(1);
    }
    true
}

impl Offers {
    fn add(&mut self, kind: KindId, account: usize) {
        if let Some(last) = usize::try_from(kind).ok().and_then(|kind| self.last.get_mut(kind)) {
            let before = last.replace(self.links.len());
            self.links.push((account, before));
        }
    }

    /// The last link of a kind's list, which is none's from now on.
    fn take(&mut self, kind: KindId) -> Option<usize> {
        self.last.get_mut(usize::try_from(kind).ok()?)?.take()
    }
}

impl Place {
    const fn new(who: Uuid, parent: usize, below: Below) -> Self {
        Self { who, parent, number: None, below, entered: false, offers: None }
    }
}
