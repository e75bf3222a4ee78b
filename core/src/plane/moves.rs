//! Moves of instances that leave whole GPUs idle.

use rustc_hash::FxHashMap;

use super::ControlPlane;
use super::follow::{referring, view_of};
use super::view::View;
use crate::amount::GpuMilli;
use crate::entity::{
    BindingState, Entity as _, GPU_BINDINGS, GpuBinding, GpuId, INSTANCES, Instance, InstanceId,
    InstanceState, NodeId,
};
use crate::error::{Error, Result};
use crate::sched::{Cluster, Demand, GpuDemand, Move, Placement, defragment};
use crate::store::{SnapshotExt as _, StoreError};

/// Moves that would leave whole GPUs idle.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MovePlan {
    /// The moves, in the order in which they are to be made.
    pub moves: Vec<InstanceMove>,
    /// How many more GPUs are idle when all of them are made.
    pub freed: usize,
    /// What no plan of as many moves can pass.
    pub freeable: usize,
}

/// An instance with a share of a GPU goes to another GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InstanceMove {
    /// The instance.
    pub instance: InstanceId,
    /// The node that it is on.
    pub from: NodeId,
    /// The GPU of which it has a share.
    pub from_gpu: GpuId,
    /// The node where it would go, which may be the same.
    pub to: NodeId,
    /// The GPU of which it would have a share.
    pub to_gpu: GpuId,
}

impl ControlPlane {
    /// Plans at most `budget` moves of instances with shares of GPUs that leave the most GPUs idle, as
    /// [`defragment`](crate::sched::defragment()) does, over a snapshot of the store. Nothing is changed.
    ///
    /// Which instances may be moved is for `may` to say. Those alone are asked for that run or are stopped, and that were
    /// not made from an image, which binds them to its node.
    ///
    /// A move is carried out by deleting the instance and launching one like it on the GPU that the plan names
    /// ([`LaunchRequest::on_gpu`](super::LaunchRequest::on_gpu)), in the order of the plan, by
    /// [`apply_many`](ControlPlane::apply_many) if no agent makes the instances: then what a deletion gives back is there
    /// for its launch. Where an agent does, or nothing may be lost if somebody else is faster, the new one is launched first
    /// and the old one deleted when the new one runs; then room on its node, its owner's limits and its name are needed
    /// twice. Every one of these is judged as any launch is: what has changed since the plan was made is refused, and
    /// nobody's room is taken.
    #[tracing::instrument(skip_all)]
    pub async fn plan_moves(
        &self,
        budget: usize,
        may: impl Fn(&Instance) -> bool + Send + Sync,
    ) -> Result<MovePlan> {
        let snapshot = self.store.snapshot().await?;
        let view = view_of(&*snapshot, Cluster::new()).await?;
        let mut held: FxHashMap<InstanceId, Vec<GpuId>> = FxHashMap::default();
        let mut take_binding = |row: &_| {
            let binding = GpuBinding::from_row(row)?;
            if let (Some(gpu), Some(instance), BindingState::Bound) =
                (binding.gpu_id, binding.instance_id, binding.state)
            {
                held.entry(instance).or_default().push(gpu);
            }
            Ok(())
        };
        snapshot.each(referring(&GPU_BINDINGS, "gpu_bindings_instance"), &mut take_binding).await?;
        let mut running: Vec<(InstanceId, Placement)> = Vec::new();
        let mut take_instance = |row: &_| {
            let instance = Instance::from_row(row)?;
            let gpus = held.get(&instance.id).map_or(&[][..], Vec::as_slice);
            if let Some(placement) = placement_of(&view, &instance, gpus).filter(|_| may(&instance)) {
                running.push((instance.id, placement));
            }
            Ok(())
        };
        snapshot.each(referring(&INSTANCES, "instances_node"), &mut take_instance).await?;
        let tasks = running.iter().map(|(id, placement)| (*id, placement));
        let plan = defragment(&view.cluster, tasks, budget).map_err(|error| {
            let of = running.get(error.position).map(|(id, _)| id.uuid().into());
            Error::from(StoreError::corrupt(GPU_BINDINGS.name, of, "gpu_id", error.source.to_string()))
        })?;
        let moves = plan.moves.iter().filter_map(|step| named(&view, step)).collect();
        Ok(MovePlan { moves, freed: plan.freed, freeable: plan.freeable })
    }
}

/// Where an instance is, if it has a share of a GPU and could have another one instead.
fn placement_of(view: &View, instance: &Instance, gpus: &[GpuId]) -> Option<Placement> {
    let is_there = matches!(instance.state, InstanceState::Running | InstanceState::Stopped);
    if !is_there || instance.image_id.is_some() || instance.gpu_milli >= GpuMilli::WHOLE {
        return None;
    }
    let (node, [gpu]) = (instance.node_id?.uuid(), gpus) else { return None };
    let slot = view.node(node)?.gpus.iter().position(|held| held.id == gpu.uuid())?;
    let (share, models) = (GpuDemand::Share(instance.gpu_milli), instance.gpu_models.clone());
    let (cpu, memory, storage) = (instance.cpu_milli, instance.memory_mib, instance.storage_mib);
    Some(Placement {
        node,
        gpus: vec![u32::try_from(slot).ok()?],
        milli_per_gpu: instance.gpu_milli,
        demand: Demand::new(cpu, memory, storage, share, models.unwrap_or_default()).ok()?,
    })
}

/// A move, by the ids of GPUs.
fn named(view: &View, step: &Move<InstanceId>) -> Option<InstanceMove> {
    let gpu = |placement: &Placement| {
        let slot = usize::try_from(*placement.gpus.first()?).ok()?;
        Some(GpuId::new(view.node(placement.node)?.gpus.get(slot)?.id))
    };
    Some(InstanceMove {
        instance: step.task,
        from: NodeId::new(step.from.node),
        from_gpu: gpu(&step.from)?,
        to: NodeId::new(step.to.node),
        to_gpu: gpu(&step.to)?,
    })
}
