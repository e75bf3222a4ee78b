//! A check of a session and of an API key, on each store.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run stops")]

use std::time::Duration;

use benches::checks::{Checks, Kind};
use benches::server::Server;
use benches::stores::Stores;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

fn checks(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let files = Stores::new(Duration::ZERO).unwrap();
    let server = runtime.block_on(Server::start(Duration::ZERO)).unwrap();
    let url = server.fresh_database().unwrap();
    let stores = runtime.block_on(files.all(&url)).unwrap();
    for (name, store) in stores {
        let checks = runtime.block_on(Checks::new(store)).unwrap();
        let mut group = criterion.benchmark_group(format!("checks, {name}"));
        group.sample_size(20).warm_up_time(Duration::from_millis(500));
        for kind in Kind::ALL {
            let mut nth = 0_usize;
            group.bench_function(BenchmarkId::from_parameter(kind.name()), |bencher| {
                bencher.iter(|| {
                    nth = nth.wrapping_add(1_237);
                    runtime.block_on(checks.check(kind, nth)).unwrap();
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, checks);
criterion_main!(benches);
