//! What an account may use and uses: [`Quota`], [`Limits`].

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::field::entity;
use super::user::UserId;
use super::{Entity, Entry, Repositories};
use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
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
    /// Processor time held by instances.
    pub cpu_milli: CpuMilli,
    /// The most processor time; `None` where only the hardware limits it.
    pub cpu_milli_limit: Option<CpuMilli>,
    /// Memory held by instances.
    pub memory_mib: MemoryMib,
    /// The most memory; `None` where only the hardware limits it.
    pub memory_mib_limit: Option<MemoryMib>,
    /// Disk space held by instances.
    pub storage_mib: StorageMib,
    /// The most disk space; `None` where only the hardware limits it.
    pub storage_mib_limit: Option<StorageMib>,
    /// Trainings that exist.
    pub trainings: u32,
    /// The most trainings.
    pub training_limit: u32,
    /// Training runs that have not ended.
    pub runs: u32,
    /// The most training runs that have not ended.
    pub run_limit: u32,
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
            cpu_milli: CpuMilli::ZERO,
            cpu_milli_limit: limits.cpu_milli_limit,
            memory_mib: MemoryMib::ZERO,
            memory_mib_limit: limits.memory_mib_limit,
            storage_mib: StorageMib::ZERO,
            storage_mib_limit: limits.storage_mib_limit,
            trainings: 0,
            training_limit: limits.training_limit,
            runs: 0,
            run_limit: limits.run_limit,
        }
    }

    /// The same use with other limits.
    #[must_use]
    pub const fn with_limits(self, limits: Limits) -> Self {
        Self {
            account_id: self.account_id,
            instances: self.instances,
            nodes: self.nodes,
            gpu_milli: self.gpu_milli,
            cpu_milli: self.cpu_milli,
            memory_mib: self.memory_mib,
            storage_mib: self.storage_mib,
            trainings: self.trainings,
            runs: self.runs,
            ..Self::unused(self.account_id, limits)
        }
    }

    /// What it may use.
    pub const fn limits(&self) -> Limits {
        Limits {
            instance_limit: self.instance_limit,
            node_limit: self.node_limit,
            gpu_milli_limit: self.gpu_milli_limit,
            cpu_milli_limit: self.cpu_milli_limit,
            memory_mib_limit: self.memory_mib_limit,
            storage_mib_limit: self.storage_mib_limit,
            training_limit: self.training_limit,
            run_limit: self.run_limit,
        }
    }
}

/// What an account may use.
///
/// More limits may come: begin with [`Limits::default`] and set what is another, by the methods or with `..`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// The most instances: 10 unless said.
    pub instance_limit: u32,
    /// The most nodes: 3 unless said.
    pub node_limit: u32,
    /// The most GPU thousandths: no limit unless said.
    pub gpu_milli_limit: Option<GpuMilli>,
    /// The most processor time: no limit unless said.
    pub cpu_milli_limit: Option<CpuMilli>,
    /// The most memory: no limit unless said.
    pub memory_mib_limit: Option<MemoryMib>,
    /// The most disk space: no limit unless said.
    pub storage_mib_limit: Option<StorageMib>,
    /// The most trainings: 100 unless said.
    pub training_limit: u32,
    /// The most training runs that have not ended: 100 unless said.
    pub run_limit: u32,
}

impl Limits {
    /// Limits the instances.
    #[must_use]
    pub const fn instances(mut self, most: u32) -> Self {
        self.instance_limit = most;
        self
    }

    /// Limits the nodes.
    #[must_use]
    pub const fn nodes(mut self, most: u32) -> Self {
        self.node_limit = most;
        self
    }

    /// Limits the GPU thousandths.
    #[must_use]
    pub const fn gpu(mut self, most: GpuMilli) -> Self {
        self.gpu_milli_limit = Some(most);
        self
    }

    /// Limits the processor time.
    #[must_use]
    pub const fn cpu(mut self, most: CpuMilli) -> Self {
        self.cpu_milli_limit = Some(most);
        self
    }

    /// Limits the memory.
    #[must_use]
    pub const fn memory(mut self, most: MemoryMib) -> Self {
        self.memory_mib_limit = Some(most);
        self
    }

    /// Limits the disk space.
    #[must_use]
    pub const fn storage(mut self, most: StorageMib) -> Self {
        self.storage_mib_limit = Some(most);
        self
    }

    /// Limits the trainings.
    #[must_use]
    pub const fn trainings(mut self, most: u32) -> Self {
        self.training_limit = most;
        self
    }

    /// Limits the training runs that have not ended.
    #[must_use]
    pub const fn runs(mut self, most: u32) -> Self {
        self.run_limit = most;
        self
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            instance_limit: 10,
            node_limit: 3,
            gpu_milli_limit: None,
            cpu_milli_limit: None,
            memory_mib_limit: None,
            storage_mib_limit: None,
            training_limit: 100,
            run_limit: 100,
        }
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
        Column::int("cpu_milli").counter().default(Fixed::Int(0)),
        Column::int("cpu_milli_limit").nullable(),
        Column::int("memory_mib").counter().default(Fixed::Int(0)),
        Column::int("memory_mib_limit").nullable(),
        Column::int("storage_mib").counter().default(Fixed::Int(0)),
        Column::int("storage_mib_limit").nullable(),
        Column::int("trainings").counter().default(Fixed::Int(0)),
        Column::int("training_limit").default(Fixed::Int(100)),
        Column::int("runs").counter().default(Fixed::Int(0)),
        Column::int("run_limit").default(Fixed::Int(100)),
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
    Invariant::at_least("quotas_cpu_milli_not_negative", "cpu_milli", 0),
    Invariant::at_least("quotas_cpu_milli_limit_not_negative", "cpu_milli_limit", 0),
    Invariant::at_least("quotas_memory_mib_not_negative", "memory_mib", 0),
    Invariant::at_least("quotas_memory_mib_limit_not_negative", "memory_mib_limit", 0),
    Invariant::at_least("quotas_storage_mib_not_negative", "storage_mib", 0),
    Invariant::at_least("quotas_storage_mib_limit_not_negative", "storage_mib_limit", 0),
    Invariant::at_least("quotas_trainings_not_negative", "trainings", 0),
    Invariant::at_least("quotas_training_limit_not_negative", "training_limit", 0),
    Invariant::at_least("quotas_runs_not_negative", "runs", 0),
    Invariant::at_least("quotas_run_limit_not_negative", "run_limit", 0),
])
// Named as callers know the limits: the names are in `QuotaExceeded`.
.ceilings(&[
    Ceiling::column("instance_limit", "instances", "instance_limit"),
    Ceiling::column("node_limit", "nodes", "node_limit"),
    Ceiling::column("gpu_milli_limit", "gpu_milli", "gpu_milli_limit"),
    Ceiling::column("cpu_milli_limit", "cpu_milli", "cpu_milli_limit"),
    Ceiling::column("memory_mib_limit", "memory_mib", "memory_mib_limit"),
    Ceiling::column("storage_mib_limit", "storage_mib", "storage_mib_limit"),
    Ceiling::column("training_limit", "trainings", "training_limit"),
    Ceiling::column("run_limit", "runs", "run_limit"),
]);

entity!(Quota, "quota", QUOTAS {
    fixed: account_id;
    plain: instance_limit, node_limit, gpu_milli_limit, cpu_milli_limit, memory_mib_limit, storage_mib_limit,
        training_limit, run_limit;
    counters: instances, nodes, gpu_milli, cpu_milli, memory_mib, storage_mib, trainings, runs;
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
        // Every plain column is a limit.
        let set = Quota::unused(account, limits).plain();
        self.update_columns::<Quota>(account.into(), revision, set).await
    }
}

impl Repositories {
    /// The repository of [`Quota`]s.
    pub fn quotas(&self) -> &dyn QuotaRepository {
        self
    }
}
