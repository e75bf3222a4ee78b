//! Fewer GPUs for the same tasks: [`defragment`].

mod bound;
mod dual;
mod floor;
mod held;
mod prices;
mod repack;
mod search;
mod work;

#[cfg(test)]
mod tests;

use super::cluster::Cluster;
use super::place::PlaceError;
use super::placement::Placement;

use bound::Proof;
use floor::Floor;
use held::check;
use search::best;

/// Moves that free whole GPUs: what [`defragment`] proposes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Defragmentation<K> {
    /// The moves in the order in which they are to be made; each fits once those before it are done.
    pub moves: Vec<Move<K>>,
    /// How many more GPUs are idle when all of them are done, those that they begin to use already subtracted.
    pub freed: usize,
    /// What no plan of so many moves can pass: see [`freeable`].
    pub freeable: usize,
}

/// One task goes from where it runs to where it fits as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move<K> {
    /// The task, by the caller's key.
    pub task: K,
    /// Where it is. A task is moved at most once, so this is what the caller said.
    pub from: Placement,
    /// Where it goes, with the same demand and on as many GPUs.
    pub to: Placement,
}

/// A task is said to run where the cluster has no such task: what is known of them is not of one moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the cluster does not hold the placement of running task {position}")]
#[non_exhaustive]
pub struct NotHeld {
    /// Which of the tasks, counted from 0 in the order in which they were given.
    pub position: usize,
    /// What is wrong with it.
    pub source: PlaceError,
}

impl<K> Move<K> {
    /// Makes the move, or changes nothing.
    ///
    /// It is judged by [`fits`](super::fits()) as any placement is. On another node the task needs all that it asks for
    /// before it gives back what it had, as one that is moved while it runs does; on its own node it keeps its processor
    /// time, memory and disk space, and needs its share of another GPU.
    pub fn apply(&self, cluster: &mut Cluster) -> Result<(), PlaceError> {
        if self.to.node != self.from.node {
            cluster.place(&self.to)?;
            return cluster.release(&self.from).inspect_err(|_| {
                let undone = cluster.release(&self.to);
                debug_assert_eq!(undone, Ok(()), "what was just placed is released");
            });
        }
        cluster.release(&self.from)?;
        cluster.place(&self.to).inspect_err(|_| {
            let undone = cluster.hold(&self.from);
            debug_assert_eq!(undone, Ok(()), "what was just released is held again");
        })
    }
}

/// Proposes at most `budget` moves that leave as many more GPUs idle as it can find.
///
/// A GPU is *idle* if it works, nobody uses any of it, and its node takes new tasks. `running` are the tasks that may
/// be moved, each with a key of the caller's and where it is. A task that must stay where it is is left out: what it
/// holds is in the cluster all the same. In which order the tasks are given makes no difference, as long as no two have
/// one key: equal tasks, equal plan.
///
/// Each move fits at its turn, by [`fits`](super::fits()): see [`Move::apply`]. It never needs the share of a GPU that the task
/// itself is about to leave. No task is moved twice, so that the moves are the whole way from now to then.
///
/// Shares of GPUs are moved; and where a share would fit a GPU, but its node has too little else, a task without GPU or with
/// one whole GPU, which takes another idle one for it, is moved off that node first. Tasks on more GPUs stay. Where the GPUs in
/// use are nearly full but not quite, many shares change places for one GPU, by way of an idle one.
///
/// Of two plans that free as many, the one with fewer moves is better, then the one that moves fewer GPU milli. What a
/// move costs (a checkpoint, a transfer, a time without service) is not modelled: a move is a move. A task that is dear to
/// move, or about to end, is left out by who knows that.
///
/// It is a search for a good plan, not for the best one, which is as hard as packing bins. How far it may be from the
/// best is told: [`Defragmentation::freeable`].
///
/// # Errors
/// [`NotHeld`] where the cluster does not hold what a task is said to hold.
///
/// # Examples
/// ```
/// use apportion::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
/// use apportion::sched::{Cluster, Demand, GpuDemand, GpuState, NodeState, Placement, defragment};
/// use uuid::Uuid;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Two nodes of one GPU, and on each a task with less than a half of it.
/// let mut cluster = Cluster::new();
/// let [one, two] = [1, 2].map(Uuid::from_u128);
/// let share = GpuDemand::Share(GpuMilli::from_u32(400));
/// let demand = Demand::new(CpuMilli::ZERO, MemoryMib::ZERO, StorageMib::ZERO, share, vec![])?;
/// let on = |node| Placement {
///     node,
///     gpus: vec![0],
///     milli_per_gpu: GpuMilli::from_u32(400),
///     demand: demand.clone(),
/// };
/// for (rank, node) in [(0, one), (1, two)] {
///     cluster.upsert(&NodeState { gpus: vec![GpuState::IDLE], ..NodeState::empty(node, rank) })?;
///     cluster.place(&on(node))?;
/// }
///
/// let plan = defragment(&cluster, [("ada", &on(one)), ("bob", &on(two))], 10)?;
/// assert_eq!((plan.freed, plan.freeable, plan.moves.len()), (1, 1, 1));
/// for step in &plan.moves {
///     step.apply(&mut cluster)?;
/// }
/// assert_eq!(cluster.iter().filter(|node| node.gpus == [GpuState::IDLE]).count(), 1);
/// # Ok(())
/// # }
/// ```
pub fn defragment<'a, K: Clone + Ord>(
    cluster: &Cluster,
    running: impl IntoIterator<Item = (K, &'a Placement)>,
    budget: usize,
) -> Result<Defragmentation<K>, NotHeld> {
    let (keys, placements): (Vec<K>, Vec<&Placement>) = in_order(cluster, running)?.into_iter().unzip();
    let floor = Floor::new(cluster, &placements, budget);
    let proof = Proof::new(&floor, budget);
    let plan = best(&floor, budget, &proof);
    let named = |step: &work::Step| {
        let (task, from) = (keys.get(step.task)?.clone(), (*placements.get(step.task)?).clone());
        let (node, gpus) = floor.name(step.to)?;
        let to = Placement { node, gpus, ..from.clone() };
        Some(Move { task, from, to })
    };
    let moves = plan.steps.iter().filter_map(named).collect();
    Ok(Defragmentation { moves, freed: plan.freed, freeable: proof.freeable })
}

/// How many more GPUs can at most be idle after `budget` moves of these tasks, whoever plans them: an upper bound.
///
/// It is the least of these:
///
/// - *Moves.* A GPU on which `t` of the tasks have shares is idle only after `t` moves, of tasks of its own; one on which
///   something else runs never is. So no more become idle than the cheapest whose sum of `t` is within the budget.
/// - *Both.* Prices of shares and of moves, which are found by a linear program, prove how many become idle at most where every
///   share that leaves a GPU needs a move and room on another one, whole moves and whole shares not asked for. Almost
///   always the least; the others stand for where there is too much for the program.
/// - *Room.* Whatever is moved, the shares that are now on `n` GPUs need some number of GPUs. A function `f` of sizes is
///   *dual feasible* if the `f(x)` of shares that fit one GPU never sum up to more than 1000. So no fewer than
///   `Σ f(x) / 1000` GPUs are needed, and no more than `n` less that many become idle. What cannot be moved counts as one share
///   for each GPU. The most telling of two families of such functions is taken: that which drops small shares and counts
///   those beside which none of the others fits as a whole GPU (Martello and Toth, 1990), and that which rounds to
///   `k`-ths of a GPU (Fekete and Schepers, 2001); `f(x) = x` among them, which asks for no more than
///   the GPU milli themselves.
///
/// A task on whole GPUs always holds as many, wherever it is, and one without GPUs none, so the bound holds for plans that move
/// these as well, and for those that move a task more than once. Processor time, memory and models of GPUs are not looked at,
/// which can only make it too large.
pub fn freeable<'a, K: Clone + Ord>(
    cluster: &Cluster,
    running: impl IntoIterator<Item = (K, &'a Placement)>,
    budget: usize,
) -> Result<usize, NotHeld> {
    let placements: Vec<&Placement> =
        in_order(cluster, running)?.into_iter().map(|(_, placement)| placement).collect();
    Ok(Proof::new(&Floor::new(cluster, &placements, budget), budget).freeable)
}

/// The tasks in the order of their keys, once the cluster is known to hold them.
fn in_order<'a, K: Ord>(
    cluster: &Cluster,
    running: impl IntoIterator<Item = (K, &'a Placement)>,
) -> Result<Vec<(K, &'a Placement)>, NotHeld> {
    let mut tasks: Vec<(K, &Placement)> = running.into_iter().collect();
    check(cluster, tasks.iter().map(|(_, placement)| *placement))?;
    tasks.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(tasks)
}
