//! The page that a replay leaves behind: one HTML file with everything in it, readable in light and in dark.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

mod axis;
mod chart;
mod heat;
mod series;
#[cfg(test)]
mod tests;
pub(crate) mod text;

pub use series::mean_allocation_pct;
use text::{count, escape};

/// What the page shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReportData {
    /// The headline.
    pub title: String,
    /// One line under it: what was replayed, and how.
    pub subtitle: String,
    /// The figures that matter most, as label and value; six fill a row.
    pub summary: Vec<(String, String)>,
    /// How many pods were refused for which reason.
    pub refused: Vec<(String, u64)>,
    /// The course of the replay, in the order of time.
    pub series: Vec<Sample>,
    /// Every node that has GPUs, in any order; the page groups them by model.
    pub nodes: Vec<NodeHeat>,
    /// When the most GPUs were given out, in seconds from the start.
    pub peak_at_s: i64,
    /// All other figures, as label and value.
    pub figures: Vec<(String, String)>,
}

/// The state of the cluster at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sample {
    /// Seconds from the start.
    pub at_s: i64,
    /// GPU milli given out, in per cent of all.
    pub allocation_pct: f64,
    /// Idle GPU milli that the typical pods cannot use, in per cent of all that is idle.
    pub fragmentation_pct: f64,
    /// Pods refused until this moment that would still run.
    pub pending: u64,
    /// Pods refused until this moment.
    pub refused: u64,
    /// Instances that run at this moment.
    pub running: u64,
}

/// How full the GPUs of one node were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeHeat {
    /// The node's name.
    pub name: String,
    /// The model of its GPUs.
    pub model: String,
    /// How many it has.
    pub gpus: u32,
    /// GPU milli given out when the cluster was fullest.
    pub peak_milli: i64,
    /// GPU milli given out at the end.
    pub end_milli: i64,
}

/// The page could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{}: the report cannot be written", path.display())]
pub struct ReportError {
    /// The file.
    pub path: PathBuf,
    /// What the operating system said.
    pub source: std::io::Error,
}

/// Writes the page to `path`, over what is there.
pub fn write(path: &Path, data: &ReportData) -> Result<(), ReportError> {
    std::fs::write(path, render(data)).map_err(|source| ReportError { path: path.to_owned(), source })
}

/// The page as HTML. It loads nothing and runs no script.
pub fn render(data: &ReportData) -> String {
    let mut page = String::with_capacity(1 << 19);
    let title = escape(&data.title);
    page.push_str("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    page.push_str("<meta name=\"color-scheme\" content=\"light dark\">\n");
    put(&mut page, format_args!("<title>{title}</title>\n<style>\n{CSS}</style>\n</head>\n<body>\n<main>\n"));
    put(&mut page, format_args!("<header><h1>{title}</h1><p>{}</p></header>\n", escape(&data.subtitle)));
    summary(&mut page, &data.summary);
    page.push_str("<div class=\"grid\">\n");
    for chart in series::charts(&data.series) {
        chart.draw(&mut page);
    }
    refused(&mut page, &data.refused);
    page.push_str("</div>\n");
    let (start_s, time) = series::time(&data.series);
    heat::draw(&mut page, &data.nodes, &time.moment(data.peak_at_s - start_s));
    figures(&mut page, &data.figures);
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

const CSS: &str = include_str!("report/page.css");

/// Appends to the page; a `String` takes every write.
fn put(page: &mut String, what: std::fmt::Arguments<'_>) {
    let written = page.write_fmt(what);
    debug_assert!(written.is_ok(), "a string takes every write");
}

fn summary(page: &mut String, rows: &[(String, String)]) {
    if rows.is_empty() {
        return;
    }
    page.push_str("<dl class=\"tiles\">\n");
    for (label, value) in rows {
        put(page, format_args!("<div><dt>{}</dt><dd>{}</dd></div>\n", escape(label), escape(value)));
    }
    page.push_str("</dl>\n");
}

fn refused(page: &mut String, reasons: &[(String, u64)]) {
    let total: u64 = reasons.iter().map(|(_, pods)| pods).sum();
    if total == 0 {
        page.push_str("<section class=\"card wide\"><h2>Refused pods</h2><p class=\"note\">None: every pod was placed.</p></section>\n");
        return;
    }
    page.push_str("<section class=\"card\"><h2>Why pods were refused</h2>\n");
    put(
        page,
        format_args!("<p class=\"note\">{} pods found no place.</p>\n<ul class=\"bars\">\n", count(total)),
    );
    let mut reasons: Vec<_> = reasons.iter().filter(|(_, pods)| *pods > 0).collect();
    reasons.sort_by_key(|(_, pods)| std::cmp::Reverse(*pods));
    let most = reasons.first().map_or(1, |(_, pods)| *pods);
    for (reason, pods) in reasons {
        let (reason, width, pods) = (escape(reason), pods * 100 / most, count(*pods));
        put(
            page,
            format_args!(
                "<li><span>{reason}</span><b>{pods}</b><i style=\"width:{}%\"></i></li>\n",
                width.max(1)
            ),
        );
    }
    page.push_str("</ul></section>\n");
}

fn figures(page: &mut String, rows: &[(String, String)]) {
    if rows.is_empty() {
        return;
    }
    page.push_str("<section class=\"card\"><h2>All figures</h2>\n<dl class=\"figures\">\n");
    for (label, value) in rows {
        put(page, format_args!("<div><dt>{}</dt><dd>{}</dd></div>\n", escape(label), escape(value)));
    }
    page.push_str("</dl></section>\n");
}
