//! What an account has used, of which the past counts less and less: [`Use`].

use std::collections::BTreeMap;
use std::time::Duration;

use super::resources::Resources;
use crate::time::Timestamp;

/// ln 2 in millionths.
const LN_2_PPM: i128 = 693_147;

/// 2^(−2^−k) for k from 1 to 16, in 2^−32.
const ROOTS: [u64; 16] = [
    3_037_000_499,
    3_611_622_602,
    3_938_502_375,
    4_112_874_773,
    4_202_935_003,
    4_248_701_964,
    4_271_771_996,
    4_283_353_945,
    4_289_156_690,
    4_292_061_009,
    4_293_513_906,
    4_294_240_539,
    4_294_603_902,
    4_294_785_595,
    4_294_876_444,
    4_294_921_870,
];

/// Half-lives after which a period counts nothing any more.
const FORGOTTEN: i64 = 32;

/// How use is forgotten: what was used one half-life ago counts half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decay {
    /// After how long use counts half.
    pub half_life: Duration,
    /// The length of the periods in which use is kept.
    pub period: Duration,
}

impl Default for Decay {
    /// A half-life of a week, in periods of an hour.
    fn default() -> Self {
        Self { half_life: Duration::from_hours(7 * 24), period: Duration::from_hours(1) }
    }
}

impl Decay {
    /// The number of the period in which a moment lies.
    pub fn period_of(&self, at: Timestamp) -> i64 {
        at.as_micros().div_euclid(micros(self.period))
    }

    /// What a period counts that lies so many periods back, in 2^−32. The present one, and any to come, counts whole.
    ///
    /// The exponent is cut off to 16 binary places, which makes the result too large by at most a 90,000th of it, and
    /// each of at most 17 products to 32, which makes it too small by at most 17 units.
    pub fn weight(&self, periods_ago: i64) -> u64 {
        let exponent = (i128::from(periods_ago.max(0)) << 16) * i128::from(micros(self.period))
            / i128::from(micros(self.half_life));
        if exponent >= i128::from(FORGOTTEN) << 16 {
            return 0;
        }
        let mut weight = (1_u64 << 32) >> (exponent >> 16);
        for (bit, root) in (1_u32..).zip(ROOTS) {
            if exponent >> (16 - bit) & 1 == 1 {
                weight = (weight * root) >> 32;
            }
        }
        weight
    }

    /// The amount that, held for ever, would make up this decayed use: the use divided by the mean age of what is held
    /// for ever, which is half-life ÷ ln 2. Cut off to whole units.
    pub fn as_held(&self, decayed_seconds: Resources) -> Resources {
        let half_life = i128::from(micros(self.half_life));
        // Seconds over microseconds: the millionths of ln 2 cancel those.
        decayed_seconds.map(|amount| cut(i128::from(amount) * LN_2_PPM / half_life))
    }
}

/// What an account has used, in whole numbers per period, so that it can be kept as rows and summed anywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Use {
    periods: BTreeMap<i64, Resources>,
}

impl Use {
    /// Adds what was used in a period: each amount times the seconds for which it was held.
    pub fn add(&mut self, period: i64, amount_seconds: Resources) {
        let held = self.periods.entry(period).or_default();
        *held = held.plus(amount_seconds);
    }

    /// What was used, with each period weighed by its age: the sum of use × weight, cut off per period.
    ///
    /// Ages are counted in whole periods, so the result changes only when a new period begins.
    pub fn decayed(&self, now: Timestamp, decay: &Decay) -> Resources {
        let present = decay.period_of(now);
        self.periods.iter().fold(Resources::ZERO, |sum, (period, used)| {
            let weight = i128::from(decay.weight(present.saturating_sub(*period)));
            sum.plus(used.map(|amount| cut((i128::from(amount) * weight) >> 32)))
        })
    }

    /// Forgets the periods that count nothing any more.
    pub fn forget(&mut self, now: Timestamp, decay: &Decay) {
        let present = decay.period_of(now);
        while let Some((period, _)) = self.periods.first_key_value()
            && decay.weight(present.saturating_sub(*period)) == 0
        {
            self.periods.pop_first();
        }
    }

    /// The periods with what was used in each.
    pub fn iter(&self) -> impl Iterator<Item = (i64, Resources)> + '_ {
        self.periods.iter().map(|(period, used)| (*period, *used))
    }
}

/// At least one, so that nothing is divided by nothing.
fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX).max(1)
}

fn cut(amount: i128) -> i64 {
    i64::try_from(amount).unwrap_or(if amount < 0 { i64::MIN } else { i64::MAX })
}
