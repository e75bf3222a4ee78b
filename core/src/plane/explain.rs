//! Why a launch would go where, or nowhere: the same decision, without the commit.

use super::launch_rows::{Described, LaunchRows, Tentative, launch_queries};
use super::place::Chosen;
use super::{ControlPlane, LaunchRequest, PortKey};
use crate::entity::{GpuId, Instance, NodeId};
use crate::error::{Error, Result};
use crate::sched::{Demand, Explanation};

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
    /// How many nodes each filter removes, and the best of those that are left.
    pub nodes: Explanation,
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
        self.followed.with(|view| {
            Ok(planner.choose(view, request, demand, pinned, instance.id.uuid().as_u64_pair().1))
        })?
    }

    /// Explains a launch: what stands against it whatever is free, what each filter removes, and the `top` best nodes with
    /// their scores, by the same code that decides it.
    pub async fn explain(&self, request: &LaunchRequest, top: usize) -> Result<Explained> {
        self.followed.refresh().await?;
        let demand = request.demand()?;
        let reads = self.store.read(launch_queries(request)).await?;
        let rows = LaunchRows::from_answers(request, reads.answers);
        let id = request.id.unwrap_or_else(|| self.new_id().into());
        let refused = rows.describe(request, id, Tentative::default(), reads.now).err();
        let mut planner = self.planner();
        let nodes =
            self.followed.with(|view| Ok(planner.scheduler().explain(&view.cluster, &demand, top)))?;
        Ok(Explained { demand, refused, nodes })
    }
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
