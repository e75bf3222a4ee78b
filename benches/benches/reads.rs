//! Reads of a row, of a hundred rows and of a hundred records of the feed, on each store.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run stops")]

use std::time::Duration;

use benches::reads::{Kind, Reads};
use benches::server::Server;
use benches::stores::Stores;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

fn reads(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let files = Stores::new(Duration::ZERO).unwrap();
    let server = runtime.block_on(Server::start(Duration::ZERO)).unwrap();
    let url = server.fresh_database().unwrap();
    let stores = runtime.block_on(files.all(&url)).unwrap();
    for (name, store) in stores {
        let reads = runtime.block_on(Reads::new(store)).unwrap();
        let mut group = criterion.benchmark_group(format!("reads, {name}"));
        group.sample_size(20).warm_up_time(Duration::from_millis(500));
        for kind in Kind::ALL {
            group.bench_function(BenchmarkId::from_parameter(kind.name()), |bencher| {
                bencher.iter(|| runtime.block_on(reads.read(kind)).unwrap());
            });
        }
        group.finish();
    }
}

criterion_group!(benches, reads);
criterion_main!(benches);
