//! What is written of what is brought in: each field is what was said, and nothing is another one.

use super::*;
use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use crate::entity::{
    AccessState, BindingState, DesiredState, Gpu, GpuBinding, GpuHealth, Instance, InstanceState, Limits,
    Log, LoginRetries, ManagedInstance, NetworkMode, NodeLedger, PortMap, Quota, UserAccess, UserPermission,
};

const CHANGED: Timestamp = Timestamp::from_micros(1_650_000_000_000_000);

fn full() -> ImportedInstance {
    ImportedInstance {
        image: Some(id(IMAGE)),
        state: InstanceState::Stopped,
        desired: DesiredState::Deleted,
        status_info: Some("Exited".into()),
        ipv4: Some([192, 0, 2, 1].into()),
        ipv6: Some("2001:db8::1".parse().unwrap()),
        local_ipv4: Some([10, 0, 0, 1].into()),
        local_ipv6: Some("fd00::1".parse().unwrap()),
        cpu: CpuMilli::from_u32(1),
        memory: MemoryMib::from_u32(2),
        storage: StorageMib::from_u32(3),
        total_storage: Some(StorageMib::from_u32(4)),
        gpus: vec![id(GPU), id(GPU + 100)],
        gpu_milli: GpuMilli::from_u32(5),
        gpu_models: vec!["H100".into(), "A100".into()],
        network_mode: NetworkMode::Host,
        ssh_key: Some(("laptop".into(), "ssh-rsa AAAA".into())),
        base_image: Some("ubuntu".into()),
        description: Some("as it was".into()),
        created_at: EARLY,
        updated_at: CHANGED,
        ..instance()
    }
}

/// As it is kept, in so many words.
fn expected(full: &ImportedInstance) -> Instance {
    Instance {
        id: id(INSTANCE),
        owner_id: id(OWNER),
        name: InstanceName::new("aa").unwrap(),
        live_name: Some(InstanceName::new("aa").unwrap()),
        node_id: Some(id(NODE)),
        last_node_id: id(NODE),
        image_id: Some(id(IMAGE)),
        key: Some("c".into()),
        state: InstanceState::Stopped,
        desired: DesiredState::Deleted,
        by_agent: false,
        command_id: None,
        status_info: Some("Exited".into()),
        ipv4: Some([192, 0, 2, 1].into()),
        ipv6: Some("2001:db8::1".parse().unwrap()),
        local_ipv4: Some([10, 0, 0, 1].into()),
        local_ipv6: Some("fd00::1".parse().unwrap()),
        cpu_milli: CpuMilli::from_u32(1),
        memory_mib: MemoryMib::from_u32(2),
        storage_mib: StorageMib::from_u32(3),
        total_storage_mib: Some(StorageMib::from_u32(4)),
        gpu_count: 2,
        gpu_milli: GpuMilli::from_u32(5),
        gpu_models: Some(vec!["H100".into(), "A100".into()]),
        description: Some("as it was".into()),
        network_mode: NetworkMode::Host,
        ssh_key_name: Some("laptop".into()),
        ssh_key: Some("ssh-rsa AAAA".into()),
        base_image: Some("ubuntu".into()),
        request_fingerprint: full.fingerprint().unwrap(),
        created_at: EARLY,
        updated_at: CHANGED,
    }
}

#[test]
fn an_instance_is_kept_as_it_is_said() {
    let full = full();
    let made = batch(std::slice::from_ref(&full), &[]);
    assert_eq!(inserted::<Instance>(&made), [expected(&full)]);
    let grant = ManagedInstance {
        id: inserted::<ManagedInstance>(&made)[0].id,
        user_id: id(OWNER),
        node_id: id(NODE),
        instance_id: id(INSTANCE),
        created_at: EARLY,
        granted_by: None,
        expires_at: None,
    };
    assert_eq!(inserted::<ManagedInstance>(&made), [grant]);
    let held = inserted::<GpuBinding>(&made);
    for (at, gpu) in [GPU, GPU + 100].into_iter().enumerate() {
        let binding = GpuBinding {
            id: held[at].id,
            gpu_id: Some(id(gpu)),
            instance_id: Some(id(INSTANCE)),
            held_by: id(INSTANCE),
            milli: GpuMilli::from_u32(5),
            state: BindingState::Bound,
            attempt: 1,
            created_at: EARLY,
            released_at: None,
        };
        assert_eq!(held[at], binding);
    }
    assert_eq!(inserted::<Instance>(&batch(&[instance()], &[]))[0].gpu_models, None, "any");
}

#[test]
fn what_has_ended_is_history_that_points_to_nothing() {
    for state in [InstanceState::Deleted, InstanceState::Failed, InstanceState::Lost] {
        let ended = ImportedInstance { state, image: None, ports: Vec::new(), ..full() };
        let made = batch(std::slice::from_ref(&ended), &[]);
        let kept = Instance { state, live_name: None, node_id: None, image_id: None, ..expected(&ended) };
        assert_eq!(inserted::<Instance>(&made), [kept]);
        let held = inserted::<GpuBinding>(&made);
        assert_eq!(held.len(), 2);
        for binding in held {
            let released = GpuBinding {
                id: binding.id,
                gpu_id: None,
                instance_id: None,
                held_by: id(INSTANCE),
                milli: GpuMilli::from_u32(5),
                state: BindingState::Released,
                attempt: 1,
                created_at: EARLY,
                released_at: Some(CHANGED),
            };
            assert_eq!(binding, released);
        }
        // Its row, two bindings, and the line: nothing is charged, nothing is granted.
        assert_eq!(made.writes.len(), 4, "{:?}", made.writes);
    }
}

#[test]
fn whether_an_agent_speaks_for_it_and_how_it_holds_its_gpus_is_this_table() {
    use BindingState::{Bound, Releasing, Reserved};
    use InstanceState::{Creating, Deleting, Requested, Running, Stopped};
    let table = [
        (Requested, Bound, Reserved),
        (Creating, Bound, Reserved),
        (Running, Bound, Bound),
        (Stopped, Bound, Bound),
        (Deleting, Releasing, Releasing),
    ];
    for (state, alone, with_agent) in table {
        for (has_agent, key) in [(false, None), (false, Some("c")), (true, None), (true, Some("c"))] {
            let by_agent = has_agent && key.is_some();
            let one = ImportedInstance { state, key: key.map(str::to_owned), ..instance() };
            let made = batch(&[one], &[lifecycle(NodeState::Active, has_agent)]);
            let kept = &inserted::<Instance>(&made)[0];
            assert_eq!((kept.by_agent, kept.command_id), (by_agent, None), "{state} {has_agent} {key:?}");
            let bound = inserted::<GpuBinding>(&made)[0].state;
            assert_eq!(bound, if by_agent { with_agent } else { alone }, "{state} {has_agent} {key:?}");
        }
    }
}

#[test]
fn a_port_keeps_its_id_and_has_one_that_follows_from_what_it_is_where_it_has_none() {
    let named = ImportedPort {
        name: Some("dns".into()),
        ..ImportedPort::new(Family::Ipv6, Protocol::Udp, 53, EARLY).id(id(77))
    };
    let one = ImportedInstance { ports: vec![named], ..instance() };
    let kept = PortMap {
        id: id(77),
        node_id: id(NODE),
        instance_id: Some(id(INSTANCE)),
        family: Family::Ipv6,
        protocol: Protocol::Udp,
        port: 53,
        managed: true,
        name: Some("dns".into()),
        foreign_id: None,
        created_at: EARLY,
    };
    assert_eq!(inserted::<PortMap>(&batch(&[one], &[])), [kept]);
    let port = ImportedPort::new(Family::Ipv4, Protocol::Tcp, 22, NOW);
    let others = [
        (ImportedInstance { id: id(6), ..instance() }, port.clone()),
        (instance(), ImportedPort { family: Family::Ipv6, ..port.clone() }),
        (instance(), ImportedPort { protocol: Protocol::Udp, ..port.clone() }),
        (instance(), ImportedPort { port: 23, ..port.clone() }),
    ];
    let derived = instance().port_id(&port);
    assert_eq!(derived, instance().port_id(&ImportedPort { name: Some("ssh".into()), ..port }));
    for (instance, port) in others {
        assert_ne!(instance.port_id(&port), derived, "{port:?}");
    }
    let millis = crate::id::v7_millis(derived.uuid());
    assert_eq!(millis.map(i128::from), Some(1_700_000_000_000), "it was made when it was taken");
}

#[test]
fn a_node_and_its_gpus_are_kept_as_they_are_said() {
    let (cpu, memory, storage) = (CpuMilli::from_u32(1), MemoryMib::from_u32(2), StorageMib::from_u32(3));
    let said = ImportedGpu {
        memory_mib: Some(MemoryMib::from_u32(80)),
        health: GpuHealth::Quarantined,
        created_at: EARLY,
        updated_at: CHANGED,
        ..gpu(7).key("GPU-7").rental("cloud", "rental")
    };
    let gone = ImportedGpu { health: GpuHealth::Gone, ..gpu(1) };
    let mut one = node().capacity(cpu, memory, storage).state(NodeState::Draining);
    one.gpus = vec![gpu(0), gone, said];
    let made = batch(std::slice::from_ref(&one), &[]);
    assert_eq!(inserted::<ComputeNode>(&made), [one.profile]);
    let lifecycle = NodeLifecycle { node_id: id(NODE), state: NodeState::Draining, has_agent: false };
    assert_eq!(inserted::<NodeLifecycle>(&made), [lifecycle]);
    let ledger = NodeLedger {
        node_id: id(NODE),
        cpu_milli: CpuMilli::ZERO,
        cpu_milli_total: cpu,
        memory_mib: MemoryMib::ZERO,
        memory_mib_total: memory,
        storage_mib: StorageMib::ZERO,
        storage_mib_total: storage,
        gpu_milli: GpuMilli::ZERO,
        // What is gone is not there, and what is quarantined is.
        gpu_milli_total: GpuMilli::from_u32(2000),
        instances: 0,
    };
    assert_eq!(inserted::<NodeLedger>(&made), [ledger]);
    let gpus = inserted::<Gpu>(&made);
    let kept = Gpu {
        id: id(GPU + 700),
        node_id: Some(id(NODE)),
        slot: 7,
        key: Some("GPU-7".into()),
        model: "H100".into(),
        memory_mib: Some(MemoryMib::from_u32(80)),
        health: GpuHealth::Quarantined,
        used_milli: GpuMilli::ZERO,
        instance_id: Some("rental".into()),
        created_at: EARLY,
        updated_at: CHANGED,
        gone_quarantined: false,
        provider: Some("cloud".into()),
    };
    assert_eq!((gpus.len(), &gpus[2]), (3, &kept));
    assert_eq!(gpus[1].health, GpuHealth::Gone);
}

#[test]
fn a_user_is_kept_with_everything_that_a_user_has() {
    let mut one = user().limits(Limits::default().instances(7)).suspended();
    (one.user.created_at, one.user.updated_at) = (EARLY, CHANGED);
    let made = batch(std::slice::from_ref(&one), &[]);
    assert_eq!(inserted::<User>(&made), [one.user.clone()]);
    assert_eq!(inserted::<Quota>(&made), [Quota::unused(id(OWNER), one.limits)]);
    let access = UserAccess { user_id: id(OWNER), state: AccessState::Suspended };
    assert_eq!(inserted::<UserAccess>(&made), [access]);
    assert_eq!(inserted::<LoginRetries>(&made), [LoginRetries { user_id: id(OWNER), retry_count: 0 }]);
}

#[test]
fn a_batch_has_one_line_that_says_how_many_of_what() {
    let mut others = [user(), user(), user()];
    others[1].user.permission = UserPermission::Administrator;
    let made = batch(&others, &[]);
    let line = &inserted::<Log>(&made)[0];
    assert_eq!((line.title.as_str(), line.description.as_deref()), ("user.import", Some("3 of users")));
    assert_eq!((line.subject_kind.as_deref(), line.subject_id), (Some("batch"), Some(made.id)));
    assert_eq!((line.actor_id, line.timestamp), (None, NOW));
    assert_eq!(inserted::<Log>(&batch(&[image()], &[]))[0].description.as_deref(), Some("1 of images"));
    assert_eq!(inserted::<Log>(&batch(&[node()], &[]))[0].title, "node.import");
}
