//! What no plan can pass: [`Proof`].

use std::collections::BTreeMap;

use super::dual::{GPU, Prices, Room};
use super::floor::Floor;
use super::prices::prices;

/// GPUs are cut into at most so many parts by the second family of functions.
const MOST_PARTS: i64 = 100;

/// The bound of [`freeable`](super::freeable), and the prices that prove it where these are good.
#[derive(Debug)]
pub(super) struct Proof {
    pub(super) freeable: usize,
    pub(super) room: Room,
    pub(super) prices: Prices,
}

impl Proof {
    /// The last of the three bounds is the least where its prices are good, which where there is much of everything they may
    /// not be.
    pub(super) fn new(floor: &Floor<'_>, budget: usize) -> Self {
        let room = Room::new(floor, budget);
        let prices = prices(&room);
        let freeable = by_moves(floor, budget).min(by_room(floor)).min(room.bound(&prices));
        Self { freeable, room, prices }
    }
}

/// The most GPUs whose tasks are together no more than the budget.
fn by_moves(floor: &Floor<'_>, budget: usize) -> usize {
    let emptied = floor.gpus().iter().filter(|gpu| gpu.can_be_emptied());
    let mut tasks: Vec<usize> = emptied.map(|gpu| gpu.tasks.len()).collect();
    tasks.sort_unstable();
    let mut left = budget;
    let within = |tasks: &&usize| {
        left.checked_sub(**tasks).is_some_and(|rest| {
            left = rest;
            true
        })
    };
    tasks.iter().take_while(within).count()
}

/// The GPUs in use, less those that the shares on them need however they are packed.
fn by_room(floor: &Floor<'_>) -> usize {
    let mut sizes: BTreeMap<i64, i64> = BTreeMap::new();
    for gpu in floor.gpus() {
        if gpu.pinned > 0 {
            *sizes.entry(gpu.pinned).or_default() += 1;
        }
        for task in &gpu.tasks {
            *sizes.entry(floor.milli(*task)).or_default() += 1;
        }
    }
    let needed = |f: &dyn Fn(i64) -> i64, scale: i64| {
        let sum: i64 = sizes.iter().map(|(size, count)| f(*size) * count).sum();
        usize::try_from((sum + GPU * scale - 1) / (GPU * scale)).unwrap_or(0)
    };
    let dropping = (0..=GPU / 2).map(|least| needed(&|size| drop_below(least, size), 1));
    let rounding = (1..=MOST_PARTS).map(|parts| needed(&|size| round_to(parts, size), parts));
    let needed = dropping.chain(rounding).max().unwrap_or(0);
    floor.gpus().iter().filter(|gpu| gpu.in_use()).count().saturating_sub(needed)
}

/// Dual feasible: shares below `least` are nothing, and those beside which no other one fits are a whole GPU.
///
/// Of shares that fit one GPU, none but those dropped is beside one that became a whole GPU, and otherwise none grew.
pub(super) const fn drop_below(least: i64, size: i64) -> i64 {
    if size < least {
        0
    } else if size > GPU - least {
        GPU
    } else {
        size
    }
}

/// Dual feasible, and told in `parts` of a milli: how many marks of a ruler with one part more than `parts` a size reaches,
/// each counted as a `parts`-th of a GPU; or the size itself, where it is exactly on a mark.
///
/// Let shares fit one GPU, and the ruler have `m = parts + 1` parts. Each share reaches `q` marks and a rest, so all `q` together are
/// at most `m`. Where there is no rest, all are on marks, and nothing grew. Where there is one, the `q` are together at most
/// `parts`, and none counts for more than `q` `parts`-ths of a GPU: together at most a GPU.
pub(super) const fn round_to(parts: i64, size: i64) -> i64 {
    let marks = (parts + 1) * size;
    if marks % GPU == 0 { parts * size } else { marks / GPU * GPU }
}
