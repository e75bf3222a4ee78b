//! One GPU of a node: [`Gpu`].

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::compute_node::NodeId;
use super::field::{Field, entity};
use super::text::text_enum;
use super::{Entity, Entry, ListPage, PageRequest, Repositories};
use crate::amount::{GpuMilli, MemoryMib};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::store::{Column, Fixed, Invariant, Reference, Scan, Table, Test, Unique};
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
    /// The name that its driver gives it, such as a UUID, at most 128 bytes; no two of a node share one. `None` until it is
    /// reported.
    pub key: Option<String>,
    /// Its model, at most 64 bytes.
    pub model: String,
    /// Its own memory.
    pub memory_mib: Option<MemoryMib>,
    /// Whether it works.
    pub health: GpuHealth,
    /// What is held of it, at most 1000. Changed by operations only.
    pub used_milli: GpuMilli,
    /// The id of the rental at its provider, at most 128 bytes; no two GPUs of a provider share one.
    pub instance_id: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed, its use aside.
    pub updated_at: Timestamp,
    /// Whether it was quarantined when it vanished, so that it is again when it comes back.
    pub gone_quarantined: bool,
    /// The provider that it is rented of, at most 64 bytes.
    pub provider: Option<String>,
}

text_enum!(
    /// Whether a GPU works.
    GpuHealth, "health" {
        /// It works.
        Healthy = "healthy",
        /// It takes no new work; what holds it keeps it. Until an operator says otherwise: also where it vanishes and comes back.
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
        Column::text("key", 128).nullable(),
        Column::bool("gone_quarantined").default(Fixed::Bool(false)),
        Column::text("provider", 64).nullable(),
    ],
    &["id"],
)
.uniques(&[
    Unique::new("gpus_node_slot", &["node_id", "slot"]),
    Unique::new("gpus_node_key", &["node_id", "key"]),
    Unique::new("gpus_rental", &["provider", "instance_id"]),
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
    plain: node_id, slot, key, model, memory_mib, health, instance_id, updated_at, gone_quarantined, provider;
    counters: used_milli;
});

/// Which GPUs a list gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GpuFilter {
    /// Only those of this node, in the order of their slots.
    pub node_id: Option<NodeId>,
    /// Only those of this health.
    pub health: Option<GpuHealth>,
}

/// Where [`Gpu`]s are kept.
///
/// They are made with their node, and what is held of them is changed by operations only.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait GpuRepository: Send + Sync {
    /// The one with this id.
    async fn get(&self, id: GpuId) -> Result<Option<Entry<Gpu>>>;

    /// The one with this id, or `NotFound`.
    async fn require(&self, id: GpuId) -> Result<Entry<Gpu>> {
        self.get(id).await?.ok_or_else(|| Error::not_found(Gpu::KIND, id))
    }

    /// Sets the health of the one that still has this revision. What holds it keeps it.
    async fn set_health(&self, id: GpuId, health: GpuHealth, at: Timestamp, revision: i64) -> Result<()>;

    /// A page, in the order of ids, or of one node's slots.
    async fn list(&self, filter: GpuFilter, page: PageRequest) -> Result<ListPage<Gpu>>;
}

#[async_trait]
impl GpuRepository for Repositories {
    async fn get(&self, id: GpuId) -> Result<Option<Entry<Gpu>>> {
        self.get_entry(id).await
    }

    async fn set_health(&self, id: GpuId, health: GpuHealth, at: Timestamp, revision: i64) -> Result<()> {
        let set = vec![("health", health.to_value()), ("updated_at", at.into())];
        self.update_columns::<Gpu>(id.into(), revision, set).await
    }

    async fn list(&self, filter: GpuFilter, page: PageRequest) -> Result<ListPage<Gpu>> {
        let mut scan = match filter.node_id {
            Some(node) => Scan::of(&GPUS).by("gpus_node_slot").with(node),
            None => Scan::of(&GPUS),
        };
        if let Some(health) = filter.health {
            scan = scan.test(Test::eq("health", health.to_value()));
        }
        self.list_entries(scan, page).await
    }
}

impl Repositories {
    /// The repository of [`Gpu`]s.
    pub fn gpus(&self) -> &dyn GpuRepository {
        self
    }
}
