//! Decisions of the scheduler, by policy and by the number of nodes.

use std::time::Duration;

use apportion::sched::Policy;
use benches::decisions::Steady;
use benches::launches::now;

use super::{Size, rate};

/// After so many decisions the clock is looked at.
const LOOK_EVERY: u64 = 64;

/// How long it may take until all kinds of task have been decided on once.
const MEET_ALL_WITHIN: Duration = Duration::from_secs(15);

/// What is measured.
#[derive(Clone, Debug)]
pub(crate) struct Extent {
    /// How many nodes.
    pub(crate) nodes: Vec<usize>,
    /// Which policies.
    pub(crate) policies: Vec<Policy>,
    /// Whether clusters are measured too of which each node is a little different.
    pub(crate) perturbed: bool,
}

impl Extent {
    /// All policies on a cluster of the published size and on a large one.
    pub(crate) fn table() -> Self {
        Self { nodes: vec![1_213, 100_000], policies: Policy::ALL.to_vec(), perturbed: false }
    }

    /// The policies that matter, up to a very large cluster.
    pub(crate) fn report(quick: bool) -> Self {
        let policies = vec![Policy::BestFit, Policy::Fgd, Policy::OpportunityCost];
        let nodes = if quick { vec![1_213, 10_000] } else { vec![1_213, 10_000, 100_000, 1_000_000] };
        Self { nodes, policies, perturbed: true }
    }
}

/// What a policy does in a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decided {
    /// The policy.
    pub(crate) policy: Policy,
    /// How many nodes there are.
    pub(crate) nodes: usize,
    /// Whether each node is a little different.
    pub(crate) perturbed: bool,
    /// In how many different states they are.
    pub(crate) states: usize,
    /// Decisions, each with its placement.
    pub(crate) per_second: f64,
}

/// Prints the table.
pub(crate) fn decisions(size: Size, extent: &Extent) -> Vec<Decided> {
    println!("decisions (decide and place), one core\n");
    println!("{:<16} {:>9} {:>9} {:>9} {:>14}", "policy", "nodes", "differ", "states", "decisions/s");
    let long = Duration::from_millis(size.decisions_ms);
    let mut rows = Vec::new();
    for &nodes in &extent.nodes {
        let mut filled = Steady::filled(nodes);
        for perturbed in [false, true] {
            if perturbed && !extent.perturbed {
                break;
            }
            if perturbed {
                filled = filled.perturbed();
            }
            for &policy in &extent.policies {
                rows.push(measure(&filled, policy, (nodes, perturbed), long).told());
            }
        }
    }
    rows
}

/// Decides once for each task there is, so that all are known, and then for so long.
fn measure(filled: &Steady, policy: Policy, (nodes, perturbed): (usize, bool), long: Duration) -> Decided {
    let mut steady = filled.clone().under(policy);
    let began = now();
    for _ in 0..steady.tasks() {
        steady.step();
        if began.elapsed() > MEET_ALL_WITHIN {
            break;
        }
    }
    let before = steady.placed;
    let took = run(&mut steady, long);
    let per_second = rate(steady.placed - before, took);
    Decided { policy, nodes, perturbed, states: steady.classes(), per_second }
}

/// Decides until so much time is over, and tells how much it was.
fn run(steady: &mut Steady, long: Duration) -> Duration {
    let (began, mut steps, mut look_every) = (now(), 0_u64, 1);
    loop {
        steady.step();
        steps += 1;
        if steps % look_every == 0 {
            let took = began.elapsed();
            if took >= long {
                return took;
            }
            // One decision may take as long as all others together: then after each of them.
            look_every = if took < long / 16 { LOOK_EVERY } else { look_every };
        }
    }
}

impl Decided {
    /// Prints the row, and is it.
    fn told(self) -> Self {
        let differ = if self.perturbed { "all" } else { "" };
        println!(
            "{:<16} {:>9} {differ:>9} {:>9} {:>14.0}",
            self.policy.to_string(),
            self.nodes,
            self.states,
            self.per_second
        );
        self
    }
}
