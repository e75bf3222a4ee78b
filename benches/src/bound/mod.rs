//! What no run of the published experiment can exceed: an upper bound on the GPU that is allocated, for each
//! workload.
//!
//! The experiment ([`replay::inflate`]): tasks come one by one and never leave; one that fits nowhere is dropped.
//! What is bounded is the GPU milli allocated after so many arrivals, and so its mean over the moments at which the
//! demand offered rounds to 100 %, or to 130 %, of all GPU. There are two bounds, [`Ceiling::any_pct`] and
//! [`Ceiling::work_conserving_pct`].
//!
//! # Why nothing can exceed it
//!
//! Say that after some arrivals `x[i]` tasks of kind `i` run, each with a value `v[i]` of GPU milli, and that
//! `a[i, n]` of them run on node `n`. Give each kind any price `p[i]`, also a negative one. Then what is allocated is
//!
//! ```text
//! sum over i of v[i] x[i]  =  sum over i of p[i] x[i]  +  sum over n, i of (v[i] - p[i]) a[i, n]
//! ```
//!
//! and both sums are bounded, each for itself:
//!
//! - **The nodes.** Let a milli of cpu and a MiB of memory of a node have prices of their own, not negative. What
//!   the tasks of a node gain, `v - p` each, is then at most the price of all its cpu and memory, and beyond that
//!   what each of its GPUs can gain when a task also pays for the cpu and memory that it takes. One GPU holds
//!   shares of at most 1000 milli, the best of which are found exactly (a knapsack), or a part of a task with GPUs
//!   of its own, of which it gets an equal part. A node without a given GPU model holds no task that asks for it.
//!   Tasks without GPUs are never to gain anything: the prices of cpu and memory are raised until that is so.
//! - **The arrivals, for any placement.** Between none and all tasks of a kind that have come can run.
//! - **The arrivals, for a work-conserving policy**: one that places a task whenever it fits somewhere. Nothing is
//!   ever given back, so where a task has been refused, no task that asks for no less can be placed any more, on
//!   any node. So each kind has a moment, before which all its tasks were placed and after which none; and if one
//!   kind asks for no less than another in everything, then its moment is not later than the other's. The best such
//!   moments at the given prices are found exactly, from the very arrivals of the seed (in `order`). This is
//!   what makes the bound tight: an allocation that knows the future refuses tasks of 810 milli from the beginning,
//!   because nothing goes with them; a work-conserving policy that refuses one has to refuse each task with a GPU
//!   of its own from then on.
//!
//! Each of the sums is computed in whole numbers, for prices that are whole numbers. So the bound is a proof,
//! whatever the prices are; where they come from, a linear program in floating point, need not be trusted (in
//! `program`).
//!
//! # What it gives up
//!
//! Cpu and memory are those of all nodes of a shape together, so a task may take the cpu of one node and the GPU of
//! another; of several kinds below a rare kind, the order keeps one; and the order of arrivals enters by each kind's
//! moment alone, not by what was known then. So the best that is possible lies below the bound, by how much is not
//! known.
//!
//! Sources: Gilmore and Gomory, "A Linear Programming Approach to the Cutting-Stock Problem", Operations Research
//! 9, 1961 (fills as columns, priced by a knapsack); Geoffrion, "Lagrangean Relaxation for Integer Programming",
//! Mathematical Programming Study 2, 1974 (a bound for any prices); Weng et al., USENIX ATC 2023 (the experiment).

mod instance;
mod order;
mod prices;
mod program;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use replay::trace::{NodeRow, PodRow};

use instance::{Arrivals, Instance};
use order::{Order, edges};
use prices::{Fill, Prices, UNITS_PER_MILLI};
use program::Program;

/// How much prices are tilted, in parts of ten thousand.
const TILTS: [i64; 7] = [0, 5, 10, 20, 40, 80, 160];

/// What no run can exceed, in per cent of all GPU: with one seed, or in the mean of several.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ceiling {
    /// Of any placement, also of one that knows what will come, and refuses what would fit.
    pub any_pct: f64,
    /// Of a policy that places each task that fits somewhere when it comes, as all of ours and the published ones do.
    pub work_conserving_pct: f64,
}

/// What no run of the published experiment can exceed, seed by seed.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    /// The seeds, in the order in which they were given, with their ceilings at 100 % and at 130 % offered.
    pub seeds: Vec<(u64, Ceiling, Ceiling)>,
}

impl Bound {
    /// The mean at 100 % offered.
    pub fn at_100(&self) -> Ceiling {
        Ceiling::mean(self.seeds.iter().map(|(_, at_100, _)| at_100))
    }

    /// The mean at 130 % offered, which is the end.
    pub fn at_130(&self) -> Ceiling {
        Ceiling::mean(self.seeds.iter().map(|(_, _, at_130)| at_130))
    }
}

/// Bounds the published experiment for one workload and some seeds.
///
/// Prices are sought once for the mean of all seeds, and proved for each seed by itself: so what holds for a seed holds
/// for each run with it, and the more alike the arrivals of the seeds are, the tighter it is.
pub fn bound(nodes: &[NodeRow], pods: &[PodRow], seeds: &[u64]) -> Bound {
    let instance = Instance::new(nodes, pods.iter().filter_map(PodRow::demand));
    let drawn: Vec<Arrivals> =
        seeds.iter().map(|&seed| Arrivals::draw(&instance, nodes, pods, seed)).collect();
    let mut fills = Fill::plain(&instance).into_iter().collect();
    let at_100 = ceilings(&instance, &drawn, 100, &mut fills);
    let at_130 = ceilings(&instance, &drawn, 130, &mut fills);
    let columns = at_100.into_iter().zip(at_130);
    Bound {
        seeds: seeds.iter().zip(columns).map(|(seed, (at_100, at_130))| (*seed, at_100, at_130)).collect(),
    }
}

/// The ceilings of each seed's arrivals in a column.
fn ceilings(
    instance: &Instance,
    drawn: &[Arrivals],
    column: usize,
    fills: &mut BTreeSet<Fill>,
) -> Vec<Ceiling> {
    let kinds = instance.kinds.len();
    let mut supply = vec![0.0; kinds];
    for arrivals in drawn {
        let counts = arrivals.supply(column, kinds);
        supply.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count / real_of(drawn.len()));
    }
    let supply = &supply;
    let any = Program { instance, supply, edges: &[] }.solve(fills);
    let all = edges(instance);
    let found = Program { instance, supply, edges: &all }.solve(fills);
    let order = Order::heaviest(kinds, &all, &found.weights);
    let kept = order.keeps(&all, supply);
    let found = Program { instance, supply, edges: &kept }.solve(fills);
    let order = order.tied(&kept, &found.weights, supply);
    let none = Order::none(kinds);
    let ceiling = |arrivals: &Arrivals| {
        let any_pct = mean_pct(instance, &any.prices, &none, arrivals, column);
        // What holds for any placement holds for these too.
        let work_conserving_pct = any_pct.min(tilted_pct(instance, &found.prices, &order, arrivals, column));
        Ceiling { any_pct, work_conserving_pct }
    };
    drawn.iter().map(ceiling).collect()
}

/// The least of the bounds at prices that are tilted more and more.
///
/// At the prices found all moments of refusal are worth the same in the mean, so that for a seed the luckiest of all
/// moments counts. Tilted a little, early moments are worth less, and the last ones hardly more. The bound is convex in
/// the tilt: once it rises it goes on rising.
fn tilted_pct(
    instance: &Instance,
    prices: &Prices,
    order: &Order,
    arrivals: &Arrivals,
    column: usize,
) -> f64 {
    let mut least = f64::INFINITY;
    for tilt in TILTS {
        let pct = mean_pct(instance, &prices.tilted(instance, tilt), order, arrivals, column);
        if pct >= least {
            break;
        }
        least = pct;
    }
    least
}

/// The mean of the bound over the moments of a column, in per cent of all GPU.
fn mean_pct(instance: &Instance, prices: &Prices, order: &Order, arrivals: &Arrivals, column: usize) -> f64 {
    let moments = arrivals.moments(column);
    let nodes = prices.worth_of_nodes(instance);
    let most = order.most(&prices.kinds, arrivals, *moments.end());
    let capacity = instance.capacity_milli() * UNITS_PER_MILLI;
    let many = moments.clone().count();
    let sum: f64 = moments.map(|moment| real(at(&most, moment).saturating_add(nodes).min(capacity))).sum();
    100.0 * sum / real(capacity.max(1)) / real_of(many.max(1))
}

impl Ceiling {
    fn mean<'a>(ceilings: impl Iterator<Item = &'a Self>) -> Self {
        let (mut sum, mut count) = (Self { any_pct: 0.0, work_conserving_pct: 0.0 }, 0);
        for ceiling in ceilings {
            sum.any_pct += ceiling.any_pct;
            sum.work_conserving_pct += ceiling.work_conserving_pct;
            count += 1;
        }
        let count = real_of(count.max(1));
        Self { any_pct: sum.any_pct / count, work_conserving_pct: sum.work_conserving_pct / count }
    }
}

/// An element, or the default where there is none.
fn at<T: Copy + Default>(list: &[T], position: usize) -> T {
    list.get(position).copied().unwrap_or_default()
}

/// Adds to an element, where there is one.
fn add(list: &mut [i64], position: usize, summand: i64) {
    if let Some(element) = list.get_mut(position) {
        *element += summand;
    }
}

#[expect(clippy::cast_precision_loss, reason = "for figures and for the solver, which need not be exact")]
fn real(number: i64) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "for figures and for the solver, which need not be exact")]
fn real_of(count: usize) -> f64 {
    count as f64
}

#[expect(clippy::cast_possible_truncation, reason = "it is within the limit, which is far below 2^53")]
fn rounded(number: f64, limit: i64) -> i64 {
    if number.is_nan() { 0 } else { number.clamp(-real(limit), real(limit)).round() as i64 }
}
