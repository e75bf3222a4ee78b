//! How much of a cluster somebody has: [`Share`].

use std::fmt;

use super::resources::Resources;

/// One whole cluster.
const WHOLE: i64 = 1_000_000_000_000;

/// A weighted dominant share, in 10^−12 of the cluster.
///
/// Source: Ghodsi et al., "Dominant Resource Fairness: Fair Allocation of Multiple Resource Types", NSDI 2011.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share(i64);

impl Share {
    /// Nothing of it.
    pub const ZERO: Self = Self(0);
    /// More than anybody can have: the share of whoever has no weight.
    pub const MAX: Self = Self(i64::MAX);

    /// The largest part that is held of any resource, divided by the weight.
    ///
    /// What the cluster has nothing of counts nothing. Cut off to 10^−12, and at [`MAX`](Self::MAX).
    pub fn dominant(held: Resources, total: Resources, weight_milli: u32) -> Self {
        if weight_milli == 0 {
            return Self::MAX;
        }
        let mut most = 0;
        for (resource, held) in held.iter() {
            let total = total.get(resource);
            if held > 0 && total > 0 {
                most = most.max(part(held, total));
            }
        }
        // Of several parts, the largest is so whatever all are divided by.
        if weight_milli != 1000 {
            most = most * 1000 / i128::from(weight_milli);
        }
        Self(i64::try_from(most).unwrap_or(i64::MAX))
    }

    /// The share in millionths of the cluster.
    pub const fn as_ppm(self) -> i64 {
        self.0 / 1_000_000
    }
}

/// How much of a total is held, both above nothing.
fn part(held: i64, total: i64) -> i128 {
    // What one account holds is hardly ever so much that the product needs more than 64 bits: dividing those takes a fifth.
    match held.checked_mul(WHOLE) {
        Some(scaled) => i128::from(scaled / total),
        None => i128::from(held) * i128::from(WHOLE) / i128::from(total),
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ppm = self.as_ppm();
        write!(f, "{}.{:04}%", ppm / 10_000, ppm % 10_000)
    }
}
