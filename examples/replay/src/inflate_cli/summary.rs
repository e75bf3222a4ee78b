//! The table of the experiment, beside the published one where it is given.

use std::fmt::Write as _;

use apportion::sched::Policy;

use crate::inflate::{Outcome, Typical};
use crate::published::{Measure, Published};
use crate::table::{Grid, whole};

/// Published means that are closer than this, in points, have no order to reproduce.
const TELL_APART: f64 = 0.3;

/// The means over the seeds of one workload and policy.
struct Cell<'a> {
    trace: &'a str,
    policy: Policy,
    mix: Typical,
    runs: &'a [Outcome],
}

/// Lays the outcomes out, which are grouped by workload, policy, and where the policy knows from what is typical.
pub(super) fn table(outcomes: &[Outcome], published: Option<&Published>) -> String {
    let cells: Vec<Cell<'_>> = outcomes
        .chunk_by(|a, b| (&a.trace, a.policy, a.mix) == (&b.trace, b.policy, b.mix))
        .filter_map(|runs| {
            let first = runs.first()?;
            Some(Cell { trace: &first.trace, policy: first.policy, mix: first.mix, runs })
        })
        .collect();
    let mut grid = Grid { left: 2, lines: vec![head(published.is_some())] };
    let mut last = None;
    for cell in &cells {
        if last.is_some_and(|trace| trace != cell.trace) {
            grid.lines.push(Vec::new());
        }
        last = Some(cell.trace);
        grid.lines.push(cell.line(published));
    }
    let mut text = grid.to_string();
    if let Some(published) = published {
        text.push_str(&verdict(&cells, published));
    }
    text
}

fn head(compared: bool) -> Vec<String> {
    let columns: &[&str] = if compared {
        &[
            "trace",
            "policy",
            "alloc % at 100",
            "published",
            "off by",
            "in band",
            "alloc % at 130",
            "published",
            "off by",
            "frag % at 50",
            "published",
            "off by",
            "unplaced",
            "decisions/s",
        ]
    } else {
        &["trace", "policy", "alloc % at 100", "alloc % at 130", "frag % at 50", "unplaced", "decisions/s"]
    };
    columns.iter().map(|column| (*column).to_owned()).collect()
}

impl Cell<'_> {
    fn line(&self, published: Option<&Published>) -> Vec<String> {
        let mut line = vec![self.trace.to_owned(), self.name()];
        for measure in [Measure::AllocationAt100, Measure::AllocationAt130, Measure::FragmentsAt50] {
            let (mean, sd) = mean_and_sd(self.values(measure));
            line.push(format!("{mean:.2} ± {sd:.2}"));
            let Some(published) = published else { continue };
            match published.mean(self.trace, self.policy, measure) {
                Some(theirs) => line.extend([format!("{theirs:.2}"), format!("{:+.2}", mean - theirs)]),
                None => line.extend(["-".to_owned(), "-".to_owned()]),
            }
            if measure == Measure::AllocationAt100 {
                line.push(match self.off_by(published) {
                    Some(off) if off.abs() <= band(self.policy) => "yes".to_owned(),
                    Some(_) => format!("NO, ±{}", band(self.policy)),
                    None => "-".to_owned(),
                });
            }
        }
        let unplaced = self.runs.iter().map(|run| run.unplaced).sum::<u64>()
            / u64::try_from(self.runs.len()).unwrap_or(1).max(1);
        line.push(unplaced.to_string());
        line.push(whole(mean_and_sd(self.runs.iter().map(|run| run.decisions_per_s)).0));
        line
    }

    /// The policy, and that it was given nothing, where that is so.
    fn name(&self) -> String {
        match self.mix {
            Typical::Given => self.policy.to_string(),
            Typical::Learned => format!("{}, learned", self.policy),
        }
    }

    fn values(&self, measure: Measure) -> impl Iterator<Item = f64> {
        self.runs.iter().map(move |run| match measure {
            Measure::AllocationAt100 => run.alloc_pct_100,
            Measure::AllocationAt130 => run.alloc_pct_130,
            Measure::FragmentsAt50 => run.frag_ratio_pct_50,
        })
    }

    fn mean(&self) -> f64 {
        mean_and_sd(self.values(Measure::AllocationAt100)).0
    }

    /// How far the allocation at 100 % is from the published one, in points.
    fn off_by(&self, published: &Published) -> Option<f64> {
        published.mean(self.trace, self.policy, Measure::AllocationAt100).map(|theirs| self.mean() - theirs)
    }
}

/// How far a mean of ten seeds may be from the published one, in points: the two policies whose published results
/// vary most from seed to seed have more room.
const fn band(policy: Policy) -> f64 {
    match policy {
        Policy::Packing | Policy::Clustering => 0.8,
        _ => 0.5,
    }
}

fn mean_and_sd(values: impl Iterator<Item = f64>) -> (f64, f64) {
    // Welford's method: one pass, and no difference of large sums.
    let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for value in values {
        count += 1.0;
        let off = value - mean;
        mean += off / count;
        squares += off * (value - mean);
    }
    (mean, if count > 1.0 { f64::sqrt(squares / (count - 1.0)) } else { 0.0 })
}

fn verdict(cells: &[Cell<'_>], published: &Published) -> String {
    let off: Vec<_> =
        cells.iter().filter_map(|cell| cell.off_by(published).map(|off| (off.abs(), cell))).collect();
    let Some((most, worst)) = off.iter().max_by(|a, b| a.0.total_cmp(&b.0)) else {
        return "\nnothing is published about these workloads\n".to_owned();
    };
    let within = off.iter().filter(|(off, cell)| *off <= band(cell.policy)).count();
    let mut text = format!(
        "\nallocation at 100 %: {within} of {} means in the band; the farthest is {} on {}, by {most:.2} points\n",
        off.len(),
        worst.name(),
        worst.trace
    );
    let (mut pairs, mut kept, mut broken) = (0_usize, 0_usize, String::new());
    for (at, a) in cells.iter().enumerate() {
        for b in cells.iter().skip(at + 1).filter(|b| b.trace == a.trace) {
            let theirs = |cell: &Cell<'_>| published.mean(cell.trace, cell.policy, Measure::AllocationAt100);
            let (Some(published_a), Some(published_b)) = (theirs(a), theirs(b)) else {
                continue;
            };
            let (apart, ours) = (published_a - published_b, a.mean() - b.mean());
            if apart.abs() < TELL_APART {
                continue;
            }
            pairs += 1;
            if apart * ours > 0.0 {
                kept += 1;
            } else {
                // A string takes every write.
                let _ = writeln!(
                    broken,
                    "  {}: {} and {} differ by {ours:+.2}, published {apart:+.2}",
                    a.trace,
                    a.name(),
                    b.name()
                );
            }
        }
    }
    let _ = writeln!(
        text,
        "order: {kept} of {pairs} pairs of policies, those at least {TELL_APART} points apart, stand as published"
    );
    text.push_str(&broken);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(policy: Policy, seed: u64, alloc: f64) -> Outcome {
        Outcome {
            trace: "t".to_owned(),
            policy,
            mix: Typical::Given,
            seed,
            alloc_pct_100: alloc,
            alloc_pct_130: alloc + 1.0,
            frag_ratio_pct_50: 20.0,
            frag_ratio_pct_80: 40.0,
            unplaced: 7,
            decisions_per_s: 1234.5,
        }
    }

    fn published(rows: &[(&str, f64)]) -> Published {
        let file = tempfile::NamedTempFile::new().unwrap();
        let rows: Vec<_> =
            rows.iter().map(|(policy, mean)| format!("alloc_pct,t,{policy},100,{mean}")).collect();
        let rows = rows.join("\n");
        std::fs::write(file.path(), format!("metric,trace,policy,arrived_pct,mean\n{rows}")).unwrap();
        Published::read(file.path()).unwrap()
    }

    #[test]
    fn mean_and_sample_deviation() {
        let (mean, sd) = mean_and_sd([2.0, 4.0, 4.0, 6.0].into_iter());
        assert!((mean - 4.0).abs() < 1e-12 && (sd - (8.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(mean_and_sd([5.0].into_iter()), (5.0, 0.0));
    }

    #[test]
    fn without_published_results_only_ours_are_shown() {
        let text = table(&[outcome(Policy::Fgd, 42, 95.0), outcome(Policy::Fgd, 43, 96.0)], None);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0].split_whitespace().next(), Some("trace"));
        assert_eq!(
            lines[1].split_whitespace().collect::<Vec<_>>().join(" "),
            "t fgd 95.50 ± 0.71 96.50 ± 0.71 20.00 ± 0.00 7 1,234"
        );
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn each_policy_is_judged_by_its_own_band() {
        let outcomes = [outcome(Policy::Packing, 42, 91.0), outcome(Policy::Fgd, 42, 95.0)];
        let text = table(&outcomes, Some(&published(&[("04-GpuPacking", 91.7), ("06-FGD", 95.7)])));
        assert!(text.contains("91.70   -0.70       yes"), "{text}");
        assert!(text.contains("-0.70  NO, ±0.5"), "{text}");
        assert!(text.contains("1 of 2 means in the band; the farthest is "), "{text}");
        assert!(text.contains("order: 1 of 1 pairs"), "{text}");
    }

    #[test]
    fn an_order_that_is_not_the_published_one_is_named() {
        let outcomes = [outcome(Policy::BestFit, 42, 90.0), outcome(Policy::Fgd, 42, 89.0)];
        let text = table(&outcomes, Some(&published(&[("05-BestFit", 89.4), ("06-FGD", 90.4)])));
        assert!(text.contains("order: 0 of 1 pairs"), "{text}");
        assert!(text.contains("  t: best-fit and fgd differ by +1.00, published -1.00"), "{text}");
    }

    #[test]
    fn what_was_learned_is_not_mixed_with_what_was_given() {
        let learned = Outcome { mix: Typical::Learned, ..outcome(Policy::Fgd, 42, 91.0) };
        let text = table(&[outcome(Policy::Fgd, 42, 95.0), learned], None);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[1].contains("fgd ") && lines[1].contains("95.00 ±"), "{text}");
        assert!(lines[2].contains("fgd, learned") && lines[2].contains("91.00 ±"), "{text}");
    }

    #[test]
    fn what_nobody_published_is_said() {
        let text = table(&[outcome(Policy::Fgd, 42, 89.0)], Some(&published(&[("05-BestFit", 89.4)])));
        assert!(text.ends_with("nothing is published about these workloads\n"));
    }
}
