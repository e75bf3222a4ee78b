//! What the index of a very large cluster costs: to build it from a snapshot, to apply the changes of a feed to it, and to
//! hold it: [`Scale`].
//!
//! The nodes are those of a cluster of the published shape with tasks on it, over and over under other names. It is measured
//! best in a process of its own, in which nothing has been freed before: then what becomes resident is the index.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use apportion::sched::{Cluster, NodeState, Policy};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use uuid::Uuid;

use crate::decisions::{Steady, perturb};
use crate::launches::now;
use crate::resident::resident_kib;
use crate::stores::Failed;

/// The nodes of the published cluster that have GPUs.
const PUBLISHED: usize = 1_213;
/// How many decisions are between a node as it is in the snapshot and as a change says that it is.
const DECISIONS: usize = 5_000;
/// How many states are made at once, outside of what is timed.
const CHUNK: u64 = 8_192;
/// The seed of which nodes change.
const SEED: u64 = 7;

/// What it cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// How many nodes there are.
    pub nodes: u64,
    /// Whether each has another amount of processor time and memory.
    pub perturbed: bool,
    /// In how many different states they are.
    pub states: u64,
    /// How long it took to take all nodes in.
    pub built: Duration,
    /// How many changes of a node were applied then, each to a node drawn at random.
    pub changes: u64,
    /// How long that took.
    pub applied: Duration,
    /// By how much the process grew meanwhile. Not known where there is no `/proc`.
    pub resident_kib: Option<u64>,
}

impl Scale {
    /// Builds the index of so many nodes and applies so many changes to it.
    pub fn measure(nodes: u64, perturbed: bool, changes: u64) -> Result<Self, Failed> {
        let mut running = Steady::new(Policy::BestFit, PUBLISHED);
        let before = running.nodes();
        (0..DECISIONS).for_each(|_| running.step());
        let after = running.nodes();
        drop(running);
        Self::of(nodes, perturbed, changes, [&before, &after])
    }

    /// The same, with nodes that are those of the one pool and become those of the other one and back.
    fn of(nodes: u64, perturbed: bool, changes: u64, pools: [&[NodeState]; 2]) -> Result<Self, Failed> {
        let [before, after] = pools;
        let resident = resident_kib();
        let (mut cluster, mut built) = (Cluster::for_policy(Policy::OpportunityCost), Duration::ZERO);
        for from in (0..nodes).step_by(usize::try_from(CHUNK)?) {
            let until = nodes.min(from + CHUNK);
            let states = (from..until).map(|rank| node(before, rank, perturbed));
            built += apply(&mut cluster, &states.collect::<Result<Vec<_>, _>>()?)?;
        }
        let resident_kib = resident_kib().zip(resident).map(|(now, then)| now.saturating_sub(then));
        let states = u64::try_from(cluster.class_count())?;
        let (mut rng, mut applied) = (Pcg64::seed_from_u64(SEED), Duration::ZERO);
        for from in (0..changes).step_by(usize::try_from(CHUNK)?) {
            let until = changes.min(from + CHUNK);
            let states = (from..until).map(|_| {
                let pool = if rng.random_bool(0.5) { after } else { before };
                node(pool, rng.random_range(0..nodes), perturbed)
            });
            applied += apply(&mut cluster, &states.collect::<Result<Vec<_>, _>>()?)?;
        }
        Ok(Self { nodes, perturbed, states, built, changes, applied, resident_kib })
    }

    /// What a node takes of memory, where it is known.
    pub fn bytes_a_node(&self) -> Option<u64> {
        self.resident_kib.and_then(|kib| (kib * 1_024).checked_div(self.nodes))
    }
}

/// The node of a rank: one of the pool under a name of its own.
fn node(pool: &[NodeState], rank: u64, perturbed: bool) -> Result<NodeState, Failed> {
    let at = usize::try_from(rank)?.checked_rem(pool.len()).ok_or("there are no nodes")?;
    let mut state = pool.get(at).ok_or("there are no nodes")?.clone();
    (state.id, state.rank) = (Uuid::from_u128(u128::from(rank) + 1), rank);
    if perturbed {
        perturb(&mut state);
    }
    Ok(state)
}

/// Takes in nodes as they are now, and tells how long that took.
fn apply(cluster: &mut Cluster, states: &[NodeState]) -> Result<Duration, Failed> {
    let began = now();
    cluster.upsert_all(states)?;
    Ok(began.elapsed())
}

/// As one process tells another one.
impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (built, applied) = (self.built.as_micros(), self.applied.as_micros());
        let Self { nodes, perturbed, states, changes, .. } = self;
        write!(f, "{nodes} {} {states} {built} {changes} {applied}", u8::from(*perturbed))?;
        self.resident_kib.map_or(Ok(()), |kib| write!(f, " {kib}"))
    }
}

impl FromStr for Scale {
    type Err = Failed;

    fn from_str(text: &str) -> Result<Self, Failed> {
        let numbers: Vec<u64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let [nodes, perturbed, states, built, changes, applied, rest @ ..] = numbers.as_slice() else {
            return Err(format!("no measurement: {text:?}").into());
        };
        Ok(Self {
            nodes: *nodes,
            perturbed: *perturbed == 1,
            states: *states,
            built: Duration::from_micros(*built),
            changes: *changes,
            applied: Duration::from_micros(*applied),
            resident_kib: rest.first().copied(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(cpu_free: [i64; 3]) -> Vec<NodeState> {
        let node = |cpu_free| NodeState { cpu_free, ..NodeState::empty(Uuid::nil(), 0) };
        cpu_free.map(node).to_vec()
    }

    #[test]
    fn an_index_has_no_more_states_than_its_pool_and_many_where_each_node_is_different() {
        let (before, after) = (pool([1_000, 20_000, 20_000]), pool([1_000, 30_000, 4_000]));
        let of = |perturbed| Scale::of(1_000, perturbed, 500, [&before, &after]).unwrap();
        assert_eq!((of(false).nodes, of(false).changes), (1_000, 500));
        assert!((1..=2).contains(&of(false).states));
        // An index may put together what no decision tells apart.
        assert!((1..=1_000).contains(&of(true).states));
    }

    #[test]
    fn what_one_process_tells_another_one_reads() {
        for resident_kib in [None, Some(77)] {
            let told = Scale {
                nodes: 9,
                perturbed: true,
                states: 8,
                built: Duration::from_micros(7),
                changes: 6,
                applied: Duration::from_micros(5),
                resident_kib,
            };
            assert_eq!(told.to_string().parse::<Scale>().unwrap(), told);
        }
        assert!("1 2 3".parse::<Scale>().is_err());
    }
}
