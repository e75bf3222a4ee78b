//! Registering nodes.

use super::retry::{Retry, lost_race};
use super::users::Happened;
use super::{ControlPlane, NewNode};
use crate::amount::GpuMilli;
use crate::entity::{
    AccessState, ComputeNode, Entity as _, Entry, GPUS, Instance, NODE_LEDGERS, NODE_LIFECYCLES, NodeId,
    NodeLedger, NodeName, QUOTAS, USER_ACCESS, UserAccess, is_taken,
};
use crate::error::{Error, Result};
use crate::ports::PortRanges;
use crate::sched::MAX_GPUS;
use crate::store::{Batch, Change, Key, NewRow, Row, StoreError, StoreExt as _, Write};
use crate::time::Timestamp;

impl ControlPlane {
    /// Registers a node with its inventory, ready to take work. Each of its GPUs becomes a row, and it counts against its
    /// owner's node limit. The same request again, with its id, is answered with the node that is there.
    pub async fn register_node(&self, request: NewNode) -> Result<Entry<ComputeNode>> {
        self.register_nodes(vec![request])
            .await
            .pop()
            .unwrap_or_else(|| Err(Error::invalid("nodes", "none was given")))
    }

    /// Registers many nodes, in the given order, each on its own.
    #[tracing::instrument(skip_all)]
    pub async fn register_nodes(&self, requests: Vec<NewNode>) -> Vec<Result<Entry<ComputeNode>>> {
        let mut answers: Vec<Option<Result<Entry<ComputeNode>>>> = Vec::new();
        answers.resize_with(requests.len(), || None);
        let mut retry = Retry::new("node.register", &*self.ids, &*self.metrics);
        loop {
            let open: Vec<usize> =
                (0..).zip(&answers).filter(|(_, answer)| answer.is_none()).map(|(at, _)| at).collect();
            let lost = self.register_once(&requests, &open, &mut answers).await;
            if lost.is_empty() {
                break;
            }
            if let Err(conflict) = retry.again().await {
                for at in lost {
                    fill(&mut answers, at, Err(conflict.clone()));
                }
                break;
            }
        }
        answers.into_iter().flatten().collect()
    }

    /// Decides and commits the open requests, and answers which of them lost a race.
    async fn register_once(
        &self,
        requests: &[NewNode],
        open: &[usize],
        answers: &mut [Option<Result<Entry<ComputeNode>>>],
    ) -> Vec<usize> {
        let wanted: Vec<(usize, &NewNode)> =
            open.iter().filter_map(|at| Some((*at, requests.get(*at)?))).collect();
        let keys = wanted.iter().map(|(_, request)| (&USER_ACCESS, Key::from(request.owner))).collect();
        let read = match self.store.get_many(keys).await {
            Ok(read) => read,
            Err(error) => {
                for at in open {
                    fill(answers, *at, Err(error.clone().into()));
                }
                return Vec::new();
            }
        };
        let mut batches = Vec::with_capacity(wanted.len());
        let mut decided = Vec::with_capacity(wanted.len());
        for ((at, request), access) in wanted.into_iter().zip(&read.value) {
            match self.decide_node(request, access.as_ref(), read.now) {
                Ok((node, batch)) => {
                    decided.push((at, request, node));
                    batches.push(batch);
                }
                Err(error) => fill(answers, at, Err(error)),
            }
        }
        let mut lost = Vec::new();
        for ((at, request, node), receipt) in decided.into_iter().zip(self.store.commit_many(batches).await) {
            match receipt {
                Ok(_) => fill(answers, at, Ok(Entry::new(node, 1))),
                Err(error) if lost_race(&error) => lost.push(at),
                Err(error) => fill(answers, at, self.registered_before(request, node, error).await),
            }
        }
        lost
    }

    /// Decides one registration over the owner's access row.
    fn decide_node(
        &self,
        request: &NewNode,
        access: Option<&Row>,
        now: Timestamp,
    ) -> Result<(ComputeNode, Batch)> {
        let access = access.ok_or_else(|| Error::not_found("user", request.owner))?;
        if UserAccess::from_row(access)?.state != AccessState::Active {
            return Err(Error::Denied { action: "register a node while suspended" });
        }
        if request.gpus > MAX_GPUS {
            return Err(Error::invalid(
                "gpus",
                format!("a node has at most {MAX_GPUS}, got {}", request.gpus),
            ));
        }
        if request.gpus > 0 && request.gpu_model.is_none() {
            return Err(Error::invalid("gpu_model", "a node with gpus needs their model"));
        }
        let name = NodeName::try_from(request.name.clone())?;
        let id = request.id.unwrap_or_else(|| self.new_id().into());
        let node = describe(request, id, name, now);
        let total = GpuMilli::WHOLE.checked_mul(request.gpus).unwrap_or(GpuMilli::ZERO);
        let mut batch = self
            .batch_for("node.register", request.owner.uuid())
            .with(Write::Insert(node.to_row()))
            .with(Write::guard(&USER_ACCESS, request.owner, access.revision()))
            .with(Write::patch(&QUOTAS, request.owner, Vec::new(), vec![("nodes", Change::Add(1))]))
            .with(Write::Insert(NewRow::new(&NODE_LIFECYCLES).set("node_id", id).set("state", "active")))
            .with(Write::Insert(
                NewRow::new(&NODE_LEDGERS)
                    .set("node_id", id)
                    .set("cpu_milli_total", request.cpu.get())
                    .set("memory_mib_total", request.memory.get())
                    .set("storage_mib_total", request.storage.get())
                    .set("gpu_milli_total", total.get()),
            ));
        for slot in 0..request.gpus {
            batch.push(Write::Insert(self.gpu_row(request, id, slot, now)));
        }
        let happened = Happened {
            operation: "node.register",
            actor: Some(request.owner.uuid()),
            kind: "node",
            subject: id.uuid(),
            description: &format!("{}, {}, {} gpus", request.cpu, request.memory, request.gpus),
        };
        batch.push(self.log(happened, now));
        Ok((node, batch))
    }

    fn gpu_row(&self, request: &NewNode, node: NodeId, slot: u32, now: Timestamp) -> NewRow {
        NewRow::new(&GPUS)
            .set("id", self.new_id())
            .set("node_id", node)
            .set("slot", slot)
            .set("model", request.gpu_model.as_deref())
            .set("memory_mib", request.gpu_memory.map(i64::from))
            .set("health", "healthy")
            .set("created_at", now)
            .set("updated_at", now)
    }

    /// The answer to a refused registration: the node that an earlier call made, or the refusal.
    async fn registered_before(
        &self,
        request: &NewNode,
        node: ComputeNode,
        error: StoreError,
    ) -> Result<Entry<ComputeNode>> {
        if !is_taken::<ComputeNode>(&error) {
            return Err(Error::of_store("node", error));
        }
        let gone = || Error::not_found("node", node.id);
        let found = self.repositories.get_entry::<ComputeNode>(node.id).await?.ok_or_else(gone)?;
        let ledger = self.repositories.get_entry::<NodeLedger>(node.id).await?.ok_or_else(gone)?;
        let total = GpuMilli::WHOLE.checked_mul(request.gpus);
        let same = (found.owner_id, &found.name, &found.gpu_model, &found.ipv4_ports, &found.ipv6_ports)
            == (node.owner_id, &node.name, &node.gpu_model, &node.ipv4_ports, &node.ipv6_ports)
            && (
                ledger.cpu_milli_total,
                ledger.memory_mib_total,
                ledger.storage_mib_total,
                Some(ledger.gpu_milli_total),
            ) == (request.cpu, request.memory, request.storage, total);
        if same { Ok(found) } else { Err(Error::AlreadyExists { kind: "node", key: "id" }) }
    }
}

pub(super) fn fill<T>(answers: &mut [Option<T>], at: usize, answer: T) {
    if let Some(place) = answers.get_mut(at) {
        *place = Some(answer);
    }
}

/// The profile of a new node.
fn describe(request: &NewNode, id: NodeId, name: NodeName, now: Timestamp) -> ComputeNode {
    ComputeNode {
        gpu_model: request.gpu_model.clone(),
        use_ipv6: request.ipv6_ports != PortRanges::none(),
        ipv4_ports: some_ranges(&request.ipv4_ports),
        ipv6_ports: some_ranges(&request.ipv6_ports),
        ..ComputeNode::new(id, request.owner, name, now)
    }
}

/// Ranges as they are stored: nothing where there are none.
fn some_ranges(ranges: &PortRanges) -> Option<PortRanges> {
    (*ranges != PortRanges::none()).then(|| ranges.clone())
}

/// The writes that charge an instance to its account and to its node, or with `times` of -1 give back just that.
pub(super) fn charges(instance: &Instance, node: impl Into<Key>, times: i64) -> [Write; 2] {
    let adds = |changes: &[(&'static str, i64)]| -> Vec<_> {
        let changed = changes.iter().filter(|(_, amount)| *amount != 0);
        changed.map(|(column, amount)| (*column, Change::Add(amount * times))).collect()
    };
    let gpu_milli = instance.gpu_milli_total();
    // Account and ledger count the same.
    let held = adds(&[
        ("instances", 1),
        ("cpu_milli", instance.cpu_milli.get()),
        ("memory_mib", instance.memory_mib.get()),
        ("storage_mib", instance.storage_mib.get()),
        ("gpu_milli", gpu_milli),
    ]);
    [
        Write::patch(&QUOTAS, instance.owner_id, Vec::new(), held.clone()),
        Write::patch(&NODE_LEDGERS, node, Vec::new(), held),
    ]
}
