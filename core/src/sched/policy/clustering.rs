//! Clustering: tasks of a kind together.

use super::GPU_CAP;
use crate::sched::class::ClassState;
use crate::sched::demand::Demand;

/// `⌊25 · (G* − G)/G*⌋` plus 75 on a node that runs only tasks of this kind, 50 if it runs some of this kind, 25 if it
/// runs no GPU task, 0 if it runs other kinds only. A task without GPU scores 0 everywhere.
///
/// After Xiao et al., "Gandiva: Introspective Cluster Scheduling for Deep Learning", OSDI 2018, as in the published
/// comparison.
pub(in crate::sched) fn score(state: &ClassState, demand: &Demand) -> i64 {
    let Some(tag) = demand.tag() else { return 0 };
    let own = 1_u32 << tag.index();
    let kinship = match state.tags {
        0 => 25,
        tags if tags == own => 75,
        tags if tags & own != 0 => 50,
        _ => 0,
    };
    kinship + (25 * (GPU_CAP - state.gpu_idle())).div_euclid(GPU_CAP)
}
