//! The cluster and the workload of a run, read or generated.

use std::path::Path;

use crate::cli::{ReplayArgs, StoreAt};
use crate::error::AppError;
use crate::generate::{Size, generate};
use crate::trace::{NodeRow, PodRow, models, read_nodes, read_pods};

/// Everything that a replay needs to know; by now all of it was judged, and nothing was written.
#[derive(Debug)]
pub struct Input {
    /// The cluster.
    pub nodes: Vec<NodeRow>,
    /// The workload.
    pub pods: Vec<PodRow>,
    /// Where both come from, as a sentence's start: `trace default`, `a generated workload, seed 42`.
    pub source: String,
    /// Where the state is kept.
    pub store: StoreAt,
}

/// Reads or generates what the arguments ask for, and judges where the results would go.
pub fn prepare(args: &ReplayArgs) -> Result<Input, AppError> {
    let store = args.store_at()?;
    if let (Some(nodes), Some(pods)) = (&args.nodes, &args.pods) {
        let source = format!("trace {}", trace_name(pods));
        let nodes = read_nodes(nodes)?;
        let pods = read_pods(pods, &models(&nodes))?;
        return Ok(Input { nodes, pods, source, store });
    }
    let workload = generate(&Size { nodes: args.nodes_count, pods: args.pods_count, seed: args.seed });
    let source = format!("a generated workload, seed {}", args.seed);
    Ok(Input { nodes: workload.nodes, pods: workload.pods, source, store })
}

/// A workload's name: its file's, without what all the published files share.
pub fn trace_name(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    stem.strip_prefix("openb_pod_list_").unwrap_or(&stem).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_called_by_its_file() {
        assert_eq!(trace_name(Path::new("x/openb_pod_list_gpuspec10.csv")), "gpuspec10");
        assert_eq!(trace_name(Path::new("mine.csv")), "mine");
        assert_eq!(trace_name(Path::new("pods")), "pods");
    }
}
