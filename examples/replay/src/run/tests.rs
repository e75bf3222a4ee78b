use std::sync::atomic::{AtomicUsize, Ordering};

use apportion::entity::TABLES;
use apportion::store::memory::MemoryStore;
use apportion::store::{
    Batch, Changes, Cursor, Prune, Pruned, Query, Reads, Receipt, Resolution, Schema, Snapshot, StoreError,
    Table,
};
use async_trait::async_trait;
use clap::Parser as _;
use uuid::Uuid;

use super::*;
use crate::cli::Cli;

/// A store whose machine goes down after so many batches, in the middle of a group: it is the prefix that lasts.
#[derive(Debug)]
struct Dying {
    inner: Arc<MemoryStore>,
    left: AtomicUsize,
}

fn dead() -> StoreError {
    StoreError::Unavailable { reason: "the machine is down".into(), source: None }
}

impl Dying {
    fn alive(&self) -> Result<&MemoryStore, StoreError> {
        if self.left.load(Ordering::Relaxed) > 0 { Ok(&self.inner) } else { Err(dead()) }
    }
}

#[async_trait]
impl Store for Dying {
    fn schema(&self) -> &Schema {
        self.inner.schema()
    }
    async fn read(&self, queries: Vec<Query>) -> Result<Reads, StoreError> {
        self.alive()?.read(queries).await
    }
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        self.alive()?.snapshot().await
    }
    async fn commit_many(&self, batches: Vec<Batch>) -> Vec<Result<Receipt, StoreError>> {
        let mut answers = Vec::with_capacity(batches.len());
        for batch in batches {
            let id = batch.id;
            let answer = match self.alive() {
                Ok(store) => store.commit_many(vec![batch]).await.pop(),
                Err(_) => Some(Err(StoreError::Unknown { id })),
            };
            // What is refused is no change: only those are counted, so that every life gets somewhere.
            if matches!(answer, Some(Ok(_))) {
                self.left.fetch_sub(1, Ordering::Relaxed);
            }
            answers.extend(answer);
        }
        answers
    }
    async fn resolve(&self, id: Uuid) -> Result<Resolution, StoreError> {
        self.alive()?.resolve(id).await
    }
    async fn changes(&self, after: Cursor, limit: u32) -> Result<Changes, StoreError> {
        self.alive()?.changes(after, limit).await
    }
    async fn prune(&self, prune: Prune) -> Result<Pruned, StoreError> {
        self.alive()?.prune(prune).await
    }
    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A workload, replayed once or in pieces.
struct Bench {
    args: ReplayArgs,
    workload: Workload,
}

impl Bench {
    fn new(arguments: &str) -> Self {
        let size = "replay --store memory: --nodes-count 12 --pods-count 150 --users 3 --concurrency 16";
        let args = Cli::parse_from(size.split(' ').chain(arguments.split_whitespace())).replay;
        let workload = Workload::new(&args, input::prepare(&args).unwrap());
        Self { args, workload }
    }

    fn store() -> Arc<MemoryStore> {
        let tables: Vec<&'static Table> =
            TABLES.iter().copied().chain([&begun::INPUTS, &progress::PROGRESS]).collect();
        // Its own clock stands still: a store's time never runs backwards, whoever continues on it.
        Arc::new(MemoryStore::new(&tables, Arc::new(ManualClock::new(Timestamp::EPOCH))).unwrap())
    }

    /// One life of the program: it ends well, or when the store is gone after `batches`.
    async fn live(&self, inner: &Arc<MemoryStore>, batches: usize) -> Result<Ended, AppError> {
        let store: Arc<dyn Store> = Arc::new(Dying { inner: Arc::clone(inner), left: batches.into() });
        let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
        Replay {
            args: &self.args,
            at: &StoreAt::Memory,
            workload: &self.workload,
            store: &store,
            clock: &clock,
        }
        .carry_out()
        .await
    }
}

/// What must not depend on interruptions.
fn outcome(ended: &Ended) -> impl PartialEq + use<> {
    let course = &ended.course;
    let places: Vec<_> =
        course.heat.iter().map(|node| (node.name.clone(), node.peak_milli, node.end_milli)).collect();
    let means = (course.allocation_pct_mean.to_bits(), course.fragmentation_pct_mean.to_bits());
    (
        ended.state.digest.clone(),
        ended.done.progress.clone(),
        ended.drift,
        course.series.clone(),
        course.peak,
        places,
        means,
    )
}

#[tokio::test]
async fn interrupted_after_any_batch_a_replay_ends_as_one_that_was_not() {
    // Lives of every length up to the window and beyond it, so that the store goes at every place of a window.
    for (arguments, lengths) in [
        ("", &[1, 3, 7, 16, 41][..]),
        ("--policy random", &[2, 11]),
        ("--instance-limit 9 --policy best-fit", &[5, 23]),
    ] {
        let bench = Bench::new(arguments);
        let whole = bench.live(&Bench::store(), usize::MAX).await.unwrap();
        let refused: i64 = whole.done.progress.refused.values().sum();
        assert!(refused > 3 && whole.drift == 0 && whole.live_instances == whole.state.live, "{refused}");
        let whole = outcome(&whole);
        for &batches in lengths {
            let store = Bench::store();
            let mut lives = 0;
            let ended = loop {
                lives += 1;
                match bench.live(&store, batches).await {
                    Ok(ended) => break ended,
                    Err(
                        AppError::Store(_)
                        | AppError::SetUp { .. }
                        | AppError::Operation { .. }
                        | AppError::Plane(_),
                    ) => {}
                    Err(error) => panic!("{error}"),
                }
                assert!(lives < 1_000, "no progress after {lives} lives of {batches} batches");
            };
            assert!(lives > 3 || batches > 23, "{lives}");
            assert!(outcome(&ended) == whole, "{arguments}: {lives} lives of {batches} batches");
        }
    }
}
