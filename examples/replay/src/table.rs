//! The table that a run ends with, and its figures for machines.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::error::AppError;
use crate::report::text::count;

/// The figures of a replay; the names are those of the JSON file.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ReplayFigures {
    /// Pods of the workload: those launched and those refused.
    pub pods: u64,
    /// Pods that became an instance.
    pub launched: u64,
    /// Pods that did not, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Counters that the audit found to differ from a recount of the rows.
    pub audit_drift: u64,
    /// A hash of the final state, independent of the store and of ids chosen at random.
    pub digest: String,
    /// GPU allocation in per cent, as the mean over the time of the events.
    pub allocation_pct_mean: f64,
    /// The highest GPU allocation in per cent.
    pub allocation_pct_peak: f64,
    /// What a typical pod could not use of the free GPUs, in per cent of it, as the mean over the time of the events.
    #[serde(skip)]
    pub fragmentation_pct_mean: f64,
    /// The same when most was given out.
    #[serde(skip)]
    pub fragmentation_pct_at_peak: f64,
    /// Instances that run at the end.
    #[serde(skip)]
    pub running_at_end: u64,
    /// Launches and deletions decided in a second of [`deciding_s`](Self::deciding_s), by this run.
    pub decisions_per_s: f64,
    /// Durable operations, launches and deletions, in a second of [`replay_s`](Self::replay_s), by this run.
    pub operations_per_s: f64,
    /// Seconds from the first event to the last one of this run.
    #[serde(skip)]
    pub replay_s: f64,
    /// Seconds of these that the store had no part in: following the feed, choosing nodes, making batches.
    #[serde(skip)]
    pub deciding_s: f64,
    /// Seconds of these in which rows and changes were read.
    #[serde(skip)]
    pub reading_s: f64,
    /// Seconds of these in which commits were awaited.
    #[serde(skip)]
    pub committing_s: f64,
    /// Half of the commits took at most this many milliseconds.
    pub commit_ms_p50: f64,
    /// 99 of 100 commits took at most this many milliseconds.
    pub commit_ms_p99: f64,
    /// Syncs of the disk, where the store can tell.
    pub syncs: Option<u64>,
    /// The size of the store's files or tables in bytes, where it can be told; 0 in memory.
    pub store_bytes: Option<u64>,
}

impl ReplayFigures {
    /// All figures in words, in the order in which they are read.
    pub fn rows(&self) -> Vec<(String, String)> {
        let mut rows = vec![
            ("pods".to_owned(), count(self.pods)),
            ("launched".to_owned(), count(self.launched)),
            ("refused".to_owned(), count(self.refused.values().sum())),
        ];
        rows.extend(self.refused.iter().map(|(reason, pods)| (format!("  {reason}"), count(*pods))));
        let syncs = self.syncs.map_or_else(|| "unknown".to_owned(), count);
        rows.extend(
            [
                ("GPU allocation, mean", format!("{:.2} %", self.allocation_pct_mean)),
                ("GPU allocation, peak", format!("{:.2} %", self.allocation_pct_peak)),
                ("fragmentation, mean", format!("{:.2} %", self.fragmentation_pct_mean)),
                ("fragmentation, at the peak", format!("{:.2} %", self.fragmentation_pct_at_peak)),
                ("running at the end", count(self.running_at_end)),
                ("replay", seconds(self.replay_s)),
                ("  deciding", seconds(self.deciding_s)),
                ("  reading", seconds(self.reading_s)),
                ("  committing", seconds(self.committing_s)),
                ("decisions per second", whole(self.decisions_per_s)),
                ("operations per second", whole(self.operations_per_s)),
                ("commit, median", format!("{:.2} ms", self.commit_ms_p50)),
                ("commit, 99th percentile", format!("{:.2} ms", self.commit_ms_p99)),
                ("syncs", syncs),
                ("store size", self.store_bytes.map_or_else(|| "unknown".to_owned(), bytes)),
                ("audit", self.audit()),
                ("digest", self.digest.clone()),
            ]
            .map(|(label, value)| (label.to_owned(), value)),
        );
        rows
    }

    /// What the audit found, in words.
    pub fn audit(&self) -> String {
        if self.audit_drift == 0 {
            "clean".to_owned()
        } else {
            format!("{} counters drifted", count(self.audit_drift))
        }
    }
}

fn seconds(number: f64) -> String {
    format!("{number:.2} s")
}

/// A rate, as a whole number with its thousands set apart.
pub fn whole(number: f64) -> String {
    format!("{:.0}", number.max(0.0)).parse().map_or_else(|_| "unknown".to_owned(), count)
}

fn bytes(number: u64) -> String {
    let kib = number.div_ceil(1024);
    if kib < 10_240 { format!("{} KiB", count(kib)) } else { format!("{} MiB", count(kib.div_ceil(1024))) }
}

/// Writes figures as JSON, over what is there.
pub fn write_json(path: &Path, figures: &impl Serialize) -> Result<(), AppError> {
    let write = || {
        let mut text = serde_json::to_string_pretty(figures)?;
        text.push('\n');
        std::fs::write(path, text)
    };
    write().map_err(|source| AppError::Json { path: path.to_owned(), source })
}

/// Columns of text, each as wide as its widest cell; the first ones are aligned left, the others right.
#[derive(Debug, Clone, Default)]
pub struct Grid {
    /// How many columns are aligned left.
    pub left: usize,
    /// The lines, the head first; an empty line stays empty.
    pub lines: Vec<Vec<String>>,
}

impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths: Vec<usize> = Vec::new();
        for line in &self.lines {
            widths.resize(widths.len().max(line.len()), 0);
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for line in &self.lines {
            let cells: Vec<_> = line
                .iter()
                .zip(&widths)
                .enumerate()
                .map(
                    |(at, (cell, width))| {
                        if at < self.left { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
                    },
                )
                .collect();
            writeln!(f, "{}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> ReplayFigures {
        ReplayFigures {
            pods: 8_152,
            launched: 8_000,
            refused: BTreeMap::from([("gpu".to_owned(), 150), ("quota".to_owned(), 2)]),
            digest: "ab12".to_owned(),
            decisions_per_s: 212_345.6,
            store_bytes: Some(15_000_000),
            ..ReplayFigures::default()
        }
    }

    #[test]
    fn the_json_has_the_agreed_names_and_null_for_unknown_syncs() {
        let json = serde_json::to_value(figures()).unwrap();
        let names: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        let mut agreed = [
            "pods",
            "launched",
            "refused",
            "audit_drift",
            "digest",
            "allocation_pct_mean",
            "allocation_pct_peak",
            "decisions_per_s",
            "operations_per_s",
            "commit_ms_p50",
            "commit_ms_p99",
            "syncs",
            "store_bytes",
        ];
        agreed.sort_unstable();
        let mut names = names;
        names.sort_unstable();
        assert_eq!(names, agreed);
        assert!(json["syncs"].is_null());
        assert_eq!(json["refused"]["gpu"], 150);
    }

    #[test]
    fn the_rows_name_every_reason_and_what_the_audit_found() {
        let has = |figures: &ReplayFigures, label: &str, value: &str| {
            figures.rows().contains(&(label.to_owned(), value.to_owned()))
        };
        let clean = figures();
        for (label, value) in [
            ("refused", "152"),
            ("  gpu", "150"),
            ("decisions per second", "212,346"),
            ("syncs", "unknown"),
            ("store size", "15 MiB"),
            ("audit", "clean"),
        ] {
            assert!(has(&clean, label, value), "{label} {value}: {:?}", clean.rows());
        }
        let drifted = ReplayFigures { audit_drift: 3, syncs: Some(4_000), ..clean };
        assert!(has(&drifted, "audit", "3 counters drifted") && has(&drifted, "syncs", "4,000"));
    }

    #[test]
    fn a_grid_aligns_text_left_and_numbers_right() {
        let lines = [["trace", "pods"], ["a", "8,152"], ["größer", "7"]];
        let grid = Grid { left: 1, lines: lines.map(|line| line.map(str::to_owned).to_vec()).to_vec() };
        assert_eq!(grid.to_string(), "trace    pods\na       8,152\ngrößer      7\n");
    }

    #[test]
    fn figures_that_cannot_be_written_name_their_file() {
        let error = write_json(Path::new("no/such/f.json"), &figures()).unwrap_err();
        assert_eq!(error.to_string(), "no/such/f.json: the figures cannot be written");
    }
}
