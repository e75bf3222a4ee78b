//! Nodes, with what is on them and who may use it.
#![expect(clippy::unwrap_used, reason = "these texts are valid")]

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{AT, Ids, LATER, Samples, some};
use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use crate::entity::{
    BindingState, Command, CommandKind, CommandState, ComputeNode, DesiredState, ForeignInstance, Gpu,
    GpuBinding, GpuDriver, GpuHealth, Image, ImageStatus, Instance, InstanceName, InstanceState,
    ManagedComputeNode, ManagedImage, ManagedInstance, NetworkMode, NodeHeartbeat, NodeLedger, NodeLifecycle,
    NodeName, NodeState, PortMap,
};
use crate::id::Id;
use crate::ports::{Family, PortRanges, Protocol};
use crate::store::Fingerprint;

/// Gives what of nodes may be empty, and of what is on them.
pub(super) fn fill(samples: &mut Samples) {
    let user_id = Some(samples.user.id);
    let Samples { node, ledger, gpu, image, instance, binding, port, .. } = samples;
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
    (samples.grant.granted_by, samples.grant.expires_at) = (user_id, Some(LATER));
    (samples.node_grant.granted_by, samples.node_grant.expires_at) = (user_id, Some(LATER));
    (samples.image_grant.granted_by, samples.image_grant.expires_at) = (user_id, Some(LATER));
    samples.command.kind = CommandKind::StopInstance;
    samples.command.subject_id = Some(samples.instance.id.uuid());
    samples.command.payload = some("{}");
    samples.command.state = CommandState::Leased;
    (samples.command.attempt, samples.command.session) = (2, Some(3));
    (samples.command.leased_until, samples.command.deadline) = (Some(LATER), Some(LATER));
    samples.command.result = some("try again");
    samples.foreign.name = some("somebody's");
    samples.foreign.status_info = some("Up 3 hours");
    samples.foreign.left_by = Some(samples.instance.id);
    samples.foreign.command_id = Some(samples.command.id);
    samples.port.foreign_id = Some(samples.foreign.id);
}

pub(super) fn node(ids: &Ids) -> ComputeNode {
    let &Ids { user_id, node_id, .. } = ids;
    ComputeNode {
        manipulator_driver: None,
        ..ComputeNode::new(node_id, user_id, NodeName::new("rack 1 / 7").unwrap(), AT)
    }
}

pub(super) fn lifecycle(ids: &Ids) -> NodeLifecycle {
    let &Ids { node_id, .. } = ids;
    NodeLifecycle { node_id, state: NodeState::Draining, has_agent: true }
}

pub(super) fn heartbeat(ids: &Ids) -> NodeHeartbeat {
    let &Ids { node_id, .. } = ids;
    NodeHeartbeat { node_id, session: 3, seen_at: AT }
}

pub(super) fn ledger(ids: &Ids) -> NodeLedger {
    let &Ids { node_id, .. } = ids;
    NodeLedger {
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
    }
}

pub(super) fn gpu(ids: &Ids) -> Gpu {
    let &Ids { gpu_id, .. } = ids;
    Gpu {
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
    }
}

pub(super) fn image(ids: &Ids) -> Image {
    let &Ids { node_id, image_id, .. } = ids;
    Image {
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
    }
}

pub(super) fn instance(ids: &Ids) -> Instance {
    let &Ids { user_id, node_id, instance_id, .. } = ids;
    Instance {
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
    }
}

pub(super) fn binding(ids: &Ids) -> GpuBinding {
    let &Ids { instance_id, binding_id, .. } = ids;
    GpuBinding {
        id: binding_id.into(),
        gpu_id: None,
        instance_id: None,
        held_by: instance_id,
        milli: GpuMilli::from_u32(500),
        state: BindingState::Released,
        attempt: 1,
        created_at: AT,
        released_at: None,
    }
}

pub(super) fn foreign(ids: &Ids) -> ForeignInstance {
    let &Ids { node_id, instance_id, foreign_id, .. } = ids;
    ForeignInstance {
        id: foreign_id.into(),
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
    }
}

pub(super) fn port(ids: &Ids) -> PortMap {
    let &Ids { node_id, port_id, .. } = ids;
    PortMap {
        id: port_id.into(),
        node_id,
        instance_id: None,
        family: Family::Ipv6,
        protocol: Protocol::Udp,
        port: 65_535,
        managed: false,
        name: None,
        foreign_id: None,
        created_at: AT,
    }
}

pub(super) fn command(ids: &Ids) -> Command {
    let &Ids { node_id, command_id, .. } = ids;
    Command {
        id: command_id.into(),
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
    }
}

pub(super) fn node_grant(ids: &Ids) -> ManagedComputeNode {
    let &Ids { user_id, node_id, node_grant_id, .. } = ids;
    ManagedComputeNode {
        id: node_grant_id.into(),
        user_id,
        node_id,
        granted_by: None,
        expires_at: None,
        created_at: AT,
    }
}

pub(super) fn image_grant(ids: &Ids) -> ManagedImage {
    let &Ids { user_id, node_id, image_id, image_grant_id, .. } = ids;
    ManagedImage {
        id: image_grant_id.into(),
        user_id,
        node_id,
        image_id,
        granted_by: None,
        expires_at: None,
        created_at: AT,
    }
}

pub(super) fn grant(ids: &Ids) -> ManagedInstance {
    let &Ids { user_id, node_id, instance_id, grant_id, .. } = ids;
    ManagedInstance {
        id: grant_id.into(),
        user_id,
        node_id,
        instance_id,
        created_at: AT,
        granted_by: None,
        expires_at: None,
    }
}
