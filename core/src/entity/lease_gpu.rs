//! What a lease holds of a GPU: [`LeaseGpu`].

use serde::{Deserialize, Serialize};

use super::field::entity;
use super::gpu::GpuId;
use super::gpu_lease::LeaseId;
use crate::amount::GpuMilli;
use crate::store::{Column, Invariant, Reference, Table};

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
