//! The default order: the least work first, and two guards by what time is left.

use super::keys::{ONE, Ranked, World};

/// The finish-time ratio from which on a run is urgent, in fixed point: 1.25.
const BOUND: i128 = ONE + ONE / 4;
/// Those within a hundredth of the worst ratio are urgent as well, so that not one alone is helped.
const BAND_PERCENT: i128 = 1;
/// So much below the bound a running one stays urgent, so that it is not stopped at once: 0.05.
const HYSTERESIS: i128 = ONE / 20;
/// So long before a run would delay the end of all it is critical, in microseconds.
const SLACK_US: i128 = 120_000_000;

const URGENT: u8 = 0;
const CRITICAL: u8 = 1;
const OTHERS: u8 = 2;

/// Urgent ones first, then critical ones, then all others; in the first and the last the least remaining time ×
/// √GPUs ÷ weight first, among the critical ones the longest.
///
/// Shortest first is the best for the mean time; it is bad for two kinds of run, each of which is known by the time
/// that it has left. *Urgent* is whose finish-time ratio is about to be worst. *Critical* is who has as long to go as
/// all work together takes: it alone would delay the end of all. Critical ones always fit beside each other: as each
/// has at least D to go, and all work is at most G × D, they ask for at most G.
pub(super) fn rank(world: &World, all: &mut [Ranked<'_>]) {
    let work: i128 = all.iter().map(|run| run.left * run.gpu_milli).sum();
    let longest = all.iter().map(|run| run.left).max().unwrap_or(0);
    let drain = (work / world.gpu_milli).max(longest).max(1);
    let ratios: Vec<i128> = all.iter().map(|run| projected(world, drain, run)).collect();
    let worst = ratios.iter().copied().max().unwrap_or(0);
    let bound = BOUND.max(worst * (100 - BAND_PERCENT) / 100);
    for (run, ratio) in all.iter_mut().zip(ratios) {
        let kept = if !run.key.waits && run.urgent() { HYSTERESIS } else { 0 };
        let urgent = ratio >= bound - kept;
        run.set_urgent(urgent);
        let critical = run.left >= drain - SLACK_US;
        (run.key.class, run.key.rank) = match (urgent, critical) {
            (true, _) => (URGENT, work_rank(run)),
            (false, true) => (CRITICAL, (drain - run.left).max(0).cast_unsigned()),
            (false, false) => (OTHERS, work_rank(run)),
        };
    }
}

/// The finish-time ratio of a run, if it ran from now on, while all work drains: the number of those that wait falls as
/// (1 − t/D)².
fn projected(world: &World, drain: i128, run: &Ranked<'_>) -> i128 {
    let part = (run.left * ONE / drain).min(ONE);
    let falling = ONE - part + part * part / (3 * ONE);
    let others = world.weight_milli * ONE / run.weight_milli;
    let future = (others * run.left / ONE) * falling / ONE;
    let stay = (run.age + run.left).max(1);
    let crowded = ((run.crowd(world) + future) * ONE / stay * 1000 / world.gpu_milli).max(ONE);
    stay * ONE / (run.attained + run.left).max(1) * ONE / crowded
}

/// (remaining time × √GPUs ÷ weight)², which orders as that does.
fn work_rank(run: &Ranked<'_>) -> u128 {
    // Milliseconds: squared and multiplied, a month still leaves room.
    let left = (run.left / 1000).max(1).cast_unsigned();
    let weight = run.weight_milli.max(1).cast_unsigned();
    let scaled = left.saturating_mul(left).saturating_mul(run.gpu_milli.max(0).cast_unsigned());
    scaled.saturating_mul(1_000_000) / (weight * weight)
}
