//! What one process of the crowd does: it schedules, sweeps and works.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;

use super::diary::{Diary, Note};
use super::hand::Hand;
use super::{AGENTS, CrowdPart, CrowdPhase, SCHEDULERS, WORKERS, place};
use crate::ControlPlane;
use crate::error::Result;
use crate::plane::RunScheduler;
use crate::queue::{QueuePolicy, Settings};
use crate::store::Store;
use crate::time::Clock;

/// Is one of the processes of a crowd, until it is told that it is over: four schedulers, sixteen workers, and the sweeps. What fails
/// panics.
///
/// # Panics
/// Where something is answered that never should be.
pub async fn be_part_of_crowd(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    part: CrowdPart,
    phase: CrowdPhase,
) {
    let plane = place::plane(store, part.lease);
    // Workers look for the sweeps of others until they have ended.
    let worked = CrowdPhase::default();
    let mut all = FuturesUnordered::new();
    for number in 0..SCHEDULERS {
        let diary = Diary::of(&part, &format!("scheduler-{number}"), Arc::clone(&clock));
        let seed = part.seed.wrapping_mul(31).wrapping_add(u64::from(part.number * 10 + number));
        let schedule = schedule(Arc::clone(&plane), part.number, diary, worked.clone(), seed);
        all.push(tokio::spawn(schedule.map(|()| false)));
    }
    all.push(tokio::spawn(sweep(Arc::clone(&plane), worked.clone()).map(|()| false)));
    for number in 0..WORKERS {
        let hand = Hand::new(&plane, &clock, &phase, &part, number);
        let node = (number < AGENTS).then(|| place::node(part.number * AGENTS + number));
        all.push(tokio::spawn(hand.live(node).map(|()| true)));
    }
    let mut workers = WORKERS;
    // Whatever fails ends the process at once.
    while let Some(ended) = all.next().await {
        workers -= u32::from(ended.unwrap());
        if workers == 0 {
            worked.hear(super::END);
        }
    }
}

/// Ticks, mostly with what it has seen before and now and then as a new scheduler. Every process has another order of runs.
async fn schedule(plane: Arc<ControlPlane>, part: u32, mut diary: Diary, worked: CrowdPhase, seed: u64) {
    let policies =
        [QueuePolicy::Balanced, QueuePolicy::FairShare, QueuePolicy::Priority, QueuePolicy::Backfill];
    let mut settings = Settings::new(policies[usize::try_from(part).unwrap() % policies.len()]);
    // All of them see the same runs and the same room: most of what is planned another one does first.
    settings.most_grants = 4;
    let mut random = Pcg64Mcg::seed_from_u64(seed);
    let mut scheduler = RunScheduler::new(Arc::clone(&plane), settings.clone());
    while !worked.is_over() {
        if let Some(ticked) = tried(scheduler.tick().await) {
            let (granted, lost, preempted) = (ticked.granted.len(), ticked.lost, ticked.preempted.len());
            if granted + lost + preempted > 0 {
                diary.note(&Note::Ticked { granted, lost, preempted });
            }
        }
        if random.random_bool(0.02) {
            scheduler = RunScheduler::new(Arc::clone(&plane), settings.clone());
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(20..300))).await;
    }
}

async fn sweep(plane: Arc<ControlPlane>, worked: CrowdPhase) {
    while !worked.is_over() {
        tried(plane.sweep_leases().await);
        tried(plane.sweep_runs().await);
        tried(plane.advance_runs(1000).await);
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
}

/// What came of something that is tried again anyway.
fn tried<T>(answer: Result<T>) -> Option<T> {
    match answer {
        Ok(done) => Some(done),
        Err(error) if error.is_retryable() => None,
        Err(error) => panic!("{error:?}"),
    }
}
