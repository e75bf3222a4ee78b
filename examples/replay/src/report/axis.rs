//! Axes: where the ticks go and what they say.

use super::text::{count, real};

/// A scale from 0 to `end` with a tick every `step`, in the unit of the data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    pub(super) end: f64,
    pub(super) step: f64,
}

impl Scale {
    /// Where a value lies, in per cent of the axis.
    pub(super) fn pct(self, value: f64) -> f64 {
        (100.0 * value / self.end).clamp(0.0, 100.0)
    }

    pub(super) fn ticks(self) -> impl Iterator<Item = f64> {
        // Half a step of tolerance: the last tick may be a rounding error beyond the end.
        std::iter::successors(Some(0.0), move |at| Some(at + self.step))
            .take_while(move |at| *at <= self.end + self.step * 1e-6)
    }
}

/// The scale of a percentage.
pub(super) const PERCENT: Scale = Scale { end: 100.0, step: 25.0 };

/// The scale of a percentage that is at most `most`: of a cluster that is nearly idle the little that happens is shown.
pub(super) fn percent(most: f64) -> Scale {
    let low = [(2.0, 1.0), (5.0, 1.0), (10.0, 2.0), (20.0, 5.0), (50.0, 10.0)];
    let fits = low.into_iter().find(|(end, _)| most <= *end);
    fits.map_or(PERCENT, |(end, step)| Scale { end, step })
}

/// A scale for counts up to `most`: four to eight ticks at round numbers.
pub(super) fn counts(most: u64) -> Scale {
    let mut decade = 1;
    loop {
        for factor in [1, 2, 5] {
            let step: u64 = factor * decade;
            if most <= step * 5 {
                let ticks = most.div_ceil(step).max(1);
                return Scale { end: wide(ticks * step), step: wide(step) };
            }
        }
        decade *= 10;
    }
}

fn wide(number: u64) -> f64 {
    i64::try_from(number).map_or(f64::MAX, real)
}

/// The unit in which a span of time is read, with the ticks that suit it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TimeAxis {
    /// The scale, in seconds.
    pub(super) scale: Scale,
    /// What an axis says under its ticks: `days`.
    pub(super) unit: &'static str,
    unit_s: i64,
}

const MINUTE_S: i64 = 60;
const HOUR_S: i64 = 60 * MINUTE_S;
const DAY_S: i64 = 24 * HOUR_S;

impl TimeAxis {
    /// An axis from 0 to `span_s`, which ends there and not at a tick.
    pub(super) fn new(span_s: i64) -> Self {
        let span_s = span_s.max(1);
        let (unit, unit_s, steps): (_, _, &[i64]) = match span_s {
            0..300 => ("seconds", 1, &[1, 2, 5, 10, 20, 30, 60]),
            300..10_800 => ("minutes", MINUTE_S, &[1, 2, 5, 10, 15, 30]),
            10_800..259_200 => ("hours", HOUR_S, &[1, 2, 3, 6, 12]),
            _ => ("days", DAY_S, &[1, 2, 7, 14, 28, 56, 91, 182, 364]),
        };
        let fits = |step: &&i64| span_s / (**step * unit_s) <= 8;
        let step = steps.iter().find(fits).copied().unwrap_or_else(|| (span_s / (8 * unit_s)).max(1));
        Self { scale: Scale { end: real(span_s), step: real(step * unit_s) }, unit, unit_s }
    }

    /// A moment as a tick says it.
    pub(super) fn tick(&self, at_s: f64) -> String {
        format!("{:.0}", at_s / real(self.unit_s))
    }

    /// A moment as a sentence says it: `day 57.3`.
    pub(super) fn moment(&self, at_s: i64) -> String {
        let unit = self.unit.trim_end_matches('s');
        let at = real(at_s) / real(self.unit_s);
        if self.unit_s == 1 { format!("{unit} {at}") } else { format!("{unit} {at:.1}") }
    }
}

/// A value of a count axis.
pub(super) fn count_tick(value: f64) -> String {
    // Ticks are whole by construction.
    format!("{value:.0}").parse().map_or_else(|_| String::new(), count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_end_at_a_round_number_at_or_above_the_largest() {
        for most in [0, 1, 4, 7, 10, 99, 100, 101, 8_152, 12_345, 1_000_000] {
            let scale = counts(most);
            let most = wide(most);
            assert!(scale.end >= most && scale.end <= (most * 1.7).max(1.0), "{most}: {scale:?}");
            assert!((2..=6).contains(&scale.ticks().count()), "{most}: {scale:?}");
        }
    }

    #[test]
    fn a_percentage_ends_above_the_largest_and_never_beyond_a_hundred() {
        for (most, end) in [(0.0, 2.0), (1.06, 2.0), (9.9, 10.0), (40.0, 50.0), (50.1, 100.0), (100.0, 100.0)]
        {
            let scale = percent(most);
            assert!((scale.end - end).abs() < 1e-9, "{most}: {scale:?}");
            assert!((3..=6).contains(&scale.ticks().count()), "{most}: {scale:?}");
        }
    }

    #[test]
    fn time_is_read_in_the_unit_that_suits_its_span() {
        let axis = TimeAxis::new(149 * DAY_S);
        assert_eq!((axis.unit, axis.moment(57 * DAY_S + DAY_S / 2).as_str()), ("days", "day 57.5"));
        assert_eq!(
            axis.scale.ticks().map(|at| axis.tick(at)).collect::<Vec<_>>(),
            ["0", "28", "56", "84", "112", "140"]
        );
        for (span, unit) in
            [(0, "seconds"), (60, "seconds"), (3_600, "minutes"), (40_000, "hours"), (1 << 40, "days")]
        {
            let axis = TimeAxis::new(span);
            assert_eq!(axis.unit, unit);
            assert!(axis.scale.ticks().count() <= 10, "{span}: {axis:?}");
        }
    }

    #[test]
    fn a_tick_sets_thousands_apart() {
        assert_eq!(count_tick(8_000.0), "8,000");
    }
}
