//! Prices that prove a bound which is near the best that prices can: [`prices`].

use std::cmp::Reverse;

use super::dual::{Alike, ONE, Pattern, Prices, Room};
use crate::sched::class::WHOLE;

/// How many kinds of GPUs, by what is on them, the program is about: the most frequent.
const MOST_KINDS: usize = 200;
/// How many entries of matrices and tables are looked at in all: a second or less.
const MOST_WORK: usize = 500_000_000;
/// A column must be better by this to be worth a pivot, and an entry of a matrix at least that large: far above what rounding
/// can do.
const EPSILON: f64 = 1e-9;
/// How wide a piece of a GPU may be.
const WIDTHS: usize = WHOLE as usize;
/// By how much a right-hand side is off, so that few bases are degenerate.
const OFF: f64 = 1e-7;

/// The multipliers of a linear program: which patterns, and how often, leave the most GPUs idle where every share is
/// somewhere and no more than so many are elsewhere. Solved by generating columns: Gilmore and Gomory, "A Linear
/// Programming Approach to the Cutting-Stock Problem", Operations Research 9(6), 1961.
///
/// Whatever comes out is good for a proof, so nothing depends on how exact this is.
pub(super) fn prices(room: &Room) -> Prices {
    let mut kinds: Vec<&Alike> = room.gpus.iter().collect();
    kinds.sort_by_key(|kind| Reverse(kind.count));
    kinds.truncate(MOST_KINDS);
    let mut program = Program::new(room, kinds);
    while program.work < MOST_WORK && program.improve(room) {}
    program.prices()
}

/// A basis of the program: a row for each kind of GPU, then one for each size, then one for the moves.
struct Program<'a> {
    kinds: Vec<&'a Alike>,
    /// The inverse of the basis, and beside each row how often its column is taken.
    rows: Vec<(Vec<f64>, f64)>,
    /// What each row is worth.
    duals: Vec<f64>,
    pivots: usize,
    work: usize,
}

impl<'a> Program<'a> {
    /// Everything stays where it is.
    fn new(room: &Room, kinds: Vec<&'a Alike>) -> Self {
        let of_sizes = kinds.len();
        let all = of_sizes + room.sizes.len() + 1;
        let unit = |row: usize| (0..all).map(|at| if at == row { 1.0 } else { 0.0 }).collect::<Vec<f64>>();
        let mut rows: Vec<(Vec<f64>, f64)> =
            kinds.iter().enumerate().map(|(row, kind)| (unit(row), as_f64(kind.count))).collect();
        let mut off = OFF;
        for size in 0..room.sizes.len() {
            let mut row = unit(of_sizes + size);
            for (entry, kind) in row.iter_mut().zip(&kinds) {
                let held = kind.held.iter().filter(|(held, _)| *held == size);
                *entry = held.map(|(_, count)| as_f64(*count)).sum();
            }
            off += OFF / 3.0;
            rows.push((row, off));
        }
        rows.push((unit(all - 1), as_f64(room.moves) + OFF));
        Self { kinds, rows, duals: vec![0.0; all], pivots: 0, work: 0 }
    }

    /// Brings in a better pattern for every kind of GPU, and what is not used of a row that is worth less than nothing.
    fn improve(&mut self, room: &Room) -> bool {
        let before = self.pivots;
        for row in self.kinds.len()..self.duals.len() {
            if self.duals.get(row).is_some_and(|dual| *dual < -EPSILON) {
                self.enter(&[(row, 1.0)], 0.0);
            }
        }
        let prices = self.prices();
        let come = room.come(&prices);
        self.work += room.sizes.len() * WIDTHS + self.kinds.iter().map(|kind| kind.ways()).sum::<usize>();
        for kind in 0..self.kinds.len() {
            let best = self.kinds.get(kind).map(|alike| alike.best(room, &prices, &come).1);
            if let Some(pattern) = best {
                self.enter(&self.column(kind, &pattern), if pattern.idle { 1.0 } else { 0.0 });
            }
        }
        self.pivots > before
    }

    fn column(&self, kind: usize, pattern: &Pattern) -> Vec<(usize, f64)> {
        let of_sizes = self.kinds.len();
        let kept = pattern.kept.iter().map(|(size, count)| (of_sizes + size, -as_f64(*count)));
        let come = pattern.come.iter().map(|size| (of_sizes + size, -1.0));
        let steps = pattern.come.iter().map(|_| (self.duals.len() - 1, 1.0));
        std::iter::once((kind, 1.0)).chain(kept).chain(come).chain(steps).collect()
    }

    /// Takes a column into the basis if that is better.
    fn enter(&mut self, column: &[(usize, f64)], worth: f64) {
        let times = |row: &[f64]| -> f64 {
            column.iter().map(|(at, entry)| row.get(*at).map_or(0.0, |other| other * entry)).sum()
        };
        let gain = worth - times(&self.duals);
        if gain <= EPSILON {
            return;
        }
        let entries: Vec<f64> = self.rows.iter().map(|(row, _)| times(row)).collect();
        let ratios =
            entries.iter().zip(&self.rows).map(|(entry, (_, level))| (*entry, level.max(0.0) / entry));
        let ratios = ratios.enumerate().filter(|(_, (entry, _))| *entry > EPSILON);
        let Some((leaving, _)) = ratios.min_by(|(_, (_, a)), (_, (_, b))| a.total_cmp(b)) else {
            return;
        };
        let (Some(pivot), Some((mut row, mut level))) =
            (entries.get(leaving), self.rows.get_mut(leaving).map(std::mem::take))
        else {
            return;
        };
        for entry in &mut row {
            *entry /= pivot;
        }
        level /= pivot;
        for ((other, other_level), entry) in self.rows.iter_mut().zip(&entries) {
            if *entry != 0.0 {
                other.iter_mut().zip(&row).for_each(|(to, from)| *to -= entry * from);
                *other_level -= entry * level;
            }
        }
        self.duals.iter_mut().zip(&row).for_each(|(to, from)| *to += gain * from);
        if let Some(place) = self.rows.get_mut(leaving) {
            *place = (row, level);
        }
        self.pivots += 1;
        self.work += self.duals.len().pow(2);
    }

    fn prices(&self) -> Prices {
        let mut of_sizes = self.duals.get(self.kinds.len()..).unwrap_or(&[]).iter().map(|dual| price(*dual));
        let step = of_sizes.next_back().unwrap_or(0);
        Prices { shares: of_sizes.collect(), step }
    }
}

#[expect(clippy::cast_precision_loss, reason = "how many GPUs or shares there are")]
const fn as_f64(count: i64) -> f64 {
    count as f64
}

#[expect(clippy::cast_possible_truncation, reason = "a price is rounded on purpose")]
fn price(dual: f64) -> i64 {
    (dual.clamp(0.0, 1.0) * as_f64(ONE)).round() as i64
}
