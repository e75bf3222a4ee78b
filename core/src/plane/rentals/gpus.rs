//! The GPUs of a rented machine: they are there while it is.

use super::{ControlPlane, Held};
use crate::amount::GpuMilli;
use crate::entity::{Entity as _, GPU_LEASES, GPUS, Gpu, GpuHealth, LEASE_GPUS, LeaseGpu, RENTALS, Rental};
use crate::error::{Error, Result};
use crate::plane::retry::lost_race;
use crate::store::{Batch, Row, Scan, StoreExt as _, Value, Write};

const WHOLE: GpuMilli = GpuMilli::from_u32(1000);

/// What the GPUs of a machine are called: by its name, and their numbers where there are several.
fn names(rental: &Rental, instance: &str) -> Vec<String> {
    match rental.gpus {
        1 => vec![instance.to_owned()],
        gpus => (0..gpus).map(|slot| format!("{instance}/{slot}")).collect(),
    }
}

impl ControlPlane {
    /// Adds the GPUs of a machine, all of them held by its lease. Where they are there already, nothing.
    pub(super) async fn gpus_appear(&self, batch: &mut Batch, held: &Held, instance: &str) -> Result<()> {
        if !self.gpus_of(&held.rental, instance).await?.is_empty() {
            return Ok(());
        }
        for (slot, name) in (0_u32..).zip(names(&held.rental, instance)) {
            let gpu = Gpu {
                id: self.new_id().into(),
                node_id: None,
                slot,
                key: None,
                model: held.rental.gpu_model.clone(),
                memory_mib: None,
                health: GpuHealth::Healthy,
                used_milli: WHOLE,
                instance_id: Some(name),
                created_at: held.now,
                updated_at: held.now,
                gone_quarantined: false,
                provider: Some(held.rental.provider.clone()),
            };
            let (lease_id, of_gpu, gpu_id) = (held.lease.id, gpu.id, Some(gpu.id));
            batch.push(Write::Insert(gpu.to_row()));
            batch.push(Write::Insert(LeaseGpu { lease_id, of_gpu, gpu_id, milli: WHOLE }.to_row()));
        }
        // Who releases the lease has read what it holds: so its row changes where it comes to hold more.
        let lease = &held.lease;
        batch.push(Write::update(&GPU_LEASES, lease.id, lease.revision, lease.plain()));
        Ok(())
    }

    /// Removes the GPUs of a machine that is gone, in a batch of its own: from then on nothing holds them. `false` where somebody
    /// else changed something meanwhile.
    pub(super) async fn gpus_disappear(&self, held: &Held) -> Result<bool> {
        let Some(instance) = held.rental.instance_id.as_deref() else { return Ok(true) };
        let gpus = self.gpus_of(&held.rental, instance).await?;
        if gpus.is_empty() {
            return Ok(true);
        }
        let mut batch = self.batch("rental.gpus_gone");
        let of_gpu = |gpu: &Row| Ok(Scan::of(&LEASE_GPUS).by("lease_gpus_gpu").with(gpu.id::<Gpu>("id")?));
        let holders = gpus.iter().map(of_gpu).collect::<Result<Vec<_>>>()?;
        let holders = self.store.scan_many(holders).await?.value;
        for holder in holders.iter().flat_map(|page| &page.rows) {
            let set = vec![("gpu_id", Value::Null)];
            batch.push(Write::update(&LEASE_GPUS, holder.key(), holder.revision(), set));
        }
        for gpu in &gpus {
            batch.push(Write::delete(&GPUS, gpu.key(), gpu.revision()));
        }
        batch.push(Write::guard(&RENTALS, held.rental.id, held.rental.revision));
        match self.store.commit(batch).await {
            Ok(_) => Ok(true),
            Err(error) if lost_race(&error) => Ok(false),
            Err(error) => Err(Error::of_store(Gpu::KIND, error)),
        }
    }

    /// The GPUs of a machine that are there: what its lease came to hold with it.
    async fn gpus_of(&self, rental: &Rental, instance: &str) -> Result<Vec<Row>> {
        let held = self.store.scan_all(Scan::of(&LEASE_GPUS).with(rental.of_lease)).await?;
        let keys = held.iter().map(|held| Ok((&GPUS, held.id::<Gpu>("of_gpu")?.into())));
        let rows = self.store.get_many(keys.collect::<Result<_>>()?).await?.value;
        let names = names(rental, instance);
        let is_of_it =
            |row: &Row| row.text("instance_id").is_ok_and(|name| names.iter().any(|own| own == name));
        Ok(rows.into_iter().flatten().filter(is_of_it).collect())
    }
}
