//! What is remembered of one shape of demand: [`Memo`].

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::cluster::Cluster;
use super::demand::Demand;
use super::members::NodeKey;
use super::placement::NoFit;
use super::scorer::Scorer;

/// The classes that a demand fits, the best on top.
///
/// An entry is right when it is made. It goes stale when the class is gone or has lost its first node, which is noticed
/// when the entry comes to the top: a class never gets better without an entry in the change log. So a decision looks
/// at the classes that are new since the last decision for this shape, and at the stale entries above the best.
#[derive(Debug, Clone, Default)]
pub(super) struct Memo {
    heap: BinaryHeap<Entry>,
    /// The position in the change log up to which `heap` is complete; `None` before the first use.
    seen: Option<u64>,
    /// That nothing fits, at this version of the cluster.
    no_fit: Option<(u64, NoFit)>,
}

/// A class and its score; the greatest entry is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    score: i64,
    first: Reverse<NodeKey>,
    class: u32,
    stamp: u64,
}

impl Memo {
    /// How many entries are kept.
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Takes in what changed in the cluster since the last time.
    pub(super) fn catch_up(&mut self, cluster: &Cluster, demand: &Demand, scorer: &mut Scorer) {
        let mut new = std::mem::take(&mut self.heap);
        let mut consider = |number: u32, after: Option<u64>| {
            let Some(class) = cluster.class(number) else {
                return;
            };
            // Of several entries for a class only the last counts.
            if after.is_some_and(|position| class.changed != position)
                || cluster.judge(&class.state, demand).is_err()
            {
                return;
            }
            if let Some(first) = cluster.first_key(class) {
                let score = scorer.score(cluster, &class.state, demand);
                new.push(Entry {
                    score,
                    first: Reverse(first),
                    class: number,
                    stamp: class.stamp,
                });
            }
        };
        match self.seen.and_then(|seen| cluster.log.since(seen)) {
            Some(changes) => changes.for_each(|(position, class)| consider(class, Some(position))),
            None => {
                cluster.classes().for_each(|(class, _)| consider(class, None));
            }
        }
        self.heap = new;
        self.seen = Some(cluster.log.end());
        if self.heap.len() > 2 * cluster.class_count() + 64 {
            self.compact(cluster);
        }
    }

    /// The first node of the best class.
    pub(super) fn best(&mut self, cluster: &Cluster) -> Option<u32> {
        loop {
            let top = *self.heap.peek()?;
            match refresh(cluster, top) {
                Some(fresh) if fresh == top => return cluster.class(top.class)?.members.first(),
                Some(fresh) => {
                    // The top goes down to where the class now belongs.
                    *self.heap.peek_mut()? = fresh;
                }
                None => {
                    self.heap.pop();
                }
            }
        }
    }

    /// The best node apart from some.
    pub(super) fn best_without(&mut self, cluster: &Cluster, excluded: &[u32]) -> Option<u32> {
        let mut aside = Vec::new();
        let mut best: Option<(Entry, u32)> = None;
        while self.best(cluster).is_some() {
            let Some(top) = self.heap.peek().copied() else {
                break;
            };
            if best.is_some_and(|(found, _)| found >= top) {
                break;
            }
            self.heap.pop();
            aside.push(top);
            let Some(class) = cluster.class(top.class) else {
                continue;
            };
            let Some(node) = class.members.iter().find(|node| !excluded.contains(node)) else {
                continue;
            };
            let Some(key) = cluster.node(node).map(|node| node.key) else {
                continue;
            };
            let candidate = Entry {
                first: Reverse(key),
                ..top
            };
            if best.is_none_or(|(found, _)| candidate > found) {
                best = Some((candidate, node));
            }
        }
        self.heap.extend(aside);
        best.map(|(_, node)| node)
    }

    /// The last answer that nothing fits, if the cluster has not changed since.
    pub(super) fn no_fit(&self, cluster: &Cluster) -> Option<NoFit> {
        self.no_fit
            .filter(|(version, _)| *version == cluster.log.version)
            .map(|(_, no_fit)| no_fit)
    }

    pub(super) const fn remember_no_fit(&mut self, cluster: &Cluster, no_fit: NoFit) {
        self.no_fit = Some((cluster.log.version, no_fit));
    }

    /// Drops stale entries and keeps one of each class.
    fn compact(&mut self, cluster: &Cluster) {
        let mut entries: Vec<Entry> = std::mem::take(&mut self.heap)
            .into_iter()
            .filter_map(|entry| refresh(cluster, entry))
            .collect();
        entries.sort_unstable_by_key(|entry| entry.class);
        entries.dedup_by_key(|entry| entry.class);
        self.heap = entries.into();
    }
}

/// The entry as it would be made now, or `None` if its class is gone.
fn refresh(cluster: &Cluster, entry: Entry) -> Option<Entry> {
    let class = cluster
        .class(entry.class)
        .filter(|class| class.stamp == entry.stamp)?;
    Some(Entry {
        first: Reverse(cluster.first_key(class)?),
        ..entry
    })
}
