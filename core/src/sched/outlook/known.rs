//! What draws and copies leave over of the cells that were met: [`Known`].

use rustc_hash::FxHashMap;

use super::draw::{Amounts, OnModel, Part};
use super::{COPIES, CPU_STEP, Cell, MEMORY_STEP, WITHOUT_LIMITS};

/// The most cells that are remembered of each set of kinds.
const MAX_CELLS: usize = 1 << 20;

/// What is left over of cells on which the same kinds run.
///
/// Where a cell has at least the processor time and memory that the tasks packed into it take when there is no end of
/// these, it is worth the same as with no end of them. So one answer is good for many cells, and it is looked for in
/// this order: by the GPUs alone, by these and processor time, by all.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) draws: OnModel,
    /// By the GPUs of the cell.
    by_gpus: FxHashMap<u128, u32>,
    boundless: Vec<Filled>,
    /// By the number of the GPUs and steps of processor time.
    by_cpu: FxHashMap<(u32, u32), Filled>,
    /// By these and steps of memory.
    by_memory: FxHashMap<(u32, u32, u32), i64>,
}

/// What is left over of a cell by draws and by copies, and what the draws would leave over with no end of processor time and memory.
#[derive(Debug, Clone, Copy)]
struct Filled {
    drawn: Part,
    copied: Part,
    boundless: i64,
}

impl Filled {
    const fn left(self) -> i64 {
        self.drawn.left - WITHOUT_LIMITS * self.boundless / 4 + self.copied.left
    }

    /// Whether no more is taken than this.
    const fn within(self, free: Amounts) -> bool {
        self.drawn.taken.within(free) && self.copied.taken.within(free)
    }
}

impl Known {
    pub(super) fn new(draws: OnModel) -> Self {
        Self {
            draws,
            by_gpus: FxHashMap::default(),
            boundless: Vec::new(),
            by_cpu: FxHashMap::default(),
            by_memory: FxHashMap::default(),
        }
    }

    /// What the draws and the copies leave over of a cell.
    pub(super) fn unused(&mut self, cell: &Cell) -> i64 {
        let free = Amounts { cpu: cell.cpu, memory: cell.memory };
        let (gpus, boundless) = self.boundless(cell);
        if boundless.within(free) {
            return boundless.left();
        }
        let steps = |free: i64, step: i64| u32::try_from(free / step).unwrap_or(u32::MAX);
        let cpu_steps = steps(free.cpu, CPU_STEP);
        let with_cpu = if let Some(known) = self.by_cpu.get(&(gpus, cpu_steps)) {
            *known
        } else {
            let filled = self.fill(cell, Amounts { memory: i64::MAX, ..free }, boundless);
            self.by_cpu.insert((gpus, cpu_steps), filled);
            filled
        };
        if with_cpu.within(free) {
            return with_cpu.left();
        }
        let key = (gpus, cpu_steps, steps(free.memory, MEMORY_STEP));
        if let Some(known) = self.by_memory.get(&key) {
            return *known;
        }
        let left = self.fill(cell, free, with_cpu).left();
        self.by_memory.insert(key, left);
        left
    }

    fn boundless(&mut self, cell: &Cell) -> (u32, Filled) {
        let key = cell.packed_gpus();
        let known = self
            .by_gpus
            .get(&key)
            .and_then(|number| Some((*number, *self.boundless.get(usize::try_from(*number).ok()?)?)));
        if let Some(known) = known {
            return known;
        }
        if self.boundless.len() + self.by_cpu.len() + self.by_memory.len() >= MAX_CELLS {
            self.by_gpus.clear();
            self.boundless.clear();
            self.by_cpu.clear();
            self.by_memory.clear();
        }
        let free = Amounts { cpu: i64::MAX, memory: i64::MAX };
        let drawn = self.draws.packed(cell, free);
        let filled = Filled { drawn, copied: self.draws.copied(cell, free, COPIES), boundless: drawn.left };
        let number = u32::try_from(self.boundless.len()).unwrap_or(u32::MAX);
        self.by_gpus.insert(key, number);
        self.boundless.push(filled);
        (number, filled)
    }

    /// Fills the GPUs of a cell with so much free, which is less than that of `more`: what took no more than this of it
    /// is the same.
    fn fill(&self, cell: &Cell, free: Amounts, more: Filled) -> Filled {
        let Filled { mut drawn, mut copied, boundless } = more;
        if !drawn.taken.within(free) {
            drawn = self.draws.packed(cell, free);
        }
        if !copied.taken.within(free) {
            copied = self.draws.copied(cell, free, COPIES);
        }
        Filled { drawn, copied, boundless }
    }
}
#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{DRAWN_GPUS, DRAWS, draw::Draws};
    use super::*;
    use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
    use crate::sched::class::SLOTS;
    use crate::sched::demand::{Demand, GpuDemand};
    use crate::sched::mix::TaskMix;

    fn demand() -> impl Strategy<Value = Demand> {
        let gpu = prop_oneof![
            (1_u32..=19).prop_map(|parts| GpuDemand::Share(GpuMilli::from_u32(parts * 50))),
            (1_u32..=4).prop_map(GpuDemand::Whole),
        ];
        (gpu, 0_u32..12_000, 0_u32..60_000).prop_map(|(gpu, cpu, memory)| {
            let (cpu, memory) = (CpuMilli::from_u32(cpu), MemoryMib::from_u32(memory));
            Demand::new(cpu, memory, StorageMib::ZERO, gpu, Vec::new()).unwrap()
        })
    }

    fn cell() -> impl Strategy<Value = Cell> {
        let gpus = prop::collection::vec(0_u16..=20, 1..5);
        (gpus, 0_i64..24, 0_i64..24).prop_map(|(mut free, cpu, memory)| {
            free.sort_unstable();
            let mut gpus = [0; SLOTS];
            gpus.iter_mut().zip(&free).for_each(|(to, steps)| *to = steps * 50);
            let count = u8::try_from(free.len()).unwrap();
            Cell { model: 0, cpu: cpu * CPU_STEP, memory: memory * MEMORY_STEP, count, gpus }
        })
    }

    proptest! {
        #[test]
        fn what_is_remembered_of_a_cell_is_what_packing_it_says(
            mix in prop::collection::vec((demand(), 1_u64..50), 1..8),
            cells in prop::collection::vec(cell(), 1..60),
        ) {
            let mix = TaskMix::from_counts(mix.iter().map(|(demand, weight)| (demand, *weight)));
            let draws = Draws::new(&mix, DRAWS.unsigned_abs() / 2, DRAWN_GPUS).on(None);
            let mut known = Known::new(draws.clone());
            for cell in &cells {
                let [free, all] = [(cell.cpu, cell.memory), (i64::MAX, i64::MAX)]
                    .map(|(cpu, memory)| Amounts { cpu, memory });
                let boundless = draws.packed(cell, all).left;
                let (drawn, copied) = (draws.packed(cell, free).left, draws.copied(cell, free, COPIES).left);
                prop_assert_eq!(known.unused(cell), drawn - WITHOUT_LIMITS * boundless / 4 + copied);
            }
        }
    }
}
