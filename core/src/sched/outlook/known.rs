//! What draws and copies leave over of the cells that were met: [`Known`].

use rustc_hash::FxHashMap;

use super::draw::{Amounts, OnModel, Part};
use super::{COPIES, CPU_STEP, Cell, MEMORY_STEP, WITHOUT_LIMITS};

/// The most cells that are remembered of each set of kinds.
const MAX_CELLS: usize = 1 << 20;

/// What is left over of cells on which the same kinds run.
///
/// Where a cell has at least the processor time and memory that the draws packed into it take when there is no end of
/// these, they leave the same over as with no end of them. So one packing is good for many cells, and it is looked for in
/// this order: by the GPUs alone, by these and processor time, by all.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) draws: OnModel,
    /// By the GPUs of the cell.
    by_gpus: FxHashMap<u128, u32>,
    boundless: Vec<Part>,
    /// What draws leave over with no end of memory, by the number of the GPUs and steps of processor time.
    by_cpu: FxHashMap<(u32, u32), Part>,
    /// What draws and copies leave over, by the number of the GPUs and steps of processor time and of memory.
    cells: FxHashMap<(u32, u32, u32), i64>,
    /// Of how many tasks of each kind there is enough, by steps of processor time and of memory.
    enough: FxHashMap<(u32, u32), Vec<u16>>,
}

impl Known {
    pub(super) fn new(draws: OnModel) -> Self {
        Self {
            draws,
            by_gpus: FxHashMap::default(),
            boundless: Vec::new(),
            by_cpu: FxHashMap::default(),
            cells: FxHashMap::default(),
            enough: FxHashMap::default(),
        }
    }

    /// What the draws and the copies leave over of a cell.
    pub(super) fn unused(&mut self, cell: &Cell) -> i64 {
        let (gpus, boundless) = self.boundless(cell);
        let steps = |free: i64, step: i64| u32::try_from(free / step).unwrap_or(u32::MAX);
        let (cpu, memory) = (steps(cell.cpu, CPU_STEP), steps(cell.memory, MEMORY_STEP));
        if let Some(known) = self.cells.get(&(gpus, cpu, memory)) {
            return *known;
        }
        let free = Amounts { cpu: cell.cpu, memory: cell.memory };
        let drawn = self.drawn(cell, (gpus, cpu), free, boundless);
        let copies = &self.draws.copies;
        let enough = self.enough.entry((cpu, memory)).or_insert_with(|| copies.enough(free));
        let of_copies = copies.left_over(cell, enough, COPIES);
        let unused = drawn - WITHOUT_LIMITS * boundless.left / 4 + of_copies;
        self.cells.insert((gpus, cpu, memory), unused);
        unused
    }

    /// What the draws leave over of a cell, with no end of processor time and memory, and the number of its GPUs.
    fn boundless(&mut self, cell: &Cell) -> (u32, Part) {
        let key = cell.packed_gpus();
        let known = self
            .by_gpus
            .get(&key)
            .and_then(|number| Some((*number, *self.boundless.get(usize::try_from(*number).ok()?)?)));
        if let Some(known) = known {
            return known;
        }
        if self.cells.len() >= MAX_CELLS {
            self.by_gpus.clear();
            self.boundless.clear();
            self.by_cpu.clear();
            self.cells.clear();
            self.enough.clear();
        }
        let boundless = self.draws.packed(cell, Amounts { cpu: i64::MAX, memory: i64::MAX });
        let number = u32::try_from(self.boundless.len()).unwrap_or(u32::MAX);
        self.by_gpus.insert(key, number);
        self.boundless.push(boundless);
        (number, boundless)
    }

    /// What the draws leave over of a cell, of which GPUs and steps of processor time have these numbers.
    fn drawn(&mut self, cell: &Cell, by_cpu: (u32, u32), free: Amounts, boundless: Part) -> i64 {
        if boundless.taken.within(free) {
            return boundless.left;
        }
        let draws = &self.draws;
        let with_cpu = *self.by_cpu.entry(by_cpu).or_insert_with(|| {
            let free = Amounts { memory: i64::MAX, ..free };
            if boundless.taken.within(free) { boundless } else { draws.packed(cell, free) }
        });
        if with_cpu.taken.within(free) { with_cpu.left } else { self.draws.packed(cell, free).left }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{cell, demand};
    use super::super::{DRAWN_GPUS, DRAWS, draw::Draws};
    use super::*;
    use crate::sched::mix::TaskMix;

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
                let drawn = draws.packed(cell, free).left;
                let copied = draws.copies.left_over(cell, &draws.copies.enough(free), COPIES);
                prop_assert_eq!(known.unused(cell), drawn - WITHOUT_LIMITS * boundless / 4 + copied);
            }
        }
    }
}
