//! Taking and giving back: [`Cluster::place`] and [`Cluster::release`].

use uuid::Uuid;

use super::class::WHOLE;
use super::cluster::Cluster;
use super::fits::Misfit;
use super::placement::Placement;

/// A placement that cannot be placed or released; nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// The cluster has no such node.
    #[error("no node {node}")]
    UnknownNode {
        /// The node that the placement names.
        node: Uuid,
    },
    /// The demand does not fit the node as it is now.
    #[error("the demand does not fit node {node}")]
    DoesNotFit {
        /// The node that the placement names.
        node: Uuid,
        /// What is lacking.
        #[source]
        misfit: Misfit,
    },
    /// The GPUs of the placement are not those of its demand: as many, in ascending order, as much of each.
    #[error("the placement does not name the gpus that its demand asks for")]
    WrongGpus,
    /// A GPU is not there, does not work, or has too little free.
    #[error("gpu {slot} cannot give {milli} milli")]
    GpuTaken {
        /// The position of the GPU on the node.
        slot: u32,
        /// What was asked of it.
        milli: i64,
    },
    /// A GPU to release is not there or has less in use.
    #[error("gpu {slot} does not have {milli} milli in use")]
    NotHeld {
        /// The position of the GPU on the node.
        slot: u32,
        /// What was to be given back.
        milli: i64,
    },
    /// No task of this kind runs on the node.
    #[error("no such task runs on node {node}")]
    NotRunning {
        /// The node that the placement names.
        node: Uuid,
    },
}

impl Cluster {
    /// Takes what a placement says from its node.
    ///
    /// The demand is judged by [`fits`](super::fits()) once more, and so is each GPU: a plan made on an older state
    /// is refused here instead of over-committing the node.
    pub fn place(&mut self, placement: &Placement) -> Result<(), PlaceError> {
        let (index, milli) = self.locate(placement)?;
        let node = placement.node;
        let unknown = PlaceError::UnknownNode { node };
        self.judge_node(index, &placement.demand)
            .map_err(|misfit| PlaceError::DoesNotFit { node, misfit })?;
        let slots = &self.node(index).ok_or(unknown)?.slots;
        for &slot in &placement.gpus {
            if slots.get(slot).is_none_or(|gpu| gpu.usable() < milli) {
                return Err(PlaceError::GpuTaken { slot, milli: i64::from(milli) });
            }
        }
        let tasks = placement.demand.tag().map_or(0, |tag| self.tasks(index, tag) + 1);
        self.apply(index, placement, true, tasks);
        Ok(())
    }

    /// Gives back what [`place`](Self::place) took: its exact inverse, whatever happened in between.
    ///
    /// A node that closed or whose GPU broke meanwhile takes it back all the same.
    pub fn release(&mut self, placement: &Placement) -> Result<(), PlaceError> {
        let (index, milli) = self.locate(placement)?;
        let node = placement.node;
        let slots = &self.node(index).ok_or(PlaceError::UnknownNode { node })?.slots;
        for &slot in &placement.gpus {
            if slots.get(slot).is_none_or(|gpu| WHOLE - gpu.free() < milli) {
                return Err(PlaceError::NotHeld { slot, milli: i64::from(milli) });
            }
        }
        let mut tasks = 0;
        if let Some(tag) = placement.demand.tag() {
            tasks = self.tasks(index, tag).checked_sub(1).ok_or(PlaceError::NotRunning { node })?;
        }
        self.apply(index, placement, false, tasks);
        Ok(())
    }

    /// Takes what a placement says whether the node admits it or not, as long as its GPUs have that much free, working
    /// or not: the exact inverse of [`release`](Self::release), and for what runs already.
    pub(crate) fn hold(&mut self, placement: &Placement) -> Result<(), PlaceError> {
        let (index, milli) = self.locate(placement)?;
        let unknown = PlaceError::UnknownNode { node: placement.node };
        let slots = &self.node(index).ok_or(unknown)?.slots;
        for &slot in &placement.gpus {
            if slots.get(slot).is_none_or(|gpu| gpu.free() < milli) {
                return Err(PlaceError::GpuTaken { slot, milli: i64::from(milli) });
            }
        }
        let tasks = placement.demand.tag().map_or(0, |tag| self.tasks(index, tag).saturating_add(1));
        self.apply(index, placement, true, tasks);
        Ok(())
    }

    /// The node of a placement and how much it takes of each GPU, if the placement is well formed.
    pub(super) fn locate(&self, placement: &Placement) -> Result<(u32, u16), PlaceError> {
        let (count, each) = placement.demand.gpu().need();
        let named = u32::try_from(placement.gpus.len());
        if named != Ok(count) || each != placement.milli_per_gpu || !placement.gpus.is_sorted_by(|a, b| a < b)
        {
            return Err(PlaceError::WrongGpus);
        }
        let milli = u16::try_from(each.get()).map_err(|_| PlaceError::WrongGpus)?;
        let index = self.index_of(&placement.node).ok_or(PlaceError::UnknownNode { node: placement.node })?;
        Ok((index, milli))
    }

    /// Writes the change: takes from the node, or gives back to it. `tasks` of this kind run there afterwards.
    fn apply(&mut self, index: u32, placement: &Placement, take: bool, tasks: u32) {
        let demand = &placement.demand;
        let milli = u16::try_from(placement.milli_per_gpu.get()).unwrap_or(WHOLE);
        if let Some(tag) = demand.tag() {
            self.set_tasks(index, tag, tasks);
        }
        let sign = if take { -1 } else { 1 };
        let mut totals = self.totals;
        self.change(index, |node, state| {
            let free = &mut node.free;
            free.cpu = free.cpu.saturating_add(sign * demand.cpu().get());
            free.memory = free.memory.saturating_add(sign * demand.memory().get());
            free.storage = free.storage.saturating_add(sign * demand.storage().get());
            for &slot in &placement.gpus {
                if let Some(from) = node.slots.get(slot) {
                    let to = from.with_free(if take { from.free() - milli } else { from.free() + milli });
                    node.slots.set(slot, to);
                    state.change_gpu(from.usable(), to.usable());
                    totals.change(from, to);
                }
            }
        });
        self.totals = totals;
    }
}
