//! What it costs to take in the report of a machine: [`Reports`].

use std::sync::Arc;
use std::time::Duration;

use apportion::ControlPlane;
use apportion::amount::{CpuMilli, MemoryMib, StorageMib};
use apportion::entity::{Limits, NodeId};
use apportion::machine::{FoundInstance, FoundState, Inventory, MadeInstance};
use apportion::plane::{CommandOutcome, LaunchRequest, NewNode, NewUser, NodeSession, Operation};
use apportion::store::Store;

use crate::launches::now;
use crate::stores::Failed;

/// For how long a command is taken.
const LEASE: Duration = Duration::from_mins(10);

/// A node with instances that its agent has made.
#[derive(Debug)]
pub struct Reports {
    plane: Arc<ControlPlane>,
    node: NodeId,
    session: NodeSession,
    instances: usize,
}

impl Reports {
    /// Fills an empty store with one node of so many instances.
    pub async fn new(store: Arc<dyn Store>, instances: u32) -> Result<Self, Failed> {
        let plane = Arc::new(ControlPlane::new(store));
        let limits = Limits { instance_limit: instances, ..Limits::default() };
        let owner = plane.create_user(NewUser::new("bench@example.org", "Bench").limits(limits)).await?.id;
        let node = NewNode::new(owner, "rack-1").cpu(CpuMilli::from_u32(instances));
        let node = plane.register_node(node).await?.id;
        let session = plane.join_node(node).await?;
        let launch = |at| {
            let request = LaunchRequest::new(owner, format!("i-{at}")).cpu(CpuMilli::from_u32(1));
            Operation::Launch(Box::new(request))
        };
        for outcome in plane.apply_many((0..instances).map(launch).collect()).await {
            outcome?;
        }
        loop {
            let taken = plane.take_commands(node, session, 100, LEASE).await?;
            if taken.is_empty() {
                break;
            }
            for held in taken {
                let key = held.command.value.subject_id.ok_or("a command for nothing")?.to_string();
                let made = CommandOutcome::made(&MadeInstance::new(key))?;
                plane.complete_command(&held, &made).await?;
            }
        }
        Ok(Self { plane, node, session, instances: usize::try_from(instances)? })
    }

    /// How long a report takes in which every instance does this, and how many things it changed.
    pub async fn report(&self, state: FoundState) -> Result<(Duration, usize), Failed> {
        let at = self.plane.begin_report(self.node, self.session).await?;
        let listed = self.plane.repositories().instances();
        let (mut found, mut page) =
            (Vec::with_capacity(self.instances), apportion::entity::PageRequest::default());
        let of_node = apportion::entity::InstanceFilter {
            node_id: Some(self.node),
            ..apportion::entity::InstanceFilter::default()
        };
        loop {
            let listed = listed.list(of_node.clone(), page.clone()).await?;
            for instance in &listed.entries {
                let key = instance.key.clone().ok_or("it was not made")?;
                found.push(FoundInstance::new(key, state).of(instance.id));
            }
            match listed.next {
                Some(next) => page = apportion::entity::PageRequest::after(next),
                None => break,
            }
        }
        let inventory = Inventory::taken_at(at)
            .capacity(CpuMilli::from_u32(64_000), MemoryMib::from_u32(64_000), StorageMib::from_u32(64_000))
            .instances(found);
        let began = now();
        let reconciled = self.plane.report(self.node, self.session, &inventory).await?;
        Ok((began.elapsed(), reconciled.changed))
    }
}
