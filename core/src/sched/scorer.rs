//! The score of a node, and the GPUs on it, under one policy: [`Scorer`].

use super::class::{ClassState, WHOLE};
use super::cluster::Cluster;
use super::demand::{Demand, GpuDemand};
use super::fragment::{Level, Table};
use super::mix::TaskMix;
use super::policy::{Policy, best_fit, clustering, dot_product, fgd, packing};

/// Scores nodes; what it keeps saves work and changes no outcome.
#[derive(Debug, Clone)]
pub(super) struct Scorer {
    policy: Policy,
    mix: TaskMix,
    /// The mix made ready for each GPU model, by the cluster's number of the model.
    tables: Vec<Option<Table>>,
    levels: Vec<Level>,
}

impl Scorer {
    pub(super) const fn new(policy: Policy, mix: TaskMix) -> Self {
        Self {
            policy,
            mix,
            tables: Vec::new(),
            levels: Vec::new(),
        }
    }

    pub(super) const fn policy(&self) -> Policy {
        self.policy
    }

    pub(super) const fn mix(&self) -> &TaskMix {
        &self.mix
    }

    /// Forgets what belongs to a cluster: another one numbers its models otherwise.
    pub(super) fn forget(&mut self) {
        self.tables.clear();
    }

    /// The score of a node in this state, on which the demand fits.
    pub(super) fn score(&mut self, cluster: &Cluster, state: &ClassState, demand: &Demand) -> i64 {
        match self.policy {
            Policy::Random => 0,
            Policy::DotProduct => dot_product::score(state, demand),
            Policy::Clustering => clustering::score(state, demand),
            Policy::Packing => packing::score(state, demand),
            Policy::BestFit => best_fit::score(state, demand),
            Policy::Fgd => self
                .prepare(cluster, state)
                .map_or(0, |(table, levels)| fgd::score(state, demand, table, levels)),
        }
    }

    /// The slots that a demand takes on a node on which it fits, ascending.
    ///
    /// Whole GPUs are the first that are entirely free. A share goes to the GPU with the least but sufficient room, the
    /// first on ties; under gradient descent to the one with the best score, the first on ties. `pick` chooses among
    /// so many GPUs with room under the random policy.
    pub(super) fn choose_gpus(
        &mut self,
        cluster: &Cluster,
        node: u32,
        demand: &Demand,
        pick: impl FnOnce(u64) -> u64,
    ) -> Vec<u32> {
        let Some(slots) = cluster.node(node).map(|node| node.slots) else {
            return Vec::new();
        };
        let each = match demand.gpu() {
            GpuDemand::None => return Vec::new(),
            GpuDemand::Whole(count) => {
                let idle = (0..).zip(slots.iter()).filter(|(_, slot)| slot.usable() == WHOLE);
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                return idle.map(|(slot, _)| slot).take(count).collect();
            }
            GpuDemand::Share(milli) => u16::try_from(milli.get()).unwrap_or(WHOLE),
        };
        let roomy = (0..)
            .zip(slots.iter())
            .map(|(at, slot)| (at, slot.usable()))
            .filter(|(_, free)| *free >= each);
        let chosen = match self.policy {
            Policy::Random => {
                let count = u64::try_from(roomy.clone().count()).unwrap_or(u64::MAX);
                let place = usize::try_from(pick(count)).unwrap_or(usize::MAX);
                roomy.map(|(slot, _)| slot).nth(place)
            }
            Policy::Fgd => self.best_by_gradient(cluster, node, demand, roomy),
            Policy::DotProduct | Policy::Clustering | Policy::Packing | Policy::BestFit => {
                roomy.min_by_key(|(_, free)| *free).map(|(slot, _)| slot)
            }
        };
        chosen.into_iter().collect()
    }

    fn best_by_gradient(
        &mut self,
        cluster: &Cluster,
        node: u32,
        demand: &Demand,
        roomy: impl Iterator<Item = (u32, u16)>,
    ) -> Option<u32> {
        let state = cluster.class_of(node)?.state;
        let (table, levels) = self.prepare(cluster, &state)?;
        let mut best: Option<(i64, u32)> = None;
        for (slot, free) in roomy {
            let score = fgd::share_score(&state, demand, table, levels, free);
            if best.is_none_or(|(highest, _)| score > highest) {
                best = Some((score, slot));
            }
        }
        best.map(|(_, slot)| slot)
    }

    fn prepare(&mut self, cluster: &Cluster, state: &ClassState) -> Option<(&Table, &[Level])> {
        let at = usize::try_from(state.model).ok()?;
        if self.tables.len() <= at {
            self.tables.resize(at + 1, None);
        }
        let table = self
            .tables
            .get_mut(at)?
            .get_or_insert_with(|| Table::new(&self.mix, cluster.model(state)));
        table.levels_of(state.gpus(), &mut self.levels);
        Some((table, &self.levels))
    }
}
