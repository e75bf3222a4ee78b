//! What holding something costs an account: amount × seconds, in periods, in whole numbers.

use crate::queue::{Decay, Resources};
use crate::time::Timestamp;

/// What is used of each amount that is held since `since`, from `from` to `to`: one entry a period.
///
/// Each is the difference of two cut-off sums from the beginning. So what is used over any two neighbouring spans is exactly
/// what is used over both, and what was charged in advance can be given back exactly, however it was cut.
pub(super) fn spent(
    held: Resources,
    since: Timestamp,
    (from, to): (Timestamp, Timestamp),
    decay: &Decay,
) -> Vec<(i64, Resources)> {
    let period = i64::try_from(decay.period.as_micros()).unwrap_or(i64::MAX).max(1);
    let mut spent = Vec::new();
    let mut from = from;
    while from < to {
        let number = decay.period_of(from);
        let end = Timestamp::from_micros(number.saturating_add(1).saturating_mul(period)).min(to);
        let used = sum(held, since, end).minus(sum(held, since, from));
        if !used.is_zero() {
            spent.push((number, used));
        }
        if end <= from {
            break;
        }
        from = end;
    }
    spent
}

/// What is used from the beginning to a moment, cut off.
fn sum(held: Resources, since: Timestamp, at: Timestamp) -> Resources {
    let micros = i128::try_from(at.since(since).as_micros()).unwrap_or(i128::MAX);
    held.map(|amount| {
        i64::try_from(i128::from(amount).saturating_mul(micros) / 1_000_000).unwrap_or(i64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const SECOND: i64 = 1_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * SECOND)
    }

    #[test]
    fn a_span_over_two_periods_is_told_in_both() {
        let held = Resources::gpus_milli(2_000);
        let decay = Decay::default();
        let spent = spent(held, at(3_590), (at(3_590), at(3_605)), &decay);
        let told: Vec<_> = spent.iter().map(|(period, used)| (*period, used.gpu_milli)).collect();
        assert_eq!(told, [(0, 20_000), (1, 10_000)]);
    }

    proptest! {
        #[test]
        fn what_is_charged_in_pieces_and_given_back_is_what_was_held(
            amount in 1..16_000_000_i64, since in 0..10_000_000_000_i64,
            mut cuts in prop::collection::vec(0..20_000_000_000_i64, 1..8), ends in 0..20_000_000_000_i64,
        ) {
            let decay = Decay::default();
            let held = Resources::gpus_milli(amount);
            let moment = |micros: i64| Timestamp::from_micros(since + micros);
            cuts.sort_unstable();
            let mut uses: BTreeMap<i64, i64> = BTreeMap::new();
            let mut until = moment(0);
            for cut in cuts {
                for (period, used) in spent(held, moment(0), (until, moment(cut)), &decay) {
                    *uses.entry(period).or_default() += used.gpu_milli;
                }
                until = moment(cut);
            }
            let ends = moment(ends).min(until);
            for (period, used) in spent(held, moment(0), (ends, until), &decay) {
                *uses.entry(period).or_default() -= used.gpu_milli;
            }
            prop_assert!(uses.values().all(|used| *used >= 0), "{uses:?}");
            let once = spent(held, moment(0), (moment(0), ends), &decay);
            let once: BTreeMap<i64, i64> = once.iter().map(|(period, used)| (*period, used.gpu_milli)).collect();
            uses.retain(|_, used| *used != 0);
            prop_assert_eq!(uses, once);
        }
    }
}
