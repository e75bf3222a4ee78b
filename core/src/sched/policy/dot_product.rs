//! Dot product: the node whose free resources are least along what is asked.

use super::{CPU_BOUND, CPU_CAP, GPU_CAP};
use crate::sched::class::ClassState;
use crate::sched::demand::Demand;

/// `⌊100 · (1 − d/2)⌋` with `d = (c/C*)·(q/C*) + (G/G*)·(R/G*)`: the smallest dot product wins.
///
/// Tetris (Grandl et al., "Multi-resource Packing for Cluster Schedulers", SIGCOMM 2014) takes the largest; the
/// published comparison takes the smallest.
pub(in crate::sched) fn score(state: &ClassState, demand: &Demand) -> i64 {
    const GPU_IN_CPU: i64 = CPU_CAP / GPU_CAP;
    const SQUARE: i64 = CPU_CAP * CPU_CAP;
    let cpu = state.free.cpu.min(CPU_BOUND) * demand.cpu().get().min(CPU_BOUND);
    let gpu = GPU_IN_CPU * GPU_IN_CPU * state.gpu_idle() * demand.gpu_milli_total();
    (100 * SQUARE - 50 * (cpu + gpu)).div_euclid(SQUARE)
}
