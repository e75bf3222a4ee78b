//! What a scheduler has seen of runs and leases, and of the nodes that these hold.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{AT_ONCE, Known, does_not_fit, read};
use crate::entity::{
    BindingState, Entity as _, GPU_LEASES, GpuLease, LeaseGpu, LeaseNode, TRAINING_RUNS, TrainingRun,
};
use crate::error::{Error, Result};
use crate::plane::engine::convert::{HeldOn, job, pending, placements};
use crate::plane::leases::{HeldRows, charge_of};
use crate::queue::{Ask, Running};
use crate::rent::OfferQuery;
use crate::sched::Tag;
use crate::store::{Row, Store};

impl Known {
    /// Takes in runs and leases: first what holds nothing any more, then what holds something, then what waits.
    pub(super) async fn take_runs(
        &mut self,
        store: &dyn Store,
        leases: &BTreeSet<Uuid>,
        runs: &BTreeSet<Uuid>,
    ) -> Result<()> {
        let mut rows = read(store, &GPU_LEASES, leases.iter().map(|id| (*id).into())).await?;
        let holds = |row: &Row| Ok::<_, Error>(GpuLease::from_row(row)?.state.holds());
        let mut live = Vec::new();
        for id in leases {
            match rows.remove(&(*id).into()) {
                Some(row) if holds(&row)? => live.push(GpuLease::from_row(&row)?),
                _ => {
                    if self.leases.remove(id).is_some() {
                        self.touch_nodes_of(*id);
                        self.queue.end(*id);
                    }
                }
            }
        }
        let needed: BTreeSet<Uuid> =
            runs.iter().copied().chain(live.iter().map(|lease| lease.of_run.uuid())).collect();
        let rows = read(store, &TRAINING_RUNS, needed.iter().map(|id| (*id).into())).await?;
        for id in runs {
            self.queue.withdraw(*id);
            self.rentable.remove(id);
        }
        for some in live.chunks(AT_ONCE / 2) {
            let queries = some.iter().flat_map(|lease| HeldRows::queries(lease.id)).collect();
            let mut answers = store.read(queries).await?.answers.into_iter();
            for lease in some {
                let held = HeldRows::of(lease.id, &mut answers, store).await?;
                self.take_lease(lease, &held, rows.get(&lease.of_run.into()))?;
            }
        }
        for id in runs {
            let Some(row) = rows.get(&(*id).into()) else { continue };
            let run = TrainingRun::from_row(row)?;
            if let Some(job) = pending(&run, &self.models) {
                self.rentable.extend(OfferQuery::of(&run.ask).map(|query| (*id, query)));
                // A queue that was deleted meanwhile is told by the feed, and the run with it.
                drop(self.queue.submit(job));
            }
        }
        Ok(())
    }

    fn take_lease(&mut self, lease: &GpuLease, held: &HeldRows, run: Option<&Row>) -> Result<()> {
        let id = lease.id.uuid();
        if self.queue.running(id).is_some() {
            if lease.state == BindingState::Releasing {
                self.queue.stopping(id, None);
            }
            return Ok(());
        }
        // What was held elsewhere may be on a node by now.
        self.queue.end(id);
        if !self.place(lease, held, run)? {
            // A rented machine is no node: what is held there is charged all the same, as it was when it was granted.
            if let Some(queue) = lease.queue_id {
                let account = lease.account_id.uuid();
                drop(self.queue.hold_elsewhere(id, queue.uuid(), account, charge_of(lease)));
            }
        }
        self.leases.insert(id, lease.of_run.uuid());
        Ok(())
    }

    /// Lets the queue know of a lease as of a run on nodes; `false` where it is not on nodes that are known.
    fn place(&mut self, lease: &GpuLease, held: &HeldRows, run: Option<&Row>) -> Result<bool> {
        let id = lease.id.uuid();
        let Some((run, queue)) = run.map(TrainingRun::from_row).transpose()?.zip(lease.queue_id) else {
            return Ok(false);
        };
        // What the lease is charged to does not change with the run.
        let run = TrainingRun { queue_id: Some(queue), ..run };
        let Some(job) = job(&run, id, &self.models) else { return Ok(false) };
        let held = self.held(held)?;
        let Some(placements) = placements(&job.ask, &held) else { return Ok(false) };
        for on in &held {
            self.give_room(on, &job.ask);
            self.changed.nodes.insert(on.node);
        }
        let kinds: Vec<(Uuid, Tag)> =
            placements.iter().filter_map(|at| Some((at.node, at.demand.tag()?))).collect();
        let stopping = lease.state == BindingState::Releasing;
        let running = Running { job, started: lease.created_at, placements, stopping };
        let placed = self.queue.restore(running).is_ok();
        if placed {
            for (node, kind) in kinds {
                self.kinds.entry(node).or_default().push((id, kind));
            }
        }
        Ok(placed)
    }

    /// What a lease holds, node by node.
    fn held(&self, rows: &HeldRows) -> Result<Vec<HeldOn>> {
        let mut held = Vec::with_capacity(rows.nodes.len());
        for row in &rows.nodes {
            let part = LeaseNode::from_row(row)?;
            let node = part.of_node.uuid();
            held.push(HeldOn { node, members: part.members, gpus: Vec::new() });
        }
        for row in &rows.gpus {
            let of = LeaseGpu::from_row(row)?;
            for on in &mut held {
                let Some(node) = self.view.node(on.node) else { continue };
                if let Some(place) = node.gpus.iter().position(|gpu| gpu.id == of.of_gpu.uuid()) {
                    on.gpus.push((u32::try_from(place).unwrap_or(u32::MAX), of.milli.get()));
                }
            }
        }
        Ok(held)
    }

    /// Lets the queue see a node with room for what is about to be held there: what is held is already off the view.
    fn give_room(&mut self, on: &HeldOn, ask: &Ask) {
        let Some(mut state) = self.queue.cluster().get(&on.node).or_else(|| self.view.state(on.node)) else {
            return;
        };
        let (demand, members) = (ask.demand(), i64::from(on.members));
        state.cpu_free = state.cpu_free.max(demand.cpu().get() * members);
        state.memory_free = state.memory_free.max(demand.memory().get() * members);
        state.storage_free = state.storage_free.max(demand.storage().get() * members);
        for (gpu, milli) in &on.gpus {
            if let Some(gpu) = usize::try_from(*gpu).ok().and_then(|gpu| state.gpus.get_mut(gpu)) {
                gpu.free_milli = gpu.free_milli.max(*milli);
            }
        }
        drop(self.queue.upsert_node(&state));
    }

    fn touch_nodes_of(&mut self, lease: Uuid) {
        let nodes: Vec<Uuid> = self
            .queue
            .running(lease)
            .map(|run| run.placements.iter().map(|at| at.node).collect())
            .unwrap_or_default();
        for node in &nodes {
            if let Some(kinds) = self.kinds.get_mut(node) {
                kinds.retain(|(of, _)| *of != lease);
            }
        }
        self.changed.nodes.extend(nodes);
    }

    /// Lets the queue see a node as it is.
    pub(super) fn take_node(&mut self, node: Uuid) -> Result<()> {
        match self.view.state(node) {
            Some(mut state) => {
                for (_, kind) in self.kinds.get(&node).into_iter().flatten() {
                    state.running.add(*kind, 1);
                }
                self.queue.upsert_node(&state).map_err(|error| does_not_fit("node_ledgers", &error))?;
            }
            None => drop(self.queue.remove_node(node)),
        }
        Ok(())
    }
}
