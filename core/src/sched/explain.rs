//! Why a task would go where it goes, or nowhere: [`Scheduler::explain`].

use std::cmp::Reverse;

use uuid::Uuid;

use super::cluster::{Admits, Cluster};
use super::demand::Demand;
use super::members::NodeKey;
use super::placement::NoFit;
use super::scheduler::{Scheduler, recount};

/// What a decision has to choose from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// How many nodes each filter removes.
    pub removed: NoFit,
    /// How many nodes are left.
    pub fitting: u64,
    /// The best of them, best first. The first is the one that [`Scheduler::decide`] takes, except at random.
    pub candidates: Vec<Candidate>,
}

/// A node that fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The node.
    pub node: Uuid,
    /// Its score under the scheduler's policy; higher is better, equal ones go by rank.
    pub score: i64,
}

impl Scheduler {
    /// Shows what a decision has to choose from: what each filter removes, and the best nodes with their scores.
    ///
    /// It judges and scores as [`decide`](Self::decide) does, and takes nothing.
    pub fn explain(&mut self, cluster: &Cluster, demand: &Demand, top: usize) -> Explanation {
        self.turn_to(cluster);
        let (removed, fitting) = recount(cluster, demand);
        let prices = self.scorer().prices(cluster, demand);
        let mut best: Vec<(Reverse<i64>, NodeKey)> = Vec::new();
        for (number, class) in cluster.classes() {
            let admits = cluster.admits(&class.state, demand);
            if matches!(admits, Admits::None(_)) {
                continue;
            }
            let model = usize::try_from(class.state.model).unwrap_or(0);
            let price = prices.get(model).copied().unwrap_or(0);
            let score = i64::from(self.scorer().score(cluster, number, class, demand)) - price;
            let fits = |node: &u32| admits == Admits::All || cluster.judge_node(*node, demand).is_ok();
            let nodes = class.members.iter().filter(fits).take(top).filter_map(|node| cluster.node(node));
            best.extend(nodes.map(|node| (Reverse(score), node.key)));
        }
        best.sort_unstable();
        best.truncate(top);
        let candidates =
            best.into_iter().map(|(Reverse(score), key)| Candidate { node: key.id, score }).collect();
        Explanation { removed, fitting, candidates }
    }
}
