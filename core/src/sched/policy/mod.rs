//! How a node is chosen among those that fit: [`Policy`].
//!
//! A policy gives each node that fits a whole score; the highest wins, and among equals the first in the fixed order of
//! nodes. Scores are truncated on purpose: nodes of about equal worth tie, and the fixed order then fills one before
//! the next (ties broken at random cost several points of allocation). The formulas are those of the comparison in
//! Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient Descent",
//! USENIX ATC 2023, section 6, in integers.
//!
//! In all of them, c is the free processor time of a node in milli, G its free GPU milli, q and R what the task asks of
//! these, and [`CPU_CAP`] and [`GPU_CAP`] are what they are divided by.

pub(super) mod best_fit;
pub(super) mod clustering;
pub(super) mod dot_product;
pub(super) mod fgd;
pub(super) mod opportunity;
pub(super) mod packing;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::grain::Grain;
use super::outlook::GRAIN;

/// Processor time by which amounts of it are divided: the largest node of the published comparison, in milli.
pub const CPU_CAP: i64 = 128_000;

/// GPU milli by which amounts of it are divided: the largest node of the published comparison.
pub const GPU_CAP: i64 = 8_000;

/// The most processor time that a score tells apart, so that products stay in 64 bits: 134,217 cores.
pub(super) const CPU_BOUND: i64 = 1 << 27;

/// How a node is chosen among those that fit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Policy {
    /// Any node that fits, each as likely as the others; a share goes to any GPU that has room.
    Random,
    /// The node whose free resources are least along what is asked: the smallest dot product.
    DotProduct,
    /// Tasks of a kind together.
    Clustering,
    /// GPUs in use before idle GPUs, nodes in use before idle nodes.
    Packing,
    /// The node that is left with the least.
    BestFit,
    /// Fragmentation gradient descent: the node on which the expected fragments grow least.
    Fgd,
    /// The node on which the task costs the least of what the cluster could still do. It places the most, and takes the
    /// longest to decide.
    #[default]
    OpportunityCost,
}

impl Policy {
    /// All policies.
    pub const ALL: [Self; 7] = [
        Self::Random,
        Self::DotProduct,
        Self::Clustering,
        Self::Packing,
        Self::BestFit,
        Self::Fgd,
        Self::OpportunityCost,
    ];

    /// The name by which a policy is configured.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::DotProduct => "dot-product",
            Self::Clustering => "clustering",
            Self::Packing => "packing",
            Self::BestFit => "best-fit",
            Self::Fgd => "fgd",
            Self::OpportunityCost => "opportunity-cost",
        }
    }

    /// How finely this policy tells nodes apart.
    pub(super) const fn grain(self) -> Grain {
        match self {
            Self::OpportunityCost => GRAIN,
            _ => Grain::EXACT,
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is no policy's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no policy is called {name:?}: random, dot-product, clustering, packing, best-fit, fgd or opportunity-cost"
)]
pub struct UnknownPolicy {
    /// The name that was given.
    pub name: String,
}

impl FromStr for Policy {
    type Err = UnknownPolicy;

    fn from_str(name: &str) -> Result<Self, UnknownPolicy> {
        let found = Self::ALL.into_iter().find(|policy| policy.name() == name);
        found.ok_or_else(|| UnknownPolicy { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
    use crate::sched::class::{ClassState, Slots};
    use crate::sched::demand::{Demand, GpuDemand, Tag};
    use crate::sched::fragment::Table;
    use crate::sched::mix::TaskMix;
    use crate::sched::node::GpuState;

    fn state(free: &[i64], tags: &[Tag]) -> ClassState {
        let gpus: Vec<GpuState> =
            free.iter().map(|free| GpuState { free_milli: *free, healthy: true }).collect();
        let mut state = ClassState::new(&Slots::from_gpus(&gpus), 0);
        state.free.cpu = 32_000;
        for tag in tags {
            state.tags |= 1 << tag.index();
        }
        state
    }

    fn demand(gpu: GpuDemand) -> Demand {
        Demand::new(CpuMilli::from_u32(4_000), MemoryMib::ZERO, StorageMib::ZERO, gpu, vec![]).unwrap()
    }

    fn share(milli: u32) -> Demand {
        demand(GpuDemand::Share(GpuMilli::from_u32(milli)))
    }

    // The figures below were worked out by hand from the published formulas.

    #[test]
    fn best_fit_halves_what_is_left_of_each_and_truncates() {
        // 100 − 50 · 28000/128000 − 50 · 1250/8000 = 81.25
        assert_eq!(best_fit::score(&state(&[500, 1000], &[]), &share(250)), 81);
        // 100 − 50 · 28000/128000 − 50 · 1500/8000 = 79.6875
        assert_eq!(best_fit::score(&state(&[500, 1000], &[]), &demand(GpuDemand::None)), 79);
    }

    #[test]
    fn the_smallest_dot_product_scores_highest() {
        // 100 − 50 · (32000/128000 · 4000/128000 + 1500/8000 · 250/8000) = 99.32
        assert_eq!(dot_product::score(&state(&[500, 1000], &[]), &share(250)), 99);
        // 100 − 50 · (32000/128000 · 4000/128000 + 1 · 1) = 49.61
        assert_eq!(dot_product::score(&state(&[1000; 8], &[]), &demand(GpuDemand::Whole(8))), 49);
    }

    #[test]
    fn packing_prefers_gpus_in_use_then_nodes_in_use() {
        assert_eq!(packing::score(&state(&[500, 1000], &[]), &share(250)), 95);
        assert_eq!(packing::score(&state(&[0, 1000], &[]), &share(250)), 49);
        assert_eq!(packing::score(&state(&[0, 1000, 1000], &[]), &demand(GpuDemand::Whole(2))), 48);
        assert_eq!(packing::score(&state(&[1000; 2], &[]), &share(250)), 31);
        assert_eq!(packing::score(&state(&[1000; 8], &[]), &demand(GpuDemand::Whole(2))), 25);
        assert_eq!(packing::score(&state(&[500], &[]), &demand(GpuDemand::None)), 0);
    }

    #[test]
    fn clustering_prefers_nodes_with_tasks_of_the_kind_only() {
        // The base is 25 · (8000 − 1500)/8000 = 20.3.
        let scored = |tags: &[Tag]| clustering::score(&state(&[500, 1000], tags), &share(250));
        assert_eq!(scored(&[Tag::Share]), 95);
        assert_eq!(scored(&[Tag::Share, Tag::Whole(1)]), 70);
        assert_eq!(scored(&[]), 45);
        assert_eq!(scored(&[Tag::Whole(2)]), 20);
        assert_eq!(clustering::score(&state(&[500], &[Tag::Share]), &demand(GpuDemand::None)), 0);
    }

    #[test]
    fn gradient_descent_scores_by_the_growth_of_fragments() {
        // Typical is half a GPU; what it cannot use is the fragment.
        let table = Table::new(&TaskMix::from_demands(&[share(500)]), None);
        let score = |free: &[i64], demand: &Demand| {
            let state = state(free, &[]);
            let mut levels = Vec::new();
            table.levels_of(state.gpus(), &mut levels);
            let served = table.served(table.row(state.free.cpu), &levels);
            fgd::Gradient::new(&state, demand, &table, &levels, served).score(&state, demand)
        };
        // 250 milli become a fragment: ⌊100 · σ(−0.25)⌋ = ⌊43.78⌋.
        assert_eq!(score(&[500], &share(250)), 43);
        assert_eq!(score(&[500], &share(500)), 50);
        // The fragment of 250 goes: ⌊100 · σ(0.25)⌋ = ⌊56.21⌋.
        assert_eq!(score(&[250, 1000], &share(250)), 56);
        assert_eq!(score(&[500, 1000], &demand(GpuDemand::Whole(1))), 50);
        // Taking the last processor time strands both GPUs: ⌊100 · σ(−1.5)⌋ = ⌊18.24⌋.
        let greedy = Demand::new(
            CpuMilli::from_u32(30_000),
            MemoryMib::ZERO,
            StorageMib::ZERO,
            GpuDemand::None,
            vec![],
        );
        assert_eq!(score(&[500, 1000], &greedy.unwrap()), 18);
    }

    #[test]
    fn a_policy_has_one_name_everywhere() {
        for policy in Policy::ALL {
            assert_eq!(policy.to_string().parse(), Ok(policy));
            assert_eq!(serde_json::to_string(&policy).unwrap(), format!("\"{policy}\""));
        }
        assert_eq!("FGD".parse::<Policy>(), Err(UnknownPolicy { name: "FGD".into() }));
        assert_eq!(Policy::default(), Policy::OpportunityCost);
    }
}
