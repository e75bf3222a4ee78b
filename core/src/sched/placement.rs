//! Where a demand goes: [`Placement`], or why nowhere: [`NoFit`].

use uuid::Uuid;

use super::demand::Demand;
use super::fits::Misfit;
use crate::amount::GpuMilli;

/// Where a task goes: a node and the GPUs on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The node.
    pub node: Uuid,
    /// The positions of the GPUs on the node, ascending; none for a task without GPUs.
    pub gpus: Vec<u32>,
    /// How much of each of these GPUs.
    pub milli_per_gpu: GpuMilli,
    /// What is placed.
    pub demand: Demand,
}

/// A demand fits no node: how many nodes there are, and how many each filter removed.
///
/// A node is counted once, at the first filter that removed it, so the counts add up to `nodes`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, thiserror::Error)]
#[error(
    "no node of {nodes} fits: {excluded} excluded, {unschedulable} unschedulable, {model} of another model, \
     too little cpu on {cpu}, memory on {memory}, storage on {storage}, gpu on {gpu}"
)]
pub struct NoFit {
    /// Nodes in the cluster.
    pub nodes: u64,
    /// Nodes that the caller excluded.
    pub excluded: u64,
    /// Nodes that take no new tasks.
    pub unschedulable: u64,
    /// Nodes whose GPUs are of another model.
    pub model: u64,
    /// Nodes with too little processor time free.
    pub cpu: u64,
    /// Nodes with too little memory free.
    pub memory: u64,
    /// Nodes with too little disk space free.
    pub storage: u64,
    /// Nodes with too few GPUs free.
    pub gpu: u64,
}

impl NoFit {
    /// Nodes that some filter removed; the rest would do.
    pub const fn removed(&self) -> u64 {
        self.excluded + self.unschedulable + self.model + self.cpu + self.memory + self.storage + self.gpu
    }

    /// Counts nodes that a filter removed.
    pub(crate) const fn count(&mut self, misfit: Misfit, nodes: u64) {
        *self.counter(misfit) += nodes;
    }

    /// Counts a node as excluded, that until now counted as what `misfit` says.
    pub(crate) const fn exclude(&mut self, misfit: Option<Misfit>) {
        if let Some(misfit) = misfit {
            *self.counter(misfit) -= 1;
        }
        self.excluded += 1;
    }

    const fn counter(&mut self, misfit: Misfit) -> &mut u64 {
        match misfit {
            Misfit::Unschedulable => &mut self.unschedulable,
            Misfit::Model => &mut self.model,
            Misfit::Cpu { .. } => &mut self.cpu,
            Misfit::Memory { .. } => &mut self.memory,
            Misfit::Storage { .. } => &mut self.storage,
            Misfit::Gpu { .. } => &mut self.gpu,
        }
    }
}
