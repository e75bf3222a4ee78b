//! One GPU of a node: [`Gpu`].

use serde::{Deserialize, Serialize};

use super::compute_node::NodeId;
use super::field::entity;
use super::text::text_enum;
use crate::amount::{GpuMilli, MemoryMib};
use crate::id::Id;
use crate::store::{Column, Fixed, Invariant, Reference, Table, Unique};
use crate::time::Timestamp;

/// The id of a [`Gpu`].
pub type GpuId = Id<Gpu>;

/// One GPU: a device of a node, or a rented machine whose node is not known yet.
///
/// Who holds it is in [`GpuBinding`](super::GpuBinding).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gpu {
    /// The id, chosen by the caller.
    pub id: GpuId,
    /// The node that it is in.
    pub node_id: Option<NodeId>,
    /// Its number in the node, from 0.
    pub slot: u32,
    /// Its model, at most 64 bytes.
    pub model: String,
    /// Its own memory.
    pub memory_mib: Option<MemoryMib>,
    /// Whether it works.
    pub health: GpuHealth,
    /// What is held of it, at most 1000. Changed by operations only.
    pub used_milli: GpuMilli,
    /// The id of the rental at its provider, at most 128 bytes; no two GPUs share one.
    pub instance_id: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed, its use aside.
    pub updated_at: Timestamp,
}

text_enum!(
    /// Whether a GPU works.
    GpuHealth, "health" {
        /// It works.
        Healthy = "healthy",
        /// It takes no new work; what holds it keeps it.
        Quarantined = "quarantined",
        /// It is no longer there.
        Gone = "gone",
    }
);

/// The table of [`Gpu`].
pub static GPUS: Table = Table::new(
    "gpus",
    &[
        Column::uuid("id"),
        Column::uuid("node_id").nullable(),
        Column::int("slot"),
        Column::text("model", 64),
        Column::int("memory_mib").nullable(),
        Column::text("health", 32),
        Column::int("used_milli").counter().default(Fixed::Int(0)),
        Column::text("instance_id", 128).nullable(),
        Column::time("created_at").immutable(),
        Column::time("updated_at"),
    ],
    &["id"],
)
.uniques(&[
    Unique::new("gpus_node_slot", &["node_id", "slot"]),
    Unique::new("gpus_instance_id", &["instance_id"]),
])
.references(&[Reference::new("gpus_node", &["node_id"], "compute_nodes")])
.invariants(&[
    Invariant::at_least("gpus_slot_not_negative", "slot", 0),
    Invariant::at_least("gpus_memory_not_negative", "memory_mib", 0),
    Invariant::one_of("gpus_health", "health", GpuHealth::TEXTS),
    Invariant::at_least("gpus_used_not_negative", "used_milli", 0),
    Invariant::at_most("gpus_used_at_most_whole", "used_milli", 1000),
]);

entity!(Gpu, "gpu", GPUS {
    fixed: id, created_at;
    plain: node_id, slot, model, memory_mib, health, instance_id, updated_at;
    counters: used_milli;
});
