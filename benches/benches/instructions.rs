//! What is counted in instructions: decisions on a steady cluster, the index, and a whole launch on the reference store.
//!
//! `cargo run --release -p benches -- instructions` compares the counts with those in `benches/instructions.txt`.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run stops")]
#![expect(missing_docs, reason = "of what gungraun's macros make")]

use std::hint::black_box;

use apportion::sched::{Cluster, NodeState, Policy};
use benches::decisions::Steady;
use benches::launches::{Bench, Launcher as _};
use benches::stores::Stores;
use gungraun::{Callgrind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
use tokio::runtime::Runtime;

/// Nodes of the cluster: few, since filling it takes most of the time.
const NODES: usize = 300;
/// How often each thing is done.
const TIMES: usize = 500;

fn steady(policy: Policy) -> Steady {
    let mut steady = Steady::new(policy, NODES);
    // All kinds of task that matter have been met before it is counted.
    (0..2 * TIMES).for_each(|_| steady.step());
    steady
}

#[library_benchmark(setup = steady)]
#[bench::best_fit(Policy::BestFit)]
#[bench::fgd(Policy::Fgd)]
#[bench::default(Policy::default())]
fn decide_place_release(mut steady: Steady) -> Steady {
    (0..TIMES).for_each(|_| steady.step());
    black_box(steady)
}

#[library_benchmark(setup = steady)]
#[bench::best_fit(Policy::BestFit)]
fn place_release(mut steady: Steady) -> Steady {
    (0..TIMES).for_each(|_| steady.again());
    black_box(steady)
}

fn nodes(policy: Policy) -> Vec<NodeState> {
    steady(policy).nodes()
}

#[library_benchmark(setup = nodes)]
#[bench::snapshot(Policy::BestFit)]
fn index(nodes: Vec<NodeState>) -> (Cluster, Vec<NodeState>) {
    let mut cluster = Cluster::new();
    for node in &nodes {
        cluster.upsert(node).unwrap();
    }
    black_box((cluster, nodes))
}

fn memory(launched: usize) -> (Runtime, Bench) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bench = runtime.block_on(Bench::new(Stores::memory().unwrap(), 1)).unwrap();
    for nth in 0..launched {
        runtime.block_on(bench.launch(0, nth, false)).unwrap();
    }
    (runtime, bench)
}

#[library_benchmark(setup = memory)]
#[bench::memory(20)]
fn launch((runtime, bench): (Runtime, Bench)) -> (Runtime, Bench) {
    for nth in 100..120 {
        runtime.block_on(bench.launch(0, nth, false)).unwrap();
    }
    black_box((runtime, bench))
}

library_benchmark_group!(name = scheduler; benchmarks = decide_place_release, place_release, index);
library_benchmark_group!(name = plane; benchmarks = launch);
main!(
    // Only instructions are counted: caches need not be simulated.
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"]));
    library_benchmark_groups = scheduler, plane
);
