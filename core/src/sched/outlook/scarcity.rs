//! What GPUs of a model cost those who could take others: [`Scarcity`].

use super::DRAWS;
use crate::sched::cluster::Cluster;
use crate::sched::demand::Demand;
use crate::sched::mix::TaskMix;

/// The price of a GPU of a model of which all that is free is needed by those who can use no other, in milli.
const PRICE_MILLI: i64 = 3000;

/// The most that a model can be short of, in millionths: beyond it, more is not dearer.
const MOST: i64 = 1_500_000;

/// Below this much free, a model is as scarce as if it had so much, in milli.
const LEAST_FREE_MILLI: i64 = 500;

/// How much of each GPU model is needed by tasks that can use no other, and what it therefore costs.
///
/// The scarcity of model m is the part of all GPU demand that requires m, times what is free of all models, over what is
/// free of m: 1 where what is still to come until the cluster is full needs all that is left. Who names several models
/// counts for each in proportion to what there is of it.
#[derive(Debug, Clone, Default)]
pub(in crate::sched) struct Scarcity {
    /// The models that will do, and the GPU that is asked for with them.
    asked: Vec<(Vec<String>, u128)>,
    /// All GPU that is asked for, whatever the model.
    all: u128,
    /// What there is of each model, as of which the following is.
    stock: Vec<i64>,
    /// The part of all demand that requires each model, in millionths.
    needed: Vec<i64>,
}

impl Scarcity {
    pub(in crate::sched) fn new(mix: &TaskMix) -> Self {
        let mut scarcity = Self::default();
        for kind in mix.kinds() {
            let (count, each) = kind.gpu.need();
            let milli = u128::from(count) * u128::from(each.get().unsigned_abs()) * u128::from(kind.weight);
            scarcity.all += milli;
            if !kind.models.is_empty() {
                scarcity.asked.push((kind.models.clone(), milli));
            }
        }
        scarcity
    }

    /// Forgets what belongs to a cluster: another one numbers its models otherwise.
    pub(in crate::sched) fn forget(&mut self) {
        self.stock.clear();
        self.needed.clear();
    }

    /// What a demand pays on nodes of each model, by the cluster's number of the model; nothing where no task of the
    /// mix, or not this demand, cares for models.
    pub(in crate::sched) fn prices(&mut self, cluster: &Cluster, demand: &Demand) -> Vec<i64> {
        let milli = demand.gpu_milli_total();
        if self.asked.is_empty() || milli == 0 {
            return Vec::new();
        }
        let models = cluster.supply.models();
        if models.iter().map(|stock| stock.milli).ne(self.stock.iter().copied()) {
            self.stock = models.iter().map(|stock| stock.milli).collect();
            self.count(cluster);
        }
        let free = cluster.supply.free_milli();
        let price = |(needed, of_model): (&i64, i64)| {
            let scarcity = (needed.saturating_mul(free) / of_model.max(LEAST_FREE_MILLI)).min(MOST);
            PRICE_MILLI * DRAWS * scarcity / 1_000_000 * milli / 1000
        };
        self.needed.iter().zip(models.iter().map(|stock| stock.free_milli)).map(price).collect()
    }

    fn count(&mut self, cluster: &Cluster) {
        self.needed = vec![0; self.stock.len()];
        for (names, milli) in &self.asked {
            let admits = |model: usize| {
                cluster.model_name(model).is_some_and(|model| names.iter().any(|name| name == model))
            };
            let stock = || self.stock.iter().copied().enumerate().filter(|(model, _)| admits(*model));
            let of_all: i64 = stock().map(|(_, stock)| stock).sum();
            let parts: Vec<(usize, i64)> = stock().collect();
            for (model, stock) in parts {
                let part = milli * 1_000_000 * u128::from(stock.unsigned_abs())
                    / u128::from(of_all.unsigned_abs().max(1))
                    / self.all.max(1);
                if let Some(needed) = self.needed.get_mut(model) {
                    *needed = needed.saturating_add(i64::try_from(part).unwrap_or(i64::MAX));
                }
            }
        }
    }
}
