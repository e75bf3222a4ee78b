//! The decision: [`Scheduler`].

use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use rustc_hash::FxHashMap;
use uuid::Uuid;

use super::cluster::{Admits, Cluster};
use super::demand::Demand;
use super::members::NodeKey;
use super::memo::{Context, Memo};
use super::mix::TaskMix;
use super::placement::{NoFit, Placement};
use super::policy::Policy;
use super::scorer::Scorer;

/// The most shapes of demand that are remembered.
const MAX_SHAPES: usize = 4096;

/// The most classes that are remembered over all shapes, some 40 bytes each.
const MAX_ENTRIES: usize = 1 << 22;

/// Decides where tasks go.
///
/// It is deterministic: the same policy, mix and seed, asked the same of the same cluster in the same order, give the
/// same answers. It remembers the scores of classes for each shape of demand, of one cluster at a time; asked of
/// another cluster it forgets and starts again, with the same outcome.
#[derive(Debug, Clone)]
pub struct Scheduler {
    scorer: Scorer,
    rng: Pcg64,
    cluster: u64,
    shapes: FxHashMap<Demand, Memo>,
    entries: usize,
    decisions: u64,
}

impl Scheduler {
    /// A scheduler with a policy. The seed matters to [`Policy::Random`] only.
    ///
    /// [`Policy::OpportunityCost`] and [`Policy::Fgd`] need to know what is typical, see [`with_mix`](Self::with_mix); without,
    /// the latter finds all nodes equal and takes the first that fits.
    pub fn new(policy: Policy, seed: u64) -> Self {
        Self {
            scorer: Scorer::new(policy, TaskMix::default()),
            rng: Pcg64::seed_from_u64(seed),
            cluster: 0,
            shapes: FxHashMap::default(),
            entries: 0,
            decisions: 0,
        }
    }

    /// The same scheduler with a typical workload.
    pub fn with_mix(mut self, mix: TaskMix) -> Self {
        self.set_mix(mix);
        self
    }

    /// Puts another typical workload. What is remembered is kept if it is the same one.
    pub fn set_mix(&mut self, mix: TaskMix) {
        if mix != *self.scorer.mix() {
            self.scorer = Scorer::new(self.scorer.policy(), mix);
            self.forget();
        }
    }

    /// The policy.
    pub const fn policy(&self) -> Policy {
        self.scorer.policy()
    }

    /// The typical workload.
    pub const fn mix(&self) -> &TaskMix {
        self.scorer.mix()
    }

    /// Chooses the node and the GPUs for one task, apart from some nodes. Nothing is taken yet: that is
    /// [`Cluster::place`].
    pub fn decide(
        &mut self,
        cluster: &Cluster,
        demand: &Demand,
        exclude: &[Uuid],
    ) -> Result<Placement, NoFit> {
        let excluded = indexes(cluster, exclude);
        match self.choose(cluster, demand, &excluded) {
            Some(placement) => Ok(placement),
            None => Err(self.no_fit(cluster, demand, &excluded)),
        }
    }

    /// The same where nobody asks why nothing fits: to count what each filter removes takes longer than to find that
    /// there is nothing.
    pub fn find(&mut self, cluster: &Cluster, demand: &Demand, exclude: &[Uuid]) -> Option<Placement> {
        self.choose(cluster, demand, &indexes(cluster, exclude))
    }

    /// Chooses the GPUs for one task on a node that is given, if it fits there.
    pub(crate) fn find_on(&mut self, cluster: &Cluster, demand: &Demand, node: &Uuid) -> Option<Placement> {
        self.turn_to(cluster);
        let node = cluster.index_of(node)?;
        cluster.judge_node(node, demand).is_ok().then(|| self.on(cluster, demand, node))
    }

    fn choose(&mut self, cluster: &Cluster, demand: &Demand, excluded: &[u32]) -> Option<Placement> {
        let node = match self.scorer.policy() {
            Policy::Random => self.any(cluster, demand, excluded),
            _ => self.best(cluster, demand, excluded),
        }?;
        Some(self.on(cluster, demand, node))
    }

    /// The placement on a node on which a demand fits.
    fn on(&mut self, cluster: &Cluster, demand: &Demand, node: u32) -> Placement {
        let rng = &mut self.rng;
        let gpus = self.scorer.choose_gpus(cluster, node, demand, |count| rng.random_range(0..count));
        Placement {
            node: cluster.node(node).map_or_else(Uuid::nil, |node| node.key.id),
            gpus,
            milli_per_gpu: demand.gpu().need().1,
            demand: demand.clone(),
        }
    }

    /// Places tasks in the given order, each before the next is decided; the answers are in the same order.
    pub fn plan_many(&mut self, cluster: &mut Cluster, demands: &[Demand]) -> Vec<Result<Placement, NoFit>> {
        let mut one = |demand| {
            let placement = self.decide(cluster, demand, &[])?;
            // What was just decided on this very state fits it.
            let placed = cluster.place(&placement);
            debug_assert_eq!(placed, Ok(()));
            Ok(placement)
        };
        demands.iter().map(&mut one).collect()
    }

    pub(super) const fn scorer(&mut self) -> &mut Scorer {
        &mut self.scorer
    }

    /// Forgets what belongs to another cluster, or too much of it.
    pub(super) fn turn_to(&mut self, cluster: &Cluster) {
        if self.cluster != cluster.uid {
            self.scorer.forget();
            self.forget();
            self.cluster = cluster.uid;
        }
        if self.entries > MAX_ENTRIES || self.shapes.len() > MAX_SHAPES {
            self.forget_half();
        }
    }

    /// Forgets the half of the shapes that was not used for longest.
    fn forget_half(&mut self) {
        let mut used: Vec<u64> = self.shapes.values().map(|memo| memo.used).collect();
        let middle = used.len() / 2;
        if middle < used.len() {
            let (_, &mut limit, _) = used.select_nth_unstable(middle);
            self.shapes.retain(|_, memo| memo.used > limit);
            // The others get their numbers.
            self.scorer.forget_shapes();
            (0..).zip(self.shapes.values_mut()).for_each(|(shape, memo)| memo.shape = shape);
        }
        self.entries = self.shapes.values().map(Memo::len).sum();
    }

    fn forget(&mut self) {
        self.scorer.forget_shapes();
        self.shapes.clear();
        self.entries = 0;
    }

    fn best(&mut self, cluster: &Cluster, demand: &Demand, excluded: &[u32]) -> Option<u32> {
        self.turn_to(cluster);
        self.decisions += 1;
        #[expect(clippy::single_match_else, reason = "the borrow of what is found outlives the search")]
        let memo = match self.shapes.get_mut(demand) {
            Some(memo) => memo,
            None => {
                let shape = u32::try_from(self.shapes.len()).unwrap_or(u32::MAX);
                self.shapes.entry(demand.clone()).or_insert(Memo::new(shape))
            }
        };
        memo.used = self.decisions;
        let before = memo.len();
        let prices = self.scorer.prices(cluster, demand);
        let shape = memo.shape;
        let mut context = Context { cluster, demand, scorer: &mut self.scorer, shape, prices: &prices };
        let best = if excluded.is_empty() {
            memo.best(&mut context)
        } else {
            memo.best_without(&mut context, excluded)
        };
        self.entries = self.entries - before + memo.len();
        best
    }

    /// Any node that fits, each as likely as the others: the classes that fit in the order of their first nodes, and
    /// in each class the nodes in their order, make one list, from which one is drawn.
    fn any(&mut self, cluster: &Cluster, demand: &Demand, excluded: &[u32]) -> Option<u32> {
        self.turn_to(cluster);
        let mut fitting: Vec<(NodeKey, u32, u64)> = Vec::new();
        let fits = |node: u32| cluster.judge_node(node, demand).is_ok();
        for (number, class) in cluster.classes() {
            let nodes = match cluster.admits(&class.state, demand) {
                Admits::None(_) => continue,
                Admits::All => u64::from(class.members.len()),
                Admits::Some => class.members.iter().map(|node| u64::from(fits(node))).sum(),
            };
            fitting.push((class.first, number, nodes));
        }
        fitting.sort_unstable();
        for (_, number, nodes) in &mut fitting {
            let inside = |node: &&u32| cluster.node(**node).is_some_and(|node| node.class() == *number);
            *nodes -= excluded.iter().filter(inside).filter(|node| fits(**node)).count() as u64;
        }
        let all: u64 = fitting.iter().map(|(_, _, nodes)| nodes).sum();
        if all == 0 {
            return None;
        }
        let mut place = self.rng.random_range(0..all);
        for (_, number, nodes) in fitting {
            if place < nodes {
                let members = &cluster.class(number)?.members;
                let place = usize::try_from(place).ok()?;
                return if excluded.is_empty() && cluster.grain.is_exact() {
                    members.nth(place)
                } else {
                    members.iter().filter(|node| !excluded.contains(node) && fits(*node)).nth(place)
                };
            }
            place -= nodes;
        }
        None
    }

    /// Counts what each filter removed.
    fn no_fit(&mut self, cluster: &Cluster, demand: &Demand, excluded: &[u32]) -> NoFit {
        let memo = self.shapes.get_mut(demand);
        let known = memo.as_ref().and_then(|memo| memo.no_fit(cluster));
        let mut no_fit = known.unwrap_or_else(|| recount(cluster, demand).0);
        if let Some(memo) = memo {
            memo.remember_no_fit(cluster, no_fit);
        }
        for &node in excluded {
            no_fit.exclude(cluster.judge_node(node, demand).err());
        }
        no_fit
    }
}

/// The nodes that are there, each once.
fn indexes(cluster: &Cluster, ids: &[Uuid]) -> Vec<u32> {
    let mut indexes: Vec<u32> = ids.iter().filter_map(|id| cluster.index_of(id)).collect();
    indexes.sort_unstable();
    indexes.dedup();
    indexes
}

/// How many nodes each filter removes, and how many are left.
pub(super) fn recount(cluster: &Cluster, demand: &Demand) -> (NoFit, u64) {
    let mut removed = NoFit { nodes: cluster.totals().nodes, ..NoFit::default() };
    let mut fitting = 0;
    for (_, class) in cluster.classes() {
        let nodes = u64::from(class.members.len());
        match cluster.admits(&class.state, demand) {
            Admits::All => fitting += nodes,
            Admits::None(misfit) => removed.count(misfit, nodes),
            Admits::Some => {
                for node in class.members.iter() {
                    match cluster.judge_node(node, demand) {
                        Ok(()) => fitting += 1,
                        Err(misfit) => removed.count(misfit, 1),
                    }
                }
            }
        }
    }
    (removed, fitting)
}
