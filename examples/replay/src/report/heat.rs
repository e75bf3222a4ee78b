//! The heat map: every node with GPUs as one cell, by model, when the cluster was fullest and at the end.

use std::collections::BTreeMap;

use super::text::{count, escape};
use super::{NodeHeat, put};

/// Cells in one map. A larger cluster has several nodes to a cell.
const MAX_CELLS: usize = 4_000;
/// Steps of the colour scale; the last one is for what is completely full.
const STEPS: i64 = 10;

type Milli = fn(&NodeHeat) -> i64;

/// Draws the maps; `fullest` says when the first of them was.
pub(super) fn draw(page: &mut String, nodes: &[NodeHeat], fullest: &str) {
    if nodes.is_empty() {
        return;
    }
    let per_cell = nodes.len().div_ceil(MAX_CELLS);
    page.push_str("<section class=\"card\"><h2>The nodes, GPU by GPU</h2>\n");
    let cell = if per_cell == 1 {
        "One cell is one node".to_owned()
    } else {
        format!("One cell is {per_cell} nodes")
    };
    put(
        page,
        format_args!(
            "<p class=\"note\">{cell}; the colour is the share of its GPU capacity that is given out.</p>\n"
        ),
    );
    legend(page);
    page.push_str("<div class=\"maps\">\n");
    map(page, &format!("When the cluster was fullest ({fullest})"), nodes, per_cell, |node| node.peak_milli);
    map(page, "At the end", nodes, per_cell, |node| node.end_milli);
    page.push_str("</div></section>\n");
}

fn legend(page: &mut String) {
    page.push_str("<p class=\"scale\"><span>empty</span>");
    for step in 0..=STEPS {
        let share =
            if step == STEPS { "full".to_owned() } else { format!("{}–{} %", step * 10, step * 10 + 10) };
        put(page, format_args!("<i class=\"h{step}\" title=\"{share}\"></i>"));
    }
    page.push_str("<span>full</span></p>\n");
}

fn map(page: &mut String, title: &str, nodes: &[NodeHeat], per_cell: usize, milli: Milli) {
    put(page, format_args!("<div><h3>{}</h3>\n", escape(title)));
    for (model, nodes) in by_model(nodes) {
        let (given, capacity) = totals(&nodes, milli);
        let gpus = capacity / 1000;
        put(
            page,
            format_args!(
                "<h4>{} <small>{} nodes, {} GPUs, {} % given out</small></h4>\n<div class=\"cells\">",
                escape(model),
                count(wide(nodes.len())),
                count(gpus.unsigned_abs()),
                tenths(given, capacity)
            ),
        );
        for cell in nodes.chunks(per_cell) {
            let (given, capacity) = totals(cell, milli);
            let first = cell.first().map_or("", |node| node.name.as_str());
            let more = if cell.len() > 1 { format!(" and {} more", cell.len() - 1) } else { String::new() };
            put(
                page,
                format_args!(
                    "<i class=\"h{}\" title=\"{}{more}: {} of {} GPUs\"></i>",
                    step(given, capacity),
                    escape(first),
                    milli_as_gpus(given),
                    capacity / 1000
                ),
            );
        }
        page.push_str("</div>\n");
    }
    page.push_str("</div>\n");
}

/// The groups, the largest first.
fn by_model(nodes: &[NodeHeat]) -> Vec<(&str, Vec<NodeHeat>)> {
    let mut groups: BTreeMap<&str, Vec<NodeHeat>> = BTreeMap::new();
    for node in nodes.iter().filter(|node| node.gpus > 0) {
        groups.entry(&node.model).or_default().push(node.clone());
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, nodes)| std::cmp::Reverse(nodes.iter().map(|node| node.gpus).sum::<u32>()));
    groups
}

fn totals(nodes: &[NodeHeat], milli: Milli) -> (i64, i64) {
    (nodes.iter().map(milli).sum(), nodes.iter().map(|node| i64::from(node.gpus) * 1000).sum())
}

/// The colour: its own for what is completely full, and none shared between empty and nearly empty.
fn step(given: i64, capacity: i64) -> i64 {
    let share = given * STEPS / capacity.max(1);
    if given > 0 { share.clamp(1, STEPS) } else { 0 }
}

fn tenths(given: i64, capacity: i64) -> String {
    let permille = given * 1000 / capacity.max(1);
    format!("{}.{}", permille / 10, permille % 10)
}

fn milli_as_gpus(milli: i64) -> String {
    let text = format!("{}.{:03}", milli / 1000, milli % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
