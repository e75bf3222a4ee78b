//! Nodes that are brought in, with their GPUs.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::answer::not_in_the_future;
use super::parts::Parts;
use super::users::already_there;
use super::{Decision, Item, Known};
use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use crate::entity::{
    COMPUTE_NODES, ComputeNode, Entity as _, GPUS, Gpu, GpuHealth, GpuId, NODE_LEDGERS, NodeId, NodeLedger,
    NodeLifecycle, NodeState, QUOTAS,
};
use crate::error::{Error, Result};
use crate::plane::ControlPlane;
use crate::sched::MAX_GPUS;
use crate::store::{Key, Refusal, Table};
use crate::time::Timestamp;

/// A node that exists elsewhere. No agent has joined as it yet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportedNode {
    /// What is known of it, with its own id and times.
    pub profile: ComputeNode,
    /// Whether it takes work.
    pub state: NodeState,
    /// All processor time. Its instances may hold more.
    pub cpu: CpuMilli,
    /// All memory.
    pub memory: MemoryMib,
    /// All disk space.
    pub storage: StorageMib,
    /// Its GPUs, at most 16 and of one model but for those that are not healthy.
    pub gpus: Vec<ImportedGpu>,
}

/// A GPU of a node that exists elsewhere. What is held of it follows from the instances.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportedGpu {
    /// Its own id.
    pub id: GpuId,
    /// Its number in the node, from 0.
    pub slot: u32,
    /// The name that its driver gives it, at most 128 bytes; no two of a node share one.
    pub key: Option<String>,
    /// Its model, at most 64 bytes.
    pub model: String,
    /// Its own memory.
    pub memory_mib: Option<MemoryMib>,
    /// Whether it works.
    pub health: GpuHealth,
    /// The provider that it is rented of, at most 64 bytes.
    pub provider: Option<String>,
    /// The id of the rental at its provider, at most 128 bytes; no two GPUs of a provider share one.
    pub instance_id: Option<String>,
    /// When it was made known.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl ImportedGpu {
    /// A healthy one in a slot.
    pub fn new(id: GpuId, slot: u32, model: impl Into<String>, created_at: Timestamp) -> Self {
        Self {
            id,
            slot,
            key: None,
            model: model.into(),
            memory_mib: None,
            health: GpuHealth::Healthy,
            provider: None,
            instance_id: None,
            created_at,
            updated_at: created_at,
        }
    }

    /// Gives it the name that its driver gives it.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Says which rental it is of.
    pub fn rental(mut self, provider: impl Into<String>, instance_id: impl Into<String>) -> Self {
        (self.provider, self.instance_id) = (Some(provider.into()), Some(instance_id.into()));
        self
    }

    fn on(&self, node: NodeId) -> Gpu {
        Gpu {
            id: self.id,
            node_id: Some(node),
            slot: self.slot,
            key: self.key.clone(),
            model: self.model.clone(),
            memory_mib: self.memory_mib,
            health: self.health,
            used_milli: GpuMilli::ZERO,
            instance_id: self.instance_id.clone(),
            created_at: self.created_at,
            updated_at: self.updated_at,
            gone_quarantined: false,
            provider: self.provider.clone(),
        }
    }
}

impl ImportedNode {
    /// A node that takes work and has nothing.
    pub fn new(profile: ComputeNode) -> Self {
        let (cpu, memory, storage) = (CpuMilli::ZERO, MemoryMib::ZERO, StorageMib::ZERO);
        Self { profile, state: NodeState::Active, cpu, memory, storage, gpus: Vec::new() }
    }

    /// Says what it has in all.
    pub fn capacity(mut self, cpu: CpuMilli, memory: MemoryMib, storage: StorageMib) -> Self {
        (self.cpu, self.memory, self.storage) = (cpu, memory, storage);
        self
    }

    /// Gives it a state.
    pub fn state(mut self, state: NodeState) -> Self {
        self.state = state;
        self
    }

    /// Gives it another GPU.
    pub fn gpu(mut self, gpu: ImportedGpu) -> Self {
        self.gpus.push(gpu);
        self
    }

    fn ledger(&self) -> NodeLedger {
        let there = self.gpus.iter().filter(|gpu| gpu.health != GpuHealth::Gone).count();
        let there = u32::try_from(there).unwrap_or(u32::MAX);
        NodeLedger {
            node_id: self.profile.id,
            cpu_milli: CpuMilli::ZERO,
            cpu_milli_total: self.cpu,
            memory_mib: MemoryMib::ZERO,
            memory_mib_total: self.memory,
            storage_mib: StorageMib::ZERO,
            storage_mib_total: self.storage,
            gpu_milli: GpuMilli::ZERO,
            gpu_milli_total: GpuMilli::WHOLE.checked_mul(there).unwrap_or(GpuMilli::ZERO),
            instances: 0,
        }
    }

    fn check(&self, now: Timestamp) -> Result<()> {
        not_in_the_future("created_at", self.profile.created_at, now)?;
        not_in_the_future("updated_at", self.profile.updated_at, now)?;
        if self.gpus.len() > MAX_GPUS as usize {
            return Err(Error::invalid("gpus", format!("a node has at most {MAX_GPUS}")));
        }
        let (mut ids, mut slots) = (BTreeSet::new(), BTreeSet::new());
        for (at, gpu) in self.gpus.iter().enumerate() {
            let invalid = |field: &str, reason: &str| {
                Err(Error::invalid(format!("gpus[{at}].{field}"), reason.to_owned()))
            };
            if !ids.insert(gpu.id) || !slots.insert(gpu.slot) {
                return invalid("slot", "another one of the node has the same id or slot");
            }
            if gpu.health == GpuHealth::Healthy && self.profile.gpu_model.as_ref() != Some(&gpu.model) {
                return invalid("model", "a healthy one is of the model that its node is said to have");
            }
            if gpu.provider.is_some() != gpu.instance_id.is_some() {
                return invalid(
                    "provider",
                    "a rental is said by its provider and its id there, or not at all",
                );
            }
            not_in_the_future(&format!("gpus[{at}].created_at"), gpu.created_at, now)?;
            not_in_the_future(&format!("gpus[{at}].updated_at"), gpu.updated_at, now)?;
        }
        Ok(())
    }

    /// Whether this is what is there. State, health and what is held are what has become of it since, and measured space is too.
    fn is_there(&self, row: &crate::store::Row, known: &Known) -> Result<bool> {
        let id = self.profile.id;
        let mut same = ComputeNode::from_row(row)? == self.profile;
        // By the total of its GPUs one that is there and is not said of it is seen.
        let totals = |ledger: &NodeLedger| {
            let NodeLedger { cpu_milli_total, memory_mib_total, storage_mib_total, gpu_milli_total, .. } =
                *ledger;
            (cpu_milli_total, memory_mib_total, storage_mib_total, gpu_milli_total)
        };
        let ledger = known.row(&NODE_LEDGERS, id).map(NodeLedger::from_row).transpose()?;
        same &= ledger.is_some_and(|ledger| totals(&ledger) == totals(&self.ledger()));
        for gpu in &self.gpus {
            let kept = known.row(&GPUS, gpu.id).map(Gpu::from_row).transpose()?;
            same &= kept.is_some_and(|kept| {
                let Gpu { health, used_milli, updated_at, gone_quarantined, .. } = kept;
                kept == Gpu { health, used_milli, updated_at, gone_quarantined, ..gpu.on(id) }
            });
        }
        Ok(same)
    }
}

impl Item for ImportedNode {
    const OPERATION: &'static str = "node.import";
    type Entity = ComputeNode;

    fn id(&self) -> Uuid {
        self.profile.id.uuid()
    }

    fn needs(&self) -> Vec<(&'static Table, Key)> {
        let id = self.profile.id;
        let mut needs: Vec<(&'static Table, Key)> =
            vec![(&COMPUTE_NODES, id.into()), (&NODE_LEDGERS, id.into())];
        needs.extend(self.gpus.iter().map(|gpu| (&GPUS, gpu.id.into())));
        needs
    }

    fn decide(&self, _: &ControlPlane, known: &Known, now: Timestamp) -> Result<Decision> {
        self.check(now)?;
        let id = self.profile.id;
        if let Some(row) = known.row(&COMPUTE_NODES, id) {
            let same = self.is_there(row, known)?;
            return if same { Ok(Decision::WasThere) } else { Err(already_there(ComputeNode::KIND)) };
        }
        let mut parts = Parts::default();
        parts.insert(self.profile.to_row());
        parts.insert(NodeLifecycle { node_id: id, state: self.state, has_agent: false }.to_row());
        parts.insert(self.ledger().to_row());
        for gpu in &self.gpus {
            parts.insert(gpu.on(id).to_row());
        }
        parts.count(&QUOTAS, self.profile.owner_id.uuid(), "nodes", 1);
        Ok(Decision::Make(parts))
    }

    fn refused(&self, refusal: &Refusal) -> Option<(Option<String>, Error)> {
        if refusal.names("compute_nodes_owner") {
            return Some((None, Error::not_found("user", self.profile.owner_id)));
        }
        let at =
            self.gpus.iter().position(|gpu| refusal.table == GPUS.name && refusal.key == gpu.id.into())?;
        let why = Error::of_store(Gpu::KIND, refusal.clone().into());
        Some((Some(format!("gpus[{at}]")), why))
    }
}

/// The answer where there is no such node.
pub(super) fn of_node(node: NodeId) -> Error {
    Error::not_found(ComputeNode::KIND, node)
}
