//! What would have to be freed on a node so that a demand fits it: [`shortfall`].

use std::fmt;

use super::class::ClassState;
use super::demand::Demand;
use super::grain::Free;
use super::node::NodeState;

/// What is lacking on a node: once exactly this is freed there, the demand fits, and with less of any part of it, it
/// does not.
///
/// All is 0 and empty where the demand fits as it is. How much processor time, memory and disk space a node has in all is
/// not known here: where more is lacking than its tasks hold, it is too small.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shortfall {
    /// Processor time that is lacking, in thousandths of a core.
    pub cpu_milli: i64,
    /// Memory that is lacking, in MiB.
    pub memory_mib: i64,
    /// Disk space that is lacking, in MiB.
    pub storage_mib: i64,
    /// GPUs of which more has to be free, in slot order: those of which the least has to be freed.
    pub gpus: Vec<GpuShortfall>,
}

/// What is lacking on one GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct GpuShortfall {
    /// The position of the GPU on the node, as in [`NodeState::gpus`].
    pub slot: u32,
    /// How much more of it has to be free, in thousandths: never 0, nor more than is in use.
    pub milli: i64,
}

/// Why a demand would not fit a node whatever is freed there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Obstacle {
    /// The node takes no new tasks.
    #[error("the node takes no new tasks")]
    Unschedulable,
    /// The node's GPUs are of no model that the demand names.
    #[error("the node's gpus are of no model that will do")]
    Model,
    /// Fewer GPUs work than the demand asks for.
    #[error("{asked} gpus asked, {working} work")]
    Gpus {
        /// GPUs of the node that work.
        working: u32,
        /// GPUs asked for.
        asked: u32,
    },
}

impl Shortfall {
    /// What has to be freed of all GPUs together, in thousandths of a GPU.
    pub fn gpu_milli(&self) -> i64 {
        self.gpus.iter().map(|gpu| gpu.milli).sum()
    }

    /// Whether nothing is lacking: the demand fits.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let amounts = [
            (self.cpu_milli, "cpu milli"),
            (self.memory_mib, "MiB memory"),
            (self.storage_mib, "MiB storage"),
        ];
        let amounts = amounts.into_iter().filter(|(lacking, _)| *lacking > 0);
        let mut parts: Vec<String> = amounts.map(|(lacking, what)| format!("{lacking} {what}")).collect();
        parts.extend(self.gpus.iter().map(|gpu| format!("{} milli of gpu {}", gpu.milli, gpu.slot)));
        f.write_str(if parts.is_empty() { "nothing" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

/// What would have to be freed on a node so that a demand fits it, or why nothing that is freed there would help.
///
/// [`fits`](super::fits()) says yes exactly where nothing is lacking.
pub fn shortfall(node: &NodeState, demand: &Demand) -> Result<Shortfall, Obstacle> {
    if !node.schedulable {
        return Err(Obstacle::Unschedulable);
    }
    if !demand.admits_model(node.model.as_deref()) {
        return Err(Obstacle::Model);
    }
    let (asked, each) = demand.gpu().need();
    let working = (0..).zip(&node.gpus).filter(|(_, gpu)| gpu.healthy);
    let lacking = |(slot, free_milli): (u32, i64)| GpuShortfall { slot, milli: lack(free_milli, each.get()) };
    let mut gpus: Vec<GpuShortfall> =
        working.map(|(slot, gpu)| (slot, gpu.free_milli)).map(lacking).collect();
    let working = u32::try_from(gpus.len()).unwrap_or(u32::MAX);
    if working < asked {
        return Err(Obstacle::Gpus { working, asked });
    }
    gpus.sort_unstable_by_key(|gpu| (gpu.milli, gpu.slot));
    gpus.truncate(usize::try_from(asked).unwrap_or(usize::MAX));
    gpus.retain(|gpu| gpu.milli > 0);
    gpus.sort_unstable_by_key(|gpu| gpu.slot);
    Ok(Shortfall {
        cpu_milli: lack(node.cpu_free, demand.cpu().get()),
        memory_mib: lack(node.memory_free, demand.memory().get()),
        storage_mib: lack(node.storage_free, demand.storage().get()),
        gpus,
    })
}

const fn lack(free: i64, asked: i64) -> i64 {
    if free < asked { asked - free } else { 0 }
}

/// The amounts of a [`Shortfall`]; of two nodes the one with the lesser comes nearer to fitting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lacking {
    gpu_milli: i64,
    cpu: i64,
    memory: i64,
    storage: i64,
}

impl Lacking {
    /// What is lacking on a node with these amounts free, and so much of its GPUs.
    pub(super) const fn of(free: Free, gpu_milli: i64, demand: &Demand) -> Self {
        Self {
            gpu_milli,
            cpu: lack(free.cpu, demand.cpu().get()),
            memory: lack(free.memory, demand.memory().get()),
            storage: lack(free.storage, demand.storage().get()),
        }
    }
}

/// What is lacking of the GPUs of all nodes of a class together, in milli; `None` where too few work.
pub(super) fn gpus_lacking(state: &ClassState, demand: &Demand) -> Option<i64> {
    let (asked, each) = demand.gpu().need();
    if u32::from(state.working) < asked {
        return None;
    }
    // The fullest come first, and what does not work before everything else.
    let emptiest = state.gpus().iter().rev().take(usize::try_from(asked).ok()?);
    Some(emptiest.map(|free| lack(i64::from(*free), each.get())).sum())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
    use crate::sched::{GpuDemand, GpuState, fits};

    fn demand(cpu: u32, memory: u32, storage: u32, gpu: GpuDemand, models: &[&str]) -> Demand {
        let models = models.iter().map(ToString::to_string).collect();
        let (memory, storage) = (MemoryMib::from_u32(memory), StorageMib::from_u32(storage));
        Demand::new(CpuMilli::from_u32(cpu), memory, storage, gpu, models).unwrap()
    }

    /// Ten of everything, and GPUs of which so much is free; those below zero do not work.
    fn node(gpus: &[i64]) -> NodeState {
        let gpu = |free: &i64| GpuState { free_milli: free.abs(), healthy: *free >= 0 };
        NodeState {
            model: Some("A".to_owned()),
            cpu_free: 10,
            memory_free: 10,
            storage_free: 10,
            gpus: gpus.iter().map(gpu).collect(),
            ..NodeState::empty(Uuid::nil(), 0)
        }
    }

    #[test]
    fn the_gpus_are_named_of_which_the_least_has_to_be_freed() {
        let share = |milli| GpuDemand::Share(GpuMilli::from_u32(milli));
        for (free, gpu, expected) in [
            // Two more entirely idle: slot 3 is nearer than slot 1, and slot 0 does not work.
            (&[-900, 0, 1000, 700, 1000, 0][..], GpuDemand::Whole(4), &[(1, 1000), (3, 300)][..]),
            (&[500, 600, 600], GpuDemand::Whole(1), &[(1, 400)]),
            (&[500, 600, 600], share(610), &[(1, 10)]),
            (&[500, 600, 600], share(600), &[]),
            (&[0, 0], GpuDemand::Whole(2), &[(0, 1000), (1, 1000)]),
            (&[], GpuDemand::None, &[]),
        ] {
            let found = shortfall(&node(free), &demand(0, 0, 0, gpu, &[])).unwrap();
            let expected: Vec<_> =
                expected.iter().map(|(slot, milli)| GpuShortfall { slot: *slot, milli: *milli }).collect();
            assert_eq!(found, Shortfall { gpus: expected, ..Shortfall::default() }, "{free:?} {gpu:?}");
        }
    }

    #[test]
    fn amounts_are_lacking_each_by_itself() {
        let ask = demand(13, 10, 510, GpuDemand::Whole(1), &["A"]);
        let found = shortfall(&node(&[700]), &ask).unwrap();
        assert_eq!((found.cpu_milli, found.memory_mib, found.storage_mib), (3, 0, 500));
        assert_eq!(found.to_string(), "3 cpu milli, 500 MiB storage, 300 milli of gpu 0");
        assert_eq!(Shortfall::default().to_string(), "nothing");
        let shrunk = NodeState { memory_free: -7, ..node(&[]) };
        let none = demand(0, 0, 0, GpuDemand::None, &[]);
        assert_eq!(shortfall(&shrunk, &none).unwrap().memory_mib, 7);
    }

    #[test]
    fn what_no_freeing_helps_is_an_obstacle() {
        let ask = |models| demand(99, 0, 0, GpuDemand::Whole(2), models);
        let closed = NodeState { schedulable: false, ..node(&[0, 0]) };
        assert_eq!(shortfall(&closed, &ask(&[])), Err(Obstacle::Unschedulable));
        assert_eq!(shortfall(&node(&[0, 0]), &ask(&["B"])), Err(Obstacle::Model));
        let few = Obstacle::Gpus { working: 1, asked: 2 };
        assert_eq!(shortfall(&node(&[1000, -1000]), &ask(&[])), Err(few));
        assert_eq!(few.to_string(), "2 gpus asked, 1 work");
    }

    /// The same node after so much has been freed.
    fn freed(node: &NodeState, shortfall: &Shortfall) -> NodeState {
        let mut node = node.clone();
        node.cpu_free += shortfall.cpu_milli;
        node.memory_free += shortfall.memory_mib;
        node.storage_free += shortfall.storage_mib;
        for gpu in &shortfall.gpus {
            node.gpus[gpu.slot as usize].free_milli += gpu.milli;
        }
        node
    }

    /// The same shortfall with a part of it one less, for each of its parts.
    fn one_less(whole: &Shortfall) -> Vec<Shortfall> {
        let mut less = Vec::new();
        let mut amount = |of: fn(&mut Shortfall) -> &mut i64| {
            let mut part = whole.clone();
            if *of(&mut part) > 0 {
                *of(&mut part) -= 1;
                less.push(part);
            }
        };
        amount(|part| &mut part.cpu_milli);
        amount(|part| &mut part.memory_mib);
        amount(|part| &mut part.storage_mib);
        for at in 0..whole.gpus.len() {
            let mut part = whole.clone();
            part.gpus[at].milli -= 1;
            less.push(part);
        }
        less
    }

    fn gpu() -> impl Strategy<Value = GpuDemand> {
        prop_oneof![
            Just(GpuDemand::None),
            (1_u32..1000).prop_map(|milli| GpuDemand::Share(GpuMilli::from_u32(milli))),
            (1_u32..6).prop_map(GpuDemand::Whole),
        ]
    }

    proptest! {
        #[test]
        fn a_demand_fits_once_what_is_lacking_is_freed_and_not_before(
            free in prop::collection::vec(prop_oneof![Just(0_i64), Just(1000), -1000_i64..=1000], 0..9),
            amounts in prop::array::uniform3(-5_i64..20),
            asked in prop::array::uniform3(0_u32..20),
            gpu in gpu(),
        ) {
            let [cpu_free, memory_free, storage_free] = amounts;
            let node = NodeState { cpu_free, memory_free, storage_free, ..node(&free) };
            let [cpu, memory, storage] = asked;
            let demand = demand(cpu, memory, storage, gpu, &[]);
            match shortfall(&node, &demand) {
                Ok(lacking) => {
                    prop_assert_eq!(lacking.is_nothing(), fits(&node, &demand).is_ok());
                    let after = freed(&node, &lacking);
                    prop_assert_eq!(after.validate(), Ok(()));
                    prop_assert_eq!(fits(&after, &demand), Ok(()));
                    for less in one_less(&lacking) {
                        prop_assert!(fits(&freed(&node, &less), &demand).is_err(), "{:?}", less);
                    }
                }
                Err(obstacle) => {
                    let mut idle = NodeState { cpu_free: 99, memory_free: 99, storage_free: 99, ..node };
                    idle.gpus.iter_mut().for_each(|gpu| gpu.free_milli = 1000);
                    prop_assert!(fits(&idle, &demand).is_err(), "{:?}", obstacle);
                }
            }
        }
    }
}
