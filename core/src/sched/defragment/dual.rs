//! What no plan can pass by moves and room together: [`Room`].
//!
//! Let a plan be done, and `U` be the GPUs on which there are shares in the end, of those that work and whose nodes are
//! open. A task on whole GPUs has as many as before, and does not leave the open nodes, so the plan frees no more than
//! the GPUs with shares before, less `U`. For each GPU that had shares, write 1 if it has none in the end, and for each other
//! one -1 if it has some: the sum of it is what is freed at most.
//!
//! Every share that may be moved is in the end where it was or on another GPU, and on no more GPUs than `moves` has something
//! come that was not there, counted share by share: each has made a move. Let `p` be a price for each size of share, and
//! `s` one for a move, none below 0. Whatever these are, the sum above is no more than the same sum, plus `p` of every share on
//! the GPUs in the end, less `p` of every share at first, of which none has gone from the open nodes, plus `s` times `moves`,
//! less `s` for everything that came. That falls into a sum over the GPUs: for each, the most over all that can be on it in
//! the end is no less than what is. On a GPU that had shares some of them stay, each once, and what came is of any
//! size, as often as fits: or it is idle, if nothing on it must stay, and that is worth 1. On any other, of
//! which no more than `moves` are begun, what came is worth what it is, less 1, or nothing.
//!
//! This is Lagrange's relaxation of where the shares go; for the best prices it is that of the linear program over all
//! patterns. The sum is made in whole numbers, so that it proves the bound whoever found the prices:
//! [`prices`](super::prices::prices()).

use std::collections::BTreeMap;

use super::floor::Floor;
use crate::sched::class::WHOLE;

/// A whole GPU.
pub(super) const GPU: i64 = WHOLE as i64;
/// What an idle GPU is worth, in the units of prices.
pub(super) const ONE: i64 = 1_000_000_000;
/// In how many ways the shares of one GPU are told to stay or leave.
const MOST_WAYS: usize = 1_024;

/// The sizes of the shares on a floor, and how they lie on its GPUs.
#[derive(Debug)]
pub(super) struct Room {
    /// What a share is of a GPU, ascending, and how many there are that may be moved.
    pub(super) sizes: Vec<(i64, i64)>,
    /// The GPUs in use, those that are alike told once; and as the last one the idle ones that may be begun.
    pub(super) gpus: Vec<Alike>,
    /// How many tasks may be elsewhere in the end.
    pub(super) moves: i64,
}

/// GPUs on which the same shares are.
#[derive(Debug)]
pub(super) struct Alike {
    pub(super) count: i64,
    /// What is used of each by what must stay.
    pinned: i64,
    /// Their shares that may be moved: which of the sizes, and how many.
    pub(super) held: Vec<(usize, i64)>,
    /// How many of `held`, from the first on, are told to stay or leave; of the others more is thought than can be.
    told: usize,
}

/// What a share may be worth where it is, and what a move costs: multipliers of Lagrange, none below 0.
#[derive(Debug, Clone)]
pub(super) struct Prices {
    pub(super) shares: Vec<i64>,
    pub(super) step: i64,
}

/// What is on a GPU in the end: how many stay of each of its sizes, and what came, by size.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pattern {
    pub(super) kept: Vec<(usize, i64)>,
    pub(super) come: Vec<usize>,
    pub(super) idle: bool,
}

/// The most that shares from elsewhere are worth in so much room, what their moves cost subtracted; and which is the last.
pub(super) struct Come(Vec<(i64, Option<usize>)>);

impl Room {
    pub(super) fn new(floor: &Floor<'_>, budget: usize) -> Self {
        let mut sizes: BTreeMap<i64, i64> = BTreeMap::new();
        let mut gpus: BTreeMap<(i64, Vec<i64>), i64> = BTreeMap::new();
        for gpu in floor.gpus().iter().filter(|gpu| gpu.in_use() && gpu.pinned < GPU) {
            let shares: Vec<i64> = gpu.tasks.iter().map(|task| floor.milli(*task)).collect();
            for share in &shares {
                *sizes.entry(*share).or_default() += 1;
            }
            *gpus.entry((gpu.pinned, shares)).or_default() += 1;
        }
        let moves = i64::try_from(budget.min(floor.tasks())).unwrap_or(i64::MAX);
        let sizes: Vec<(i64, i64)> = sizes.into_iter().collect();
        let alike = |((pinned, shares), count): ((i64, Vec<i64>), i64)| {
            let mut held: Vec<(usize, i64)> = Vec::new();
            for share in shares {
                let size = sizes.partition_point(|(size, _)| *size < share);
                match held.last_mut() {
                    Some((last, times)) if *last == size => *times += 1,
                    _ => held.push((size, 1)),
                }
            }
            let mut ways = 1;
            let few = |(_, times): &&(usize, i64)| {
                ways *= usize::try_from(times + 1).unwrap_or(MOST_WAYS);
                ways <= MOST_WAYS
            };
            let told = held.iter().take_while(few).count();
            Alike { count, pinned, held, told }
        };
        let mut gpus: Vec<Alike> = gpus.into_iter().map(alike).collect();
        gpus.push(Alike { count: moves, pinned: 0, held: Vec::new(), told: 0 });
        Self { sizes, gpus, moves }
    }

    /// The bound that these prices prove.
    pub(super) fn bound(&self, prices: &Prices) -> usize {
        let come = self.come(prices);
        let most = |alike: &Alike| i128::from(alike.count) * i128::from(alike.best(self, prices, &come).0);
        let shares = prices.shares.iter().zip(&self.sizes);
        let asked: i128 = shares.map(|(price, (_, count))| i128::from(*price) * i128::from(*count)).sum();
        let begun_for_nothing = i128::from(self.moves) * i128::from(ONE);
        let moves = i128::from(self.moves) * i128::from(prices.step);
        let sum = self.gpus.iter().map(most).sum::<i128>() + moves - asked - begun_for_nothing;
        usize::try_from(sum / i128::from(ONE)).unwrap_or(0)
    }

    pub(super) fn come(&self, prices: &Prices) -> Come {
        let gains = prices.shares.iter().map(|price| price - prices.step);
        let gains = gains.zip(&self.sizes).enumerate().filter(|(_, (gain, _))| *gain > 0);
        let gains: Vec<(usize, i64, i64)> = gains.map(|(at, (gain, (size, _)))| (at, gain, *size)).collect();
        let mut come = Come(vec![(0, None)]);
        for room in 1..=GPU {
            let mut best = (come.worth(room - 1), None);
            for (at, gain, size) in gains.iter().take_while(|(_, _, size)| *size <= room) {
                let worth = come.worth(room - size) + gain;
                if worth > best.0 {
                    best = (worth, Some(*at));
                }
            }
            come.0.push(best);
        }
        come
    }
}

impl Come {
    fn at(&self, room: i64) -> (i64, Option<usize>) {
        usize::try_from(room).ok().and_then(|room| self.0.get(room)).copied().unwrap_or_default()
    }

    fn worth(&self, room: i64) -> i64 {
        self.at(room).0
    }

    /// What is worth that.
    fn shares(&self, sizes: &[(i64, i64)], mut room: i64) -> Vec<usize> {
        let mut shares = Vec::new();
        while room > 0 {
            let share = self.at(room).1;
            shares.extend(share);
            room -= share.and_then(|share| sizes.get(share)).map_or(1, |(size, _)| *size);
        }
        shares
    }
}

impl Alike {
    /// In how many ways its shares are told to stay or leave.
    pub(super) fn ways(&self) -> usize {
        let told = self.held.iter().take(self.told);
        told.map(|(_, count)| usize::try_from(count + 1).unwrap_or(MOST_WAYS)).product()
    }

    /// The most that one of these GPUs is worth in the end, idle or with shares, and how.
    pub(super) fn best(&self, room: &Room, prices: &Prices, come: &Come) -> (i64, Pattern) {
        let price = |size: usize| prices.shares.get(size).copied().unwrap_or(0);
        let untold = self.held.get(self.told..).unwrap_or(&[]);
        let more: i64 = untold.iter().map(|(size, count)| price(*size) * count).sum();
        let mut best = (i64::MIN, Vec::new(), 0);
        let mut kept = vec![0; self.told];
        loop {
            let (mut worth, mut left) = (more, GPU - self.pinned);
            for (count, (size, _)) in kept.iter().zip(&self.held) {
                worth += price(*size) * count;
                left -= room.sizes.get(*size).map_or(0, |(milli, _)| milli * count);
            }
            worth += come.worth(left);
            if worth > best.0 {
                best = (worth, kept.clone(), left);
            }
            if !count_on(&mut kept, &self.held) {
                break;
            }
        }
        if self.pinned == 0 && best.0 < ONE {
            return (ONE, Pattern { idle: true, ..Pattern::default() });
        }
        let (worth, kept, left) = best;
        let told = self.held.iter().zip(kept).map(|((size, _), count)| (*size, count));
        let kept = told.chain(untold.iter().copied()).collect();
        (worth, Pattern { kept, come: come.shares(&room.sizes, left), idle: false })
    }
}

/// The next of all ways to take up to so many of each, as a counter counts. Answers whether there is one.
fn count_on(counts: &mut [i64], most: &[(usize, i64)]) -> bool {
    for (count, (_, most)) in counts.iter_mut().zip(most) {
        if *count < *most {
            *count += 1;
            return true;
        }
        *count = 0;
    }
    false
}
