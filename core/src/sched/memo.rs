//! What is remembered of one shape of demand: [`Memo`].

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::class::Class;
use super::cluster::Cluster;
use super::demand::Demand;
use super::members::NodeKey;
use super::placement::NoFit;
use super::rows::Verdict;
use super::scorer::Scorer;

/// The fewest classes that are kept: few, since it doubles where that is not enough.
const MIN_KEEP: usize = 8;

/// At least one class in so many is kept: else a large cluster would be walked many times before enough are.
const MIN_PART: usize = 256;

/// The best classes for a demand, the best of all on top.
///
/// An entry is right when it is made. It goes stale when the class is gone or has lost its first node, which is noticed
/// when the entry comes to the top: a class never gets better without an entry in the change log. So a decision looks
/// at the classes that are new since the last decision for this shape, and at the stale entries above the best.
///
/// Where the demand may not fit all nodes of a class an entry names one of them, and stands for it and all behind it: once it
/// does not fit any more the next one that does is looked for from there on. What joins the class has an entry of its own. So
/// a node on which the demand does not fit is passed once, and not by each decision.
///
/// Only the best are kept, down to a *floor*: whatever was left out is not better than that. When the top sinks to the
/// floor all classes are looked at again. How many are kept adapts, so that this costs about as much as following the
/// changes does.
///
/// Where a policy has a price for each GPU model, which changes all the time, the classes of each model are kept by
/// themselves: the price is the same for all of them, and is added when the best of each are compared.
#[derive(Debug, Clone)]
pub(super) struct Memo {
    /// The number of the shape.
    pub(super) shape: u32,
    parts: Vec<Part>,
    keep: usize,
    /// Classes looked at since all of them were.
    looked: usize,
    /// The position in the change log up to which changes are known; `None` before the first use.
    seen: Option<u64>,
    /// That nothing fits, at this version of the cluster.
    no_fit: Option<(u64, NoFit)>,
    /// When it was last used, in decisions of the scheduler.
    pub(super) used: u64,
}

impl Memo {
    /// Nothing yet, of the shape with this number.
    pub(super) const fn new(shape: u32) -> Self {
        Self { shape, parts: Vec::new(), keep: MIN_KEEP, looked: 0, seen: None, no_fit: None, used: 0 }
    }
}

/// The classes of one model, or all of them.
#[derive(Debug, Clone, Default)]
struct Part {
    heap: BinaryHeap<Entry>,
    /// The best entry that was left out since all classes were looked at.
    floor: Option<Entry>,
}

/// A class and its score; the greatest entry is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    score: i32,
    first: Reverse<NodeKey>,
    class: u32,
    stamp: u64,
    /// The node that is meant, where the demand may not fit all nodes of the class; otherwise it is the first.
    only: Option<u32>,
}

/// Where to look classes up and how to score them.
pub(super) struct Context<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) demand: &'a Demand,
    pub(super) scorer: &'a mut Scorer,
    /// The number of the demand's shape.
    pub(super) shape: u32,
    /// What the demand has to pay for each GPU model, by its number; nothing where there are no prices.
    pub(super) prices: &'a [i64],
}

/// The best of a part with its price paid, and its node.
type Found = (i64, Reverse<NodeKey>, u32);

impl Context<'_> {
    /// The entry of a class as it is now, if the demand may fit it, with the number of its part.
    fn entry(&mut self, number: u32) -> Option<(usize, Entry)> {
        let class = self.cluster.class(number)?;
        match self.scorer.verdict(self.cluster, number, class, self.demand, self.shape) {
            Verdict::None => None,
            Verdict::All(score) => Some(self.make(number, class, score, class.first, None)),
            Verdict::Some(score) => {
                let node = self.cluster.first_fitting(class, class.first, self.demand)?;
                Some(self.make(number, class, score, self.cluster.node(node)?.key, Some(node)))
            }
        }
    }

    /// Says what entries a change makes, if it is the last one of its class: one, or one for each node that has come since
    /// `seen`.
    fn changed(&mut self, seen: u64, position: u64, number: u32, mut tell: impl FnMut(usize, Entry)) {
        let Some(class) = self.cluster.class(number).filter(|class| class.changed == position) else {
            return;
        };
        match self.scorer.verdict(self.cluster, number, class, self.demand, self.shape) {
            Verdict::None => {}
            Verdict::All(score) => {
                let (part, entry) = self.make(number, class, score, class.first, None);
                tell(part, entry);
            }
            Verdict::Some(score) => {
                for node in self.cluster.log.nodes_since(seen, position) {
                    let Some(held) = self.cluster.node(node).filter(|held| held.class() == number) else {
                        continue;
                    };
                    if self.cluster.judge_node(node, self.demand).is_ok() {
                        let (part, entry) = self.make(number, class, score, held.key, Some(node));
                        tell(part, entry);
                    }
                }
            }
        }
    }

    fn make(
        &self,
        number: u32,
        class: &Class,
        score: i32,
        first: NodeKey,
        only: Option<u32>,
    ) -> (usize, Entry) {
        let part = if self.prices.is_empty() { 0 } else { usize::try_from(class.state.model).unwrap_or(0) };
        (part, Entry { score, first: Reverse(first), class: number, stamp: class.stamp, only })
    }

    /// The entry as it would be made now, or `None` if its class is gone, or has no node any more that fits.
    fn refresh(&self, entry: Entry) -> Option<Entry> {
        let class = self.cluster.class(entry.class).filter(|class| class.stamp == entry.stamp)?;
        let Some(node) = entry.only else {
            return Some(Entry { first: Reverse(class.first), ..entry });
        };
        let here = self.cluster.node(node).is_some_and(|node| node.class() == entry.class);
        if here && self.cluster.judge_node(node, self.demand).is_ok() {
            return Some(entry);
        }
        let node = self.cluster.first_fitting(class, entry.first.0, self.demand)?;
        Some(Entry { first: Reverse(self.cluster.node(node)?.key), only: Some(node), ..entry })
    }

    /// The node that an entry stands for, apart from some, with the entry that it would have if it were the first.
    fn first_without(&self, entry: Entry, excluded: &[u32]) -> Option<(Entry, u32)> {
        let members = &self.cluster.class(entry.class)?.members;
        let key = |node: u32| self.cluster.node(node).map_or(entry.first.0, |node| node.key);
        let fits = |node: u32| entry.only.is_none() || self.cluster.judge_node(node, self.demand).is_ok();
        let mut behind = members.iter_from(entry.first.0, key);
        let node = behind.find(|node| !excluded.contains(node) && fits(*node))?;
        Some((Entry { first: Reverse(self.cluster.node(node)?.key), ..entry }, node))
    }

    fn price(&self, part: usize) -> i64 {
        self.prices.get(part).copied().unwrap_or(0)
    }
}

impl Memo {
    /// How many entries are kept.
    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(|part| part.heap.len()).sum()
    }

    /// The first node of the best class, after taking in what changed since the last time.
    pub(super) fn best(&mut self, context: &mut Context<'_>) -> Option<u32> {
        self.catch_up(context);
        loop {
            let mut best: Option<Found> = None;
            let mut sunk = false;
            for (number, part) in self.parts.iter_mut().enumerate() {
                let Some(top) = part.fresh_top(context) else {
                    sunk |= part.floor.is_some();
                    continue;
                };
                let paid = i64::from(top.score) - context.price(number);
                if best.is_none_or(|(score, first, _)| (paid, top.first) > (score, first)) {
                    let node = top.only.or_else(|| context.cluster.class(top.class)?.members.first());
                    best = node.map(|node| (paid, top.first, node));
                }
            }
            if !sunk {
                return best.map(|(_, _, node)| node);
            }
            self.rebuild(context);
        }
    }

    /// The best node apart from some.
    pub(super) fn best_without(&mut self, context: &mut Context<'_>, excluded: &[u32]) -> Option<u32> {
        self.catch_up(context);
        let mut best: Option<Found> = None;
        let mut complete = true;
        for (number, part) in self.parts.iter_mut().enumerate() {
            let (found, all) = part.best_without(context, excluded);
            complete &= all;
            let price = context.price(number);
            best = best.max(found.map(|(entry, node)| (i64::from(entry.score) - price, entry.first, node)));
        }
        if !complete {
            best = None;
            for (number, _) in context.cluster.classes() {
                let entry = context.entry(number);
                let found = entry.and_then(|(part, entry)| {
                    let (entry, node) = context.first_without(entry, excluded)?;
                    Some((i64::from(entry.score) - context.price(part), entry.first, node))
                });
                best = best.max(found);
            }
        }
        best.map(|(_, _, node)| node)
    }

    /// The last answer that nothing fits, if the cluster has not changed since.
    pub(super) fn no_fit(&self, cluster: &Cluster) -> Option<NoFit> {
        self.no_fit.filter(|(version, _)| *version == cluster.log.version).map(|(_, no_fit)| no_fit)
    }

    pub(super) const fn remember_no_fit(&mut self, cluster: &Cluster, no_fit: NoFit) {
        self.no_fit = Some((cluster.log.version, no_fit));
    }

    fn part(&mut self, number: usize) -> Option<&mut Part> {
        if self.parts.len() <= number {
            self.parts.resize_with(number + 1, Part::default);
        }
        self.parts.get_mut(number)
    }

    /// Takes in what changed in the cluster since the last time.
    fn catch_up(&mut self, context: &mut Context<'_>) {
        let cluster = context.cluster;
        let changes = self.seen.and_then(|seen| Some((seen, cluster.log.since(seen)?)));
        let Some((seen, changes)) = changes else {
            self.rebuild(context);
            return;
        };
        let mut entries = 0;
        for (position, change) in changes {
            self.looked += 1;
            context.changed(seen, position, change.class, |part, entry| {
                if let Some(part) = self.part(part)
                    && part.floor.is_none_or(|floor| entry > floor)
                {
                    part.heap.push(entry);
                    entries = entries.max(part.heap.len());
                }
            });
        }
        self.seen = Some(cluster.log.end());
        if entries > 4 * self.keep {
            let keep = self.keep;
            let full = self.parts.iter_mut().filter(|part| part.heap.len() > 4 * keep);
            full.for_each(|part| part.compact(context, keep));
        }
    }

    /// Looks at all classes and keeps the best.
    fn rebuild(&mut self, context: &mut Context<'_>) {
        let classes = context.cluster.class_count();
        if self.seen.is_some() && self.looked < classes {
            self.keep *= 2;
        } else if self.looked > 16 * classes {
            self.keep /= 2;
        }
        let least = (classes / MIN_PART).max(MIN_KEEP);
        self.keep = self.keep.clamp(least, classes.max(least));
        let keep = self.keep;
        for part in &mut self.parts {
            part.heap.clear();
            part.floor = None;
        }
        for (number, _) in context.cluster.classes() {
            let Some((part, entry)) = context.entry(number) else { continue };
            if let Some(part) = self.part(part)
                && part.floor.is_none_or(|floor| entry > floor)
            {
                part.heap.push(entry);
                if part.heap.len() > 4 * keep {
                    part.cut(keep);
                }
            }
        }
        for part in &mut self.parts {
            if part.heap.len() > 2 * keep {
                part.cut(keep);
            }
        }
        self.seen = Some(context.cluster.log.end());
        self.looked = 0;
    }
}

impl Part {
    /// The top entry, made right, if it is above the floor.
    fn fresh_top(&mut self, context: &Context<'_>) -> Option<Entry> {
        loop {
            let mut top = self.heap.peek_mut()?;
            if self.floor.is_some_and(|floor| floor >= *top) {
                return None;
            }
            match context.refresh(*top) {
                Some(fresh) if fresh == *top => return Some(fresh),
                // It sinks to where the class now belongs.
                Some(fresh) => *top = fresh,
                None => {
                    std::collections::binary_heap::PeekMut::pop(top);
                }
            }
        }
    }

    /// The best entry with a node apart from some, and whether none that was left out can be better.
    fn best_without(&mut self, context: &Context<'_>, excluded: &[u32]) -> (Option<(Entry, u32)>, bool) {
        let mut aside = Vec::new();
        let mut best: Option<(Entry, u32)> = None;
        let mut complete = true;
        loop {
            let Some(top) = self.fresh_top(context) else {
                complete = self.floor.is_none();
                break;
            };
            if best.is_some_and(|(found, _)| found >= top) {
                break;
            }
            self.heap.pop();
            aside.push(top);
            best = best.max(context.first_without(top, excluded));
        }
        self.heap.extend(aside);
        (best, complete || best.is_some_and(|(found, _)| self.floor <= Some(found)))
    }

    /// Drops stale entries, keeps one of each class, and only the best if they are still many.
    fn compact(&mut self, context: &Context<'_>, keep: usize) {
        let entries = std::mem::take(&mut self.heap).into_iter();
        let mut entries: Vec<Entry> = entries.filter_map(|entry| context.refresh(entry)).collect();
        entries.sort_unstable_by_key(|entry| (entry.class, Reverse(*entry)));
        entries.dedup_by_key(|entry| entry.class);
        self.heap = entries.into();
        if self.heap.len() > 2 * keep {
            self.cut(keep);
        }
    }

    /// Keeps the best entries and raises the floor to the best of the others.
    fn cut(&mut self, keep: usize) {
        let mut entries = std::mem::take(&mut self.heap).into_vec();
        if keep < entries.len() {
            let (_, dropped, _) = entries.select_nth_unstable_by(keep, |a, b| b.cmp(a));
            self.floor = self.floor.max(Some(*dropped));
            entries.truncate(keep);
        }
        self.heap = entries.into();
    }
}
