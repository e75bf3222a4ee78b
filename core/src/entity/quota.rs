//! What an account may use and uses: [`Quota`], [`Limits`].

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::field::{Field, entity};
use super::user::UserId;
use super::{Entity, Entry, Repositories};
use crate::amount::GpuMilli;
use crate::error::{Error, Result};
use crate::store::{Ceiling, Column, Fixed, Invariant, Reference, Table};

/// The id of an account: by default the id of the user whose it is.
pub type AccountId = UserId;

/// What an account may use, and what it uses.
///
/// Use is changed by operations only, in the batch that makes what is used. A limit may be lowered below the use:
/// nothing is taken away, and nothing more is given until the use is below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// The account.
    pub account_id: AccountId,
    /// Instances that exist, whether they run or not.
    pub instances: u32,
    /// The most instances.
    pub instance_limit: u32,
    /// Nodes that the account owns.
    pub nodes: u32,
    /// The most nodes.
    pub node_limit: u32,
    /// GPU thousandths held by instances.
    pub gpu_milli: GpuMilli,
    /// The most GPU thousandths; `None` where only the hardware limits them.
    pub gpu_milli_limit: Option<GpuMilli>,
}

impl Quota {
    /// An account that uses nothing.
    pub const fn unused(account_id: AccountId, limits: Limits) -> Self {
        Self {
            account_id,
            instances: 0,
            instance_limit: limits.instance_limit,
            nodes: 0,
            node_limit: limits.node_limit,
            gpu_milli: GpuMilli::ZERO,
            gpu_milli_limit: limits.gpu_milli_limit,
        }
    }

    /// What it may use.
    pub const fn limits(&self) -> Limits {
        Limits {
            instance_limit: self.instance_limit,
            node_limit: self.node_limit,
            gpu_milli_limit: self.gpu_milli_limit,
        }
    }
}

/// What an account may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// The most instances: 10 unless said.
    pub instance_limit: u32,
    /// The most nodes: 3 unless said.
    pub node_limit: u32,
    /// The most GPU thousandths: no limit unless said.
    pub gpu_milli_limit: Option<GpuMilli>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { instance_limit: 10, node_limit: 3, gpu_milli_limit: None }
    }
}

/// The table of [`Quota`].
pub static QUOTAS: Table = Table::new(
    "quotas",
    &[
        Column::uuid("account_id"),
        Column::int("instances").counter().default(Fixed::Int(0)),
        Column::int("instance_limit"),
        Column::int("nodes").counter().default(Fixed::Int(0)),
        Column::int("node_limit"),
        Column::int("gpu_milli").counter().default(Fixed::Int(0)),
        Column::int("gpu_milli_limit").nullable(),
    ],
    &["account_id"],
)
.references(&[Reference::new("quotas_user", &["account_id"], "users")])
.invariants(&[
    Invariant::at_least("quotas_instances_not_negative", "instances", 0),
    Invariant::at_least("quotas_instance_limit_not_negative", "instance_limit", 0),
    Invariant::at_least("quotas_nodes_not_negative", "nodes", 0),
    Invariant::at_least("quotas_node_limit_not_negative", "node_limit", 0),
    Invariant::at_least("quotas_gpu_milli_not_negative", "gpu_milli", 0),
    Invariant::at_least("quotas_gpu_milli_limit_not_negative", "gpu_milli_limit", 0),
])
// Named as callers know the limits: the names are in `QuotaExceeded`.
.ceilings(&[
    Ceiling::column("instance_limit", "instances", "instance_limit"),
    Ceiling::column("node_limit", "nodes", "node_limit"),
    Ceiling::column("gpu_milli_limit", "gpu_milli", "gpu_milli_limit"),
]);

entity!(Quota, "quota", QUOTAS {
    fixed: account_id;
    plain: instance_limit, node_limit, gpu_milli_limit;
    counters: instances, nodes, gpu_milli;
});

/// Where [`Quota`]s are kept. They are made and deleted with their users, and charged by operations.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait QuotaRepository: Send + Sync {
    /// That of an account.
    async fn get(&self, account: AccountId) -> Result<Option<Entry<Quota>>>;

    /// That of an account, or `NotFound`.
    async fn require(&self, account: AccountId) -> Result<Entry<Quota>> {
        self.get(account).await?.ok_or_else(|| Error::not_found(Quota::KIND, account))
    }

    /// Sets the limits of the one that still has this revision, also below what is used. Use changes no revision.
    async fn set_limits(&self, account: AccountId, limits: Limits, revision: i64) -> Result<()>;
}

#[async_trait]
impl QuotaRepository for Repositories {
    async fn get(&self, account: AccountId) -> Result<Option<Entry<Quota>>> {
        self.get_entry(account).await
    }

    async fn set_limits(&self, account: AccountId, limits: Limits, revision: i64) -> Result<()> {
        let set = vec![
            ("instance_limit", limits.instance_limit.to_value()),
            ("node_limit", limits.node_limit.to_value()),
            ("gpu_milli_limit", limits.gpu_milli_limit.to_value()),
        ];
        self.update_columns::<Quota>(account.into(), revision, set).await
    }
}

impl Repositories {
    /// The repository of [`Quota`]s.
    pub fn quotas(&self) -> &dyn QuotaRepository {
        self
    }
}
