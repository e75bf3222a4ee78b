//! What an agent reports of its machine, taken in.
//!
//! The rules are in [`machine`](crate::machine), pure; here rows are read, and each thing that the rules change is changed in a
//! batch of its own that tests the session of the agent. So a report of any length is taken in, one that breaks off is half taken in
//! and told again, and what an agent says that was replaced changes nothing.

mod foreign;
mod hardware;
mod images;
mod instances;

use serde::{Deserialize, Serialize};

use super::ControlPlane;
use super::node_life::hears;
use super::retry::Retry;
use crate::entity::{ComputeNode, Entity, GpuId, InstanceId, NodeId};
use crate::error::{Error, Result};
use crate::machine::Inventory;
use crate::plane::NodeSession;
use crate::store::{Batch, Row, Scan, StoreError, StoreExt as _};
use crate::time::Timestamp;

/// What a report changed; nothing where everything was known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Reconciled {
    /// How many things were changed: the machine itself, GPUs, images, instances, foreign containers.
    pub changed: usize,
    /// Instances that vanished, which nobody had asked for. What they held is free.
    pub lost: Vec<InstanceId>,
    /// Instances whose removal was seen by the report, before the command for it was answered.
    pub deleted: Vec<InstanceId>,
    /// GPUs that vanished, and the instances that hold them still.
    pub gpus_gone: Vec<(GpuId, Vec<InstanceId>)>,
    /// How many containers the machine has that nobody launched here.
    pub foreign: usize,
}

/// A report that is being taken in.
#[derive(Clone, Copy, Debug)]
struct Report<'r> {
    node: NodeId,
    session: NodeSession,
    inventory: &'r Inventory,
}

impl ControlPlane {
    /// Begins a report: what it answers is the time up to which the report will speak, so that what is done while the agent looks
    /// at its machine is not judged by it. It counts as a heartbeat.
    ///
    /// # Errors
    /// `WrongState` for an agent that was replaced.
    #[tracing::instrument(skip(self))]
    pub async fn begin_report(&self, node: NodeId, session: NodeSession) -> Result<Timestamp> {
        let beat = super::Heartbeat::new(node, session);
        self.heartbeats(&[beat]).await.pop().unwrap_or(Ok(()))?;
        Ok(self.store.read(Vec::new()).await?.now)
    }

    /// Takes in what an agent has found on its machine, and answers what that changed. The same report again changes nothing.
    ///
    /// Containers are matched by node and key, or by the mark that they were made with; one that is being made is never judged. An
    /// instance that has vanished is `lost`, and gives back what it held; a vanished GPU takes no new work and stays whose it was;
    /// a container that nobody launched here is counted on its node and has no owner. A machine that has shrunk may be over-full.
    ///
    /// # Errors
    /// `Invalid` for what cannot be a report, and then nothing of it was taken in; `WrongState` for an agent that was replaced.
    #[tracing::instrument(skip(self, inventory))]
    pub async fn report(
        &self,
        node: NodeId,
        session: NodeSession,
        inventory: &Inventory,
    ) -> Result<Reconciled> {
        inventory.check()?;
        let report = Report { node, session, inventory };
        let mut reconciled = Reconciled::default();
        self.take_hardware(report, &mut reconciled).await?;
        if let Some(found) = &inventory.images {
            self.take_images(report, found, &mut reconciled).await?;
        }
        if let Some(found) = &inventory.instances {
            self.take_instances(report, found, &mut reconciled).await?;
        }
        Ok(reconciled)
    }

    /// A batch of a report: it happens only while the session of its agent is the last one.
    fn report_batch(&self, report: Report<'_>, now: Timestamp) -> Batch {
        self.batch("node.report").with(hears(report.node, report.session, now))
    }

    /// Everything that a scan gives.
    async fn known<E: Entity>(&self, scan: Scan) -> Result<Vec<(Row, E)>> {
        let rows = self.store.scan_all(scan).await?;
        let known = rows.into_iter().map(|row| E::from_row(&row).map(|entity| (row, entity)));
        Ok(known.collect::<std::result::Result<_, StoreError>>()?)
    }

    /// Commits what a look has come to, and says how many of it lost a race and have to be looked at again.
    async fn commit_all(&self, batches: Vec<Batch>) -> Result<usize> {
        let mut lost = 0;
        for answer in self.store.commit_many(batches).await {
            match answer {
                Ok(_) => {}
                Err(error) if error.refusal().is_some() => lost += 1,
                Err(error) => return Err(Error::of_store(ComputeNode::KIND, error)),
            }
        }
        Ok(lost)
    }

    fn report_retry(&self) -> Retry<'_> {
        Retry::new("node.report", &*self.ids, &*self.metrics)
    }
}
