//! What of a replay's course is drawn, and how many of its points.

use super::Sample;
use super::axis::{PERCENT, TimeAxis, counts, percent};
use super::chart::{Chart, Line, Unit};
use super::text::real;

/// More points than a screen has columns only make the file larger.
pub(super) const MAX_POINTS: usize = 1_000;

/// When the course starts, and the axis of its time.
pub(super) fn time(series: &[Sample]) -> (i64, TimeAxis) {
    let start_s = series.first().map_or(0, |first| first.at_s);
    let end_s = series.last().map_or(0, |last| last.at_s);
    (start_s, TimeAxis::new(end_s - start_s))
}

/// The charts of a replay, the most important one first.
pub(super) fn charts(series: &[Sample]) -> Vec<Chart> {
    if series.is_empty() {
        return Vec::new();
    }
    let (start_s, time) = time(series);
    let points = |of: fn(&Sample) -> f64| {
        let all: Vec<_> = series.iter().map(|sample| (sample.at_s - start_s, of(sample))).collect();
        thin_out(&all, MAX_POINTS)
    };
    let most = |of: fn(&Sample) -> u64| series.iter().map(of).max().unwrap_or_default();
    let waits = most(|sample| sample.pending) > 0;
    let mut refusals = vec![Line {
        name: "refused so far",
        class: "c",
        area: true,
        points: points(|sample| wide(sample.refused)),
    }];
    if waits {
        refusals.push(Line {
            name: "of these would run now",
            class: "d",
            area: false,
            points: points(|sample| wide(sample.pending)),
        });
    }
    let mut charts = vec![
        Chart {
            title: "GPU allocation",
            note: "GPU capacity given out, in per cent of all GPUs of the cluster.",
            wide: true,
            lines: vec![Line {
                name: "allocated",
                class: "a",
                area: true,
                points: points(|sample| sample.allocation_pct),
            }],
            mean: Some(mean_allocation_pct(series)),
            scale: percent(series.iter().map(|sample| sample.allocation_pct).fold(0.0, f64::max)),
            unit: Unit::Percent,
            time,
        },
        Chart {
            title: "Fragmentation",
            note: "Idle GPU capacity that a typical pod cannot use, in per cent of what is idle.",
            wide: false,
            lines: vec![Line {
                name: "unusable",
                class: "b",
                area: true,
                points: points(|sample| sample.fragmentation_pct),
            }],
            mean: None,
            scale: PERCENT,
            unit: Unit::Percent,
            time,
        },
        Chart {
            title: "Running instances",
            note: "Instances that hold resources at a time.",
            wide: false,
            lines: vec![Line {
                name: "running",
                class: "a",
                area: true,
                points: points(|sample| wide(sample.running)),
            }],
            mean: None,
            scale: counts(most(|sample| sample.running)),
            unit: Unit::Count,
            time,
        },
    ];
    let refused = most(|sample| sample.refused);
    if refused > 0 {
        charts.push(Chart {
            title: "Refused pods",
            note: "Pods that found no place, added up over time, and those of them whose time is not over.",
            wide: false,
            lines: refusals,
            mean: None,
            scale: counts(refused),
            unit: Unit::Count,
            time,
        });
    }
    charts
}

fn wide(number: u64) -> f64 {
    i64::try_from(number).map_or(f64::MAX, real)
}

/// The mean allocation over time, in per cent: a state counts for as long as it lasted.
pub fn mean_allocation_pct(series: &[Sample]) -> f64 {
    let (mut area, mut length) = (0.0, 0.0);
    for (from, until) in series.iter().zip(series.iter().skip(1)) {
        let lasted = real(until.at_s - from.at_s);
        area += from.allocation_pct * lasted;
        length += lasted;
    }
    let only = series.first().map_or(0.0, |first| first.allocation_pct);
    if length > 0.0 { area / length } else { only }
}

/// Thins a course out to at most `max` points: of each stretch of time the lowest and the highest stay, so that no
/// peak is lost, and so do the first and the last point.
pub(super) fn thin_out(points: &[(i64, f64)], max: usize) -> Vec<(i64, f64)> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return Vec::new();
    };
    if points.len() <= max {
        return points.to_vec();
    }
    let inner = points.get(1..points.len() - 1).unwrap_or_default();
    let length = inner.len().div_ceil((max / 2).saturating_sub(1).max(1));
    let mut thin = vec![*first];
    for stretch in inner.chunks(length) {
        let by_value = |a: &&(i64, f64), b: &&(i64, f64)| a.1.total_cmp(&b.1);
        let (Some(low), Some(high)) = (stretch.iter().min_by(by_value), stretch.iter().max_by(by_value))
        else {
            continue;
        };
        // The first lowest may be the last highest too: a flat stretch has one point.
        let (early, late) = if low.0 <= high.0 { (low, high) } else { (high, low) };
        thin.push(*early);
        if early != late {
            thin.push(*late);
        }
    }
    thin.push(*last);
    thin
}
