//! How many tasks of a kind there is room for: [`Cluster::room`].

use super::class::{Class, ClassState, WHOLE};
use super::cluster::{Admits, Cluster};
use super::demand::{Demand, GpuDemand};
use super::grain::Free;
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
            let here = self.room_in(class, demand, spread);
            room = room.saturating_add(here);
            if room >= enough {
                return enough;
            }
        }
        room
    }

    fn room_in(&self, class: &Class, demand: &Demand, spread: bool) -> u64 {
        let each = |free| if spread { 1 } else { fit_on_one(&class.state, free, demand) };
        match self.admits(&class.state, demand) {
            Admits::None(_) => 0,
            // All are the same, or as good as that where one is enough.
            Admits::All if spread || self.grain.is_exact() => {
                each(class.state.free).saturating_mul(u64::from(class.members.len()))
            }
            Admits::All | Admits::Some => {
                let fitting = class.members.iter().filter(|node| self.judge_node(*node, demand).is_ok());
                fitting.filter_map(|node| self.node(node)).map(|node| each(node.free)).sum()
            }
        }
    }

    /// How many nodes each filter removes.
    pub(crate) fn removed(&self, demand: &Demand) -> NoFit {
        recount(self, demand).0
    }
}

/// How many fit on a node of this class with these amounts free, which admits at least one.
fn fit_on_one(state: &ClassState, free: Free, demand: &Demand) -> u64 {
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
        times(free.cpu, demand.cpu().get()),
        times(free.memory, demand.memory().get()),
        times(free.storage, demand.storage().get()),
    ]
    .into_iter()
    .fold(of_gpus, u64::min)
}

/// How often so much can be taken of what is free.
fn times(free: i64, asked: i64) -> u64 {
    if asked == 0 { u64::MAX } else { u64::try_from(free / asked).unwrap_or(0) }
}
