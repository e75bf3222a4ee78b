//! Gangs, which are placed whole or not at all.

use super::job::Ask;
use crate::sched::{Cluster, NoFit, Placement, Scheduler};

/// A gang does not fit: how many of its members would, and what each filter removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{fitting} of {members} members fit")]
pub struct GangMisfit {
    /// Members of the gang.
    pub members: u32,
    /// Members for which there is room, fewer than all.
    pub fitting: u32,
    /// What was in the way of a member on each node as it is now, with none of the gang placed. Nodes that would do
    /// for a member are in no count.
    pub removed: NoFit,
}

/// Places all members of a gang, or leaves the cluster as it is.
///
/// Whether a gang of equal members fits is decided exactly, by counting: the members fill each node to the same number
/// in whatever order they are placed.
pub(super) fn place_gang(
    scheduler: &mut Scheduler,
    cluster: &mut Cluster,
    ask: &Ask,
) -> Result<Vec<Placement>, GangMisfit> {
    let members = ask.members();
    if members > 1 && cluster.room(ask.demand(), ask.spread(), u64::from(members)) < u64::from(members) {
        return Err(misfit(cluster, ask));
    }
    let mut placed: Vec<Placement> = Vec::with_capacity(usize::try_from(members).unwrap_or(0));
    for _ in 0..members {
        let found = scheduler.find(cluster, ask.demand(), &[]).filter(|at| cluster.place(at).is_ok());
        let Some(placement) = found else { break };
        if ask.spread() {
            cluster.set_schedulable(&placement.node, false);
        }
        placed.push(placement);
    }
    if ask.spread() {
        for placement in &placed {
            cluster.set_schedulable(&placement.node, true);
        }
    }
    if u32::try_from(placed.len()) == Ok(members) {
        return Ok(placed);
    }
    debug_assert!(members == 1, "there was room for all members");
    for placement in placed.iter().rev() {
        let released = cluster.release(placement);
        debug_assert_eq!(released, Ok(()), "what was placed is released");
    }
    Err(misfit(cluster, ask))
}

/// Why a gang does not fit.
pub(super) fn misfit(cluster: &Cluster, ask: &Ask) -> GangMisfit {
    let members = ask.members();
    let room = cluster.room(ask.demand(), ask.spread(), u64::from(members));
    let fitting = u32::try_from(room).unwrap_or(members);
    GangMisfit { members, fitting, removed: cluster.removed(ask.demand()) }
}
