//! One of every entity, for tests.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};

use uuid::Uuid;

use super::{
    Access, AccessState, AccountUse, Action, Administration, ApiKey, ApiKeyKind, ApiKeyUse, AuditHead,
    BaseModel, BindingState, Command, CommandKind, CommandState, ComputeNode, ConfirmationTry, Connection,
    DesiredState, DisplayName, Email, EntityKind, FairShare, ForeignInstance, Gpu, GpuBinding, GpuDriver,
    GpuHealth, GpuLease, Image, ImageStatus, Instance, InstanceName, InstanceState, LeaseGpu, LeaseId,
    LeaseNode, LeaseRenewal, Limits, Log, LogOutcome, LogSeal, LoginRate, LoginRetries, LoginThrottle,
    LoginWays, ManagedComputeNode, ManagedImage, ManagedInstance, MediaType, NetworkMode, NodeHeartbeat,
    NodeLedger, NodeLifecycle, NodeName, NodeState, Password, Permission, PermissionId, PortMap, QueueId,
    Quota, RecoveryCode, RefusalCount, Rental, RentalState, Role, RoleId, RolePermission, RunAsk, RunCause,
    RunId, RunPulse, RunQueue, RunQueueUse, RunState, SecretText, Session, SessionState, SessionUse, SshKey,
    StatusTold, TestA, TestB, TotpAlgorithm, Training, TrainingId, TrainingImage, TrainingImageId,
    TrainingImageState, TrainingRun, TrainingRunImage, TrainingStatus, User, UserAccess, UserPermission,
    UserRole, Verification, VerificationKind, VerificationTry,
};
use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use crate::id::Id;
use crate::ports::{Family, PortRanges, Protocol};
use crate::store::{Fingerprint, Json};
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
    #[expect(clippy::too_many_lines, reason = "a list of every field of every entity")]
    pub(super) fn full(mut id: impl FnMut() -> Uuid) -> Self {
        let mut samples = Self::bare(&mut id);
        let Self {
            user, quota, node, ledger, gpu, image, instance, binding, port, log, test_a, test_b, ..
        } = &mut samples;

        user.phone = some("+81 3 1234 5678");
        user.permission = UserPermission::Administrator;
        user.activated = true;
        user.email_confirmation_hash = Some(SecretText::new(user.id.to_string()));
        user.email_confirmation_expires = Some(LATER);
        user.code_confirmation = Some(SecretText::new("code"));
        user.code_confirmation_expires = Some(LATER);
        user.updated_at = LATER;
        (quota.instances, quota.nodes, quota.gpu_milli) = (1, 1, GpuMilli::from_u32(500));
        quota.gpu_milli_limit = Some(GpuMilli::from_u32(4000));
        (quota.cpu_milli, quota.cpu_milli_limit) =
            (CpuMilli::from_u32(1500), Some(CpuMilli::from_u32(64_000)));
        (quota.memory_mib, quota.memory_mib_limit) =
            (MemoryMib::from_u32(2048), Some(MemoryMib::from_u32(1 << 18)));
        (quota.storage_mib, quota.storage_mib_limit) =
            (StorageMib::from_u32(10_240), Some(StorageMib::from_u32(1 << 20)));

        node.arch = some("x64");
        node.platform = some("linux");
        node.cpu_info = some("EPYC 9654");
        node.gpu_driver = Some(GpuDriver::Cuda);
        node.gpu_info = some("NVIDIA H100 80GB HBM3");
        node.gpu_model = some("H100");
        node.nvidia_docker = true;
        node.manipulator_driver = some("docker");
        node.use_ipv6 = true;
        node.ipv4 = Some(Ipv4Addr::new(192, 0, 2, 1));
        node.ipv6 = Some(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
        node.ipv4_ports = PortRanges::tcp(63_000, 63_030).ok();
        node.ipv6_ports = PortRanges::new([(Protocol::Tcp, 80, 80), (Protocol::Udp, 53, 60)]).ok();
        node.free_storage_mib = Some(StorageMib::from_u32(100_000));
        node.updated_at = LATER;
        ledger.cpu_milli = CpuMilli::from_u32(1500);
        ledger.memory_mib = MemoryMib::from_u32(2048);
        ledger.storage_mib = StorageMib::from_u32(10_240);
        ledger.gpu_milli = GpuMilli::from_u32(500);
        ledger.instances = 1;

        gpu.node_id = Some(node.id);
        gpu.slot = 7;
        gpu.key = some("GPU-5d7e");
        gpu.memory_mib = Some(MemoryMib::from_u32(81_559));
        gpu.used_milli = GpuMilli::from_u32(500);
        gpu.instance_id = Some(gpu.id.to_string());
        gpu.provider = some("cloud");
        gpu.updated_at = LATER;

        image.name = some("ubuntu:24.04");
        image.key = some("sha256:aa");
        image.command_id = Some(Id::new(image.id.uuid()));
        image.url = some("registry.example/ubuntu:24.04");
        image.remote = some("registry.example");
        image.size_mib = Some(77);
        image.os_hint = some("ubuntu");
        image.description = some("naïve");
        image.published = true;
        image.updated_at = LATER;

        instance.live_name = Some(instance.name.clone());
        instance.node_id = Some(node.id);
        instance.image_id = Some(image.id);
        instance.key = some("4b1d");
        instance.state = InstanceState::Running;
        instance.desired = DesiredState::Stopped;
        instance.by_agent = true;
        instance.command_id = Some(Id::new(instance.id.uuid()));
        instance.status_info = some("up");
        instance.ipv4 = node.ipv4;
        instance.ipv6 = node.ipv6;
        instance.local_ipv4 = Some(Ipv4Addr::new(172, 17, 0, 2));
        instance.local_ipv6 = Some(Ipv6Addr::LOCALHOST);
        instance.total_storage_mib = Some(StorageMib::from_u32(10_240));
        instance.gpu_models = Some(vec!["H100".into(), "A100 \"80\"".into()]);
        instance.description = some("trains");
        instance.network_mode = NetworkMode::Bridge;
        instance.ssh_key_name = some("laptop");
        instance.ssh_key = some("ssh-ed25519 AAAA");
        instance.base_image = some("ubuntu:24.04");
        instance.updated_at = LATER;

        binding.gpu_id = Some(gpu.id);
        binding.instance_id = Some(instance.id);
        binding.state = BindingState::Bound;
        binding.attempt = 2;
        binding.released_at = Some(LATER);
        port.instance_id = Some(instance.id);
        (port.family, port.protocol, port.port) = (Family::Ipv4, Protocol::Tcp, 63_001);
        port.managed = true;
        port.name = some("ssh");
        log.description = some("web");
        log.host = some("api-1");
        log.ip = Some(IpAddr::V6(Ipv6Addr::LOCALHOST));
        log.actor_id = Some(user.id);
        log.subject_kind = some("instance");
        log.subject_id = Some(instance.id.uuid());
        for (title, description) in
            [(&mut test_a.title, &mut test_a.description), (&mut test_b.title, &mut test_b.description)]
        {
            (*title, *description) = (some("title"), some("description"));
        }
        test_a.big_int = Some(-crate::store::MAX_INT);
        test_b.test_a_id = Some(test_a.id);
        samples.fill_identity();
        samples.fill_trainings();
        samples
    }

    /// Gives the fields of identity and access that may be empty.
    fn fill_identity(&mut self) {
        let user_id = Some(self.user.id);
        (self.grant.granted_by, self.grant.expires_at) = (user_id, Some(LATER));
        (self.node_grant.granted_by, self.node_grant.expires_at) = (user_id, Some(LATER));
        (self.image_grant.granted_by, self.image_grant.expires_at) = (user_id, Some(LATER));
        self.log.outcome = LogOutcome::Refused;
        self.session.state = SessionState::Full;
        self.session.verified_at = Some(LATER);
        self.session.ip = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)));
        self.session.agent = some("browser");
        self.api_key.kind = ApiKeyKind::NodeAgent;
        self.api_key.node_id = Some(self.node.id);
        self.api_key.replaces_id = Some(self.api_key.id);
        self.api_key.expires_at = Some(LATER);
        self.api_key_use.last_used_at = Some(LATER);
        self.verification.kind = VerificationKind::ChangeEmail;
        self.verification.user_id = user_id;
        self.verification.new_email = Some(self.user.email.clone());
        self.verification.expires_at = Some(LATER);
        self.connection.email = Some(self.user.email.clone());
        self.login_throttle.failed_at = Some(LATER);
        self.login_throttle.succeeded_at = Some(LATER);
        self.role.description = some("operators");
        self.permission.description = some("may");
        self.command.kind = CommandKind::StopInstance;
        self.command.subject_id = Some(self.instance.id.uuid());
        self.command.payload = some("{}");
        self.command.state = CommandState::Leased;
        (self.command.attempt, self.command.session) = (2, Some(3));
        (self.command.leased_until, self.command.deadline) = (Some(LATER), Some(LATER));
        self.command.result = some("try again");
        self.foreign.name = some("somebody's");
        self.foreign.status_info = some("Up 3 hours");
        self.foreign.left_by = Some(self.instance.id);
        self.foreign.command_id = Some(self.command.id);
        self.port.foreign_id = Some(self.foreign.id);
    }

    /// Gives the fields of trainings that may be empty.
    fn fill_trainings(&mut self) {
        let queue = &mut self.queue;
        queue.parent_id = Some(queue.id);
        let gpu = Some(GpuMilli::from_u32(8000));
        (queue.gpu_milli, queue.gpu_milli_borrowing, queue.gpu_milli_lending) = (gpu, gpu, gpu);
        let cpu = Some(CpuMilli::from_u32(64_000));
        (queue.cpu_milli, queue.cpu_milli_borrowing, queue.cpu_milli_lending) = (cpu, cpu, cpu);
        let memory = Some(MemoryMib::from_u32(1 << 20));
        (queue.memory_mib, queue.memory_mib_borrowing, queue.memory_mib_lending) = (memory, memory, memory);
        self.training.base_model = Some(BaseModel {
            id: "42".into(),
            name: "base".into(),
            url: some("https://models.example/42"),
            filename: some("base.safetensors"),
            family: "SDXL".into(),
        });
        self.training_image.upload_until = Some(LATER);
        let run = &mut self.run;
        (run.training_id, run.queue_id) = (Some(self.training.id), Some(self.queue.id));
        run.base_model.clone_from(&self.training.base_model);
        run.estimate_ms = Some(60_000);
        (run.due, run.not_before, run.state_deadline) = (Some(LATER), Some(LATER), Some(LATER));
        (run.state, run.cause, run.status_info) =
            (RunState::Uploading, Some(RunCause::Crashed), some("out of memory"));
        (run.artifact_key, run.artifact_bytes, run.artifact_sha256) =
            (some("users/1/model"), Some(5), Some("ab".repeat(32)));
        run.ended_at = Some(LATER);
        self.run_image.image_id = Some(self.training_image.id);
        self.status.message_id = some("m-1");
        self.status.told = StatusTold {
            done: Some(1),
            total: Some(20),
            metrics: [("loss".to_owned(), 0.125)].into(),
            note: some("epoch"),
        };
        let lease = &mut self.lease;
        (lease.run_id, lease.queue_id) = (Some(self.run.id), Some(self.queue.id));
        (lease.state, lease.token, lease.worker) = (BindingState::Releasing, 2, some("worker-1"));
        (lease.node_id, lease.session, lease.reason) = (Some(self.node.id), Some(3), some("preempted"));
        (lease.bound_at, lease.released_at) = (Some(LATER), Some(LATER));
        self.lease_node.node_id = Some(self.node.id);
        self.lease_gpu.gpu_id = Some(self.gpu.id);
        let rental = &mut self.rental;
        (rental.lease_id, rental.instance_id) = (Some(self.lease.id), Some(rental.id.to_string()));
        (rental.state, rental.tries, rental.status_info) = (RentalState::Rented, 2, some("running"));
        (rental.rented_at, rental.ended_at) = (Some(LATER), Some(LATER));
        (rental.answered_at, rental.missing_since) = (Some(LATER), Some(LATER));
    }

    /// Samples in which every field that may be empty is: the instance is terminal, the binding released.
    #[expect(clippy::unwrap_used, reason = "these texts are valid")]
    #[expect(clippy::too_many_lines, reason = "a list of every field of every entity")]
    pub(super) fn bare(mut id: impl FnMut() -> Uuid) -> Self {
        let (user_id, node_id, gpu_id, instance_id) = (id().into(), id().into(), id().into(), id().into());
        let (session_id, api_key_id, verification_id) = (id().into(), id().into(), id().into());
        let (recovery_id, role_id, permission_id): (Id<RecoveryCode>, RoleId, PermissionId) =
            (id().into(), id().into(), id().into());
        let (image_id, log_id): (Id<Image>, Id<Log>) = (id().into(), id().into());
        let (action, entity, access) = next_permission();
        let number = i64::try_from(log_id.uuid().as_u64_pair().1 >> 12).unwrap();
        let test_a_id: Id<TestA> = id().into();
        let (queue_id, training_id, run_id): (QueueId, TrainingId, RunId) =
            (id().into(), id().into(), id().into());
        let (training_image_id, lease_id): (TrainingImageId, LeaseId) = (id().into(), id().into());
        let config = Json::parse("{\"epoch\":20,\"unet_lr\":0.0004}").unwrap();
        let email = Email::new(format!("{user_id}@Example.org")).unwrap();
        let mut node = ComputeNode::new(node_id, user_id, NodeName::new("rack 1 / 7").unwrap(), AT);
        node.manipulator_driver = None;
        Self {
            user: User::new(user_id, email, DisplayName::new("Ada").unwrap(), AT),
            access: UserAccess { user_id, state: AccessState::Active },
            retries: LoginRetries { user_id, retry_count: 3 },
            quota: Quota::unused(user_id, Limits::default()),
            node,
            lifecycle: NodeLifecycle { node_id, state: NodeState::Draining, has_agent: true },
            ledger: NodeLedger {
                node_id,
                cpu_milli: CpuMilli::ZERO,
                cpu_milli_total: CpuMilli::from_u32(96_000),
                memory_mib: MemoryMib::ZERO,
                memory_mib_total: MemoryMib::from_u32(1 << 20),
                storage_mib: StorageMib::ZERO,
                storage_mib_total: StorageMib::from_u32(1 << 22),
                gpu_milli: GpuMilli::ZERO,
                gpu_milli_total: GpuMilli::from_u32(8000),
                instances: 0,
            },
            gpu: Gpu {
                id: gpu_id,
                node_id: None,
                slot: 0,
                key: None,
                model: "H100".into(),
                memory_mib: None,
                health: GpuHealth::Quarantined,
                used_milli: GpuMilli::ZERO,
                instance_id: None,
                created_at: AT,
                updated_at: AT,
                gone_quarantined: false,
                provider: None,
            },
            image: Image {
                id: image_id,
                node_id,
                name: None,
                status: ImageStatus::Fetching,
                command_id: None,
                key: None,
                url: None,
                remote: None,
                size_mib: None,
                os_hint: None,
                description: None,
                published: false,
                native_timestamp: LATER,
                created_at: AT,
                updated_at: AT,
            },
            instance: Instance {
                id: instance_id,
                owner_id: user_id,
                name: InstanceName::new("web-1").unwrap(),
                live_name: None,
                node_id: None,
                last_node_id: node_id,
                image_id: None,
                key: None,
                state: InstanceState::Deleted,
                desired: DesiredState::Deleted,
                by_agent: false,
                command_id: None,
                status_info: None,
                ipv4: None,
                ipv6: None,
                local_ipv4: None,
                local_ipv6: None,
                cpu_milli: CpuMilli::from_u32(1500),
                memory_mib: MemoryMib::from_u32(2048),
                storage_mib: StorageMib::from_u32(10_240),
                total_storage_mib: None,
                gpu_count: 1,
                gpu_milli: GpuMilli::from_u32(500),
                gpu_models: None,
                description: None,
                network_mode: NetworkMode::Host,
                ssh_key_name: None,
                ssh_key: None,
                base_image: None,
                request_fingerprint: Fingerprint::of(b"request"),
                created_at: AT,
                updated_at: AT,
            },
            binding: GpuBinding {
                id: id().into(),
                gpu_id: None,
                instance_id: None,
                held_by: instance_id,
                milli: GpuMilli::from_u32(500),
                state: BindingState::Released,
                attempt: 1,
                created_at: AT,
                released_at: None,
            },
            port: PortMap {
                id: id().into(),
                node_id,
                instance_id: None,
                family: Family::Ipv6,
                protocol: Protocol::Udp,
                port: 65_535,
                managed: false,
                name: None,
                foreign_id: None,
                created_at: AT,
            },
            grant: ManagedInstance {
                id: id().into(),
                user_id,
                node_id,
                instance_id,
                created_at: AT,
                granted_by: None,
                expires_at: None,
            },
            log: Log {
                id: log_id,
                title: "instance.launch".into(),
                description: None,
                host: None,
                ip: None,
                actor_id: None,
                subject_kind: None,
                subject_id: None,
                timestamp: AT,
                outcome: LogOutcome::Done,
            },
            test_a: TestA { id: test_a_id, title: None, description: None, big_int: None, timestamp: AT },
            test_b: TestB { id: id().into(), title: None, description: None, timestamp: AT, test_a_id: None },
            password: Password { user_id, hash: SecretText::new("$argon2id$v=19$"), updated_at: AT },
            session: Session {
                id: session_id,
                user_id,
                state: SessionState::AwaitingSecondFactor,
                token_hash: SecretText::new(session_id.to_string()),
                expires_at: LATER,
                verified_at: None,
                ip: None,
                agent: None,
                created_at: AT,
                updated_at: AT,
            },
            session_use: SessionUse { session_id, last_used_at: AT },
            api_key: ApiKey {
                id: api_key_id,
                user_id,
                name: DisplayName::new("laptop").unwrap(),
                kind: ApiKeyKind::User,
                hint: "apk_0123".into(),
                hash: SecretText::new(api_key_id.to_string()),
                scopes: vec!["*:*".into()],
                node_id: None,
                replaces_id: None,
                expires_at: None,
                created_at: AT,
                updated_at: AT,
            },
            api_key_use: ApiKeyUse { api_key_id, last_used_at: None },
            ssh_key: SshKey {
                id: id().into(),
                user_id,
                name: DisplayName::new("laptop").unwrap(),
                key: "ssh-ed25519 AAAA".into(),
                algorithm: "ssh-ed25519".into(),
                fingerprint: format!("SHA256:{user_id}"),
                created_at: AT,
            },
            verification: Verification {
                id: verification_id,
                kind: VerificationKind::TwoFactor,
                target: user_id.to_string(),
                user_id: None,
                secret: SecretText::new("sealed secret"),
                algorithm: TotpAlgorithm::Sha1,
                digits: 6,
                period: 30,
                char_set: "0123456789".into(),
                new_email: None,
                expires_at: None,
                created_at: AT,
            },
            verification_try: VerificationTry { verification_id, attempts: 0, last_step: -1, window: 0 },
            confirmation_try: ConfirmationTry { user_id, attempts: 2 },
            recovery_code: RecoveryCode {
                id: recovery_id,
                user_id,
                hash: SecretText::new(recovery_id.to_string()),
                created_at: AT,
            },
            connection: Connection {
                id: id().into(),
                user_id,
                provider_name: "github".into(),
                provider_id: user_id.to_string(),
                email: None,
                created_at: AT,
                updated_at: AT,
            },
            login_ways: LoginWays { user_id, ways: 2 },
            login_throttle: LoginThrottle {
                user_id,
                source: "192.0.2.7".into(),
                failures: 0,
                failed_at: None,
                succeeded_at: None,
            },
            login_rate: LoginRate { user_id, window: 29_671_920, tries: 3 },
            role: Role {
                id: role_id,
                name: format!("role-{role_id}"),
                description: None,
                created_at: AT,
                updated_at: AT,
            },
            permission: Permission {
                id: permission_id,
                action,
                entity,
                access,
                description: None,
                created_at: AT,
                updated_at: AT,
            },
            role_permission: RolePermission { role_id, permission_id, created_at: AT },
            user_role: UserRole { user_id, role_id, created_at: AT },
            node_grant: ManagedComputeNode {
                id: id().into(),
                user_id,
                node_id,
                granted_by: None,
                expires_at: None,
                created_at: AT,
            },
            image_grant: ManagedImage {
                id: id().into(),
                user_id,
                node_id,
                image_id,
                granted_by: None,
                expires_at: None,
                created_at: AT,
            },
            administration: Administration { id: format!("{number:016x}"), administrators: 1 },
            log_seal: LogSeal { sequence: number + 1, log_id, position: 7, hash: "ab".repeat(32) },
            audit_head: AuditHead {
                id: format!("{number:016x}"),
                count: 1,
                hash: "ab".repeat(32),
                position: 7,
                batch: session_id.uuid(),
                sealed_at: AT,
            },
            refusal_count: RefusalCount { log_id, refusals: 40 },
            heartbeat: NodeHeartbeat { node_id, session: 3, seen_at: AT },
            command: Command {
                id: id().into(),
                node_id,
                kind: CommandKind::Ping,
                subject_id: None,
                payload: None,
                state: CommandState::Queued,
                attempt: 0,
                max_attempts: 5,
                session: None,
                leased_until: None,
                deadline: None,
                result: None,
                created_at: AT,
                updated_at: AT,
            },
            foreign: ForeignInstance {
                id: id().into(),
                node_id,
                key: instance_id.to_string(),
                name: None,
                status_info: None,
                cpu_milli: CpuMilli::from_u32(500),
                memory_mib: MemoryMib::from_u32(64),
                storage_mib: StorageMib::ZERO,
                left_by: None,
                command_id: None,
                created_at: AT,
                updated_at: LATER,
            },
            queue: RunQueue {
                id: queue_id,
                name: format!("queue-{queue_id}"),
                parent_id: None,
                weight_milli: 1000,
                gpu_milli: None,
                gpu_milli_borrowing: None,
                gpu_milli_lending: None,
                cpu_milli: None,
                cpu_milli_borrowing: None,
                cpu_milli_lending: None,
                memory_mib: None,
                memory_mib_borrowing: None,
                memory_mib_lending: None,
                created_at: AT,
                updated_at: AT,
            },
            queue_use: RunQueueUse {
                queue_id,
                epoch: 3,
                gpu_milli: GpuMilli::from_u32(1000),
                cpu_milli: CpuMilli::from_u32(4000),
                memory_mib: MemoryMib::from_u32(8192),
            },
            share: FairShare { account_id: user_id, weight_milli: 2000 },
            account_use: AccountUse {
                account_id: user_id,
                period: 494_532,
                gpu_milli_seconds: 60_000,
                cpu_milli_seconds: 240_000,
                memory_mib_seconds: 491_520,
            },
            training: Training {
                id: training_id,
                owner_id: user_id,
                name: DisplayName::new("portraits").unwrap(),
                config: config.clone(),
                trigger_word: "ohxw".into(),
                base_model: None,
                image_limit: 200,
                image_bytes_limit: 1 << 32,
                images: 1,
                image_bytes: 77,
                created_at: AT,
                updated_at: AT,
            },
            training_image: TrainingImage {
                id: training_image_id,
                training_id,
                name: "a.png".into(),
                url: format!("trainings/{training_id}/images/{training_image_id}.png"),
                media_type: MediaType::Png,
                size_bytes: 77,
                text: "ohxw, portrait".into(),
                state: TrainingImageState::Uploaded,
                upload_until: None,
                created_at: AT,
                updated_at: AT,
            },
            run: TrainingRun {
                id: run_id,
                owner_id: user_id,
                training_id: None,
                of_training: training_id,
                queue_id: None,
                config,
                trigger_word: "ohxw".into(),
                base_model: None,
                ask: RunAsk { models: vec!["H100".into()], ..RunAsk::default() },
                request_fingerprint: Fingerprint::of(b"run"),
                priority: -3,
                estimate_ms: None,
                min_runtime_ms: 60_000,
                due: None,
                not_before: None,
                state: RunState::Failed,
                state_deadline: None,
                images_left: 1,
                attempt: 2,
                max_failures: 3,
                failures: 1,
                preemptions: 1,
                cause: None,
                status_info: None,
                kept_ms: 5,
                held_ms: 7,
                artifact_key: None,
                artifact_bytes: None,
                artifact_sha256: None,
                created_at: AT,
                updated_at: AT,
                ended_at: None,
            },
            run_image: TrainingRunImage {
                run_id,
                position: 0,
                image_id: None,
                of_image: training_image_id,
                name: "a.png".into(),
                url: "trainings/1/images/1.png".into(),
                media_type: MediaType::Png,
                text: "ohxw, portrait".into(),
            },
            pulse: RunPulse { run_id, sequence: 1, heard_at: AT },
            status: TrainingStatus {
                id: id().into(),
                run_id,
                sequence: 1,
                attempt: 1,
                message_id: None,
                status: "training".into(),
                told: StatusTold::default(),
                created_at: AT,
            },
            lease: GpuLease {
                id: lease_id,
                run_id: None,
                of_run: run_id,
                attempt: 2,
                account_id: user_id,
                queue_id: None,
                state: BindingState::Released,
                token: 1,
                worker: None,
                node_id: None,
                session: None,
                gpu_milli: GpuMilli::from_u32(1000),
                cpu_milli: CpuMilli::from_u32(4000),
                memory_mib: MemoryMib::from_u32(8192),
                storage_mib: StorageMib::from_u32(1024),
                charged_until: AT,
                reason: None,
                created_at: AT,
                bound_at: None,
                released_at: None,
            },
            renewal: LeaseRenewal { lease_id, token: 1, expires_at: LATER },
            lease_node: LeaseNode {
                lease_id,
                of_node: node_id,
                node_id: None,
                members: 1,
                cpu_milli: CpuMilli::from_u32(4000),
                memory_mib: MemoryMib::from_u32(8192),
                storage_mib: StorageMib::from_u32(1024),
                gpu_milli: GpuMilli::from_u32(1000),
            },
            lease_gpu: LeaseGpu { lease_id, of_gpu: gpu_id, gpu_id: None, milli: GpuMilli::from_u32(1000) },
            rental: Rental {
                id: id().into(),
                lease_id: None,
                of_lease: lease_id,
                provider: "cloud".into(),
                offer: "offer-7".into(),
                instance_id: None,
                state: RentalState::Released,
                gpus: 1,
                gpu_model: "H100".into(),
                price_micros: 2_500_000,
                tries: 1,
                status_info: None,
                ready_until: LATER,
                created_at: AT,
                rented_at: None,
                ended_at: None,
                updated_at: AT,
                answered_at: None,
                missing_since: None,
            },
        }
    }
}

/// What a permission says: another one for each sample of a process, until there is none left.
fn next_permission() -> (Action, EntityKind, Access) {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let at = MADE.fetch_add(1, Ordering::Relaxed);
    let of = |all: usize, below: usize| (at / below) % all;
    let pick = (of(Action::ALL.len(), 1), of(EntityKind::ALL.len(), Action::ALL.len()));
    let access = of(Access::ALL.len(), Action::ALL.len() * EntityKind::ALL.len());
    #[expect(clippy::indexing_slicing, reason = "each is within its list")]
    (Action::ALL[pick.0], EntityKind::ALL[pick.1], Access::ALL[access])
}

#[expect(clippy::unnecessary_wraps, reason = "a short form of `Some` of a text")]
fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}
