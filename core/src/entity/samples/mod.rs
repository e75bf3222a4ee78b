//! One of every entity, for tests: each room makes those that are about one thing.

mod accounts;
mod identity;
mod machines;
mod trainings;

use uuid::Uuid;

use crate::entity::{
    AccountUse, Administration, ApiKey, ApiKeyId, ApiKeyUse, AuditHead, Command, ComputeNode,
    ConfirmationTry, Connection, FairShare, ForeignInstance, Gpu, GpuBinding, GpuId, GpuLease, Image,
    ImageId, Instance, InstanceId, LeaseGpu, LeaseId, LeaseNode, LeaseRenewal, Log, LogId, LogSeal,
    LoginRate, LoginRetries, LoginThrottle, LoginWays, ManagedComputeNode, ManagedImage, ManagedInstance,
    NodeHeartbeat, NodeId, NodeLedger, NodeLifecycle, Password, Permission, PermissionId, PortMap, QueueId,
    Quota, RecoveryCode, RecoveryCodeId, RefusalCount, Rental, Role, RoleId, RolePermission, RunId, RunPulse,
    RunQueue, RunQueueUse, Session, SessionId, SessionUse, SshKey, TestA, TestB, Training, TrainingId,
    TrainingImage, TrainingImageId, TrainingRun, TrainingRunImage, TrainingStatus, User, UserAccess, UserId,
    UserRole, Verification, VerificationId, VerificationTry,
};
use crate::id::Id;
use crate::time::Timestamp;

/// One of every entity, each referring to the others.
#[derive(Clone, Debug)]
pub(super) struct Samples {
    pub(super) user: User,
    pub(super) access: UserAccess,
    pub(super) retries: LoginRetries,
    pub(super) quota: Quota,
    pub(super) node: ComputeNode,
    pub(super) lifecycle: NodeLifecycle,
    pub(super) ledger: NodeLedger,
    pub(super) gpu: Gpu,
    pub(super) image: Image,
    pub(super) instance: Instance,
    pub(super) binding: GpuBinding,
    pub(super) port: PortMap,
    pub(super) grant: ManagedInstance,
    pub(super) log: Log,
    pub(super) test_a: TestA,
    pub(super) test_b: TestB,
    pub(super) password: Password,
    pub(super) session: Session,
    pub(super) session_use: SessionUse,
    pub(super) api_key: ApiKey,
    pub(super) api_key_use: ApiKeyUse,
    pub(super) ssh_key: SshKey,
    pub(super) verification: Verification,
    pub(super) verification_try: VerificationTry,
    pub(super) confirmation_try: ConfirmationTry,
    pub(super) recovery_code: RecoveryCode,
    pub(super) connection: Connection,
    pub(super) login_ways: LoginWays,
    pub(super) login_throttle: LoginThrottle,
    pub(super) login_rate: LoginRate,
    pub(super) role: Role,
    pub(super) permission: Permission,
    pub(super) role_permission: RolePermission,
    pub(super) user_role: UserRole,
    pub(super) node_grant: ManagedComputeNode,
    pub(super) image_grant: ManagedImage,
    pub(super) administration: Administration,
    pub(super) log_seal: LogSeal,
    pub(super) audit_head: AuditHead,
    pub(super) refusal_count: RefusalCount,
    pub(super) heartbeat: NodeHeartbeat,
    pub(super) command: Command,
    pub(super) foreign: ForeignInstance,
    pub(super) queue: RunQueue,
    pub(super) queue_use: RunQueueUse,
    pub(super) share: FairShare,
    pub(super) account_use: AccountUse,
    pub(super) training: Training,
    pub(super) training_image: TrainingImage,
    pub(super) run: TrainingRun,
    pub(super) run_image: TrainingRunImage,
    pub(super) pulse: RunPulse,
    pub(super) status: TrainingStatus,
    pub(super) lease: GpuLease,
    pub(super) renewal: LeaseRenewal,
    pub(super) lease_node: LeaseNode,
    pub(super) lease_gpu: LeaseGpu,
    pub(super) rental: Rental,
}

/// Calls a generic function with each sample, parents before children.
macro_rules! each_sample {
    ($samples:expr, $value:ident => $call:expr) => {{
        let samples = &$samples;
        each_sample!(@ samples, $value => $call; user access retries quota node lifecycle ledger gpu image
            instance binding foreign port grant log test_a test_b password session session_use api_key api_key_use ssh_key verification verification_try confirmation_try recovery_code connection login_ways login_throttle login_rate role permission role_permission user_role node_grant image_grant administration log_seal audit_head refusal_count heartbeat command queue queue_use share account_use training training_image run run_image pulse status lease renewal lease_node lease_gpu rental);
    }};
    (@ $samples:ident, $value:ident => $call:expr; $($field:ident)+) => {
        $({ let $value = &$samples.$field; $call; })+
    };
}
pub(super) use each_sample;

const AT: Timestamp = Timestamp::from_micros(1_780_315_200_123_456);
const LATER: Timestamp = Timestamp::from_micros(1_780_315_260_654_321);

impl Samples {
    /// Samples in which every field is given. `id` gives new ids.
    pub(super) fn full(id: impl FnMut() -> Uuid) -> Self {
        let mut samples = Self::bare(id);
        accounts::fill(&mut samples);
        machines::fill(&mut samples);
        identity::fill(&mut samples);
        trainings::fill(&mut samples);
        samples
    }

    /// Samples in which every field that may be empty is: the instance is terminal, the binding released.
    pub(super) fn bare(id: impl FnMut() -> Uuid) -> Self {
        let ids = &Ids::new(id);
        Self {
            user: accounts::user(ids),
            access: accounts::access(ids),
            retries: accounts::retries(ids),
            quota: accounts::quota(ids),
            node: machines::node(ids),
            lifecycle: machines::lifecycle(ids),
            ledger: machines::ledger(ids),
            gpu: machines::gpu(ids),
            image: machines::image(ids),
            instance: machines::instance(ids),
            binding: machines::binding(ids),
            port: machines::port(ids),
            grant: machines::grant(ids),
            log: accounts::log(ids),
            test_a: accounts::test_a(ids),
            test_b: accounts::test_b(ids),
            password: identity::password(ids),
            session: identity::session(ids),
            session_use: identity::session_use(ids),
            api_key: identity::api_key(ids),
            api_key_use: identity::api_key_use(ids),
            ssh_key: identity::ssh_key(ids),
            verification: identity::verification(ids),
            verification_try: identity::verification_try(ids),
            confirmation_try: identity::confirmation_try(ids),
            recovery_code: identity::recovery_code(ids),
            connection: identity::connection(ids),
            login_ways: identity::login_ways(ids),
            login_throttle: identity::login_throttle(ids),
            login_rate: identity::login_rate(ids),
            role: identity::role(ids),
            permission: identity::permission(ids),
            role_permission: identity::role_permission(ids),
            user_role: identity::user_role(ids),
            node_grant: machines::node_grant(ids),
            image_grant: machines::image_grant(ids),
            administration: accounts::administration(ids),
            log_seal: accounts::log_seal(ids),
            audit_head: accounts::audit_head(ids),
            refusal_count: accounts::refusal_count(ids),
            heartbeat: machines::heartbeat(ids),
            command: machines::command(ids),
            foreign: machines::foreign(ids),
            queue: trainings::queue(ids),
            queue_use: trainings::queue_use(ids),
            share: trainings::share(ids),
            account_use: trainings::account_use(ids),
            training: trainings::training(ids),
            training_image: trainings::training_image(ids),
            run: trainings::run(ids),
            run_image: trainings::run_image(ids),
            pulse: trainings::pulse(ids),
            status: trainings::status(ids),
            lease: trainings::lease(ids),
            renewal: trainings::renewal(ids),
            lease_node: trainings::lease_node(ids),
            lease_gpu: trainings::lease_gpu(ids),
            rental: trainings::rental(ids),
        }
    }
}

/// The ids by which samples refer to each other.
struct Ids {
    user_id: UserId,
    node_id: NodeId,
    gpu_id: GpuId,
    instance_id: InstanceId,
    session_id: SessionId,
    api_key_id: ApiKeyId,
    verification_id: VerificationId,
    recovery_id: RecoveryCodeId,
    role_id: RoleId,
    permission_id: PermissionId,
    image_id: ImageId,
    log_id: LogId,
    test_a_id: Id<TestA>,
    queue_id: QueueId,
    training_id: TrainingId,
    run_id: RunId,
    training_image_id: TrainingImageId,
    lease_id: LeaseId,
    test_b_id: Uuid,
    binding_id: Uuid,
    foreign_id: Uuid,
    port_id: Uuid,
    command_id: Uuid,
    node_grant_id: Uuid,
    image_grant_id: Uuid,
    grant_id: Uuid,
    ssh_key_id: Uuid,
    connection_id: Uuid,
    status_id: Uuid,
    rental_id: Uuid,
    /// Another number for each sample of a process.
    number: i64,
}

impl Ids {
    fn new(mut id: impl FnMut() -> Uuid) -> Self {
        let log_id = id();
        Self {
            user_id: id().into(),
            node_id: id().into(),
            gpu_id: id().into(),
            instance_id: id().into(),
            session_id: id().into(),
            api_key_id: id().into(),
            verification_id: id().into(),
            recovery_id: id().into(),
            role_id: id().into(),
            permission_id: id().into(),
            image_id: id().into(),
            test_a_id: id().into(),
            queue_id: id().into(),
            training_id: id().into(),
            run_id: id().into(),
            training_image_id: id().into(),
            lease_id: id().into(),
            test_b_id: id(),
            binding_id: id(),
            foreign_id: id(),
            port_id: id(),
            command_id: id(),
            node_grant_id: id(),
            image_grant_id: id(),
            grant_id: id(),
            ssh_key_id: id(),
            connection_id: id(),
            status_id: id(),
            rental_id: id(),
            log_id: log_id.into(),
            number: i64::try_from(log_id.as_u64_pair().1 >> 12).unwrap_or(i64::MAX),
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "a short form of `Some` of a text")]
fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}
