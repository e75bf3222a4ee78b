//! What the report shows of a replay.

use super::course::Course;
use super::progress::Progress;
use super::reason::Reason;
use crate::report::{ReportData, text::count};
use crate::table::{ReplayFigures, whole};

/// The report's contents. `about` says what was replayed, and how.
pub(super) fn data(
    about: &str,
    figures: &ReplayFigures,
    progress: &Progress,
    course: Course,
    nodes: usize,
) -> ReportData {
    let refused: u64 = figures.refused.values().sum();
    let tile = |label: &str, value: String| (label.to_owned(), value);
    let words = |reason: Reason| {
        let pods = progress.refused.get(&reason).copied().unwrap_or(0);
        (reason.words().to_owned(), u64::try_from(pods).unwrap_or(0))
    };
    ReportData {
        title: "A GPU cluster, replayed through its control plane".to_owned(),
        subtitle: about.to_owned(),
        summary: vec![
            tile("Instances launched", count(figures.launched)),
            tile("Pods refused", count(refused)),
            tile("GPU allocation, peak", format!("{:.1} %", figures.allocation_pct_peak)),
            tile("GPU allocation, mean", format!("{:.1} %", figures.allocation_pct_mean)),
            tile("Operations per second", whole(figures.operations_per_s)),
            tile("Audit", figures.audit()),
        ],
        refused: Reason::ALL.into_iter().map(words).collect(),
        series: course.series,
        nodes: course.heat,
        peak_at_s: course.peak.at_s,
        figures: std::iter::once(tile("nodes", count(u64::try_from(nodes).unwrap_or(u64::MAX))))
            .chain(figures.rows().into_iter().map(alone))
            .collect(),
    }
}

/// A figure that does not stand under another one: what is indented in the table says what it belongs to.
fn alone((label, value): (String, String)) -> (String, String) {
    let part = label.trim_start();
    match (part.len() < label.len(), Reason::ALL.iter().find(|reason| reason.name() == part)) {
        (true, Some(reason)) => (format!("refused: {}", reason.words()), value),
        (true, None) => (format!("time {part}"), value),
        (false, _) => (label, value),
    }
}
