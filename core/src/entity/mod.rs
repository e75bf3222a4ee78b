//! What the control plane keeps: one file an entity, each with its table, its mapping and its repository.

#[cfg(feature = "conformance")]
pub mod checks;
#[cfg(any(test, feature = "conformance"))]
mod samples;

mod compute_node;
mod field;
mod gpu;
mod gpu_binding;
mod image;
mod instance;
mod instance_state;
mod log;
mod login_retries;
mod managed_instance;
mod node_ledger;
mod node_lifecycle;
mod port_map;
mod quota;
mod repository;
mod test_a;
mod test_b;
#[cfg(test)]
mod tests;
mod text;
mod user;
mod user_access;

pub use compute_node::{
    COMPUTE_NODES, ComputeNode, ComputeNodeFilter, ComputeNodeRepository, GpuDriver, NodeId,
};
pub use gpu::{GPUS, Gpu, GpuFilter, GpuHealth, GpuId, GpuRepository};
pub use gpu_binding::{BindingState, GPU_BINDINGS, GpuBinding, GpuBindingId};
pub use image::{IMAGES, Image, ImageFilter, ImageId, ImageRepository, ImageStatus};
pub use instance::{INSTANCES, Instance, InstanceFilter, InstanceId, InstanceRepository, NetworkMode};
pub use instance_state::{InstanceEvent, InstanceState};
pub use log::{LOGS, Log, LogFilter, LogId, LogRepository};
pub use login_retries::{LOGIN_RETRIES, LoginRetries};
pub use managed_instance::{
    MANAGED_INSTANCES, ManagedInstance, ManagedInstanceFilter, ManagedInstanceId, ManagedInstanceRepository,
};
pub use node_ledger::{NODE_LEDGERS, NodeLedger, NodeLedgerRepository};
pub use node_lifecycle::{NODE_LIFECYCLES, NodeEvent, NodeLifecycle, NodeState};
pub use port_map::{PORT_MAPS, PortMap, PortMapFilter, PortMapId, PortMapRepository};
pub use quota::{AccountId, Limits, QUOTAS, Quota, QuotaRepository};
pub use repository::{Entry, ListPage, PageRequest, Repositories};
pub use test_a::{TEST_A, TestA, TestAFilter, TestARepository};
pub use test_b::{TEST_B, TestB, TestBFilter, TestBRepository};
pub use text::{DisplayName, Email, InstanceName, NodeName, SecretText};
pub use user::{USERS, User, UserFilter, UserId, UserPermission, UserRepository};
pub use user_access::{AccessState, USER_ACCESS, UserAccess, UserAccessRepository};

#[cfg(feature = "mock")]
mod mocks {
    pub use super::compute_node::MockComputeNodeRepository;
    pub use super::gpu::MockGpuRepository;
    pub use super::image::MockImageRepository;
    pub use super::instance::MockInstanceRepository;
    pub use super::log::MockLogRepository;
    pub use super::managed_instance::MockManagedInstanceRepository;
    pub use super::node_ledger::MockNodeLedgerRepository;
    pub use super::port_map::MockPortMapRepository;
    pub use super::quota::MockQuotaRepository;
    pub use super::test_a::MockTestARepository;
    pub use super::test_b::MockTestBRepository;
    pub use super::user::MockUserRepository;
    pub use super::user_access::MockUserAccessRepository;
}
#[cfg(feature = "mock")]
pub use mocks::*;

pub(crate) use repository::is_taken;

use crate::store::{NewRow, Row, StoreError, Table, Value};

/// How an entity is kept as a row. `create` and `update` of its repository are made of this.
pub(crate) trait Entity: Sized + PartialEq + Send + Sync {
    /// What errors call it, such as `instance`.
    const KIND: &'static str;
    /// Its table.
    const TABLE: &'static Table;

    /// Reads it from a row.
    fn from_row(row: &Row) -> Result<Self, StoreError>;

    /// The row of a new one.
    fn to_row(&self) -> NewRow;

    /// Every column that an update may change, with its value.
    fn plain(&self) -> Vec<(&'static str, Value)>;
}

/// Every table of the control plane, parents before children: what a store is opened with.
pub static TABLES: &[&Table] = &[
    &USERS,
    &USER_ACCESS,
    &LOGIN_RETRIES,
    &QUOTAS,
    &COMPUTE_NODES,
    &NODE_LIFECYCLES,
    &NODE_LEDGERS,
    &GPUS,
    &IMAGES,
    &INSTANCES,
    &GPU_BINDINGS,
    &PORT_MAPS,
    &MANAGED_INSTANCES,
    &LOGS,
    &TEST_A,
    &TEST_B,
];
