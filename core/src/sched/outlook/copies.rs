//! Filling a node with copies of one task: [`Copies`].

use super::draw::Amounts;
use super::{Cell, GPU_STEP};
use crate::sched::class::{SLOTS, WHOLE};
use crate::sched::mix::Kind;

/// Weights of kinds add up to about this, so that sums stay exact.
const PARTS: u128 = 1 << 16;

/// The most kinds of which copies are packed: those that come the most.
const MOST_COPIED: usize = 64;

/// The kinds of which copies are packed into nodes of one GPU model.
///
/// How many fit is the least of what there is enough GPU, processor time and memory for. The former is looked up for each
/// GPU of a node and added up, the latter ([`enough`](Self::enough)) is the same for all nodes with the same free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Copies {
    kinds: Vec<Copied>,
    /// How many tasks of each kind go on a GPU in use, by what is free of it in steps of [`GPU_STEP`].
    on_used: Vec<Vec<u16>>,
    /// How many of each go on GPUs that are entirely free, by how many GPUs these are.
    on_idle: Vec<Vec<u16>>,
    /// The parts of all kinds of which copies are packed, also of those that do not run here.
    parts: i64,
}

/// A kind of which copies are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Copied {
    cpu: i64,
    memory: i64,
    /// GPUs of each task, at least one.
    count: u16,
    /// Milli of each of its GPUs, at least one.
    each: u16,
    /// What a task uses of GPUs, in milli, times the part of the kind of all kinds, in [`PARTS`]. The tasks on a node together
    /// use no more than its GPUs, so that sums of it over all kinds are below 2^32.
    used: u32,
}

impl Copied {
    /// A kind that is so great a part of all.
    fn new(kind: &Kind, part: i64) -> Self {
        let (count, each) = kind.gpu.need();
        let (count, each) = (u16::try_from(count).unwrap_or(u16::MAX).max(1), each.get().max(1));
        Self {
            cpu: kind.cpu.get(),
            memory: kind.memory.get(),
            count,
            each: u16::try_from(each).unwrap_or(WHOLE),
            used: u32::try_from(part * i64::from(count) * each).unwrap_or(u32::MAX),
        }
    }

    /// How many tasks go on a GPU in use, of which so much is free.
    const fn on_used(&self, free: u16) -> u16 {
        if self.each < WHOLE { free / self.each } else { 0 }
    }

    /// How many tasks go on so many GPUs that are entirely free.
    const fn on_idle(&self, idle: u16) -> u16 {
        idle / self.count * (WHOLE / self.each)
    }

    /// How many tasks so much processor time and memory is enough for.
    fn enough(&self, free: Amounts) -> u16 {
        let by = |free: i64, each: i64| free.checked_div(each).unwrap_or(i64::MAX);
        let most = by(free.cpu, self.cpu).min(by(free.memory, self.memory));
        u16::try_from(most.max(0)).unwrap_or(u16::MAX)
    }
}

impl Copies {
    /// The most frequent of these kinds, of which some run here.
    pub(super) fn new(kinds: &[Kind], run: &[bool]) -> Self {
        let mut order: Vec<(usize, &Kind)> = kinds.iter().enumerate().collect();
        order.sort_by_key(|(at, kind)| (std::cmp::Reverse(kind.weight), *at));
        order.truncate(MOST_COPIED);
        let all: u128 = order.iter().map(|(_, kind)| u128::from(kind.weight)).sum();
        let part = |kind: &Kind| i64::try_from(u128::from(kind.weight) * PARTS / all.max(1)).unwrap_or(0);
        let parts = order.iter().map(|(_, kind)| part(kind)).sum();
        order.retain(|(at, _)| run.get(*at) == Some(&true));
        let kinds: Vec<Copied> = order.iter().map(|(_, kind)| Copied::new(kind, part(kind))).collect();
        let of_each = |most: &dyn Fn(&Copied) -> u16| kinds.iter().map(most).collect();
        let (steps, idle) = (WHOLE / GPU_STEP, u16::try_from(SLOTS).unwrap_or(0));
        let on_used = (0..=steps).map(|step| of_each(&|kind| kind.on_used(step * GPU_STEP))).collect();
        let on_idle = (0..=idle).map(|idle| of_each(&|kind| kind.on_idle(idle))).collect();
        Self { kinds, on_used, on_idle, parts }
    }

    /// Of how many tasks of each kind there is so much processor time and memory.
    pub(super) fn enough(&self, free: Amounts) -> Vec<u16> {
        self.kinds.iter().map(|kind| kind.enough(free)).collect()
    }

    /// What is left over of a node after as many tasks of one kind as fit, in milli times `times`, in the mean over the
    /// kinds; `enough` is of its processor time and memory. One that does not run there leaves everything over.
    pub(super) fn left_over(&self, cell: &Cell, enough: &[u16], times: i64) -> i64 {
        let gpus = cell.gpus();
        let idle = gpus.iter().filter(|free| **free == WHOLE).count();
        let mut most = [0; MOST_COPIED];
        let in_use =
            gpus.iter().take(gpus.len() - idle).map(|free| self.on_used.get(usize::from(free / GPU_STEP)));
        for row in in_use.chain([self.on_idle.get(idle)]).flatten() {
            most.iter_mut().zip(row).for_each(|(most, more)| *most += more);
        }
        let each = self.kinds.iter().zip(most).zip(enough);
        let used: u32 = each.map(|((kind, most), enough)| kind.used * u32::from(most.min(*enough))).sum();
        (times * (self.parts * cell.idle_milli() - i64::from(used))) >> PARTS.ilog2()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::amount::{CpuMilli, GpuMilli, MemoryMib};
    use crate::sched::demand::GpuDemand;
    use crate::sched::mix::TaskMix;
    use crate::sched::outlook::tests::{cell, demand};

    /// What is left over of a cell after one task of a kind has been put on it after the other, as long as one fits.
    fn filled(cell: &Cell, kind: &Kind) -> i64 {
        let mut gpus = cell.gpus().to_vec();
        let (mut cpu, mut memory) = (cell.cpu, cell.memory);
        loop {
            (cpu, memory) = (cpu - kind.cpu.get(), memory - kind.memory.get());
            let roomy: Vec<usize> = match kind.gpu {
                GpuDemand::Share(milli) => {
                    let fits = |free: &u16| i64::from(*free) >= milli.get();
                    gpus.iter().position(fits).into_iter().collect()
                }
                _ => (0..gpus.len()).filter(|at| gpus[*at] == WHOLE).collect(),
            };
            let (count, each) = kind.gpu.need();
            let count = usize::try_from(count).unwrap();
            if cpu < 0 || memory < 0 || roomy.len() < count {
                return gpus.into_iter().map(i64::from).sum();
            }
            roomy.into_iter().take(count).for_each(|at| gpus[at] -= u16::try_from(each.get()).unwrap());
        }
    }

    proptest! {
        #[test]
        fn copies_leave_over_what_one_task_after_the_other_leaves(
            mix in prop::collection::vec((demand(), 1_u64..50), 1..8),
            run in prop::collection::vec(any::<bool>(), 8),
            cell in cell(),
        ) {
            let mix = TaskMix::from_counts(mix.iter().map(|(demand, weight)| (demand, *weight)));
            let copies = Copies::new(mix.kinds(), &run);
            let enough = copies.enough(Amounts { cpu: cell.cpu, memory: cell.memory });
            let all: u64 = mix.kinds().iter().map(|kind| kind.weight).sum();
            let mut exact = 0.0;
            for (kind, runs) in mix.kinds().iter().zip(run) {
                let left = if runs { filled(&cell, kind) } else { cell.idle_milli() };
                exact += f64::from(u32::try_from(kind.weight).unwrap()) * f64::from(i32::try_from(left).unwrap());
            }
            exact /= f64::from(u32::try_from(all).unwrap());
            let left = f64::from(i32::try_from(copies.left_over(&cell, &enough, 100)).unwrap()) / 100.0;
            // Weights are rounded down to parts.
            prop_assert!((left - exact).abs() < 2.0, "{left} and {exact}");
        }
    }

    #[test]
    fn many_copies_on_the_largest_node_stay_exact() {
        let tiny = GpuDemand::Share(GpuMilli::from_u32(1));
        let (cpu, memory, models) = (CpuMilli::ZERO, MemoryMib::ZERO, Vec::new());
        let kind = Kind { cpu, memory, gpu: tiny, models, weight: 1 };
        let copies = Copies::new(&[kind], &[true]);
        let cell = Cell { model: 0, cpu: 0, memory: 0, count: 16, gpus: [WHOLE; SLOTS] };
        assert_eq!(
            copies.left_over(&cell, &copies.enough(Amounts { cpu: i64::MAX, memory: i64::MAX }), 1),
            0
        );
    }
}
