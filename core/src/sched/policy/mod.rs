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
pub(super) mod packing;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

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
    #[default]
    Fgd,
}

impl Policy {
    /// All policies.
    pub const ALL: [Self; 6] = [
        Self::Random,
        Self::DotProduct,
        Self::Clustering,
        Self::Packing,
        Self::BestFit,
        Self::Fgd,
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
#[error("no policy is called {name:?}: random, dot-product, clustering, packing, best-fit or fgd")]
pub struct UnknownPolicy {
    /// The name that was given.
    pub name: String,
}

impl FromStr for Policy {
    type Err = UnknownPolicy;

    fn from_str(name: &str) -> Result<Self, UnknownPolicy> {
        let found = Self::ALL.into_iter().find(|policy| policy.name() == name);
        found.ok_or_else(|| UnknownPolicy {
            name: name.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_has_one_name_everywhere() {
        for policy in Policy::ALL {
            assert_eq!(policy.to_string().parse(), Ok(policy));
            assert_eq!(serde_json::to_string(&policy).unwrap(), format!("\"{policy}\""));
        }
        assert_eq!("FGD".parse::<Policy>(), Err(UnknownPolicy { name: "FGD".into() }));
        assert_eq!(Policy::default(), Policy::Fgd);
    }
}
