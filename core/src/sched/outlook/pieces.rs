//! What a piece of a GPU is worth: [`worth`].
//!
//! Suppose that the shares of the mix were to be packed on as few GPUs as possible, with whatever fraction of a GPU may be
//! packed in one way or another: the cutting-stock problem. Its dual gives each share a value, the part of a GPU that it
//! costs where all is packed as well as can be; no set of shares that fits one GPU is worth more than 1. A piece of a
//! GPU is worth the most that shares which fit it are worth together.
//!
//! Solved by generating columns: Gilmore and Gomory, "A Linear Programming Approach to the Cutting-Stock Problem",
//! Operations Research 9(6), 1961. The shares are rounded up to hundredths of a GPU.

use std::collections::BTreeMap;

use crate::sched::demand::GpuDemand;
use crate::sched::mix::TaskMix;

/// Parts of a GPU that are told apart.
const PARTS: usize = 100;

/// A column must be better than the best so far by this to be worth a step: far above what rounding can do.
const EPSILON: f64 = 1e-9;

/// The most steps: columns are few, so this is only a bound.
const MAX_STEPS: usize = 2_000;

/// The worth of pieces of 0 to 100 hundredths of a GPU, in millionths of a GPU. Never falls.
///
/// Where the mix has no shares, only a whole GPU is worth anything.
pub(in crate::sched) fn worth(mix: &TaskMix) -> Vec<i64> {
    let mut wanted: BTreeMap<usize, f64> = BTreeMap::new();
    for kind in mix.kinds() {
        if let GpuDemand::Share(milli) = kind.gpu {
            let size = usize::try_from(milli.get()).unwrap_or(PARTS).div_ceil(10).clamp(1, PARTS);
            *wanted.entry(size).or_insert(0.0) += as_f64(kind.weight);
        }
    }
    let sizes: Vec<usize> = wanted.keys().copied().collect();
    let values = Stock::new(&wanted).solve();
    let (worth, _) = knapsack(&sizes, &values);
    let mut worth: Vec<i64> = worth.into_iter().map(millionths).collect();
    if let Some(whole) = worth.last_mut() {
        *whole = 1_000_000;
    }
    worth
}

#[expect(clippy::cast_precision_loss, reason = "how often a kind comes, to be set beside others")]
const fn as_f64(weight: u64) -> f64 {
    weight as f64
}

#[expect(clippy::cast_possible_truncation, reason = "between 0 and 1 GPU, rounded on purpose")]
fn millionths(worth: f64) -> i64 {
    (worth.clamp(0.0, 1.0) * 1e6).round() as i64
}

/// The most that shares which fit are worth together, for each size of a piece, and the last share taken.
fn knapsack(sizes: &[usize], values: &[f64]) -> (Vec<f64>, Vec<Option<usize>>) {
    let mut best = vec![0.0; PARTS + 1];
    let mut taken = vec![None; PARTS + 1];
    for room in 1..=PARTS {
        let (mut most, mut last) = (best.get(room - 1).copied().unwrap_or(0.0), None);
        for (at, (&size, &value)) in sizes.iter().zip(values).enumerate() {
            let rest = room.checked_sub(size).and_then(|rest| best.get(rest));
            if let Some(rest) = rest.filter(|rest| *rest + value > most + EPSILON) {
                (most, last) = (rest + value, Some(at));
            }
        }
        if let (Some(best), Some(taken)) = (best.get_mut(room), taken.get_mut(room)) {
            (*best, *taken) = (most, last);
        }
    }
    (best, taken)
}

/// The cutting-stock problem and a basis of its columns.
struct Stock {
    sizes: Vec<usize>,
    /// The inverse of the basis, row by row; a row belongs to the column that is in the basis at this place.
    inverse: Vec<Vec<f64>>,
    /// How many GPUs are packed by each column of the basis.
    used: Vec<f64>,
}

impl Stock {
    /// Begins with GPUs that hold shares of one size only.
    fn new(wanted: &BTreeMap<usize, f64>) -> Self {
        let all: f64 = wanted.values().sum();
        let width = wanted.len();
        let mut inverse = Vec::new();
        let mut used = Vec::new();
        for (at, (&size, &wanted)) in wanted.iter().enumerate() {
            let fits = as_f64(u64::try_from(PARTS / size).unwrap_or(1));
            inverse.push((0..width).map(|other| if other == at { 1.0 / fits } else { 0.0 }).collect());
            used.push(wanted / all / fits);
        }
        Self { sizes: wanted.keys().copied().collect(), inverse, used }
    }

    /// The value of a share of each size.
    fn solve(mut self) -> Vec<f64> {
        for _ in 0..MAX_STEPS {
            let values = self.values();
            let (worth, taken) = knapsack(&self.sizes, &values);
            if worth.last().is_none_or(|worth| *worth <= 1.0 + EPSILON) {
                return values;
            }
            self.enter(&self.column(&taken));
        }
        self.values()
    }

    /// The values under which each column of the basis is worth one GPU.
    fn values(&self) -> Vec<f64> {
        let width = self.sizes.len();
        (0..width).map(|at| self.inverse.iter().filter_map(|row| row.get(at)).sum()).collect()
    }

    /// How many shares of each size the best column holds.
    fn column(&self, taken: &[Option<usize>]) -> Vec<f64> {
        let mut column = vec![0.0; self.sizes.len()];
        let mut room = PARTS;
        while room > 0 {
            match taken.get(room).copied().flatten() {
                None => room -= 1,
                Some(at) => {
                    if let Some(held) = column.get_mut(at) {
                        *held += 1.0;
                    }
                    room -= self.sizes.get(at).copied().unwrap_or(room).min(room);
                }
            }
        }
        column
    }

    /// Takes a column into the basis, and out of it the first that would be used less than nothing.
    fn enter(&mut self, column: &[f64]) {
        let dot = |row: &Vec<f64>| row.iter().zip(column).map(|(a, b)| a * b).sum::<f64>();
        let step: Vec<f64> = self.inverse.iter().map(dot).collect();
        let mut leaves: Option<(f64, usize)> = None;
        for (at, (used, step)) in self.used.iter().zip(&step).enumerate() {
            let ratio = used / step;
            if *step > EPSILON && leaves.is_none_or(|(least, _)| ratio < least) {
                leaves = Some((ratio, at));
            }
        }
        let Some((ratio, leaving)) = leaves else { return };
        let pivot = step.get(leaving).copied().unwrap_or(1.0);
        let Some(row) = self.inverse.get_mut(leaving) else { return };
        row.iter_mut().for_each(|value| *value /= pivot);
        let row = row.clone();
        for (at, (other, step)) in self.inverse.iter_mut().zip(&step).enumerate() {
            if at != leaving {
                other.iter_mut().zip(&row).for_each(|(value, pivot)| *value -= step * pivot);
            }
        }
        for (at, (used, step)) in self.used.iter_mut().zip(&step).enumerate() {
            *used = if at == leaving { ratio } else { (*used - ratio * step).max(0.0) };
        }
    }
}
