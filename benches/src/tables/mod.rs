//! The tables that are printed.

pub(crate) mod bound;
pub(crate) mod checks;
pub(crate) mod claims;
pub(crate) mod decisions;
pub(crate) mod defragment;
pub(crate) mod files;
pub(crate) mod heartbeats;
pub(crate) mod import;
pub(crate) mod logins;
pub(crate) mod postgres;
pub(crate) mod queue;
pub(crate) mod reads;
pub(crate) mod refused;
pub(crate) mod reports;

use std::time::Duration;

use benches::by_hand::ByHand;
use benches::launches::{Bench, Figures, Load};
use benches::stores::Failed;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Rounds of which the median is told, after one that is not counted.
    pub(crate) rounds: usize,
    /// Launches of a caller in a round.
    pub(crate) each: usize,
    /// Launches in a round, at most.
    pub(crate) most: usize,
    /// Milliseconds for which decisions of one kind are repeated.
    pub(crate) decisions_ms: u64,
    /// Milliseconds for which reads of one kind are repeated.
    pub(crate) reads_ms: u64,
    /// Milliseconds for which checks of one kind are repeated in a round.
    pub(crate) checks_ms: u64,
    /// Logins of a caller where there are few.
    pub(crate) logins: usize,
    /// How often a login is refused for each reason.
    pub(crate) refused: usize,
    /// How many nodes are heard.
    pub(crate) nodes: u32,
    /// How many instances a report is of.
    pub(crate) reported: u32,
    /// How many instances are brought in.
    pub(crate) imported: usize,
    /// How many runs wait.
    pub(crate) waiting: u32,
    /// How many nodes of eight GPUs they wait for.
    pub(crate) queue_nodes: u32,
    /// How many runs are taken and completed in a round.
    pub(crate) runs: u32,
}

impl Size {
    /// Enough for figures that can be told, or only enough to see that everything runs.
    pub(crate) const fn new(quick: bool) -> Self {
        if quick {
            Self {
                rounds: 1,
                each: 20,
                most: 1_280,
                decisions_ms: 100,
                reads_ms: 100,
                checks_ms: 50,
                logins: 10,
                refused: 12,
                nodes: 1_000,
                reported: 200,
                imported: 2_000,
                waiting: 5_000,
                queue_nodes: 100,
                runs: 128,
            }
        } else {
            Self {
                rounds: 5,
                each: 100,
                most: 6_400,
                decisions_ms: 1_000,
                reads_ms: 1_000,
                checks_ms: 500,
                logins: 40,
                refused: 100,
                nodes: 100_000,
                reported: 1_000,
                imported: 100_000,
                waiting: 100_000,
                queue_nodes: 1_250,
                runs: 2_048,
            }
        }
    }

    /// As much as a run may take in which everything is measured: fewer rounds.
    pub(crate) const fn report(quick: bool) -> Self {
        let size = Self::new(quick);
        if quick { size } else { Self { rounds: 3, runs: 1_024, ..size } }
    }

    /// A round of so many callers.
    pub(crate) fn load(&self, callers: usize, some_refused: bool) -> Load {
        Load { callers, count: (self.each * callers).min(self.most), some_refused }
    }
}

/// Several that are measured side by side: a round of the one, then one of each other.
pub(crate) async fn side_by_side(
    ours: &Bench,
    others: &[&ByHand],
    load: Load,
    rounds: usize,
) -> Result<(Figures, Vec<Figures>), Failed> {
    let mut all = vec![Vec::with_capacity(rounds); 1 + others.len()];
    for round in 0..=rounds {
        let mut figures = vec![ours.run(load).await?];
        for other in others {
            figures.push(other.run(load).await?);
        }
        if round > 0 {
            all.iter_mut().zip(figures).for_each(|(all, figures)| all.push(figures));
        }
    }
    let mut medians = all.into_iter().map(median);
    let ours = medians.next().ok_or("nothing was measured")??;
    Ok((ours, medians.collect::<Result<_, _>>()?))
}

/// Rounds of one alone.
pub(crate) async fn alone(ours: &Bench, load: Load, rounds: usize) -> Result<Figures, Failed> {
    ours.run(load).await?;
    let mut all = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        all.push(ours.run(load).await?);
    }
    median(all)
}

/// The round of median throughput.
fn median(mut all: Vec<Figures>) -> Result<Figures, Failed> {
    all.sort_by(|a, b| a.per_second().total_cmp(&b.per_second()));
    all.get(all.len() / 2).copied().ok_or_else(|| "no round was run".into())
}

/// Launches by so many callers in one of the ways that are compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Launches {
    /// How many callers.
    pub(crate) callers: usize,
    /// Whether a tenth of the launches is refused.
    pub(crate) some_refused: bool,
    /// In which way.
    pub(crate) way: Way,
    /// What they cost.
    pub(crate) figures: Figures,
    /// What those cost that they are compared with.
    pub(crate) compared: Figures,
}

/// How launches are made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Through the control plane, one durable commit after the other.
    OneAtATime,
    /// Through the control plane, with group commit.
    Groups,
    /// By a transaction that was written by hand.
    ByHand,
    /// By one that is told where to go.
    Told,
}

impl Way {
    /// In words.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::OneAtATime => "one at a time",
            Self::Groups => "group commit",
            Self::ByHand => "by hand",
            Self::Told => "by hand, told where",
        }
    }
}

impl Launches {
    /// What they are, in words.
    pub(crate) fn name(&self) -> String {
        let refused = if self.some_refused { ", a tenth refused" } else { "" };
        format!("{}{refused}, {}", callers(self.callers), self.way.name())
    }

    /// How many times as many a second.
    pub(crate) fn ratio(&self) -> f64 {
        self.figures.per_second() / self.compared.per_second()
    }

    /// Prints the row, and is it.
    fn told(self, to_reach: &str) -> Self {
        let commits = self.figures.commits_each().map_or_else(String::new, |each| format!("{each:.4}"));
        let worked = self.figures.worked_each().map_or_else(String::new, |each| format!("{each:.3}"));
        let (name, per_second) = (self.name(), self.figures.per_second());
        println!(
            "{name:<54} {per_second:>11.0} {commits:>15} {worked:>13} {:>7.2}x  {to_reach}",
            self.ratio()
        );
        self
    }
}

/// What the columns are.
pub(crate) fn head() {
    println!(
        "{:<54} {:>11} {:>15} {:>13} {:>8}  to reach",
        "", "launches/s", "commits/launch", "CPU ms/launch", "ratio"
    );
}

/// How many callers, in words.
pub(crate) fn callers(count: usize) -> String {
    if count == 1 { "1 caller".into() } else { format!("{count} callers") }
}

/// How many a second.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub(crate) fn rate(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}
