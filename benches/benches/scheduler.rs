//! Decisions a second, by policy and by the number of nodes.

use apportion::sched::Policy;
use benches::decisions::Steady;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn decisions(criterion: &mut Criterion) {
    for nodes in [1_213, 100_000] {
        let mut group = criterion.benchmark_group(format!("decide and place, {nodes} nodes"));
        group.throughput(Throughput::Elements(1)).sample_size(20);
        for policy in Policy::ALL {
            let mut steady = Steady::new(policy, nodes);
            group.bench_function(BenchmarkId::from_parameter(policy), |bencher| {
                bencher.iter(|| steady.step());
            });
        }
        group.finish();
    }
}

criterion_group!(benches, decisions);
criterion_main!(benches);
