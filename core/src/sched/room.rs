//! How many tasks of a kind there is room for: [`Cluster::room`].

use super::class::{ClassState, WHOLE};
use super::cluster::Cluster;
use super::demand::{Demand, GpuDemand};
use super::placement::NoFit;
use super::scheduler::recount;

impl Cluster {
    /// How many tasks with this demand fit together, at most one on a node if they are to be spread, counted up to
    /// `enough`.
    ///
    /// Equal tasks fill a node to the same number in whatever order they are placed, so this is exact: as many as
    /// [`Scheduler::decide`](super::Scheduler::decide) finds places for, one after the other.
    pub(crate) fn room(&self, demand: &Demand, spread: bool, enough: u64) -> u64 {
        let mut room = 0_u64;
        for (_, class) in self.classes() {
            if self.judge(&class.state, demand).is_ok() {
                let each = if spread { 1 } else { fit_on_one(&class.state, demand) };
                room = room.saturating_add(each.saturating_mul(u64::from(class.members.len())));
                if room >= enough {
                    return enough;
                }
            }
        }
        room
    }

    /// How many nodes each filter removes.
    pub(crate) fn removed(&self, demand: &Demand) -> NoFit {
        recount(self, demand).0
    }
}

/// How many fit on a node of this class, which admits at least one.
fn fit_on_one(state: &ClassState, demand: &Demand) -> u64 {
    let gpus = || state.gpus().iter().copied();
    let of_gpus = match demand.gpu() {
        GpuDemand::None => u64::MAX,
        GpuDemand::Share(milli) => gpus().map(|free| times(i64::from(free), milli.get())).sum(),
        GpuDemand::Whole(count) => {
            let idle = gpus().filter(|free| *free == WHOLE).count();
            u64::try_from(idle).unwrap_or(0) / u64::from(count.max(1))
        }
    };
    [
        times(state.cpu, demand.cpu().get()),
        times(state.memory, demand.memory().get()),
        times(state.storage, demand.storage().get()),
    ]
    .into_iter()
    .fold(of_gpus, u64::min)
}

/// How often so much can be taken of what is free.
fn times(free: i64, asked: i64) -> u64 {
    if asked == 0 { u64::MAX } else { u64::try_from(free / asked).unwrap_or(0) }
}
