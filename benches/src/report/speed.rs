//! How fast decisions are, and what the index of a large cluster costs.

use std::process::Command;

use apportion::sched::Policy;
use benches::scale::Scale;
use benches::stores::Failed;

use super::page::Page;
use crate::plot::{Axis, Chart, Series, Style, number};
use crate::tables::decisions::Decided;
use crate::tables::defragment::{Moved, REACH};
use crate::tables::rate;

/// Builds indexes, each in a process of its own.
pub(super) fn scales(quick: bool) -> Result<Vec<Scale>, Failed> {
    let (nodes, changes) = if quick { (20_000_u64, 20_000_u64) } else { (1_000_000, 1_000_000) };
    let mut scales = Vec::new();
    for perturbed in [false, true] {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["scale", &nodes.to_string(), &changes.to_string()]);
        if perturbed {
            command.arg("--perturbed");
        }
        let output = command.output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        scales.push(String::from_utf8_lossy(&output.stdout).parse()?);
    }
    Ok(scales)
}

/// Writes the section on decisions.
pub(super) fn decisions(page: &mut Page, decided: &[Decided]) -> Result<(), Failed> {
    page.section("Decisions");
    page.text(
        "A cluster of the published shape, 70 % of its GPUs in use, on which tasks come and go: a decision and its placement, on \
         one core, after all kinds of task have been met once. On a cluster of equal machines many nodes are in the same state, \
         and a decision costs as much as there are states. Where each node has another amount of processor time and memory, by \
         less than a core and a GiB, there are as many states as nodes, but for the default policy, which tells amounts apart in steps.",
    );
    page.chart("decisions", &chart(decided))?;
    page.table(
        &["policy", "nodes", "each different", "states", "decisions/s", "takes, beside 10,000 nodes"],
        &rows(decided),
    );
    Ok(())
}

/// Writes the section on the index.
pub(super) fn index(page: &mut Page, scales: &[Scale]) {
    page.section("The index of a large cluster");
    page.text(
        "The index is built from a snapshot of nodes of a running cluster, then changes of nodes drawn at random are applied to \
         it, as a feed tells them, on one core. Its memory is what the process grew by while it was built.",
    );
    let row = |scale: &Scale| {
        vec![
            number_of(scale.nodes),
            if scale.perturbed { "yes".into() } else { String::new() },
            number_of(scale.states),
            format!("{:.2} s", scale.built.as_secs_f64()),
            scale.bytes_a_node().map_or_else(String::new, number_of),
            number_of(scale.changes),
            format!("{:.2} s", scale.applied.as_secs_f64()),
            number(rate(scale.changes, scale.applied)),
        ]
    };
    let head = [
        "nodes",
        "each different",
        "states",
        "built in",
        "bytes a node",
        "changes",
        "applied in",
        "changes/s",
    ];
    page.table(&head, &scales.iter().map(row).collect::<Vec<_>>());
}

/// Writes the section on moves of tasks.
pub(super) fn moves(page: &mut Page, moved: &[Moved]) {
    page.section("Moves that leave whole GPUs idle");
    page.text(&format!(
        "A cluster that was filled by a policy until so much of its GPUs had been asked for, and of which some tasks have ended; \
         then at most so many moves are planned. The bound is what no plan of as many moves can pass, whoever makes it; {REACH} of it \
         is to be reached. Every plan is carried out, and what it frees is counted."
    ));
    let row = |it: &Moved| {
        let count = |count: usize| count.to_string();
        vec![
            it.history.clone(),
            count(it.idle),
            count(it.budget),
            count(it.moves),
            count(it.freed),
            count(it.freeable),
            format!("{:.2}", it.ratio()),
            format!("{:.0} ms", it.took.as_secs_f64() * 1_000.0),
        ]
    };
    let head =
        ["filled by", "idle", "moves allowed", "made", "GPUs freed", "bound", "part of it", "planned in"];
    page.table(&head, &moved.iter().map(row).collect::<Vec<_>>());
}

fn rows(decided: &[Decided]) -> Vec<Vec<String>> {
    let row = |it: &Decided| {
        let like = |other: &&Decided| {
            (other.policy, other.perturbed, other.nodes) == (it.policy, it.perturbed, 10_000)
        };
        let slower = decided.iter().find(like).map(|other| other.per_second / it.per_second);
        vec![
            it.policy.to_string(),
            it.nodes.to_string().parse().map_or_else(|_| String::new(), number),
            if it.perturbed { "yes".into() } else { String::new() },
            it.states.to_string().parse().map_or_else(|_| String::new(), number),
            number(it.per_second),
            slower.map_or_else(String::new, |slower| format!("{slower:.2} ×")),
        ]
    };
    decided.iter().map(row).collect()
}

fn number_of(count: u64) -> String {
    count.to_string().parse().map_or_else(|_| String::new(), number)
}

fn chart(decided: &[Decided]) -> Chart {
    let mut policies: Vec<Policy> = Vec::new();
    for it in decided {
        if !policies.contains(&it.policy) {
            policies.push(it.policy);
        }
    }
    let mut series = Vec::new();
    for (colour, policy) in policies.into_iter().enumerate() {
        for (perturbed, style, differ) in
            [(false, Style::Line, ""), (true, Style::Dashed, ", each different")]
        {
            let of = decided.iter().filter(|it| it.policy == policy && it.perturbed == perturbed);
            let points = of.map(|it| (count(it.nodes), it.per_second)).collect();
            series.push(Series { name: format!("{policy}{differ}"), colour, style, points });
        }
    }
    let mut nodes: Vec<f64> = decided.iter().map(|it| count(it.nodes)).collect();
    nodes.dedup();
    Chart {
        title: "Decisions a second on one core".into(),
        x: Axis::log_at("nodes", &nodes),
        y: Axis::log("decisions/s", decided.iter().map(|it| it.per_second)),
        series,
    }
}

fn count(nodes: usize) -> f64 {
    u32::try_from(nodes).map_or(f64::MAX, f64::from)
}
