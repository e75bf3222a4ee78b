//! All placements of a few tasks on a few nodes, one after the other.

use apportion::sched::Demand;
use replay::trace::NodeRow;

#[derive(Clone)]
struct Node {
    model: Option<String>,
    cpu: i64,
    memory: i64,
    gpus: Vec<i64>,
}

/// The most GPU milli that can be allocated when the tasks come in this order; a task that fits is refused only by a
/// placement that `refuses`.
pub(super) fn most_milli(nodes: &[NodeRow], demands: &[Demand], refuses: bool) -> i64 {
    let nodes: Vec<Node> = nodes
        .iter()
        .map(|node| Node {
            model: node.model.clone(),
            cpu: node.cpu_milli.get(),
            memory: node.memory_mib.get(),
            gpus: (0..node.gpus).map(|_| 1000).collect(),
        })
        .collect();
    search(&nodes, demands, refuses)
}

fn search(nodes: &[Node], demands: &[Demand], refuses: bool) -> i64 {
    let Some((demand, later)) = demands.split_first() else { return 0 };
    let placed: Vec<Vec<Node>> = (0..nodes.len()).flat_map(|at| placements(nodes, at, demand)).collect();
    let best = placed.iter().map(|nodes| demand.gpu_milli_total() + search(nodes, later, refuses)).max();
    match best {
        Some(best) if refuses => best.max(search(nodes, later, refuses)),
        Some(best) => best,
        None => search(nodes, later, refuses),
    }
}

/// The clusters in which the task runs on a node, one for each way to choose its GPUs that makes a difference.
fn placements(nodes: &[Node], at: usize, demand: &Demand) -> Vec<Vec<Node>> {
    let mut node = nodes[at].clone();
    node.cpu -= demand.cpu().get();
    node.memory -= demand.memory().get();
    if node.cpu < 0 || node.memory < 0 || !demand.admits_model(node.model.as_deref()) {
        return Vec::new();
    }
    let (count, milli) = demand.gpu().need();
    let able: Vec<usize> = (0..node.gpus.len()).filter(|gpu| node.gpus[*gpu] >= milli.get()).collect();
    let count = usize::try_from(count).unwrap();
    if able.len() < count {
        return Vec::new();
    }
    // A task with GPUs of its own finds all of those that are able alike; a share goes on each of them in turn.
    let choices: Vec<&[usize]> = if count == 1 { able.chunks(1).collect() } else { vec![&able[..count]] };
    let with = |choice: &[usize]| {
        let mut nodes = nodes.to_vec();
        let mut node = node.clone();
        for gpu in choice {
            node.gpus[*gpu] -= milli.get();
        }
        nodes[at] = node;
        nodes
    };
    choices.into_iter().map(with).collect()
}
