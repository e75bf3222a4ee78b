//! The machine itself: its profile, what it has in all, and its GPUs.

use super::{ControlPlane, Reconciled, Report};
use crate::amount::GpuMilli;
use crate::entity::{
    COMPUTE_NODES, ComputeNode, Entity as _, GPU_BINDINGS, GPUS, Gpu, GpuHealth, GpuId, Instance, InstanceId,
    NODE_LEDGERS, NodeLedger,
};
use crate::error::{Error, Result};
use crate::machine::{FoundGpu, GpuChange, Inventory, KnownGpu, match_gpus};
use crate::plane::decided::Decided;
use crate::plane::node_life::of_node;
use crate::plane::users::Happened;
use crate::sched::MAX_GPUS;
use crate::store::{Answer, Batch, MAX_PAGE, Query, Row, Scan, StoreExt as _, Write};
use crate::time::Timestamp;

/// Free disk space is written anew when it differs by more than this, so that it does not disturb those who change the node.
const FREE_STORAGE_STEP_MIB: i64 = 1024;

/// The rows of a machine.
struct MachineRows {
    node: (Row, ComputeNode),
    ledger: (Row, NodeLedger),
    gpus: Vec<(Row, Gpu)>,
    now: Timestamp,
}

impl ControlPlane {
    pub(super) async fn take_hardware(&self, report: Report<'_>, reconciled: &mut Reconciled) -> Result<()> {
        let (changed, gone) = self
            .decided("node.report", ComputeNode::KIND, || async move {
                self.still_speaks(report.node, report.session).await?;
                let rows = self.machine_rows(report).await?;
                let mut batch = self.report_batch(report, rows.now);
                let before = batch.writes.len();
                let gpus = self.take_gpus(&mut batch, report, &rows).await?;
                take_totals(&mut batch, report.inventory, &rows, &gpus);
                take_profile(&mut batch, report.inventory, &rows, gpus.model);
                let changed = batch.writes.len() - before;
                if changed == 0 {
                    return Ok(Decided::Done((0, gpus.gone)));
                }
                let told = format!("{changed} changes");
                batch.push(self.log(of_node("node.report", report.node, &told), rows.now));
                Ok(Decided::Commit((changed, gpus.gone), batch))
            })
            .await?;
        reconciled.changed += changed;
        reconciled.gpus_gone = gone;
        Ok(())
    }

    async fn machine_rows(&self, report: Report<'_>) -> Result<MachineRows> {
        let key = report.node.into();
        let gpus = Scan::of(&GPUS).by("gpus_node_slot").with(report.node).limit(MAX_PAGE);
        let queries = vec![
            Query::Get { table: &COMPUTE_NODES, key },
            Query::Get { table: &NODE_LEDGERS, key: report.node.into() },
            Query::Scan(gpus),
        ];
        let reads = self.store.read(queries).await?;
        let missing = || Error::not_found(ComputeNode::KIND, report.node);
        let mut answers = reads.answers.into_iter();
        let node = answers.next().and_then(Answer::into_row).ok_or_else(missing)?;
        let ledger = answers.next().and_then(Answer::into_row).ok_or_else(missing)?;
        let mut gpus = Vec::new();
        for row in answers.next().map(Answer::into_rows).unwrap_or_default() {
            let gpu = Gpu::from_row(&row)?;
            gpus.push((row, gpu));
        }
        let (profile, totals) = (ComputeNode::from_row(&node)?, NodeLedger::from_row(&ledger)?);
        Ok(MachineRows { node: (node, profile), ledger: (ledger, totals), gpus, now: reads.now })
    }

    /// Takes in the GPUs of a report.
    async fn take_gpus(
        &self,
        batch: &mut Batch,
        report: Report<'_>,
        rows: &MachineRows,
    ) -> Result<GpusTaken> {
        let there = |gpu: &Gpu| gpu.health != GpuHealth::Gone;
        let Some(found) = &report.inventory.gpus else {
            let (is_there, not): (Vec<&Gpu>, Vec<&Gpu>) =
                rows.gpus.iter().map(|(_, gpu)| gpu).partition(|gpu| there(gpu));
            let held_of_gone = not.iter().map(|gpu| gpu.used_milli.get()).sum();
            let model = rows.node.1.gpu_model.clone();
            return Ok(GpusTaken { there: is_there.len(), held_of_gone, model, gone: Vec::new() });
        };
        let known: Vec<KnownGpu<'_>> = rows
            .gpus
            .iter()
            .map(|(_, gpu)| KnownGpu { key: gpu.key.as_deref(), model: &gpu.model, health: gpu.health })
            .collect();
        let (changes, new) = match_gpus(&known, found);
        let model = model_of(rows.node.1.gpu_model.as_deref(), found);
        let mut gone = Vec::new();
        let (mut kept, mut held_of_gone) = (0, 0);
        for ((row, gpu), change) in rows.gpus.iter().zip(&changes) {
            let unused = gpu.used_milli.is_zero();
            match change {
                GpuChange::Is(at) => {
                    let Some(found) = found.get(*at) else { continue };
                    kept += 1;
                    change_gpu(batch, (row, gpu), &seen(gpu, found, model.as_deref()), rows.now);
                }
                // It was only ever registered, and is not what the machine has.
                GpuChange::Gone if unused && gpu.key.is_none() => {
                    batch.push(Write::delete(&GPUS, gpu.id, row.revision()));
                }
                // The place of what is gone and nobody's is needed for what is there.
                GpuChange::Gone if unused && !there(gpu) && rows.gpus.len() + new.len() > most() => {
                    batch.push(Write::delete(&GPUS, gpu.id, row.revision()));
                }
                GpuChange::Gone => {
                    kept += 1;
                    held_of_gone += gpu.used_milli.get();
                    if there(gpu) {
                        let gone_quarantined = gpu.health == GpuHealth::Quarantined;
                        let now_gone = Gpu { health: GpuHealth::Gone, gone_quarantined, ..gpu.clone() };
                        change_gpu(batch, (row, gpu), &now_gone, rows.now);
                        gone.push((gpu.id, self.signal_gone(batch, gpu, rows.now).await?));
                    }
                }
            }
        }
        if kept + new.len() > most() {
            let reason = format!("with those that are gone and still held the node has more than {MAX_GPUS}");
            return Err(Error::invalid("gpus", reason));
        }
        let first = rows.gpus.iter().map(|(_, gpu)| gpu.slot + 1).max().unwrap_or(0);
        for (slot, found) in (first..).zip(new.iter().filter_map(|at| found.get(*at))) {
            let gpu = self.new_gpu(report, found, slot, model.as_deref(), rows.now);
            batch.push(Write::Insert(gpu.to_row()));
        }
        Ok(GpusTaken { there: found.len(), held_of_gone, model, gone })
    }

    fn new_gpu(
        &self,
        report: Report<'_>,
        found: &FoundGpu,
        slot: u32,
        model: Option<&str>,
        now: Timestamp,
    ) -> Gpu {
        Gpu {
            id: self.new_id().into(),
            node_id: Some(report.node),
            slot,
            key: Some(found.key.clone()),
            model: found.model.clone(),
            memory_mib: found.memory_mib,
            health: if model == Some(&found.model) { GpuHealth::Healthy } else { GpuHealth::Quarantined },
            used_milli: GpuMilli::ZERO,
            instance_id: None,
            created_at: now,
            updated_at: now,
            gone_quarantined: false,
            provider: None,
        }
    }

    /// Tells who holds a GPU that is gone, in the audit trail and so in the feed, and answers whom.
    async fn signal_gone(&self, batch: &mut Batch, gpu: &Gpu, now: Timestamp) -> Result<Vec<InstanceId>> {
        if gpu.used_milli.is_zero() {
            return Ok(Vec::new());
        }
        let mut holders = Vec::new();
        let of_gpu = Scan::of(&GPU_BINDINGS).by("gpu_bindings_gpu").with(gpu.id);
        for row in self.store.scan_all(of_gpu).await? {
            let holder = row.id::<Instance>("held_by")?;
            let description = format!("gpu {} of its node is gone", gpu.slot);
            let happened = Happened {
                operation: "gpu.gone",
                actor: None,
                kind: Instance::KIND,
                subject: holder.uuid(),
                description: &description,
            };
            batch.push(self.log(happened, now));
            holders.push(holder);
        }
        Ok(holders)
    }
}

/// What came of the GPUs of a report.
struct GpusTaken {
    /// How many there are.
    there: usize,
    /// How much is still held of those that are gone.
    held_of_gone: i64,
    /// The model that the node is said to have.
    model: Option<String>,
    /// Those that vanished, and who holds them.
    gone: Vec<(GpuId, Vec<InstanceId>)>,
}

const fn most() -> usize {
    MAX_GPUS as usize
}

/// The model of a node's GPUs: what it was, while there is one of it; otherwise that of the first one.
fn model_of(before: Option<&str>, found: &[FoundGpu]) -> Option<String> {
    let same = before.filter(|model| found.is_empty() || found.iter().any(|gpu| gpu.model == *model));
    same.or_else(|| found.first().map(|gpu| gpu.model.as_str())).map(str::to_owned)
}

/// A GPU that was found again. Back, it is what it was when it vanished; what an operator has quarantined stays so.
fn seen(gpu: &Gpu, found: &FoundGpu, model: Option<&str>) -> Gpu {
    let fits = model == Some(&found.model);
    Gpu {
        key: Some(found.key.clone()),
        model: found.model.clone(),
        memory_mib: found.memory_mib.or(gpu.memory_mib),
        health: match gpu.health {
            _ if !fits => GpuHealth::Quarantined,
            GpuHealth::Gone if gpu.gone_quarantined => GpuHealth::Quarantined,
            GpuHealth::Gone => GpuHealth::Healthy,
            health => health,
        },
        gone_quarantined: false,
        ..gpu.clone()
    }
}

fn change_gpu(batch: &mut Batch, (row, before): (&Row, &Gpu), after: &Gpu, now: Timestamp) {
    if after != before {
        let after = Gpu { updated_at: now, ..after.clone() };
        batch.push(Write::update(&GPUS, after.id, row.revision(), after.plain()));
    }
}

fn take_profile(batch: &mut Batch, found: &Inventory, rows: &MachineRows, model: Option<String>) {
    let (row, before) = &rows.node;
    let or = |new: &Option<String>, old: &Option<String>| new.clone().or_else(|| old.clone());
    let after = ComputeNode {
        arch: or(&found.arch, &before.arch),
        platform: or(&found.platform, &before.platform),
        cpu_info: or(&found.cpu_info, &before.cpu_info),
        manipulator_driver: or(&found.manipulator_driver, &before.manipulator_driver),
        gpu_driver: found.gpu_driver.or(before.gpu_driver),
        gpu_info: or(&found.gpu_info, &before.gpu_info),
        gpu_model: model,
        ipv4: found.ipv4.or(before.ipv4),
        ipv6: found.ipv6.or(before.ipv6),
        ipv4_ports: found.ipv4_ports.clone().or_else(|| before.ipv4_ports.clone()),
        ipv6_ports: found.ipv6_ports.clone().or_else(|| before.ipv6_ports.clone()),
        ..before.clone()
    };
    let free = |node: &ComputeNode| node.free_storage_mib.map(i64::from);
    let measured = found.free_storage_mib.map(i64::from);
    let moved = match (measured, free(before)) {
        (Some(new), Some(old)) => new.abs_diff(old) > FREE_STORAGE_STEP_MIB.unsigned_abs(),
        (new, _) => new.is_some(),
    };
    if after != *before || moved {
        let free_storage_mib = found.free_storage_mib.or(before.free_storage_mib);
        let after = ComputeNode { free_storage_mib, updated_at: rows.now, ..after };
        batch.push(Write::update(&COMPUTE_NODES, after.id, row.revision(), after.plain()));
    }
}

fn take_totals(batch: &mut Batch, found: &Inventory, rows: &MachineRows, gpus: &GpusTaken) {
    let (row, before) = &rows.ledger;
    let there = u32::try_from(gpus.there).unwrap_or(u32::MAX);
    let there = GpuMilli::WHOLE.checked_mul(there);
    // What is held of a GPU that is gone is over, and takes nothing away of those that are there.
    let all = there.and_then(|there| there.checked_add(GpuMilli::new(gpus.held_of_gone).ok()?));
    let after = NodeLedger {
        cpu_milli_total: found.cpu_milli.unwrap_or(before.cpu_milli_total),
        memory_mib_total: found.memory_mib.unwrap_or(before.memory_mib_total),
        storage_mib_total: found.storage_mib.unwrap_or(before.storage_mib_total),
        gpu_milli_total: all.unwrap_or(before.gpu_milli_total),
        ..before.clone()
    };
    if after != *before {
        batch.push(Write::update(&NODE_LEDGERS, after.node_id, row.revision(), after.plain()));
    }
}
