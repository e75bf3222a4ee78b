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
        for value in row.iter_mut() {
            *value /= pivot;
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
    use crate::sched::demand::Demand;
    use proptest::prelude::*;

    /// A mix of shares of so many milli, each so often.
    fn mix(shares: &[(u32, u64)]) -> TaskMix {
        let demand = |milli| {
            let share = GpuDemand::Share(GpuMilli::from_u32(milli));
            Demand::new(CpuMilli::from_u32(1), MemoryMib::from_u32(1), StorageMib::ZERO, share, vec![])
                .unwrap()
        };
        let demands: Vec<(Demand, u64)> =
            shares.iter().map(|(milli, weight)| (demand(*milli), *weight)).collect();
        TaskMix::from_counts(demands.iter().map(|(demand, weight)| (demand, *weight)))
    }

    fn near(worth: &[i64], size: usize, millionths: i64) -> bool {
        (worth[size] - millionths).abs() <= 2
    }

    #[test]
    fn a_piece_is_worth_the_part_of_a_gpu_that_the_shares_in_it_cost() {
        let halves = worth(&mix(&[(500, 7)]));
        assert!(near(&halves, 49, 0) && near(&halves, 50, 500_000) && near(&halves, 99, 500_000));
        // Nothing goes beside it, so it costs a whole GPU, and what is left beside it is worth nothing.
        let large = worth(&mix(&[(810, 5)]));
        assert!(near(&large, 80, 0) && near(&large, 81, 1_000_000) && near(&large, 19, 0));
        // Either has its place beside the other, and together they cost a GPU.
        let pairs = worth(&mix(&[(650, 5), (320, 5)]));
        assert!((pairs[65] + pairs[32] - 1_000_000).abs() <= 2, "{} {}", pairs[65], pairs[32]);
        // Where there are more of the small ones, these go by threes, and a large one costs what is left.
        let many = worth(&mix(&[(650, 5), (320, 50)]));
        assert!(near(&many, 32, 333_333) && near(&many, 65, 666_667));
    }

    #[test]
    fn without_shares_only_a_whole_gpu_is_worth_anything() {
        let none = worth(&TaskMix::default());
        assert_eq!((none.len(), none[99], none[100]), (101, 0, 1_000_000));
    }

    /// On how many GPUs shares are packed one by one, the largest first, each on the first that has room.
    fn first_fit(shares: &[(u32, u64)]) -> i64 {
        let mut shares: Vec<u32> = shares
            .iter()
            .flat_map(|(milli, weight)| std::iter::repeat_n(*milli, usize::try_from(*weight).unwrap()))
            .collect();
        shares.sort_unstable_by(|a, b| b.cmp(a));
        let mut gpus: Vec<u32> = Vec::new();
        for share in shares {
            match gpus.iter_mut().find(|free| **free >= share) {
                Some(free) => *free -= share,
                None => gpus.push(1000 - share),
            }
        }
        i64::try_from(gpus.len()).unwrap()
    }

    proptest! {
        #[test]
        fn what_all_shares_cost_is_between_their_sum_and_any_way_to_pack_them(
            shares in prop::collection::vec((1_u32..100, 1_u64..40), 1..12)
        ) {
            let shares: Vec<(u32, u64)> = shares.into_iter().map(|(size, weight)| (size * 10, weight)).collect();
            let worth = worth(&mix(&shares));
            prop_assert!(worth.is_sorted());
            for size in 1..100 {
                // Two pieces are worth no more than one of both sizes.
                for other in 1..=100 - size {
                    prop_assert!(worth[size] + worth[other] <= worth[size + other] + 3);
                }
            }
            let cost: i64 = shares.iter().map(|(milli, weight)| {
                worth[usize::try_from(milli / 10).unwrap()] * i64::try_from(*weight).unwrap()
            }).sum();
            let sum: i64 = shares.iter().map(|(milli, weight)| i64::from(*milli) * 1000 * i64::try_from(*weight).unwrap()).sum();
            let rounding = 1000;
            prop_assert!(cost + rounding >= sum, "{cost} is less than what is asked for, {sum}");
            prop_assert!(cost <= first_fit(&shares) * 1_000_000 + rounding);
        }
    }
}
