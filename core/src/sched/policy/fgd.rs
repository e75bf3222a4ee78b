//! Fragmentation gradient descent: the node on which the expected fragments grow least.

use crate::sched::class::{ClassState, WHOLE};
use crate::sched::demand::{Demand, GpuDemand};
use crate::sched::fragment::{Level, Table};

/// `⌊100 · σ(Δ/1000)⌋` with `σ(x) = 1/(1 + e^−x)`, where Δ is by how many milli the fragments `F_n(M)` of the node
/// shrink: F before the task less F after it. A share is tried on every GPU with room, and the best counts.
///
/// `levels` are the sums over the node's GPUs, see [`Table::levels_of`].
pub(in crate::sched) fn score(state: &ClassState, demand: &Demand, table: &Table, levels: &[Level]) -> i64 {
    let Some(step) = Step::new(state, demand, table, levels) else {
        return 0;
    };
    match demand.gpu() {
        GpuDemand::None => step.score(table.served(step.row, levels)),
        GpuDemand::Whole(count) => {
            let count = u16::try_from(count).unwrap_or(u16::MAX);
            step.score(table.served_after_whole(step.row, levels, count))
        }
        GpuDemand::Share(_) => {
            let mut best = 0;
            let mut last = None;
            for &free in state.gpus().iter().filter(|free| **free >= step.each) {
                if last.replace(free) != Some(free) {
                    best = best.max(step.share(table, levels, free));
                }
            }
            best
        }
    }
}

/// The score of putting a share on a GPU with so much free: what a node's GPUs are compared by.
pub(in crate::sched) fn share_score(
    state: &ClassState,
    demand: &Demand,
    table: &Table,
    levels: &[Level],
    free: u16,
) -> i64 {
    Step::new(state, demand, table, levels).map_or(0, |step| step.share(table, levels, free))
}

/// A task on a node: what all its assignments there have in common.
struct Step<'a> {
    /// What is asked of each GPU in milli.
    each: u16,
    /// Weights with the processor time that is left.
    row: &'a [i64],
    /// The part of Δ that does not depend on the GPU: `R` less what was served before, times the total weight.
    base: i64,
    total: i64,
}

impl<'a> Step<'a> {
    fn new(state: &ClassState, demand: &Demand, table: &'a Table, levels: &[Level]) -> Option<Self> {
        if table.total == 0 {
            return None;
        }
        let (_, each) = demand.gpu().need();
        let before = table.served(table.row(state.cpu), levels);
        Some(Self {
            each: u16::try_from(each.get()).unwrap_or(WHOLE),
            row: table.row(state.cpu - demand.cpu().get()),
            base: demand.gpu_milli_total() * table.total - before,
            total: table.total,
        })
    }

    fn share(&self, table: &Table, levels: &[Level], free: u16) -> i64 {
        self.score(table.served_after_share(self.row, levels, free, free - self.each))
    }

    /// The score, given what is served afterwards.
    fn score(&self, served_after: i64) -> i64 {
        truncated_sigmoid(self.base + served_after, self.total)
    }
}

/// `⌊100 · σ(shrinkage/(1000·total))⌋`.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "the argument is rounded by less than the curve can tell, the outcome is from 0 to 100"
)]
fn truncated_sigmoid(shrinkage: i64, total: i64) -> i64 {
    let x = shrinkage as f64 / (1000.0 * total as f64);
    (100.0 / (1.0 + (-x).exp())) as i64
}
