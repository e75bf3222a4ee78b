//! Best fit: the node that is left with the least.

use super::{CPU_BOUND, CPU_CAP, GPU_CAP};
use crate::sched::class::ClassState;
use crate::sched::demand::Demand;

/// `⌊100 · (1 − ½·(c − q)/C* − ½·(G − R)/G*)⌋`.
///
/// The published comparison then stretches the scores of all nodes that fit to 0..100, which keeps their order.
pub(in crate::sched) fn score(state: &ClassState, demand: &Demand) -> i64 {
    const GPU_IN_CPU: i64 = CPU_CAP / GPU_CAP;
    let cpu_left = state.free.cpu.min(CPU_BOUND) - demand.cpu().get().min(CPU_BOUND);
    let gpu_left = state.gpu_idle() - demand.gpu_milli_total();
    (100 * CPU_CAP - 50 * (cpu_left + GPU_IN_CPU * gpu_left)).div_euclid(CPU_CAP)
}
