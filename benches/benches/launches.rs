//! Durable launches by 1, 16 and 64 callers on each store, the same one durable commit at a time and by a transaction that
//! was written by hand, and the decision alone.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run stops")]

use std::time::Duration;

use benches::by_hand::{ByHand, Choice};
use benches::launches::{Bench, Figures, Load};
use benches::server::Server;
use benches::stores::{Failed, GROUPS, SCHEMA, SYNC_AT_LEAST, Stores};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;

/// What is measured of each: its name, the callers, and whether batches are committed in groups.
const LOADS: [(&str, usize, bool); 4] = [
    ("one at a time", 64, false),
    ("group commit", 1, true),
    ("group commit", 16, true),
    ("group commit", 64, true),
];
const CALLERS: usize = 64;

fn files(criterion: &mut Criterion) {
    let runtime = runtime();
    let stores = Stores::new(SYNC_AT_LEAST).unwrap();
    let mut group = group(criterion, "durable launches, redb");
    let open = |max_group| runtime.block_on(Bench::new(stores.redb(max_group).unwrap(), CALLERS)).unwrap();
    loads(&mut group, &runtime, &open(1), &open(GROUPS));
    group.finish();
    let mut group = self::group(criterion, "durable launches, SQLite");
    let open = |max_group| {
        runtime.block_on(async { Bench::new(stores.sqlite(max_group).await?, CALLERS).await }).unwrap()
    };
    loads(&mut group, &runtime, &open(1), &open(GROUPS));
    group.finish();
}

fn postgres(criterion: &mut Criterion) {
    let runtime = runtime();
    let server = runtime.block_on(Server::start(SYNC_AT_LEAST)).unwrap();
    let url = server.fresh_database().unwrap();
    let (ours, by_hand) = runtime
        .block_on(async {
            let ours = Bench::new(Stores::postgres(&url, SCHEMA).await?, CALLERS).await?;
            ours.run(Load::new(1, 1)).await?;
            Ok::<_, Failed>((ours, ByHand::new(&url, Choice::Found, CALLERS, 64).await?))
        })
        .unwrap();
    let mut group = group(criterion, "durable launches, Postgres");
    for callers in [1, 16, CALLERS] {
        measure(&mut group, "group commit", callers, |load| runtime.block_on(ours.run(load)));
        measure(&mut group, "by hand", callers, |load| runtime.block_on(by_hand.run(load)));
    }
    group.finish();
}

fn decision(criterion: &mut Criterion) {
    let runtime = runtime();
    let bench = runtime.block_on(Bench::new(Stores::memory().unwrap(), 1)).unwrap();
    criterion.bench_function("decide a launch, commit nothing", |bencher| {
        bencher.iter(|| runtime.block_on(bench.dry_run()).unwrap());
    });
}

fn loads(group: &mut BenchmarkGroup<'_, WallTime>, runtime: &Runtime, one: &Bench, groups: &Bench) {
    for (name, callers, in_groups) in LOADS {
        let bench = if in_groups { groups } else { one };
        measure(group, name, callers, |load| runtime.block_on(bench.run(load)));
    }
}

fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    callers: usize,
    run: impl Fn(Load) -> Result<Figures, Failed>,
) {
    group.bench_function(BenchmarkId::new(name, callers), |bencher| {
        bencher.iter_custom(|launches| {
            let count = usize::try_from(launches).unwrap();
            run(Load::new(callers, count)).unwrap().took
        });
    });
}

fn group<'c>(criterion: &'c mut Criterion, name: &str) -> BenchmarkGroup<'c, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(1)).sample_size(10).warm_up_time(Duration::from_millis(500));
    group
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

criterion_group!(benches, files, postgres, decision);
criterion_main!(benches);
