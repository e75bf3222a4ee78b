//! What GPUs of a model cost those who could take others: [`Scarcity`].

use super::DRAWS;
use crate::sched::cluster::Cluster;
use crate::sched::demand::{Demand, GpuDemand};
use crate::sched::grain::Free;
use crate::sched::mix::{Kind, TaskMix};
use crate::sched::supply::Stock;

/// The price of a GPU of a model of which all that is free is needed by those who can use no other, in milli.
const PRICE_MILLI: i64 = 3000;

/// The most that a model can be short of, in millionths: beyond it, more is not dearer.
const MOST: i64 = 1_500_000;

/// Below this much free, a model is as scarce as if it had so much, in milli.
const LEAST_FREE_MILLI: i64 = 500;

/// Who can use at most this part of all GPUs, in quarters, is counted as one who requires their models.
const FEW_QUARTERS: i64 = 1;

/// How much of each GPU model is needed by tasks that can use no other, and what it therefore costs.
///
/// The scarcity of model m is the part of all GPU demand that requires m, times what is free of all models, over what is
/// free of m: 1 where what is still to come until the cluster is full needs all that is left. Who can use several
/// models counts for each in proportion to what there is of it. A model is required by who names it, and by who asks
/// for more processor time, memory or GPUs together than other nodes have.
#[derive(Debug, Clone, Default)]
pub(in crate::sched) struct Scarcity {
    /// The kinds that use GPUs.
    kinds: Vec<Kind>,
    /// What there is of each model, as of which the following is.
    stock: Vec<(i64, Free, u8)>,
    /// The part of all demand that requires each model, in millionths.
    needed: Vec<i64>,
}

impl Scarcity {
    pub(in crate::sched) fn new(mix: &TaskMix) -> Self {
        let with_gpus = mix.kinds().iter().filter(|kind| kind.gpu != GpuDemand::None);
        Self { kinds: with_gpus.cloned().collect(), ..Self::default() }
    }

    /// Forgets what belongs to a cluster: another one numbers its models otherwise.
    pub(in crate::sched) fn forget(&mut self) {
        self.stock.clear();
        self.needed.clear();
    }

    /// What a demand pays on nodes of each model, by the cluster's number of the model; nothing where nothing is known
    /// of the mix or the demand needs no GPU.
    pub(in crate::sched) fn prices(&mut self, cluster: &Cluster, demand: &Demand) -> Vec<i64> {
        let milli = demand.gpu_milli_total();
        if self.kinds.is_empty() || milli == 0 {
            return Vec::new();
        }
        let models = cluster.supply.models();
        let stock = || models.iter().map(|stock| (stock.milli, stock.largest, stock.largest_gpus));
        if stock().ne(self.stock.iter().copied()) {
            self.stock = stock().collect();
            self.needed = self.count(cluster);
        }
        let free = cluster.supply.free_milli();
        let price = |(needed, of_model): (&i64, i64)| {
            let scarcity = (needed.saturating_mul(free) / of_model.max(LEAST_FREE_MILLI)).min(MOST);
            PRICE_MILLI * DRAWS * scarcity / 1_000_000 * milli / 1000
        };
        self.needed.iter().zip(models.iter().map(|stock| stock.free_milli)).map(price).collect()
    }

    /// The part of all demand that requires each model, in millionths.
    fn count(&self, cluster: &Cluster) -> Vec<i64> {
        let models = cluster.supply.models();
        let all: i64 = models.iter().map(|stock| stock.milli).sum();
        let asked = |kind: &Kind| {
            let (count, each) = kind.gpu.need();
            u128::from(count) * u128::from(each.get().unsigned_abs()) * u128::from(kind.weight)
        };
        let demand: u128 = self.kinds.iter().map(asked).sum();
        let mut needed = vec![0_u128; models.len()];
        for kind in &self.kinds {
            let holds = |(_, stock): &(usize, &Stock)| {
                stock.milli > 0 && stock.holds(kind.cpu.get(), kind.memory.get(), kind.gpu.need().0)
            };
            let named = |(model, _): &(usize, &Stock)| {
                let name = cluster.model_name(*model);
                name.is_some_and(|name| kind.models.iter().any(|named| named == name))
            };
            let mut usable: Vec<(usize, &Stock)> = models.iter().enumerate().filter(holds).collect();
            let part: i64 = usable.iter().map(|(_, stock)| stock.milli).sum();
            if part == 0 || part > all / 4 * FEW_QUARTERS {
                if kind.models.is_empty() {
                    continue;
                }
                usable = models.iter().enumerate().collect();
            }
            if !kind.models.is_empty() {
                usable.retain(named);
            }
            let part: i64 = usable.iter().map(|(_, stock)| stock.milli).sum();
            for (model, stock) in usable {
                if let Some(needed) = needed.get_mut(model) {
                    *needed += asked(kind) * u128::from(stock.milli.unsigned_abs())
                        / u128::from(part.unsigned_abs().max(1));
                }
            }
        }
        let part = |needed: u128| needed.saturating_mul(1_000_000) / demand.max(1);
        needed.into_iter().map(|needed| i64::try_from(part(needed)).unwrap_or(i64::MAX)).collect()
    }
}
