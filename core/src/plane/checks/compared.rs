//! A control plane beside a model of it: the same random steps are done to both, and the two are compared behind every step.
//!
//! What fails is told with its seed, and with the fewest steps that still fail.
#![expect(clippy::panic, reason = "a check fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Write as _};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use rand::SeedableRng as _;
use rand_pcg::Pcg64Mcg;

use crate::entity::Entity;
use crate::store::{MAX_PAGE, Row, Scan, Store, StoreExt as _, Table};
use crate::time::{ManualClock, Timestamp};

/// Nothing, or what is wrong.
pub(super) type Checked = Result<(), String>;

/// When every sequence begins.
pub(super) const BEGIN: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);

/// Makes the stores that a model is compared on.
#[async_trait]
pub trait ModelStores: Send + Sync {
    /// A new store with nothing in it, opened with [`TABLES`](crate::entity::TABLES) and with this clock.
    async fn fresh(&self, clock: Arc<ManualClock>) -> Arc<dyn Store>;

    /// The store after the process that had it has died; nobody else holds it. By default it is the same one.
    async fn reopened(&self, store: Arc<dyn Store>, _clock: Arc<ManualClock>) -> Arc<dyn Store> {
        store
    }
}

/// How much is tried.
#[derive(Clone, Copy, Debug)]
pub struct ModelSize {
    /// How many sequences of steps, each on a new store.
    pub sequences: u64,
    /// How many steps a sequence has.
    pub steps: usize,
    /// Behind how many steps everything is recounted.
    pub audit_every: usize,
}

/// A control plane and a model of it.
pub(super) trait Compared<'s>: Sized {
    /// What can happen. It means something in every state, so that steps can be dropped.
    type Step: Copy + Debug;

    /// So many steps, the same ones for a seed.
    fn steps(random: &mut Pcg64Mcg, count: usize) -> Vec<Self::Step>;

    /// Both of them as they are before the first step.
    async fn begin(stores: &'s dyn ModelStores) -> Result<Self, String>;

    /// Carries out a step, and compares.
    async fn carry_out(&mut self, step: Self::Step) -> Checked;

    /// Recounts everything.
    async fn recount(&self) -> Checked;

    /// Brings everything to its end, and sees that nothing is left of it.
    async fn end(&mut self) -> Checked;
}

/// Plays so many sequences. The seeds are those from `seed` on, one a sequence: what is told of a failure can be played again.
///
/// # Panics
/// Where the two differ.
pub(super) async fn compare<'s, C: Compared<'s>>(stores: &'s dyn ModelStores, size: ModelSize, seed: u64) {
    for seed in seed..seed + size.sequences {
        let steps = C::steps(&mut Pcg64Mcg::seed_from_u64(seed), size.steps);
        if let Err((at, why)) = play::<C>(stores, &steps, size.audit_every).await {
            let failing = steps.get(..=at).unwrap_or(&steps).to_vec();
            let (fewest, why) = shrink::<C>(stores, failing, why).await;
            let mut list = String::new();
            for step in &fewest {
                let _ = write!(list, "\n    {step:?}");
            }
            panic!("seed {seed}: {why}\nby these steps, with the others dropped:{list}");
        }
    }
}

/// Plays steps on a new store, and answers where it failed, and why.
async fn play<'s, C: Compared<'s>>(
    stores: &'s dyn ModelStores,
    steps: &[C::Step],
    audit_every: usize,
) -> Result<(), (usize, String)> {
    let mut at = 0;
    let played = async {
        let mut both = C::begin(stores).await?;
        for (place, step) in steps.iter().enumerate() {
            at = place;
            both.carry_out(*step).await?;
            if (place + 1) % audit_every == 0 {
                both.recount().await?;
            }
        }
        at = steps.len();
        both.end().await?;
        both.recount().await
    };
    let failed = match AssertUnwindSafe(Box::pin(played)).catch_unwind().await {
        Ok(played) => played,
        Err(_) => Err("it panicked".to_owned()),
    };
    failed.map_err(|why| (at, why))
}

/// Drops steps for as long as it still fails, half of them at first, at last one at a time.
async fn shrink<'s, C: Compared<'s>>(
    stores: &'s dyn ModelStores,
    mut steps: Vec<C::Step>,
    mut why: String,
) -> (Vec<C::Step>, String) {
    let mut size = steps.len() / 2;
    while size > 0 {
        let (mut from, mut dropped) = (0, false);
        while from < steps.len() {
            let mut fewer = steps.clone();
            fewer.drain(from..(from + size).min(steps.len()));
            match play::<C>(stores, &fewer, 1).await {
                Err((_, other)) => (steps, why, dropped) = (fewer, other, true),
                Ok(()) => from += size,
            }
        }
        if !dropped || size > 1 {
            size /= 2;
        }
    }
    (steps, why)
}

/// One of so many things.
pub(super) fn of(place: u8, count: usize) -> Option<usize> {
    usize::from(place).checked_rem(count)
}

/// All rows of tables, as they are at one moment, table by table.
pub(super) async fn rows_of(
    store: &dyn Store,
    tables: &[&'static Table],
) -> Result<impl Iterator<Item = Vec<Row>>, String> {
    let scans = tables.iter().map(|table| Scan::of(table).limit(MAX_PAGE)).collect();
    let pages = store.scan_many(scans).await.map_err(|error| error.to_string())?.value;
    if pages.iter().any(|page| page.next.is_some()) {
        return Err("there are more rows than one page has: let there be fewer steps".to_owned());
    }
    Ok(pages.into_iter().map(|page| page.rows))
}

pub(super) fn parsed<E: Entity>(rows: &[Row]) -> Result<Vec<E>, String> {
    rows.iter().map(|row| E::from_row(row).map_err(|error| error.to_string())).collect()
}

/// What is so, as lines under names, so that a difference can be read.
pub(super) type Facts = BTreeMap<String, String>;

/// The lines in which two differ.
pub(super) fn difference(stored: &Facts, known: &Facts) -> Option<String> {
    let mut lines = String::new();
    let names: BTreeSet<&String> = stored.keys().chain(known.keys()).collect();
    for name in names {
        let (stored, known) = (stored.get(name), known.get(name));
        if stored != known {
            let or = |fact: Option<&String>| fact.map_or("nothing", String::as_str).to_owned();
            let _ = write!(lines, "\n  {name}\n    stored:   {}\n    expected: {}", or(stored), or(known));
        }
    }
    (!lines.is_empty()).then_some(lines)
}

/// The reference store, for the unit tests of models.
#[cfg(test)]
pub(super) struct InMemory;

#[cfg(test)]
#[async_trait]
impl ModelStores for InMemory {
    async fn fresh(&self, clock: Arc<ManualClock>) -> Arc<dyn Store> {
        Arc::new(crate::store::memory::MemoryStore::new(crate::entity::TABLES, clock).unwrap())
    }
}
