//! Packing: GPUs in use before idle GPUs, nodes in use before idle nodes.

use crate::sched::class::{ClassState, WHOLE};
use crate::sched::demand::{Demand, GpuDemand};

/// On a node with k GPUs that are all idle `max(33 − k, k)`; where u idle GPUs must be begun `max(50 − u, 33)`; where a
/// GPU already in use has room `max(100 − ⌊p/10⌋, 50)`, p being the percentage free on the tightest such GPU. A task
/// without GPU scores 0 everywhere.
///
/// After Weng et al., "`MLaaS` in the Wild", NSDI 2022, as in the published comparison.
pub(in crate::sched) fn score(state: &ClassState, demand: &Demand) -> i64 {
    let begun = match demand.gpu() {
        GpuDemand::None => return 0,
        GpuDemand::Whole(count) => i64::from(count),
        GpuDemand::Share(milli) => {
            let tightest = state.gpus().iter().find(|free| i64::from(**free) >= milli.get());
            match tightest {
                Some(&free) if free < WHOLE => return (100 - i64::from(free) / 100).max(50),
                _ => 1,
            }
        }
    };
    if state.gpus().iter().all(|free| *free == WHOLE) {
        let gpus = i64::from(state.gpu_count);
        return (33 - gpus).max(gpus);
    }
    (50 - begun).max(33)
}
