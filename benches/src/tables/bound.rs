//! What no placement can exceed in the published experiment.

use std::path::PathBuf;

use benches::bound::{Ceiling, bound};
use benches::launches::now;
use benches::stores::Failed;
use replay::generate::{PUBLISHED_NODES, PUBLISHED_PODS, generate};
use replay::inflate_cli::FIRST_SEED;
use replay::input::trace_name;
use replay::trace::{models, read_nodes, read_pods};

/// The workloads to bound, and for how many seeds.
#[derive(Debug, clap::Args)]
pub(crate) struct BoundArgs {
    /// The list of nodes for `bound` and `defragment`, in the columns of the openb trace; without it, a cluster and a
    /// workload are generated.
    #[arg(long, requires = "pods")]
    pub(crate) nodes: Option<PathBuf>,
    /// The lists of pods for `bound`, one for each workload; `defragment` takes the first.
    #[arg(long, num_args = 1.., requires = "nodes")]
    pub(crate) pods: Vec<PathBuf>,
    /// From how many seeds `bound` takes the mean.
    #[arg(long, default_value_t = 10)]
    seeds: usize,
}

/// Prints the table.
pub(crate) fn bounds(args: &BoundArgs, quick: bool) -> Result<(), Failed> {
    let seeds: Vec<u64> = (FIRST_SEED..).take(if quick { 1 } else { args.seeds }).collect();
    println!("\nno run can allocate more, per cent of all GPU, mean of {} seeds", seeds.len());
    println!("any: of any placement, known in advance; wc: of one that places whatever fits when it comes\n");
    println!(
        "{:<14} {:>9} {:>9} {:>9} {:>9} {:>7}",
        "trace", "any @100", "wc @100", "any @130", "wc @130", "s"
    );
    let Some(nodes) = &args.nodes else {
        let size = replay::generate::Size { nodes: PUBLISHED_NODES, pods: PUBLISHED_PODS, seed: FIRST_SEED };
        let workload = generate(&size);
        row("generated", || bound(&workload.nodes, &workload.pods, &seeds));
        return Ok(());
    };
    let nodes = read_nodes(nodes)?;
    for path in &args.pods {
        let pods = read_pods(path, &models(&nodes))?;
        row(&trace_name(path), || bound(&nodes, &pods, &seeds));
    }
    Ok(())
}

fn row(name: &str, bound: impl FnOnce() -> benches::bound::Bound) {
    let began = now();
    let found = bound();
    let (Ceiling { any_pct, work_conserving_pct }, at_130) = (found.at_100(), found.at_130());
    println!(
        "{name:<14} {any_pct:>9.2} {work_conserving_pct:>9.2} {:>9.2} {:>9.2} {:>7.1}",
        at_130.any_pct,
        at_130.work_conserving_pct,
        began.elapsed().as_secs_f64()
    );
}
