//! Why a task would go where it goes, or nowhere, and what would have to be freed: [`Scheduler::explain`].

use std::cmp::Reverse;

use uuid::Uuid;

use super::cluster::{Admits, Cluster};
use super::demand::Demand;
use super::members::NodeKey;
use super::nearest::{Misses, NearMiss, misses};
use super::placement::NoFit;
#[cfg(doc)]
use super::policy::Policy;
use super::scheduler::{Scheduler, recount};

/// What a decision has to choose from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// How many nodes each filter removes.
    pub removed: NoFit,
    /// How many nodes are left.
    pub fitting: u64,
    /// The best of them, best first. The first is the one that [`Scheduler::decide`] takes, except at random.
    pub candidates: Vec<Candidate>,
    /// The nodes that come nearest to fitting, nearest first: those of which the least GPU milli has to be freed, of
    /// equal ones the least processor time, then memory, then disk space, then in the order of their ranks and ids.
    pub nearest: Vec<NearMiss>,
    /// How many of the removed nodes have fewer GPUs that work than are asked for. To free something never helps there,
    /// nor on those of `removed` that are unschedulable or of another model, which are not counted here.
    pub too_few_gpus: u64,
}

/// A node that fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The node.
    pub node: Uuid,
    /// Its score under the scheduler's policy; higher is better, equal ones go by rank.
    pub score: i64,
    /// What the score is made of, under [`Policy::OpportunityCost`].
    pub terms: Option<Terms>,
}

/// What a task costs on a node under [`Policy::OpportunityCost`]; the score is the sum with its sign turned. All are in
/// 8ths of a GPU milli.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Terms {
    /// By how much rises what is expected to be left over of the node's GPUs.
    pub left_over: i64,
    /// What its GPUs cost because others need their model.
    pub scarcity: i64,
    /// A little for what stays free, so that what is begun is filled first.
    pub stays: i64,
}

impl Scheduler {
    /// Shows what a decision has to choose from: what each filter removes, the `top` best nodes with their scores, and the
    /// `top` nodes that come nearest to fitting with what would have to be freed on each.
    ///
    /// It judges and scores as [`decide`](Self::decide) does, and takes nothing. It looks at each class of nodes, and at the
    /// nodes of a class only where they differ in what is asked about.
    pub fn explain(&mut self, cluster: &Cluster, demand: &Demand, top: usize) -> Explanation {
        self.turn_to(cluster);
        let (removed, fitting) = recount(cluster, demand);
        let prices = self.scorer().prices(cluster, demand);
        let mut best: Vec<(Reverse<i64>, NodeKey, Option<Terms>)> = Vec::new();
        for (number, class) in cluster.classes() {
            let admits = cluster.admits(&class.state, demand);
            if matches!(admits, Admits::None(_)) {
                continue;
            }
            let model = usize::try_from(class.state.model).unwrap_or(0);
            let price = prices.get(model).copied().unwrap_or(0);
            let score = i64::from(self.scorer().score(cluster, number, class, demand)) - price;
            let terms = self.scorer().terms(cluster, class, demand, price);
            let fits = |node: &u32| admits == Admits::All || cluster.judge_node(*node, demand).is_ok();
            let nodes = class.members.iter().filter(fits).take(top).filter_map(|node| cluster.node(node));
            best.extend(nodes.map(|node| (Reverse(score), node.key, terms)));
        }
        best.sort_unstable_by_key(|(score, key, _)| (*score, *key));
        best.truncate(top);
        let candidate =
            |(Reverse(score), key, terms): (_, NodeKey, _)| Candidate { node: key.id, score, terms };
        let candidates = best.into_iter().map(candidate).collect();
        let Misses { nearest, too_few_gpus } = misses(cluster, demand, top);
        Explanation { removed, fitting, candidates, nearest, too_few_gpus }
    }
}
