//! What the control plane keeps: one file an entity, each with its table, its mapping and its repository.

#[cfg(feature = "conformance")]
pub mod checks;
#[cfg(any(test, feature = "conformance"))]
mod samples;

mod account_use;
mod administration;
mod api_key;
mod api_key_use;
mod audit_head;
mod command;
mod compute_node;
mod confirmation_try;
mod connection;
mod fair_share;
mod field;
mod foreign_instance;
mod gpu;
mod gpu_binding;
mod gpu_lease;
mod image;
mod instance;
mod instance_state;
mod lease_gpu;
mod lease_node;
mod lease_renewal;
mod log;
mod log_seal;
mod login_rate;
mod login_retries;
mod login_throttle;
mod login_ways;
mod managed_compute_node;
mod managed_image;
mod managed_instance;
mod node_heartbeat;
mod node_ledger;
mod node_lifecycle;
mod password;
mod permission;
mod port_map;
mod quota;
mod recovery_code;
mod refusal_count;
mod rental;
mod repository;
mod role;
mod role_permission;
mod run_pulse;
mod run_queue;
mod run_queue_use;
mod run_state;
mod session;
mod session_use;
mod ssh_key;
mod test_a;
mod test_b;
#[cfg(test)]
mod tests;
mod text;
mod training;
mod training_image;
mod training_run;
mod training_run_image;
mod training_status;
mod user;
mod user_access;
mod user_role;
mod verification;
mod verification_try;

pub use account_use::{ACCOUNT_USES, AccountUse};
pub use administration::{ADMINISTRATIONS, Administration};
pub use api_key::{API_KEYS, ApiKey, ApiKeyFilter, ApiKeyId, ApiKeyKind, ApiKeyRepository};
pub use api_key_use::{API_KEY_USES, ApiKeyUse};
pub use audit_head::{AUDIT_HEADS, AuditHead};
pub use command::{
    COMMANDS, Command, CommandEvent, CommandFilter, CommandId, CommandKind, CommandRepository, CommandState,
};
pub use compute_node::{
    COMPUTE_NODES, ComputeNode, ComputeNodeFilter, ComputeNodeRepository, GpuDriver, NodeId,
};
pub use confirmation_try::{CONFIRMATION_TRIES, ConfirmationTry};
pub use connection::{CONNECTIONS, Connection, ConnectionFilter, ConnectionId, ConnectionRepository};
pub use fair_share::{FAIR_SHARES, FairShare};
pub use foreign_instance::{
    FOREIGN_INSTANCES, ForeignInstance, ForeignInstanceId, ForeignInstanceRepository,
};
pub use gpu::{GPUS, Gpu, GpuFilter, GpuHealth, GpuId, GpuRepository};
pub use gpu_binding::{BindingEvent, BindingState, GPU_BINDINGS, GpuBinding, GpuBindingId};
pub use gpu_lease::{GPU_LEASES, GpuLease, GpuLeaseFilter, GpuLeaseRepository, LeaseId};
pub use image::{IMAGES, Image, ImageEvent, ImageFilter, ImageId, ImageRepository, ImageStatus};
pub use instance::{INSTANCES, Instance, InstanceFilter, InstanceId, InstanceRepository, NetworkMode};
pub use instance_state::{DesiredState, InstanceEvent, InstanceState};
pub use lease_gpu::{LEASE_GPUS, LeaseGpu, LeaseGpuFilter, LeaseGpuRepository};
pub use lease_node::{LEASE_NODES, LeaseNode, LeaseNodeFilter, LeaseNodeRepository};
pub use lease_renewal::{LEASE_RENEWALS, LeaseRenewal};
pub use log::{LOGS, Log, LogFilter, LogId, LogOutcome, LogRepository};
pub use log_seal::{LOG_SEALS, LogSeal};
pub use login_rate::{LOGIN_RATES, LoginRate};
pub use login_retries::{LOGIN_RETRIES, LoginRetries};
pub use login_throttle::{LOGIN_THROTTLES, LoginThrottle};
pub use login_ways::{LOGIN_WAYS, LoginWays};
pub use managed_compute_node::{
    MANAGED_COMPUTE_NODES, ManagedComputeNode, ManagedComputeNodeFilter, ManagedComputeNodeId,
    ManagedComputeNodeRepository,
};
pub use managed_image::{
    MANAGED_IMAGES, ManagedImage, ManagedImageFilter, ManagedImageId, ManagedImageRepository,
};
pub use managed_instance::{
    MANAGED_INSTANCES, ManagedInstance, ManagedInstanceFilter, ManagedInstanceId, ManagedInstanceRepository,
};
pub use node_heartbeat::{NODE_HEARTBEATS, NodeHeartbeat};
pub use node_ledger::{NODE_LEDGERS, NodeLedger, NodeLedgerRepository};
pub use node_lifecycle::{NODE_LIFECYCLES, NodeEvent, NodeLifecycle, NodeState};
pub use password::{PASSWORDS, Password, PasswordRepository};
pub use permission::{
    Access, Action, EntityKind, PERMISSIONS, Permission, PermissionId, PermissionRepository,
};
pub use port_map::{PORT_MAPS, PortMap, PortMapFilter, PortMapId, PortMapRepository};
pub use quota::{AccountId, Limits, QUOTAS, Quota, QuotaRepository};
pub use recovery_code::{RECOVERY_CODES, RecoveryCode, RecoveryCodeId};
pub use refusal_count::{REFUSAL_COUNTS, RefusalCount};
pub use rental::{RENTALS, Rental, RentalEvent, RentalFilter, RentalId, RentalRepository, RentalState};
pub use repository::{Entry, ListPage, PageRequest, Repositories};
pub use role::{ROLES, Role, RoleId, RoleRepository};
pub use role_permission::{ROLE_PERMISSIONS, RolePermission, RolePermissionFilter, RolePermissionRepository};
pub use run_pulse::{RUN_PULSES, RunPulse};
pub use run_queue::{QueueId, RUN_QUEUES, RunQueue, RunQueueRepository};
pub use run_queue_use::{RUN_QUEUE_USES, RunQueueUse};
pub use run_state::{RunEvent, RunState};
pub use session::{SESSIONS, Session, SessionFilter, SessionId, SessionRepository, SessionState};
pub use session_use::{SESSION_USES, SessionUse};
pub use ssh_key::{SSH_KEYS, SshKey, SshKeyFilter, SshKeyId, SshKeyRepository};
pub use test_a::{TEST_A, TestA, TestAFilter, TestARepository};
pub use test_b::{TEST_B, TestB, TestBFilter, TestBRepository};
pub use text::{DisplayName, Email, InstanceName, NodeName, SecretText};
pub use training::{BaseModel, TRAININGS, Training, TrainingFilter, TrainingId, TrainingRepository};
pub use training_image::{
    MediaType, TRAINING_IMAGES, TrainingImage, TrainingImageEvent, TrainingImageFilter, TrainingImageId,
    TrainingImageRepository, TrainingImageState,
};
pub use training_run::{
    RunAsk, RunCause, RunId, TRAINING_RUNS, TrainingRun, TrainingRunFilter, TrainingRunRepository,
};
pub use training_run_image::{TRAINING_RUN_IMAGES, TrainingRunImage};
pub use training_status::{
    StatusTold, TRAINING_STATUSES, TrainingStatus, TrainingStatusId, TrainingStatusRepository,
};
pub use user::{USERS, User, UserFilter, UserId, UserPermission, UserRepository};
pub use user_access::{AccessState, USER_ACCESS, UserAccess, UserAccessRepository};
pub use user_role::{USER_ROLES, UserRole, UserRoleFilter, UserRoleRepository};
pub use verification::{
    TotpAlgorithm, VERIFICATIONS, Verification, VerificationFilter, VerificationId, VerificationKind,
    VerificationRepository,
};
pub use verification_try::{VERIFICATION_TRIES, VerificationTry};

#[cfg(feature = "mock")]
mod mocks {
    pub use super::api_key::MockApiKeyRepository;
    pub use super::compute_node::MockComputeNodeRepository;
    pub use super::connection::MockConnectionRepository;
    pub use super::foreign_instance::MockForeignInstanceRepository;
    pub use super::gpu::MockGpuRepository;
    pub use super::gpu_lease::MockGpuLeaseRepository;
    pub use super::image::MockImageRepository;
    pub use super::instance::MockInstanceRepository;
    pub use super::lease_gpu::MockLeaseGpuRepository;
    pub use super::lease_node::MockLeaseNodeRepository;
    pub use super::log::MockLogRepository;
    pub use super::managed_compute_node::MockManagedComputeNodeRepository;
    pub use super::managed_image::MockManagedImageRepository;
    pub use super::managed_instance::MockManagedInstanceRepository;
    pub use super::node_ledger::MockNodeLedgerRepository;
    pub use super::password::MockPasswordRepository;
    pub use super::permission::MockPermissionRepository;
    pub use super::port_map::MockPortMapRepository;
    pub use super::quota::MockQuotaRepository;
    pub use super::rental::MockRentalRepository;
    pub use super::role::MockRoleRepository;
    pub use super::role_permission::MockRolePermissionRepository;
    pub use super::run_queue::MockRunQueueRepository;
    pub use super::session::MockSessionRepository;
    pub use super::ssh_key::MockSshKeyRepository;
    pub use super::test_a::MockTestARepository;
    pub use super::test_b::MockTestBRepository;
    pub use super::training::MockTrainingRepository;
    pub use super::training_image::MockTrainingImageRepository;
    pub use super::training_run::MockTrainingRunRepository;
    pub use super::training_status::MockTrainingStatusRepository;
    pub use super::user::MockUserRepository;
    pub use super::user_access::MockUserAccessRepository;
    pub use super::user_role::MockUserRoleRepository;
    pub use super::verification::MockVerificationRepository;
}
#[cfg(feature = "mock")]
pub use mocks::*;

pub(crate) use field::port_ranges_json;
pub(crate) use repository::{entry, is_taken};

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
    &FOREIGN_INSTANCES,
    &PORT_MAPS,
    &MANAGED_INSTANCES,
    &LOGS,
    &TEST_A,
    &TEST_B,
    &PASSWORDS,
    &SESSIONS,
    &SESSION_USES,
    &API_KEYS,
    &API_KEY_USES,
    &SSH_KEYS,
    &VERIFICATIONS,
    &VERIFICATION_TRIES,
    &CONFIRMATION_TRIES,
    &RECOVERY_CODES,
    &CONNECTIONS,
    &LOGIN_WAYS,
    &LOGIN_THROTTLES,
    &LOGIN_RATES,
    &ROLES,
    &PERMISSIONS,
    &ROLE_PERMISSIONS,
    &USER_ROLES,
    &MANAGED_COMPUTE_NODES,
    &MANAGED_IMAGES,
    &ADMINISTRATIONS,
    &LOG_SEALS,
    &AUDIT_HEADS,
    &REFUSAL_COUNTS,
    &NODE_HEARTBEATS,
    &COMMANDS,
    &RUN_QUEUES,
    &RUN_QUEUE_USES,
    &FAIR_SHARES,
    &ACCOUNT_USES,
    &TRAININGS,
    &TRAINING_IMAGES,
    &TRAINING_RUNS,
    &TRAINING_RUN_IMAGES,
    &RUN_PULSES,
    &TRAINING_STATUSES,
    &GPU_LEASES,
    &LEASE_RENEWALS,
    &LEASE_NODES,
    &LEASE_GPUS,
    &RENTALS,
];
