//! What a lease holds of a GPU: [`LeaseGpu`].

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::field::entity;
use super::gpu::GpuId;
use super::gpu_lease::LeaseId;
use super::{Entity, Entry, ListPage, PageRequest, Repositories};
use crate::amount::GpuMilli;
use crate::error::{Error, Result};
use crate::store::{Column, Invariant, Reference, Scan, Table, Test};

/// What a lease holds of a GPU. Released, it keeps what was held and pins no GPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseGpu {
    /// The lease.
    pub lease_id: LeaseId,
    /// The GPU that it is or was of.
    pub of_gpu: GpuId,
    /// The GPU; `None` when released.
    pub gpu_id: Option<GpuId>,
    /// How much of it, from 1 to 1000: the sum over the members of the run that share it.
    pub milli: GpuMilli,
}

/// The table of [`LeaseGpu`].
pub static LEASE_GPUS: Table = Table::new(
    "lease_gpus",
    &[
        Column::uuid("lease_id"),
        Column::uuid("of_gpu"),
        Column::uuid("gpu_id").nullable(),
        Column::int("milli").immutable(),
    ],
    &["lease_id", "of_gpu"],
)
.references(&[
    Reference::new("lease_gpus_lease", &["lease_id"], "gpu_leases"),
    Reference::new("lease_gpus_gpu", &["gpu_id"], "gpus"),
])
.invariants(&[
    Invariant::at_least("lease_gpus_milli_positive", "milli", 1),
    Invariant::at_most("lease_gpus_milli_at_most_whole", "milli", 1000),
]);

entity!(LeaseGpu, "lease_gpu", LEASE_GPUS {
    fixed: lease_id, of_gpu, milli;
    plain: gpu_id;
});

/// Which of them a list gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseGpuFilter {
    /// Only what this lease holds, or held.
    pub lease_id: Option<LeaseId>,
    /// Only what is held of this GPU: what was held of it pins no GPU.
    pub gpu_id: Option<GpuId>,
}

/// Where [`LeaseGpu`]s are kept. They come and go with their leases.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait LeaseGpuRepository: Send + Sync {
    /// What a lease holds, or held, of a GPU.
    async fn get(&self, lease_id: LeaseId, of_gpu: GpuId) -> Result<Option<Entry<LeaseGpu>>>;

    /// What a lease holds, or held, of a GPU, or `NotFound`.
    async fn require(&self, lease_id: LeaseId, of_gpu: GpuId) -> Result<Entry<LeaseGpu>> {
        self.get(lease_id, of_gpu)
            .await?
            .ok_or_else(|| Error::not_found(LeaseGpu::KIND, format!("{lease_id} {of_gpu}")))
    }

    /// A page: a GPU's in the order of leases, otherwise in the order of leases and GPUs.
    async fn list(&self, filter: LeaseGpuFilter, page: PageRequest) -> Result<ListPage<LeaseGpu>>;
}

#[async_trait]
impl LeaseGpuRepository for Repositories {
    async fn get(&self, lease_id: LeaseId, of_gpu: GpuId) -> Result<Option<Entry<LeaseGpu>>> {
        self.get_entry((lease_id, of_gpu)).await
    }

    async fn list(&self, filter: LeaseGpuFilter, page: PageRequest) -> Result<ListPage<LeaseGpu>> {
        let all = Scan::of(&LEASE_GPUS);
        let scan = match (filter.lease_id, filter.gpu_id) {
            (Some(lease), None) => all.with(lease),
            (Some(lease), Some(gpu)) => all.with(lease).test(Test::eq("gpu_id", gpu)),
            (None, Some(gpu)) => all.by("lease_gpus_gpu").with(gpu),
            (None, None) => all,
        };
        self.list_entries(scan, page).await
    }
}

impl Repositories {
    /// The repository of [`LeaseGpu`]s.
    pub fn lease_gpus(&self) -> &dyn LeaseGpuRepository {
        self
    }
}
