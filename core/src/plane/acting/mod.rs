//! A control plane on behalf of a caller: [`Acting`].
//!
//! An operation is added here in one line: name what it is ([`Operation`]), of which thing it is asked ([`Thing`]), and how it is
//! done by a plane that carries the warrant. `rights.rs` reads what the decision is made on, `warrant.rs` is how the batches of
//! an operation carry it.

mod accounts;
mod commands;
mod images;
mod merged;
mod nodes;
mod operations;
mod queues;
mod rights;
mod runs;
mod trainings;
mod views;
mod warrant;

use std::sync::Arc;

use super::ControlPlane;
use super::refusals::Refusal;
use crate::access::{Decision, Operation};
use crate::entity::{
    Entity as _, GpuId, ImageId, InstanceId, NodeId, PortMapId, RunId, TrainingId, TrainingImageId, UserId,
};
use crate::error::{Error, Result};
use crate::identity::{Caller, Origin};
use crate::store::Write;
use rights::Known;
use warrant::Warranted;

/// How often an operation is authorized anew, where what it was authorized by has changed meanwhile.
const MAX_ATTEMPTS: u32 = 4;

/// What an operation is asked of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Thing {
    /// An account, or what belongs to one: its keys, sessions, connections, limits, and what is made for it.
    Account(UserId),
    /// A node, or what is made on it.
    Node(NodeId),
    /// A GPU.
    Gpu(GpuId),
    /// An image.
    Image(ImageId),
    /// An instance.
    Instance(InstanceId),
    /// A port.
    Port(PortMapId),
    /// A training, or a run that is to be made of it.
    Training(TrainingId),
    /// An image of a training.
    TrainingImage(TrainingImageId),
    /// A run.
    Run(RunId),
    /// What is nobody's: roles and permissions, queues, users to come, the whole audit trail.
    Cloud,
}

impl Thing {
    fn kind(self) -> &'static str {
        match self {
            Self::Account(_) => "user",
            Self::Node(_) => crate::entity::ComputeNode::KIND,
            Self::Gpu(_) => crate::entity::Gpu::KIND,
            Self::Image(_) => crate::entity::Image::KIND,
            Self::Instance(_) => crate::entity::Instance::KIND,
            Self::Port(_) => crate::entity::PortMap::KIND,
            Self::Training(_) => crate::entity::Training::KIND,
            Self::TrainingImage(_) => crate::entity::TrainingImage::KIND,
            Self::Run(_) => crate::entity::TrainingRun::KIND,
            Self::Cloud => "cloud",
        }
    }

    fn id(self) -> Option<uuid::Uuid> {
        match self {
            Self::Account(id) => Some(id.uuid()),
            Self::Node(id) => Some(id.uuid()),
            Self::Gpu(id) => Some(id.uuid()),
            Self::Image(id) => Some(id.uuid()),
            Self::Instance(id) => Some(id.uuid()),
            Self::Port(id) => Some(id.uuid()),
            Self::Training(id) => Some(id.uuid()),
            Self::TrainingImage(id) => Some(id.uuid()),
            Self::Run(id) => Some(id.uuid()),
            Self::Cloud => None,
        }
    }

    /// What is answered where it is not there, or may not be seen.
    fn not_found(self) -> Error {
        Error::not_found(self.kind(), self.id().map_or_else(String::new, |id| id.to_string()))
    }
}

/// A control plane on behalf of a caller: what the caller may not do is refused, and what they may not see is not there.
///
/// What was authorized by is read at every operation and guarded by its batch, so a right that is taken while an operation is
/// under way refuses it. What is refused is noted in the audit trail.
#[derive(Debug)]
pub struct Acting {
    plane: ControlPlane,
}

impl ControlPlane {
    /// This control plane for a request from there, of somebody who is not known yet: for a sign-up, a confirmation, a reset.
    /// What is logged says where it came from. It may do everything, as the application itself may.
    pub fn from_origin(&self, origin: Origin) -> Self {
        self.derived(Arc::clone(&self.store), Arc::new(Caller::system().from(origin)))
    }

    /// This control plane on behalf of a caller.
    pub fn acting(&self, caller: Caller) -> Acting {
        Acting { plane: self.derived(Arc::clone(&self.store), Arc::new(caller)) }
    }
}

impl Acting {
    /// Who asks.
    pub fn caller(&self) -> &Caller {
        &self.plane.caller
    }

    /// Whether the caller may do this, as it is now.
    pub async fn may(&self, operation: Operation, thing: Thing) -> Result<bool> {
        Ok(self.judged(&self.known().await?, operation, thing).await?.decision.is_allowed())
    }

    /// Does something that is allowed, with what it was allowed by as guards of its batches; decides anew where that has changed
    /// meanwhile.
    async fn run<T, F>(
        &self,
        operation: Operation,
        thing: Thing,
        act: impl Fn(ControlPlane) -> F + Send + Sync,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        self.run_all(&[(operation, thing)], act).await
    }

    /// The same for what needs several things allowed.
    async fn run_all<T, F>(
        &self,
        asked: &[(Operation, Thing)],
        act: impl Fn(ControlPlane) -> F + Send + Sync,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        let authorize = || async {
            let known = self.known().await?;
            let mut guards = known.guards.clone();
            for (operation, thing) in asked {
                guards.extend(self.permitted(&known, *operation, *thing).await?);
            }
            Ok((guards, ()))
        };
        self.run_with(authorize, |plane, ()| act(plane)).await
    }

    /// Authorizes, and does something with what it was authorized by as guards of its batches; again where that has changed
    /// meanwhile.
    async fn run_with<T, G, A, F>(
        &self,
        authorize: impl Fn() -> A + Send + Sync,
        act: impl Fn(ControlPlane, G) -> F + Send + Sync,
    ) -> Result<T>
    where
        A: Future<Output = Result<(Vec<Write>, G)>> + Send,
        F: Future<Output = Result<T>> + Send,
    {
        let mut attempt = 0;
        loop {
            let (guards, given) = authorize().await?;
            attempt += 1;
            let store = Arc::new(Warranted::new(Arc::clone(&self.plane.store), guards));
            match act(self.plane.derived(store, Arc::clone(&self.plane.caller)), given).await {
                Err(Error::Conflict { .. }) if attempt < MAX_ATTEMPTS => {}
                answer => return answer,
            }
        }
    }

    /// What guards that it is allowed, beside who asks; the refusal where it is not.
    async fn permitted(&self, known: &Known, operation: Operation, thing: Thing) -> Result<Vec<Write>> {
        let judged = self.judged(known, operation, thing).await?;
        match judged.decision {
            Decision::Permitted | Decision::Granted => return Ok(judged.grounds),
            Decision::Denied | Decision::NotFound => {}
        }
        // The kind and id of what one may not see is not told to the log of refusals either way: it is what was asked for.
        let subject = thing.id().map(|id| (thing.kind(), id));
        let refused = Refusal { operation: operation.as_str(), subject, user: self.caller().user() };
        self.plane.note_refusal(refused).await;
        Err(match judged.decision {
            Decision::Denied => Error::Denied { action: operation.as_str() },
            _ => thing.not_found(),
        })
    }
}
