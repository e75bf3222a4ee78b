//! Amounts that say their unit: [`CpuMilli`], [`MemoryMib`], [`StorageMib`], [`GpuMilli`].
//!
//! An amount is a count from 0 to [`MAX`], so that it is exact in every database and in JSON. Arithmetic is
//! checked; there is no sentinel for "unlimited" or "unknown": that is an `Option`.

use serde::{Deserialize, Serialize};

/// The largest amount of any unit: 2^53, the largest range of integers that JSON readers keep exact.
pub const MAX: i64 = 1 << 53;

/// A number that is no amount: negative or above [`MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{unit} must be from 0 to {MAX}, got {got}")]
#[non_exhaustive]
pub struct OutOfRange {
    /// The unit that was asked for, such as `cpu milli`.
    pub unit: &'static str,
    /// The number that was given.
    pub got: i64,
}

macro_rules! amount {
    ($(#[$doc:meta])* $name:ident, $unit:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "i64", into = "i64")]
        pub struct $name(i64);

        impl $name {
            /// Nothing.
            pub const ZERO: Self = Self(0);

            #[doc = concat!("Makes an amount of ", $unit, ".")]
            pub const fn new(count: i64) -> Result<Self, OutOfRange> {
                if count < 0 || count > MAX { Err(OutOfRange { unit: $unit, got: count }) } else { Ok(Self(count)) }
            }

            #[doc = concat!("Makes an amount of ", $unit, " from a count that always fits.")]
            pub const fn from_u32(count: u32) -> Self {
                // Widening: `From` is not const.
                Self(count as i64)
            }

            #[doc = concat!("The count of ", $unit, ".")]
            pub const fn get(self) -> i64 {
                self.0
            }

            /// Whether this is nothing.
            pub const fn is_zero(self) -> bool {
                self.0 == 0
            }

            /// The sum, unless it is above [`MAX`].
            pub const fn checked_add(self, other: Self) -> Option<Self> {
                // Both are at most 2^53: the sum fits in 64 bits.
                let sum = self.0 + other.0;
                if sum > MAX { None } else { Some(Self(sum)) }
            }

            /// What is left, unless `other` is larger.
            pub const fn checked_sub(self, other: Self) -> Option<Self> {
                if other.0 > self.0 { None } else { Some(Self(self.0 - other.0)) }
            }

            /// The product, unless it is above [`MAX`].
            pub const fn checked_mul(self, times: u32) -> Option<Self> {
                match self.0.checked_mul(times as i64) {
                    Some(product) if product <= MAX => Some(Self(product)),
                    _ => None,
                }
            }
        }

        impl TryFrom<i64> for $name {
            type Error = OutOfRange;
            fn try_from(count: i64) -> Result<Self, OutOfRange> {
                Self::new(count)
            }
        }

        impl From<$name> for i64 {
            fn from(amount: $name) -> i64 {
                amount.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{} {}", self.0, $unit)
            }
        }
    };
}

amount!(
    /// Processor time: thousandths of a core.
    CpuMilli,
    "cpu milli"
);
amount!(
    /// Memory in mebibytes (2^20 bytes).
    MemoryMib,
    "MiB memory"
);
amount!(
    /// Disk space in mebibytes (2^20 bytes).
    StorageMib,
    "MiB storage"
);
amount!(
    /// Thousandths of a GPU: 1000 is a whole one.
    GpuMilli,
    "gpu milli"
);

impl GpuMilli {
    /// One whole GPU.
    pub const WHOLE: Self = Self(1000);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_never_negative_nor_above_the_exact_range() {
        assert_eq!(CpuMilli::new(-1), Err(OutOfRange { unit: "cpu milli", got: -1 }));
        assert!(MemoryMib::new(MAX).is_ok());
        assert!(MemoryMib::new(MAX + 1).is_err());
        assert_eq!(
            serde_json::from_str::<GpuMilli>("-5").map_err(|e| e.to_string()),
            Err("gpu milli must be from 0 to 9007199254740992, got -5".into())
        );
    }

    #[test]
    fn arithmetic_is_checked() {
        let max = CpuMilli::new(MAX).unwrap();
        assert_eq!(max.checked_add(CpuMilli::from_u32(1)), None);
        assert_eq!(CpuMilli::ZERO.checked_sub(CpuMilli::from_u32(1)), None);
        assert_eq!(max.checked_mul(2), None);
        assert_eq!(GpuMilli::WHOLE.checked_mul(8), GpuMilli::new(8000).ok());
    }
}
