//! Durable launches by 1, 16 and 64 callers on redb, the same one durable commit at a time, and the decision alone.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run stops")]

use std::time::Duration;

use benches::launches::{Bench, SYNC_AT_LEAST};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn launches(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut group = criterion.benchmark_group("durable launches, redb");
    group.throughput(Throughput::Elements(1)).sample_size(10).warm_up_time(Duration::from_millis(500));
    for (name, callers, max_group) in [
        ("one at a time", 64, 1),
        ("group commit", 1, 1_024),
        ("group commit", 16, 1_024),
        ("group commit", 64, 1_024),
    ] {
        let bench = runtime.block_on(Bench::new(SYNC_AT_LEAST, max_group)).unwrap();
        group.bench_function(BenchmarkId::new(name, callers), |bencher| {
            bencher.iter_custom(|launches| {
                let count = usize::try_from(launches).unwrap();
                runtime.block_on(bench.run(callers, count)).unwrap().took
            });
        });
    }
    group.finish();
    let bench = runtime.block_on(Bench::new(Duration::ZERO, 1_024)).unwrap();
    criterion.bench_function("decide a launch, commit nothing", |bencher| {
        bencher.iter(|| runtime.block_on(bench.dry_run()).unwrap());
    });
}

criterion_group!(benches, launches);
criterion_main!(benches);
