//! What a node is still good for: [`Outlook`].
//!
//! The less of its GPUs is expected to be left over, the more a node is worth. What is left over of a node is the sum of
//! three parts:
//!
//! - *Packed with hindsight*, see [`draw`]. [`DRAWS`] fixed draws of tasks are taken from the mix. Each is packed into
//!   the node, those that ask for the most GPU first, each where it leaves the least; what no task of the draw could use
//!   is left over, the less of what is left with and without the tasks of several GPUs. Three quarters of what would be
//!   left over if processor time and memory were no matter are taken off: so it is high where one of these will be used
//!   up before the GPUs are. The largest come first because a cluster has many nodes: a small task that would spoil the
//!   room of a large one finds its place on another.
//! - *Filled with copies*: what is left over after as many tasks of one kind as fit, a quarter of the mean over
//!   the mix. It keeps room for tasks of many GPUs together.
//! - *As pieces*, off the sum: what the free part of each GPU is worth as room for shares, see [`pieces`]: a piece that no
//!   share of the mix, or no set of shares, fills is worth less than its size.
//!
//! A cell is a state as far as it matters here: processor time and memory in steps of [`GRAIN`]; draws and copies see what
//! is free of a GPU in use in steps of [`GPU_STEP`], pieces all of it. All amounts are in parts of a milli, [`DRAWS`] of
//! them. The shares of the parts were chosen by trial over many workloads; no workload has its own.

mod copies;
mod draw;
mod known;
mod pieces;
pub(super) mod scarcity;

use self::draw::Draws;
use self::known::Known;
use super::class::{ClassState, SLOTS, WHOLE};
use super::demand::{Demand, GpuDemand};
use super::grain::{Free, Grain};
use super::mix::TaskMix;

/// Steps of processor time and memory that are told apart: two cores, 8 GiB.
pub(super) const GRAIN: Grain = Grain::steps(CPU_STEP, MEMORY_STEP);
const CPU_STEP: i64 = 2000;
const MEMORY_STEP: i64 = 8192;

/// Steps in which draws and copies tell apart what is free of a GPU in use, in milli.
const GPU_STEP: u16 = 50;

/// What a free milli counts that no draw and no copy could use.
const REST: i64 = DRAWS * (4 - WITHOUT_LIMITS) / 4 + COPIES;

/// How many draws of tasks a node is packed with.
pub(super) const DRAWS: i64 = 8;
/// How many GPUs the tasks of half of the draws ask for together, and of the other half: four times what a large node
/// has, and one and a half times. The short ones tell where processor time is scarce on all nodes.
const DRAWN_GPUS: [u64; 2] = [32, 12];
/// How much of what is left over without limits is taken off what is left over with them, in quarters.
const WITHOUT_LIMITS: i64 = 3;
/// How much of what copies leave over counts, in parts of [`DRAWS`].
const COPIES: i64 = 2;

/// What a GPU's worth of pieces counts, beside a GPU left over of a draw.
const PIECES: i64 = 4;

/// The state of a node as far as its outlook depends on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub(super) model: u32,
    pub(super) cpu: i64,
    pub(super) memory: i64,
    pub(super) count: u8,
    pub(super) gpus: [u16; SLOTS],
}

impl Cell {
    pub(super) fn of(state: &ClassState) -> Self {
        let Free { cpu, memory, .. } = GRAIN.floor(state.free);
        let mut gpus = [0; SLOTS];
        gpus.iter_mut().zip(state.gpus()).for_each(|(to, free)| *to = *free);
        Self { model: state.model, cpu, memory, count: state.gpu_count, gpus }
    }

    /// What is free of each GPU, ascending.
    pub(super) fn gpus(&self) -> &[u16] {
        self.gpus.get(..usize::from(self.count)).unwrap_or(&[])
    }

    fn gpus_mut(&mut self) -> &mut [u16] {
        self.gpus.get_mut(..usize::from(self.count)).unwrap_or_default()
    }

    /// The cell with what is free of the GPUs in use in steps of [`GPU_STEP`], and what that leaves out, in milli.
    fn coarse(&self) -> (Self, i64) {
        let mut cell = *self;
        let mut rest = 0;
        for free in cell.gpus_mut() {
            if *free < WHOLE {
                let out = *free % GPU_STEP;
                *free -= out;
                rest += i64::from(out);
            }
        }
        (cell, rest)
    }

    /// The GPUs of a coarse cell in one number: 5 bits of each, and of their count.
    fn packed_gpus(&self) -> u128 {
        let count = u128::from(self.count);
        self.gpus().iter().fold(count, |packed, free| packed << 5 | u128::from(free / GPU_STEP))
    }

    /// What is free of all GPUs together, in milli.
    pub(super) fn idle_milli(&self) -> i64 {
        self.gpus().iter().copied().map(i64::from).sum()
    }

    /// The cell after a demand has taken its processor time and memory.
    fn charged(&self, demand: &Demand) -> Self {
        let left = Free {
            cpu: (self.cpu - demand.cpu().get()).max(0),
            memory: (self.memory - demand.memory().get()).max(0),
            storage: 0,
        };
        let Free { cpu, memory, .. } = GRAIN.floor(left);
        Self { cpu, memory, ..*self }
    }

    /// The cell after a demand without shares was placed.
    pub(super) fn after_whole(&self, demand: &Demand) -> Self {
        let mut cell = self.charged(demand);
        if let GpuDemand::Whole(count) = demand.gpu() {
            let count = usize::try_from(count).unwrap_or(usize::MAX).min(usize::from(self.count));
            let gpus = cell.gpus_mut();
            // The idle ones are the last.
            gpus.rotate_right(count);
            gpus.iter_mut().take(count).for_each(|free| *free = 0);
        }
        cell
    }

    /// The cell after a share of so much was placed on a GPU with so much free.
    pub(super) fn after_share(&self, demand: &Demand, free: u16, each: u16) -> Self {
        let mut cell = self.charged(demand);
        let gpus = cell.gpus_mut();
        if let Some(at) = gpus.iter().position(|held| *held == free) {
            let left = free.saturating_sub(each);
            let to = gpus.partition_point(|held| *held < left);
            if let Some(moved) = gpus.get_mut(to..=at) {
                moved.rotate_right(1);
            }
            if let Some(held) = gpus.get_mut(to) {
                *held = left;
            }
        }
        cell
    }
}

/// What nodes are good for, under one mix.
#[derive(Debug, Clone)]
pub(super) struct Outlook {
    draws: Draws,
    /// The worth of a piece of a GPU, by its size in hundredths of a GPU.
    pieces: Vec<i64>,
    /// What is known, of each set of kinds that runs on some GPU model.
    known: Vec<Known>,
    /// Which of these each model is, by the cluster's number of the model.
    of_model: Vec<Option<usize>>,
}

impl Outlook {
    pub(super) fn new(mix: &TaskMix) -> Self {
        let worth = pieces::worth(mix);
        let pieces = worth.iter().map(|worth| PIECES * DRAWS * worth / 1000).collect();
        let draws = Draws::new(mix, DRAWS.unsigned_abs() / 2, DRAWN_GPUS);
        Self { draws, pieces, known: Vec::new(), of_model: Vec::new() }
    }

    /// Forgets what belongs to a cluster: another one numbers its models otherwise.
    pub(super) fn forget(&mut self) {
        self.of_model.clear();
    }

    /// What is left over of a node of this cell. `model` is the name of its GPU model.
    pub(super) fn left_over<'a>(&mut self, cell: &Cell, model: impl FnOnce() -> Option<&'a str>) -> i64 {
        let (coarse, rest) = cell.coarse();
        let pieces: i64 = cell.gpus().iter().map(|free| self.piece(*free)).sum();
        self.unused(&coarse, model) + rest * REST - pieces
    }

    /// What the draws and the copies leave over.
    fn unused<'a>(&mut self, cell: &Cell, model: impl FnOnce() -> Option<&'a str>) -> i64 {
        if cell.gpus().last().is_none_or(|most| *most == 0) {
            return 0;
        }
        let number = usize::try_from(cell.model).unwrap_or(0);
        let at = match self.of_model.get(number) {
            Some(Some(at)) => *at,
            _ => self.meet(number, model()),
        };
        self.known.get_mut(at).map_or(0, |known| known.unused(cell))
    }

    /// Turns to a GPU model that was not met yet, by its number and its name.
    fn meet(&mut self, number: usize, name: Option<&str>) -> usize {
        let met = self.draws.on(name);
        let at = self.known.iter().position(|known| known.draws == met).unwrap_or_else(|| {
            self.known.push(Known::new(met));
            self.known.len() - 1
        });
        if self.of_model.len() <= number {
            self.of_model.resize(number + 1, None);
        }
        if let Some(place) = self.of_model.get_mut(number) {
            *place = Some(at);
        }
        at
    }

    fn piece(&self, free: u16) -> i64 {
        self.pieces.get(usize::from(free.min(WHOLE) / 10)).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};

    pub(super) fn demand() -> impl Strategy<Value = Demand> {
        let gpu = prop_oneof![
            (1_u32..=19).prop_map(|parts| GpuDemand::Share(GpuMilli::from_u32(parts * 50))),
            (1_u32..=4).prop_map(GpuDemand::Whole),
        ];
        (gpu, 0_u32..12_000, 0_u32..60_000).prop_map(|(gpu, cpu, memory)| {
            let (cpu, memory) = (CpuMilli::from_u32(cpu), MemoryMib::from_u32(memory));
            Demand::new(cpu, memory, StorageMib::ZERO, gpu, Vec::new()).unwrap()
        })
    }

    pub(super) fn cell() -> impl Strategy<Value = Cell> {
        let gpus = prop::collection::vec(0_u16..=20, 1..5);
        (gpus, 0_i64..24, 0_i64..24).prop_map(|(mut free, cpu, memory)| {
            free.sort_unstable();
            let mut gpus = [0; SLOTS];
            gpus.iter_mut().zip(&free).for_each(|(to, steps)| *to = steps * 50);
            let count = u8::try_from(free.len()).unwrap();
            Cell { model: 0, cpu: cpu * CPU_STEP, memory: memory * MEMORY_STEP, count, gpus }
        })
    }
}
