//! What the demonstration shows.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::Duration;

use apportion::entity::{BindingState, Entry, RunId, RunState, TrainingRun};
use tokio::time::Instant;

use super::cloud::Cloud;
use crate::Outcome;

/// How long something may take until the demonstration gives up.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often it is told how far the runs are.
const EVERY: Duration = Duration::from_secs(1);
/// How many cells a bar has.
const CELLS: u64 = 8;

/// Prints what happens, in colour where there is any.
#[derive(Debug)]
pub(super) struct Show<'c> {
    cloud: &'c Cloud,
    colour: bool,
    begun: Instant,
    told: Instant,
    names: BTreeMap<RunId, String>,
    /// How each run was when it was last looked at.
    seen: BTreeMap<RunId, (RunState, u32)>,
}

impl<'c> Show<'c> {
    pub(super) fn new(cloud: &'c Cloud) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let (begun, colour) = (Instant::now(), std::io::stdout().is_terminal() && !plain);
        Self { cloud, colour, begun, told: begun, names: BTreeMap::new(), seen: BTreeMap::new() }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(super) fn say(&self, text: &str) {
        println!("\n{}", self.paint("1", text));
    }

    /// Tells something, and when it was.
    pub(super) fn tell(&self, text: &str) {
        println!("  {:>4.1} s  {text}", self.begun.elapsed().as_secs_f64());
    }

    /// Takes note of a run by its name.
    pub(super) fn submitted(&mut self, (name, run): (String, Entry<TrainingRun>)) {
        self.tell(&format!("{name} is {}", run.state));
        self.seen.insert(run.id, (run.state, run.attempt));
        self.names.insert(run.id, name);
    }

    /// Waits until something is so, tells what happens meanwhile, and says so.
    pub(super) async fn until<F>(&mut self, what: &str, so: impl Fn() -> F) -> Outcome<()>
    where
        F: Future<Output = Outcome<bool>>,
    {
        let begun = Instant::now();
        loop {
            let is_so = so().await?;
            self.look().await?;
            if is_so {
                self.tell(&self.paint("32", what));
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("waited in vain until {what}").into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Tells what has changed, and from time to time how far all are.
    async fn look(&mut self) -> Outcome<()> {
        for run in self.cloud.runs().await? {
            let now = (run.state, run.attempt);
            let before = self.seen.insert(run.id, now);
            let name = self.name(run.id);
            match now {
                _ if before == Some(now) => {}
                (RunState::Training, attempt) => {
                    let which = if attempt > 1 { format!(", attempt {attempt}") } else { String::new() };
                    self.tell(&self.paint("36", &format!("{name} begins{which}")));
                }
                (RunState::Queued, _) => {
                    let why =
                        run.cause.map_or_else(|| "it was given back".to_owned(), |cause| cause.to_string());
                    self.tell(&self.paint("33", &format!("{name} is queued again: {why}")));
                }
                (RunState::Completed, _) => {
                    self.tell(
                        &self.paint("32", &format!("{name} is complete, loss {}", self.loss(&run).await?)),
                    );
                }
                (state, _) if state.is_terminal() => self.tell(&format!("{name} {state}")),
                _ => {}
            }
        }
        if !self.seen.is_empty() && self.told.elapsed() >= EVERY {
            self.told = Instant::now();
            self.gpus().await?;
        }
        Ok(())
    }

    /// A line: what is on each machine, how far it is, and what waits.
    pub(super) async fn gpus(&self) -> Outcome<()> {
        let (runs, mut line) = (self.cloud.runs().await?, Vec::new());
        let bound = self.cloud.leases(BindingState::Bound).await?;
        let held = self.cloud.leases(BindingState::Releasing).await?;
        for machine in &self.cloud.machines {
            let mut cells = Vec::new();
            for lease in bound.iter().filter(|lease| lease.node_id == Some(machine.node)) {
                let run = runs.iter().find(|run| run.id == lease.of_run).ok_or("a lease of no run")?;
                cells.push(format!("{} {}", self.name(run.id), self.bar(run).await?));
            }
            let held = held.iter().filter(|lease| lease.node_id == Some(machine.node));
            cells
                .extend(held.map(|lease| self.paint("33", &format!("{} held    ", self.name(lease.of_run)))));
            cells.resize(cells.len().max(2), format!("{:14}", "  -"));
            line.push(format!("{}  {}", machine.name, cells.join("  ")));
        }
        let waits = |state| matches!(state, RunState::Queued | RunState::WaitingForGpu);
        let waiting = runs.iter().filter(|run| waits(run.state)).count();
        self.tell(&format!("{}   {waiting} wait", line.join("   ")));
        Ok(())
    }

    fn name(&self, run: RunId) -> String {
        self.names.get(&run).cloned().unwrap_or_else(|| run.to_string())
    }

    /// How far a run is.
    async fn bar(&self, run: &TrainingRun) -> Outcome<String> {
        let told = self.cloud.told(run).await?;
        let last = told.last().map(|status| (status.told.done.unwrap_or(0), status.told.total.unwrap_or(1)));
        let (done, total) = last.unwrap_or((0, 1));
        let full = usize::try_from((done * CELLS / total.max(1)).min(CELLS))?;
        Ok(self.paint("36", &"#".repeat(full)) + &".".repeat(usize::try_from(CELLS)? - full))
    }

    /// The loss of a run's last attempt: the first one and the last one.
    async fn loss(&self, run: &TrainingRun) -> Outcome<String> {
        let told = self.cloud.told(run).await?;
        let losses: Vec<f64> =
            told.iter().filter_map(|status| status.told.metrics.get("loss").copied()).collect();
        Ok(match losses.as_slice() {
            [first, .., last] => format!("{first:.4} -> {last:.4}"),
            _ => "unknown".to_owned(),
        })
    }

    /// The table of all runs, and what each user had.
    pub(super) async fn results(&self) -> Outcome<()> {
        self.say("What came of it:");
        println!(
            "  {:6} {:5} {:>8} {:>11}  {:17}  artefact",
            "run", "owner", "attempts", "GPU seconds", "loss"
        );
        let mut billed = BTreeMap::new();
        for run in self.cloud.runs().await? {
            let owner = if run.owner_id == self.cloud.ada.id { "Ada" } else { "Bob" };
            *billed.entry(owner).or_insert(0) += run.held_ms;
            let sha256 = run.artifact_sha256.as_deref().unwrap_or_default().get(..12).unwrap_or_default();
            println!(
                "  {:6} {owner:5} {:>8} {:>11}  {:17}  {} bytes, sha256 {sha256}...",
                self.name(run.id),
                run.attempt,
                seconds(run.held_ms),
                self.loss(&run).await?,
                run.artifact_bytes.unwrap_or_default(),
            );
        }
        for (owner, held_ms) in billed {
            println!("  {owner} is billed for {} GPU seconds.", seconds(held_ms));
        }
        Ok(())
    }
}

/// Milliseconds as seconds.
fn seconds(millis: u64) -> String {
    format!("{}.{}", millis / 1000, millis % 1000 / 100)
}
