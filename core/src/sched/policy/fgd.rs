//! Fragmentation gradient descent: the node on which the expected fragments grow least.

use crate::sched::class::{ClassState, WHOLE};
use crate::sched::demand::{Demand, GpuDemand};
use crate::sched::fragment::{Level, Table};

/// A task on a node: what all its assignments there have in common.
///
/// The score of an assignment is `⌊100 · σ(Δ/1000)⌋` with `σ(x) = 1/(1 + e^−x)`, where Δ is by how many milli the
/// fragments `F_n(M)` of the node shrink: F before the task less F after it.
pub(in crate::sched) struct Gradient<'a> {
    table: &'a Table,
    levels: &'a [Level],
    /// Weights with the processor time that is left.
    row: &'a [i64],
    /// What is asked of each GPU in milli.
    each: u16,
    /// The part of Δ that does not depend on the GPU: what is asked, less what was served before, times the total
    /// weight.
    base: i64,
}

impl<'a> Gradient<'a> {
    /// `levels` are the sums over the node's GPUs, see [`Table::levels_of`]; `served` is what they serve as they are.
    pub(in crate::sched) fn new(
        state: &ClassState,
        demand: &Demand,
        table: &'a Table,
        levels: &'a [Level],
        served: i64,
    ) -> Self {
        let (_, each) = demand.gpu().need();
        Self {
            table,
            levels,
            row: table.row(state.free.cpu - demand.cpu().get()),
            each: u16::try_from(each.get()).unwrap_or(WHOLE),
            base: demand.gpu_milli_total() * table.total - served,
        }
    }

    /// The score of the node. A share is tried on every GPU with room, and the best counts.
    pub(in crate::sched) fn score(&self, state: &ClassState, demand: &Demand) -> i64 {
        let served = match demand.gpu() {
            GpuDemand::None => self.table.served(self.row, self.levels),
            GpuDemand::Whole(count) => {
                let count = u16::try_from(count).unwrap_or(u16::MAX);
                self.table.served_after_whole(self.row, self.levels, count)
            }
            GpuDemand::Share(_) => {
                let mut best = i64::MIN;
                let mut last = None;
                for &free in state.gpus().iter().filter(|free| **free >= self.each) {
                    if last.replace(free) != Some(free) {
                        best = best.max(self.served_after_share(free));
                    }
                }
                best
            }
        };
        self.curve(served)
    }

    /// The score of putting a share on a GPU with so much free.
    pub(in crate::sched) fn share(&self, free: u16) -> i64 {
        self.curve(self.served_after_share(free))
    }

    fn served_after_share(&self, free: u16) -> i64 {
        self.table.served_after_share(self.row, self.levels, free, free - self.each)
    }

    /// `⌊100 · σ(Δ/1000)⌋`, given what is served afterwards.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "the argument is rounded by less than the curve can tell, the outcome is from 0 to 100"
    )]
    fn curve(&self, served_after: i64) -> i64 {
        if self.table.total == 0 {
            return 0;
        }
        let x = self.base.saturating_add(served_after) as f64 / (1000.0 * self.table.total as f64);
        (100.0 / (1.0 + (-x).exp())) as i64
    }
}
