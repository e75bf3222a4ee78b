//! Which nodes come nearest to fitting: [`NearMiss`].

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use uuid::Uuid;

use super::cluster::{Admits, Cluster};
use super::demand::Demand;
use super::fits::Misfit;
use super::members::NodeKey;
use super::shortfall::{Lacking, Shortfall, gpus_lacking, shortfall};

/// A node that a demand does not fit, and would if something were freed there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NearMiss {
    /// The node.
    pub node: Uuid,
    /// What would have to be freed on it.
    pub shortfall: Shortfall,
}

/// Nodes that a demand does not fit.
pub(super) struct Misses {
    /// The nearest.
    pub(super) nearest: Vec<NearMiss>,
    /// How many have too few GPUs that work, and nothing else for which they would never do.
    pub(super) too_few_gpus: u64,
}

/// A node, or the least that any node of a class can be lacking, with the first of them.
type Near = (Lacking, NodeKey);

/// Finds the `top` nodes that come nearest to fitting.
///
/// It looks at each class once. Then it goes through the nodes of the nearest class, of the next one, and so on, until no
/// other can come nearer than those that it has: where all nodes of a class lack the same, at `top` of them at most.
pub(super) fn misses(cluster: &Cluster, demand: &Demand, top: usize) -> Misses {
    let mut too_few_gpus = 0;
    let mut classes: Vec<Reverse<(Near, i64, u32)>> = Vec::new();
    for (number, class) in cluster.classes() {
        let state = &class.state;
        if matches!(
            cluster.admits(state, demand),
            Admits::All | Admits::None(Misfit::Unschedulable | Misfit::Model)
        ) {
            continue;
        }
        match gpus_lacking(state, demand) {
            Some(gpus) => {
                let least = Lacking::of(cluster.grain.top(state.free), gpus, demand);
                classes.push(Reverse(((least, class.first), gpus, number)));
            }
            None => too_few_gpus += u64::from(class.members.len()),
        }
    }
    let mut classes = BinaryHeap::from(classes);
    let mut nearest: BinaryHeap<Near> = BinaryHeap::new();
    while let Some(Reverse((least, gpus, number))) = classes.pop() {
        if nearest.len() >= top && nearest.peek().is_none_or(|farthest| *farthest < least) {
            break;
        }
        let Some(class) = cluster.class(number) else { continue };
        let most = Lacking::of(class.state.free, gpus, demand);
        // All lack the same, so the first are the nearest; otherwise it is of each node what it lacks.
        let some = if most == least.0 { top } else { usize::MAX };
        for node in class.members.iter().take(some).filter_map(|node| cluster.node(node)) {
            let lacking = Lacking::of(node.free, gpus, demand);
            if lacking != Lacking::default() {
                nearest.push((lacking, node.key));
            }
            if nearest.len() > top {
                nearest.pop();
            }
        }
    }
    let miss = |(_, key): Near| {
        let node = cluster.get(&key.id)?;
        Some(NearMiss { node: key.id, shortfall: shortfall(&node, demand).ok()? })
    };
    Misses { nearest: nearest.into_sorted_vec().into_iter().filter_map(miss).collect(), too_few_gpus }
}
