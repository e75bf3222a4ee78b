//! Opportunity cost: the node on which a task costs the least of what the cluster could still do.

use crate::sched::class::{ClassState, WHOLE};
use crate::sched::demand::{Demand, GpuDemand};
use crate::sched::outlook::{Cell, Outlook};

/// What stays free on the node counts a little, so that what is begun is filled first: of each GPU milli 0.14, of each
/// milli of processor time 0.00875, in the parts of a milli in which an outlook is.
const STAYS: i64 = 800;
const STAYS_GPU: i64 = 112;
const STAYS_CPU: i64 = 7;

/// What a task costs on a node, in the parts of a milli in which an outlook is, and the free part of the GPU that a share
/// takes for it.
///
/// It is by how much what is left over of the node rises, see [`Outlook`], and a little for what stays free. A share is
/// tried on every GPU with room, and the least counts.
pub(in crate::sched) fn cost(
    outlook: &mut Outlook,
    state: &ClassState,
    demand: &Demand,
    model: impl Fn() -> Option<String>,
) -> (i64, Option<u16>) {
    let cell = Cell::of(state);
    let before = outlook.left_over(&cell, &model);
    let mut rise = |after: &Cell| {
        outlook.left_over(after, &model) - before
            + (STAYS_GPU * after.idle_milli() + STAYS_CPU * after.cpu) / STAYS
    };
    let GpuDemand::Share(milli) = demand.gpu() else {
        return (rise(&cell.after_whole(demand)), None);
    };
    let each = u16::try_from(milli.get()).unwrap_or(WHOLE);
    let mut best = (i64::MAX, None);
    for &free in cell.gpus().iter().filter(|free| **free >= each) {
        if best.1 != Some(free) {
            best = best.min((rise(&cell.after_share(demand, free, each)), Some(free)));
        }
    }
    best
}
