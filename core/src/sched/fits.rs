//! The one judge of whether a demand fits a node: [`fits`].

use super::demand::Demand;
use super::node::NodeState;

/// Why a demand does not fit a node: the first filter that said no, in the order of the variants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misfit {
    /// The node takes no new tasks.
    #[error("the node takes no new tasks")]
    Unschedulable,
    /// The node's GPUs are of no model that the demand names.
    #[error("the node's gpus are of no model that will do")]
    Model,
    /// Too little processor time is free.
    #[error("{asked} cpu milli asked, {free} free")]
    Cpu {
        /// Free thousandths of a core, negative on a node that shrank.
        free: i64,
        /// Thousandths of a core asked for.
        asked: i64,
    },
    /// Too little memory is free.
    #[error("{asked} MiB memory asked, {free} free")]
    Memory {
        /// Free MiB, negative on a node that shrank.
        free: i64,
        /// MiB asked for.
        asked: i64,
    },
    /// Too little disk space is free.
    #[error("{asked} MiB storage asked, {free} free")]
    Storage {
        /// Free MiB, negative on a node that shrank.
        free: i64,
        /// MiB asked for.
        asked: i64,
    },
    /// Too few GPUs have enough free.
    #[error("{asked} gpus with {each_milli} milli free asked, {fitting} there")]
    Gpu {
        /// Working GPUs with enough free.
        fitting: u32,
        /// GPUs asked for.
        asked: u32,
        /// Thousandths asked of each.
        each_milli: i64,
    },
}

/// Whether a demand fits a node as it is, and if not, why.
///
/// Planner, dry run and commit all ask this; there is no other rule.
pub fn fits(node: &NodeState, demand: &Demand) -> Result<(), Misfit> {
    let offer = Offer {
        schedulable: node.schedulable,
        model: node.model.as_deref(),
        cpu_free: node.cpu_free,
        memory_free: node.memory_free,
        storage_free: node.storage_free,
    };
    judge(offer, node.gpus.iter().map(|gpu| gpu.usable_milli()), demand)
}

/// What a node offers apart from its GPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offer<'a> {
    pub(crate) schedulable: bool,
    pub(crate) model: Option<&'a str>,
    pub(crate) cpu_free: i64,
    pub(crate) memory_free: i64,
    pub(crate) storage_free: i64,
}

/// The body of [`fits`], also for a class of nodes; `gpus` are the usable milli of each GPU.
#[inline]
pub(crate) fn judge(
    offer: Offer<'_>,
    gpus: impl Iterator<Item = i64>,
    demand: &Demand,
) -> Result<(), Misfit> {
    if !offer.schedulable {
        return Err(Misfit::Unschedulable);
    }
    if !demand.admits_model(offer.model) {
        return Err(Misfit::Model);
    }
    let (free, asked) = (offer.cpu_free, demand.cpu().get());
    if free < asked {
        return Err(Misfit::Cpu { free, asked });
    }
    let (free, asked) = (offer.memory_free, demand.memory().get());
    if free < asked {
        return Err(Misfit::Memory { free, asked });
    }
    let (free, asked) = (offer.storage_free, demand.storage().get());
    if free < asked {
        return Err(Misfit::Storage { free, asked });
    }
    let (asked, each) = demand.gpu().need();
    let fitting = gpus.map(|free| u32::from(free >= each.get())).sum();
    if asked > 0 && fitting < asked {
        return Err(Misfit::Gpu { fitting, asked, each_milli: each.get() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::demand::GpuDemand;
    use super::super::node::GpuState;
    use super::*;
    use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};

    fn node() -> NodeState {
        NodeState {
            model: Some("T4".into()),
            cpu_free: 10,
            memory_free: 10,
            storage_free: 10,
            gpus: vec![GpuState::IDLE, GpuState { free_milli: 500, healthy: true }],
            ..NodeState::empty(Uuid::nil(), 0)
        }
    }

    fn demand(cpu: u32, memory: u32, storage: u32, gpu: GpuDemand, models: &[&str]) -> Demand {
        let models = models.iter().map(ToString::to_string).collect();
        Demand::new(
            CpuMilli::from_u32(cpu),
            MemoryMib::from_u32(memory),
            StorageMib::from_u32(storage),
            gpu,
            models,
        )
        .unwrap()
    }

    #[test]
    fn the_first_filter_that_says_no_is_named() {
        let whole = GpuDemand::Whole(2);
        let ask = |cpu, memory, storage, models| fits(&node(), &demand(cpu, memory, storage, whole, models));
        let closed = NodeState { schedulable: false, ..node() };
        assert_eq!(fits(&closed, &demand(11, 11, 11, whole, &["A"])), Err(Misfit::Unschedulable));
        assert_eq!(ask(11, 11, 11, &["A"]), Err(Misfit::Model));
        assert_eq!(ask(11, 11, 11, &["T4"]), Err(Misfit::Cpu { free: 10, asked: 11 }));
        assert_eq!(ask(10, 11, 11, &[]), Err(Misfit::Memory { free: 10, asked: 11 }));
        assert_eq!(ask(10, 10, 11, &[]), Err(Misfit::Storage { free: 10, asked: 11 }));
        assert_eq!(ask(10, 10, 10, &[]), Err(Misfit::Gpu { fitting: 1, asked: 2, each_milli: 1000 }));
    }

    #[test]
    fn a_share_fits_where_one_gpu_has_that_much_free() {
        let share = |milli| demand(0, 0, 0, GpuDemand::Share(GpuMilli::from_u32(milli)), &[]);
        let mut node = node();
        assert_eq!(fits(&node, &share(501)), Ok(()));
        node.gpus[0].healthy = false;
        assert_eq!(fits(&node, &share(500)), Ok(()));
        assert_eq!(fits(&node, &share(501)), Err(Misfit::Gpu { fitting: 0, asked: 1, each_milli: 501 }));
    }

    #[test]
    fn nothing_fits_a_node_that_shrank_below_what_it_runs() {
        let nothing = demand(0, 0, 0, GpuDemand::None, &[]);
        assert_eq!(fits(&node(), &nothing), Ok(()));
        assert_eq!(
            fits(&NodeState { cpu_free: -1, ..node() }, &nothing),
            Err(Misfit::Cpu { free: -1, asked: 0 })
        );
    }
}
