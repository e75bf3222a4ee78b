//! What is remembered of one shape of demand: [`Memo`].

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::cluster::Cluster;
use super::demand::Demand;
use super::members::NodeKey;
use super::placement::NoFit;
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
/// Only the best are kept, down to a *floor*: whatever was left out is not better than that. When the top sinks to the
/// floor all classes are looked at again. How many are kept adapts, so that this costs about as much as following the
/// changes does.
#[derive(Debug, Clone)]
pub(super) struct Memo {
    heap: BinaryHeap<Entry>,
    /// The best entry that was left out since all classes were looked at.
    floor: Option<Entry>,
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

impl Default for Memo {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
            floor: None,
            keep: MIN_KEEP,
            looked: 0,
            seen: None,
            no_fit: None,
            used: 0,
        }
    }
}

/// A class and its score; the greatest entry is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    score: i32,
    first: Reverse<NodeKey>,
    class: u32,
    stamp: u64,
}

/// Where to look classes up and how to score them.
pub(super) struct Context<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) demand: &'a Demand,
    pub(super) scorer: &'a mut Scorer,
}

impl Context<'_> {
    /// The entry of a class as it is now, if the demand fits it.
    fn entry(&mut self, number: u32) -> Option<Entry> {
        let class = self.cluster.class(number)?;
        self.cluster.judge(&class.state, self.demand).ok()?;
        let score = self.scorer.score(self.cluster, number, class, self.demand);
        Some(Entry { score, first: Reverse(class.first), class: number, stamp: class.stamp })
    }
}

impl Memo {
    /// How many entries are kept.
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    /// The first node of the best class, after taking in what changed since the last time.
    pub(super) fn best(&mut self, context: &mut Context<'_>) -> Option<u32> {
        self.catch_up(context);
        loop {
            match self.fresh_top(context.cluster) {
                Some(top) => return context.cluster.class(top.class)?.members.first(),
                None if self.floor.is_none() => return None,
                None => self.rebuild(context),
            }
        }
    }

    /// The best node apart from some.
    pub(super) fn best_without(&mut self, context: &mut Context<'_>, excluded: &[u32]) -> Option<u32> {
        self.catch_up(context);
        let cluster = context.cluster;
        let mut aside = Vec::new();
        let mut best: Option<(Entry, u32)> = None;
        let mut complete = true;
        loop {
            let Some(top) = self.fresh_top(cluster) else {
                complete = self.floor.is_none();
                break;
            };
            if best.is_some_and(|(found, _)| found >= top) {
                break;
            }
            self.heap.pop();
            aside.push(top);
            best = best.max(first_without(cluster, top, excluded));
        }
        self.heap.extend(aside);
        if !complete && best.is_none_or(|(found, _)| self.floor > Some(found)) {
            let all = cluster.classes().filter_map(|(number, _)| context.entry(number));
            best = all.filter_map(|entry| first_without(cluster, entry, excluded)).max();
        }
        best.map(|(_, node)| node)
    }

    /// The last answer that nothing fits, if the cluster has not changed since.
    pub(super) fn no_fit(&self, cluster: &Cluster) -> Option<NoFit> {
        self.no_fit.filter(|(version, _)| *version == cluster.log.version).map(|(_, no_fit)| no_fit)
    }

    pub(super) const fn remember_no_fit(&mut self, cluster: &Cluster, no_fit: NoFit) {
        self.no_fit = Some((cluster.log.version, no_fit));
    }

    /// The top entry, made right, if it is above the floor.
    fn fresh_top(&mut self, cluster: &Cluster) -> Option<Entry> {
        loop {
            let mut top = self.heap.peek_mut()?;
            if self.floor.is_some_and(|floor| floor >= *top) {
                return None;
            }
            match refresh(cluster, *top) {
                Some(fresh) if fresh == *top => return Some(fresh),
                // It sinks to where the class now belongs.
                Some(fresh) => *top = fresh,
                None => {
                    std::collections::binary_heap::PeekMut::pop(top);
                }
            }
        }
    }

    /// Takes in what changed in the cluster since the last time.
    fn catch_up(&mut self, context: &mut Context<'_>) {
        let cluster = context.cluster;
        let Some(changes) = self.seen.and_then(|seen| cluster.log.since(seen)) else {
            self.rebuild(context);
            return;
        };
        for (position, number) in changes {
            self.looked += 1;
            // Of several changes of a class only the last counts.
            if cluster.class(number).is_none_or(|class| class.changed != position) {
                continue;
            }
            if let Some(entry) = context.entry(number)
                && self.floor.is_none_or(|floor| entry > floor)
            {
                self.heap.push(entry);
            }
        }
        self.seen = Some(cluster.log.end());
        if self.heap.len() > 4 * self.keep {
            self.compact(cluster);
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
        let mut entries = std::mem::take(&mut self.heap).into_vec();
        entries.clear();
        self.floor = None;
        for (number, _) in context.cluster.classes() {
            if let Some(entry) = context.entry(number)
                && self.floor.is_none_or(|floor| entry > floor)
            {
                entries.push(entry);
                if entries.len() > 4 * self.keep {
                    self.cut(&mut entries);
                }
            }
        }
        if entries.len() > 2 * self.keep {
            self.cut(&mut entries);
        }
        self.heap = entries.into();
        self.seen = Some(context.cluster.log.end());
        self.looked = 0;
    }

    /// Drops stale entries, keeps one of each class, and only the best if they are still many.
    fn compact(&mut self, cluster: &Cluster) {
        let entries = std::mem::take(&mut self.heap).into_iter();
        let mut entries: Vec<Entry> = entries.filter_map(|entry| refresh(cluster, entry)).collect();
        entries.sort_unstable_by_key(|entry| entry.class);
        entries.dedup_by_key(|entry| entry.class);
        if entries.len() > 2 * self.keep {
            self.cut(&mut entries);
        }
        self.heap = entries.into();
    }

    /// Keeps the best entries and raises the floor to the best of the others.
    fn cut(&mut self, entries: &mut Vec<Entry>) {
        if self.keep < entries.len() {
            let (_, dropped, _) = entries.select_nth_unstable_by(self.keep, |a, b| b.cmp(a));
            self.floor = self.floor.max(Some(*dropped));
            entries.truncate(self.keep);
        }
    }
}

/// The entry as it would be made now, or `None` if its class is gone.
fn refresh(cluster: &Cluster, entry: Entry) -> Option<Entry> {
    let class = cluster.class(entry.class).filter(|class| class.stamp == entry.stamp)?;
    Some(Entry { first: Reverse(class.first), ..entry })
}

/// The first node of a class that is not excluded, with the entry that the class would have if this were its first.
fn first_without(cluster: &Cluster, entry: Entry, excluded: &[u32]) -> Option<(Entry, u32)> {
    let node = cluster.class(entry.class)?.members.iter().find(|node| !excluded.contains(node))?;
    Some((Entry { first: Reverse(cluster.node(node)?.key), ..entry }, node))
}
