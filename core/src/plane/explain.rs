//! Why a launch would go where, or nowhere: the same decision, without the commit.

use super::launch_rows::{Described, LaunchRows, Tentative, launch_queries};
use super::place::Chosen;
use super::view::View;
use super::{ControlPlane, LaunchRequest, PortKey};
use crate::entity::{GpuId, Instance, NodeId};
use crate::error::{Error, Result};
use crate::sched::{Demand, Explanation, NearMiss, Shortfall};

/// What a launch would take.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LaunchPlan {
    /// The node.
    pub node: NodeId,
    /// The GPUs.
    pub gpus: Vec<GpuId>,
    /// The ports.
    pub ports: Vec<PortKey>,
}

/// What a launch is decided on, as figures.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explained {
    /// What the request demands of a node.
    pub demand: Demand,
    /// Why the request is refused whatever the nodes have free: a limit, or what is wrong with it.
    pub refused: Option<Error>,
    /// How many nodes each filter removes, the best of those that are left, and those that come nearest to fitting.
    pub nodes: Explanation,
    /// The nodes that come nearest to fitting, nearest first, as they are known here.
    pub nearest: Vec<NearNode>,
}

/// A node on which a launch would find room if something were freed there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NearNode {
    /// The node.
    pub node: NodeId,
    /// What would have to be freed.
    pub shortfall: Shortfall,
    /// The GPUs of the shortfall, in its order.
    pub gpus: Vec<GpuId>,
    /// Whether the node has in all as much processor time, memory and disk space as is asked for. If not, it does not
    /// help to free them.
    pub large_enough: bool,
}

impl ControlPlane {
    /// Decides a launch as [`ControlPlane::launch`] would now, and commits nothing.
    pub async fn dry_run(&self, request: &LaunchRequest) -> Result<LaunchPlan> {
        self.followed.refresh().await?;
        let reads = self.store.read(launch_queries(request)).await?;
        let rows = LaunchRows::from_answers(request, reads.answers);
        let id = request.id.unwrap_or_else(|| self.new_id().into());
        let (instance, demand) = match rows.describe(request, id, Tentative::default(), reads.now)? {
            Described::New(instance, demand) => (instance, demand),
            Described::Done(_) => {
                return Err(Error::AlreadyExists { kind: "instance", key: "id" });
            }
        };
        Ok(self.choose_only(request, &instance, &demand, &rows)?.into())
    }

    fn choose_only(
        &self,
        request: &LaunchRequest,
        instance: &Instance,
        demand: &Demand,
        rows: &LaunchRows,
    ) -> Result<Chosen> {
        let pinned = rows.pinned(request)?;
        let mut planner = self.planner();
        let mut once_asked = planner.once_asked(demand);
        let planner = once_asked.as_mut().unwrap_or(&mut planner);
        self.followed.with(|view| {
            Ok(planner.choose(view, request, demand, pinned, instance.id.uuid().as_u64_pair().1))
        })?
    }

    /// Explains a launch: what stands against it whatever is free, what each filter removes, the `top` best nodes with
    /// their scores, by the same code that decides it, and the `top` nodes that come nearest to fitting, with what would have
    /// to be freed there.
    pub async fn explain(&self, request: &LaunchRequest, top: usize) -> Result<Explained> {
        self.followed.refresh().await?;
        let demand = request.demand()?;
        let reads = self.store.read(launch_queries(request)).await?;
        let rows = LaunchRows::from_answers(request, reads.answers);
        let id = request.id.unwrap_or_else(|| self.new_id().into());
        let refused = rows.describe(request, id, Tentative::default(), reads.now).err();
        let mut planner = self.planner();
        let mut once_asked = planner.once_asked(&demand);
        let planner = once_asked.as_mut().unwrap_or(&mut planner);
        let (nodes, nearest) = self.followed.with(|view| {
            let nodes = planner.scheduler().explain(&view.cluster, &demand, top);
            let nearest = nodes.nearest.iter().filter_map(|miss| near(view, miss, &demand)).collect();
            Ok((nodes, nearest))
        })?;
        Ok(Explained { demand, refused, nodes, nearest })
    }
}

fn near(view: &View, miss: &NearMiss, demand: &Demand) -> Option<NearNode> {
    let node = view.node(miss.node)?;
    let slots = miss.shortfall.gpus.iter().filter_map(|gpu| usize::try_from(gpu.slot).ok());
    let gpus = slots.filter_map(|at| node.gpus.get(at)).map(|gpu| GpuId::new(gpu.id)).collect();
    Some(NearNode {
        node: NodeId::new(miss.node),
        shortfall: miss.shortfall.clone(),
        gpus,
        large_enough: node.is_large_enough(demand),
    })
}

impl From<Chosen> for LaunchPlan {
    fn from(chosen: Chosen) -> Self {
        Self {
            node: NodeId::new(chosen.node),
            gpus: chosen.gpus.into_iter().map(GpuId::new).collect(),
            ports: chosen.ports,
        }
    }
}
