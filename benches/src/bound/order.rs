//! Which kinds are refused before which: [`Order`], and what arrivals can be worth when it is kept.

use super::instance::{Arrivals, Instance};
use super::prices::Prices;
use super::{add, at};

/// Of a kind that comes so often, more than one edge is kept: that it has come is then no matter of chance.
const COMMON: f64 = 30.0;

/// That one kind asks for no less than another: from the moment at which the lower one is refused, the upper one is
/// refused too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) upper: usize,
    pub(super) lower: usize,
}

/// All edges between kinds that do not follow from others.
pub(super) fn edges(instance: &Instance) -> Vec<Edge> {
    let kinds = &instance.kinds;
    // Kinds differ, so that each asks for no less than another in one direction only.
    let below: Vec<Vec<usize>> = kinds
        .iter()
        .map(|upper| {
            let lower = kinds.iter().enumerate().filter(|(_, lower)| upper.asks_no_less_than(lower));
            lower.filter(|(_, lower)| *lower != upper).map(|(at, _)| at).collect()
        })
        .collect();
    let mut edges = Vec::new();
    for (upper, lowers) in below.iter().enumerate() {
        let between = |lower: usize| {
            lowers
                .iter()
                .filter_map(|middle| below.get(*middle))
                .any(|further| further.binary_search(&lower).is_ok())
        };
        edges.extend(lowers.iter().filter(|lower| !between(**lower)).map(|&lower| Edge { upper, lower }));
    }
    edges
}

/// A forest of kinds: each but the roots is refused no later than its parent, which asks for less.
///
/// Of the kinds below a kind only one can be its parent. To others it can be tied: then a part of its price is paid for
/// what came up to the moment of the other kind, and the rest up to its own. What is given up only raises the bound.
#[derive(Debug, Clone)]
pub(super) struct Order {
    parents: Vec<Option<usize>>,
    /// Children before their parents.
    upward: Vec<usize>,
    /// With the part of the price of each upper task, which is not negative.
    ties: Vec<(Edge, i64)>,
}

impl Order {
    /// Without any edge. It holds for each subset of the arrivals, also for one that refuses what would fit.
    pub(super) fn none(kinds: usize) -> Self {
        Self { parents: vec![None; kinds], upward: (0..kinds).collect(), ties: Vec::new() }
    }

    /// Takes for each kind the edge with the greatest weight.
    pub(super) fn heaviest(kinds: usize, edges: &[Edge], weights: &[f64]) -> Self {
        let mut best: Vec<Option<(f64, usize)>> = vec![None; kinds];
        for (edge, weight) in edges.iter().zip(weights) {
            if let Some(best) = best.get_mut(edge.upper)
                && best.is_none_or(|(heaviest, _)| heaviest < *weight)
            {
                *best = Some((*weight, edge.lower));
            }
        }
        let parents: Vec<Option<usize>> = best.into_iter().map(|best| best.map(|(_, lower)| lower)).collect();
        let depth =
            |kind: usize| std::iter::successors(at(&parents, kind), |kind| at(&parents, *kind)).count();
        let mut upward: Vec<usize> = (0..kinds).collect();
        upward.sort_by_key(|kind| std::cmp::Reverse(depth(*kind)));
        Self { parents, upward, ties: Vec::new() }
    }

    /// The edges to parents, and of the others those that may become ties.
    pub(super) fn keeps(&self, edges: &[Edge], supply: &[f64]) -> Vec<Edge> {
        let keeps = |edge: &&Edge| self.is_to_parent(edge) || at(supply, edge.upper) >= COMMON;
        edges.iter().filter(keeps).copied().collect()
    }

    /// Ties kinds by the edges that are not to parents, so much as their weights say.
    pub(super) fn tied(mut self, edges: &[Edge], weights: &[f64], supply: &[f64]) -> Self {
        for (edge, weight) in edges.iter().zip(weights).filter(|(_, weight)| **weight > 0.0) {
            if !self.is_to_parent(edge) {
                self.ties.push((*edge, Prices::of_each(*weight, at(supply, edge.upper))));
            }
        }
        self
    }

    fn is_to_parent(&self, edge: &Edge) -> bool {
        at(&self.parents, edge.upper) == Some(edge.lower)
    }

    /// What each arrival, by its kind, is worth up to the moment of a kind.
    fn parts(&self, kind: usize, prices: &[i64]) -> Vec<i64> {
        let mut parts = vec![0; prices.len()];
        add(&mut parts, kind, at(prices, kind));
        for (edge, part) in &self.ties {
            if edge.upper == kind {
                add(&mut parts, kind, -part);
            } else if edge.lower == kind {
                add(&mut parts, edge.upper, *part);
            }
        }
        parts
    }

    /// After each number of arrivals, from none to `until`, the most that what was placed can be worth at the prices of
    /// its kinds.
    ///
    /// Each kind is placed whenever it comes up to some moment, and never after it; a kind's moment is no later than
    /// that of its parent. The best moments are found exactly, from the leaves down: for each moment of the parent, the
    /// best of its children up to then is known.
    pub(super) fn most(&self, prices: &[i64], arrivals: &Arrivals, until: usize) -> Vec<i64> {
        let mut total = vec![0; until + 1];
        let mut above: Vec<Option<Vec<i64>>> = vec![None; self.parents.len()];
        for &kind in &self.upward {
            // What the kinds above this one are worth, if they are refused by a moment at the latest.
            let mut worth = above.get_mut(kind).and_then(Option::take).unwrap_or_else(|| vec![0; until + 1]);
            let parts = self.parts(kind, prices);
            let (mut placed, mut best) = (0, i64::MIN);
            // The first entry is before the first arrival.
            let came = std::iter::once(&None).chain(&arrivals.kinds);
            for (worth, came) in worth.iter_mut().zip(came) {
                placed += came.map_or(0, |came| at(&parts, came));
                best = best.max(*worth + placed);
                *worth = best;
            }
            let sum = match at(&self.parents, kind).and_then(|parent| above.get_mut(parent)) {
                Some(sum) => sum.get_or_insert_with(|| vec![0; until + 1]),
                None => &mut total,
            };
            sum.iter_mut().zip(&worth).for_each(|(sum, worth)| *sum += worth);
        }
        total
    }
}
