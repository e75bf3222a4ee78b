//! Opportunity cost: the node on which a task costs the least of what the cluster could still do.

use crate::sched::class::WHOLE;
use crate::sched::demand::{Demand, GpuDemand};
use crate::sched::outlook::{Cell, DRAWS, Outlook};

/// What stays free on the node counts a little, so that what is begun is filled first: a quarter of a milli for each core,
/// and a 256th of a milli for each GPU milli.
const STAYS_CORE: i64 = DRAWS / 4;
const STAYS_GPU_PARTS: i64 = 256 / DRAWS;

/// What a task costs on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::sched) struct Cost {
    /// The cost, in the parts of a milli in which an outlook is.
    pub(in crate::sched) all: i64,
    /// How much of it is for what stays free.
    pub(in crate::sched) stays: i64,
    /// The free part of the GPU that a share takes for it.
    pub(in crate::sched) from: Option<u16>,
}

/// What a task costs on a node in the state of a cell, on which it fits; `before` is what is left over of that.
///
/// It is by how much what is left over of the node rises, see [`Outlook`], and a little for what stays free. A share is
/// tried on every GPU with room, and the least counts.
pub(in crate::sched) fn cost<'a>(
    outlook: &mut Outlook,
    cell: &Cell,
    before: i64,
    demand: &Demand,
    model: impl Fn() -> Option<&'a str>,
) -> Cost {
    let mut cost = |after: &Cell, from| {
        let stays = STAYS_CORE * (after.cpu / 1000) + after.idle_milli() / STAYS_GPU_PARTS;
        Cost { all: outlook.left_over(after, &model) - before + stays, stays, from }
    };
    let GpuDemand::Share(milli) = demand.gpu() else {
        return cost(&cell.after_whole(demand), None);
    };
    let each = u16::try_from(milli.get()).unwrap_or(WHOLE);
    let mut best: Option<Cost> = None;
    for &free in cell.gpus().iter().filter(|free| **free >= each) {
        if best.and_then(|best| best.from) != Some(free) {
            let here = cost(&cell.after_share(demand, free, each), Some(free));
            best = Some(best.map_or(here, |best| best.min(here)));
        }
    }
    best.unwrap_or(Cost { all: i64::MAX, stays: 0, from: None })
}
