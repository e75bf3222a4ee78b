//! The tables that are printed.

pub(crate) mod checks;
pub(crate) mod claims;
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

    /// A round of so many callers.
    pub(crate) fn load(&self, callers: usize, some_refused: bool) -> Load {
        Load { callers, count: (self.each * callers).min(self.most), some_refused }
    }
}

/// Two that are measured side by side: a round of the one, a round of the other.
pub(crate) async fn side_by_side(
    ours: &Bench,
    other: &ByHand,
    load: Load,
    rounds: usize,
) -> Result<(Figures, Figures), Failed> {
    let (mut one, mut two) = (Vec::with_capacity(rounds), Vec::with_capacity(rounds));
    for round in 0..=rounds {
        let (left, right) = (ours.run(load).await?, other.run(load).await?);
        if round > 0 {
            one.push(left);
            two.push(right);
        }
    }
    Ok((median(one)?, median(two)?))
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

/// What the columns are.
pub(crate) fn head() {
    println!("{:<44} {:>11} {:>15} {:>8}  to reach", "", "launches/s", "commits/launch", "ratio");
}

/// One row.
pub(crate) fn line(name: &str, figures: Figures, compared: Figures, to_reach: &str) {
    let ratio = figures.per_second() / compared.per_second();
    let commits = figures.commits_each().map_or_else(String::new, |each| format!("{each:.4}"));
    println!("{name:<44} {:>11.0} {commits:>15} {ratio:>7.2}x  {to_reach}", figures.per_second());
}

/// How many callers, in words.
pub(crate) fn callers(count: usize) -> String {
    if count == 1 { "1 caller".into() } else { format!("{count} callers") }
}
