//! The published experiment: how much of the GPUs each policy gives out, beside what was published and what is possible.

use std::path::{Path, PathBuf};

use apportion::sched::Policy;
use benches::bound::bound;
use benches::defragment::Workload;
use benches::stores::Failed;
use replay::cli::InflateArgs;
use replay::inflate::{Outcome, Typical, run};
use replay::inflate_cli::{FIRST_SEED, Trace, outcomes, workloads};
use replay::published::{Measure, Published};
use replay::trace::NodeRow;

use super::page::Page;
use crate::plot::{Axis, COMPARED, Chart, Series, Style, number};

/// What it came to.
#[derive(Debug)]
pub(super) struct Allocation {
    seeds: usize,
    published: bool,
    traces: Vec<OnTrace>,
    nodes: Vec<NodeRow>,
    workloads: Vec<Trace>,
    /// For each of these, how many pods each of [`TIMED`] decided on in a second.
    speeds: Vec<Vec<f64>>,
}

/// One workload.
#[derive(Debug)]
struct OnTrace {
    name: String,
    /// What no policy can pass that does not know the future, where it is known.
    bound_pct: Option<f64>,
    policies: Vec<OfPolicy>,
    /// What [`OURS`] comes to where it is not given the mix, in per cent: at 100 % arrived, and at the end.
    learned: (f64, f64),
}

/// One policy on a workload: means over the seeds, in per cent.
#[derive(Clone, Copy, Debug)]
struct OfPolicy {
    policy: Policy,
    at_100: f64,
    at_130: f64,
    published_at_100: Option<f64>,
}

/// A cluster and a workload of a folder, or generated ones, for the moves of tasks.
pub(super) fn workload(folder: Option<&Path>, quick: bool) -> Result<Workload, Failed> {
    let Some(folder) = folder else { return Ok(Workload::generated(if quick { 8 } else { 1 })) };
    Workload::read(&folder.join(NODES), &folder.join("openb_pod_list_default.csv"))
}

/// Runs the experiment on the traces of a folder, or on a generated workload.
pub(super) fn measure(folder: Option<&Path>, quick: bool) -> Result<Allocation, Failed> {
    let seeds = if quick { 1 } else { 10 };
    let (nodes, pods, table) = match folder {
        Some(folder) => of(folder, quick)?,
        None => (None, Vec::new(), None),
    };
    let published = table.as_deref().map(Published::read).transpose()?;
    let (policy, mix) = (Vec::new(), Vec::new());
    let args = InflateArgs { policy, mix, seeds, nodes, pods, published: None, json: None };
    let (nodes, traces) = workloads(&args)?;
    println!("the published experiment: {} workloads, {seeds} seeds\n", traces.len());
    let given = outcomes(&nodes, &traces, &Policy::ALL, &[Typical::Given], seeds);
    let learned = outcomes(&nodes, &traces, &[OURS], &[Typical::Learned], seeds);
    let mut measured = Vec::new();
    for trace in &traces {
        let name = trace.0.clone();
        let mut policies = Vec::new();
        for policy in Policy::ALL {
            let (at_100, at_130) = means(&given, &name, policy);
            let theirs = published.as_ref();
            policies.push(OfPolicy {
                policy,
                at_100,
                at_130,
                published_at_100: theirs.and_then(|it| it.mean(&name, policy, Measure::AllocationAt100)),
            });
        }
        let drawn: Vec<u64> = (FIRST_SEED..).take(seeds).collect();
        let bound_pct = Some(bound(&nodes, &trace.1, &drawn).at_100().work_conserving_pct);
        let learned = means(&learned, &name, OURS);
        measured.push(OnTrace { name, bound_pct, policies, learned });
    }
    let published = published.is_some();
    Ok(Allocation { seeds, published, traces: measured, nodes, workloads: traces, speeds: Vec::new() })
}

const NODES: &str = "openb_node_list_gpu_node.csv";

/// Whose decisions are timed, and where they know the mix from.
const TIMED: [(Policy, Typical); 4] = [
    (Policy::BestFit, Typical::Given),
    (Policy::Fgd, Typical::Given),
    (OURS, Typical::Given),
    (OURS, Typical::Learned),
];

/// The policy of this project.
const OURS: Policy = Policy::OpportunityCost;

type Files = (Option<PathBuf>, Vec<PathBuf>, Option<PathBuf>);

/// The files of a folder: nodes, workloads, published results.
fn of(folder: &Path, quick: bool) -> Result<Files, Failed> {
    let mut pods = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("openb_pod_list_") && path.extension().is_some_and(|end| end == "csv") {
            pods.push(path);
        }
    }
    pods.sort();
    if quick {
        pods.truncate(2);
    }
    let published = Some(folder.join("published.csv")).filter(|path| path.exists());
    Ok((Some(folder.join(NODES)), pods, published))
}

/// The means over the seeds at 100 % arrived and at the end.
fn means(outcomes: &[Outcome], trace: &str, policy: Policy) -> (f64, f64) {
    let runs = || outcomes.iter().filter(|run| run.trace == trace && run.policy == policy);
    (mean(runs().map(|run| run.alloc_pct_100)), mean(runs().map(|run| run.alloc_pct_130)))
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    if count > 0.0 { sum / count } else { 0.0 }
}

impl Allocation {
    /// Times decisions, one run after the other on one thread while nothing else is under way; medians over some seeds.
    pub(super) fn time(&mut self, quick: bool) {
        let seeds = if quick { 1 } else { 5 };
        for (name, pods) in &self.workloads {
            let median = |(policy, mix)| {
                let runs =
                    (FIRST_SEED..).take(seeds).map(|seed| run(&self.nodes, name, pods, policy, mix, seed));
                let mut rates: Vec<f64> = runs.map(|run| run.decisions_per_s).collect();
                rates.sort_unstable_by(f64::total_cmp);
                rates.get(rates.len() / 2).copied().unwrap_or_default()
            };
            self.speeds.push(TIMED.map(median).to_vec());
        }
    }

    /// Writes the section on the time that decisions of the experiment take.
    pub(super) fn write_speeds(&self, page: &mut Page) {
        page.text(
            "In the published experiment, how many pods were decided on in a second, those placed that fitted, on one core, from the \
             first pod of a run on, when nothing is remembered yet. What a policy learns of a pod is in it.",
        );
        let mut head = vec!["pods/s".to_owned()];
        head.extend(TIMED.iter().map(|(policy, mix)| match mix {
            Typical::Given => policy.to_string(),
            Typical::Learned => format!("{policy}, mix learned from nothing"),
        }));
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        let row = |((name, _), speeds): (&Trace, &Vec<f64>)| {
            std::iter::once(name.clone()).chain(speeds.iter().map(|speed| number(*speed))).collect()
        };
        page.table(&head, &self.workloads.iter().zip(&self.speeds).map(row).collect::<Vec<_>>());
    }

    /// Writes the section.
    pub(super) fn write(&self, page: &mut Page) -> Result<(), Failed> {
        page.section("GPU allocation");
        page.text(&format!(
            "Pods arrive in random order until they have asked for 130 % of the GPUs, and never leave; one that fits nowhere is \
             dropped. In the table is the GPU given out, in per cent of all, when pods worth 100 % of the GPUs have arrived; in \
             parentheses at the end. Means over the seeds, {} of them. Source of the experiment and of the published means: Weng et al., \
             *Beware of Fragmentation*, USENIX ATC 2023; FGD is their policy. The policies are given the mix of the whole workload, as theirs is; \
             learned from nothing, {OURS} begins without any and learns it from the pods that have come. The bound is what no policy \
             can pass.",
            self.seeds
        ));
        if !self.published {
            page.text("The traces were not given (`--openb`): this is a generated workload of their shape, for which nothing is published.");
        }
        page.chart("allocation", &self.chart())?;
        let mut head = vec!["trace".to_owned()];
        head.extend(Policy::ALL.iter().map(ToString::to_string));
        head.push(format!("{OURS}, mix learned from nothing"));
        head.extend(
            ["published FGD", "default above it", "bound", "of the distance closed"].map(str::to_owned),
        );
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        page.table(&head, &self.traces.iter().map(OnTrace::row).collect::<Vec<_>>());
        if self.published {
            page.text("How far the policies are from their published means, in points:");
            let mut head = vec!["trace".to_owned()];
            head.extend(Policy::ALL.iter().map(ToString::to_string));
            let head: Vec<&str> = head.iter().map(String::as_str).collect();
            page.table(&head, &self.traces.iter().map(OnTrace::deviations).collect::<Vec<_>>());
        }
        Ok(())
    }

    fn chart(&self) -> Chart {
        let names: Vec<String> = self.traces.iter().map(|trace| trace.name.clone()).collect();
        let over = |value: &dyn Fn(&OnTrace) -> Option<f64>| {
            let at = (0_u32..).map(f64::from).zip(&self.traces);
            at.filter_map(|(at, trace)| Some((at, value(trace)?))).collect::<Vec<_>>()
        };
        let mut series: Vec<Series> = Vec::new();
        for (colour, policy) in Policy::ALL.into_iter().enumerate() {
            let points = over(&|trace| Some(trace.of(policy)?.at_100));
            series.push(Series { name: policy.to_string(), colour, style: Style::Filled, points });
        }
        let theirs = over(&|trace| trace.of(Policy::Fgd)?.published_at_100);
        let bound = over(&|trace| trace.bound_pct);
        for (name, colour, style, points) in
            [("fgd, published", COMPARED, Style::Hollow, theirs), ("bound", COMPARED, Style::Level, bound)]
        {
            if !points.is_empty() {
                series.push(Series { name: name.into(), colour, style, points });
            }
        }
        let values = series.iter().flat_map(|series| series.points.iter().map(|point| point.1));
        let y = Axis::linear("GPU given out, % of all", values.collect::<Vec<_>>().into_iter(), 2.0);
        let title = "GPU allocation when pods worth 100 % of the GPUs have arrived".to_owned();
        Chart { title, x: Axis::names("trace", &names), y, series }
    }
}

impl OnTrace {
    fn of(&self, policy: Policy) -> Option<&OfPolicy> {
        self.policies.iter().find(|it| it.policy == policy)
    }

    fn row(&self) -> Vec<String> {
        let mut row = vec![self.name.clone()];
        row.extend(self.policies.iter().map(|it| format!("{:.2} ({:.2})", it.at_100, it.at_130)));
        let (at_100, at_130) = self.learned;
        row.push(format!("{at_100:.2} ({at_130:.2})"));
        let ours = self.of(OURS).map(|it| it.at_100);
        let theirs = self.of(Policy::Fgd).and_then(|it| it.published_at_100);
        let above = ours.zip(theirs).map(|(ours, theirs)| ours - theirs);
        let distance = self.bound_pct.zip(theirs).map(|(bound, theirs)| bound - theirs);
        let closed = above.zip(distance).map(|(above, distance)| 100.0 * above / distance);
        row.push(theirs.map_or_else(String::new, |theirs| format!("{theirs:.2}")));
        row.push(above.map_or_else(String::new, |above| format!("{above:+.2}")));
        row.push(self.bound_pct.map_or_else(String::new, |bound| format!("{bound:.2}")));
        row.push(closed.map_or_else(String::new, |closed| format!("{closed:.0} %")));
        row
    }

    fn deviations(&self) -> Vec<String> {
        let mut row = vec![self.name.clone()];
        row.extend(self.policies.iter().map(|it| {
            it.published_at_100.map_or_else(String::new, |theirs| format!("{:+.2}", it.at_100 - theirs))
        }));
        row
    }
}
