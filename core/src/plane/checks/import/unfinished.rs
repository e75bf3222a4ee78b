//! What is brought in beside what an agent has found, and before it is finished.

use std::time::Duration;

use super::{clean, now, port};
use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use crate::entity::{CommandKind, DesiredState, InstanceName, InstanceState, NODE_LEDGERS};
use crate::error::Error;
use crate::plane::checks::World;
use crate::plane::checks::machine::{Container, Machine, gpus, instance};
use crate::plane::{Imported, ImportedInstance, PortKey};
use crate::ports::{Family, Protocol};
use crate::store::StoreExt as _;

pub(super) async fn check_unfinished(world: &World) {
    what_is_unfinished_gets_no_command_until_somebody_asks(world).await;
    what_an_agent_has_found_before_has_its_ports_until_it_is_known(world).await;
    a_port_has_one_owner_also_outside_the_ranges_of_its_node(world).await;
}

/// An instance of a machine, which has a container for it.
async fn on(
    world: &World,
    machine: &mut Machine,
    (state, desired): (InstanceState, DesiredState),
) -> ImportedInstance {
    let at = now(world).await.minus(Duration::from_hours(1));
    let (name, key) = (format!("i-{}", world.fresh()), format!("c-{}", world.fresh()));
    let uses = (CpuMilli::from_u32(500), MemoryMib::from_u32(256), StorageMib::from_u32(10));
    let runs = state == InstanceState::Running;
    machine.containers.insert(key.clone(), Container { mark: None, runs, uses, ports: Vec::new() });
    let name = InstanceName::new(name).unwrap();
    let one = ImportedInstance::new(world.id().into(), machine.owner, machine.node, name, at);
    one.holds(uses.0, uses.1, uses.2).key(key).state(state, desired)
}

async fn brought(world: &World, instances: &[ImportedInstance]) {
    let answers = world.cloud.import_instances(instances).await;
    assert!(answers.iter().all(|it| matches!(it, Ok(Imported::New))), "{answers:?}");
}

async fn what_is_unfinished_gets_no_command_until_somebody_asks(world: &World) {
    use InstanceState::{Creating, Deleting, Running, Stopped};
    let mut machine = Machine::new(world).await;
    let gpu = gpus(world, machine.node).await.remove(0).id;
    let mut all = Vec::new();
    for (state, desired) in [
        (Creating, DesiredState::Running),
        (Deleting, DesiredState::Deleted),
        (Running, DesiredState::Stopped),
        (Stopped, DesiredState::Running),
    ] {
        let one = on(world, &mut machine, (state, desired)).await;
        all.push(one.gpus([gpu], GpuMilli::from_u32(200)));
    }
    brought(world, &all).await;
    assert_eq!(machine.take(world).await, [], "nobody has asked here");
    // The container of what was being made is there: so it is made.
    machine.report(world).await.unwrap();
    assert_eq!(instance(world, all[0].id).await.state, Stopped);
    assert_eq!(machine.take(world).await, [], "a report asks for nothing");
    world.cloud.delete(all[1].id).await.unwrap();
    world.cloud.stop(all[2].id).await.unwrap();
    world.cloud.start(all[3].id).await.unwrap();
    let told = machine.take(world).await;
    let mut kinds: Vec<CommandKind> = told.iter().map(|held| held.command.kind).collect();
    kinds.sort_unstable_by_key(|kind| kind.as_str());
    assert_eq!(kinds, [CommandKind::DeleteInstance, CommandKind::StartInstance, CommandKind::StopInstance]);
    for held in told {
        let outcome = machine.execute(&held.command);
        world.cloud.complete_command(&held, &outcome).await.unwrap();
    }
    let mut states = Vec::new();
    for one in &all {
        states.push(instance(world, one.id).await.state);
    }
    assert_eq!(states, [Stopped, InstanceState::Deleted, Stopped, Running]);
    clean(world).await;
    for at in [0, 2, 3] {
        world.cloud.delete(all[at].id).await.unwrap();
    }
    machine.work(world).await;
    machine.is_empty(world, "all are deleted").await;
}

async fn what_an_agent_has_found_before_has_its_ports_until_it_is_known(world: &World) {
    let mut machine = Machine::new(world).await;
    let mut one = on(world, &mut machine, (InstanceState::Running, DesiredState::Running)).await;
    let taken = PortKey { family: Family::Ipv4, protocol: Protocol::Tcp, port: 63_000 };
    for container in machine.containers.values_mut() {
        container.ports = vec![taken];
    }
    assert_eq!(machine.report(world).await.unwrap().foreign, 1);
    one.ports = vec![port(63_000, one.created_at)];
    let refused = world.cloud.import_instances(std::slice::from_ref(&one)).await;
    let has_it = |it: &crate::plane::NotImported| {
        it.part.as_deref() == Some("ports[0]")
            && matches!(it.why, Error::AlreadyExists { kind: "port_map", key: "slot" })
    };
    assert!(refused[0].as_ref().is_err_and(has_it), "{refused:?}");
    one.ports = Vec::new();
    brought(world, std::slice::from_ref(&one)).await;
    // Its container counts as it, and no longer as one that nobody launched.
    assert_eq!(machine.report(world).await.unwrap().foreign, 0);
    let ledger = world.cloud.store().get(&NODE_LEDGERS, machine.node).await.unwrap().value.unwrap();
    assert_eq!((ledger.int("cpu_milli").unwrap(), ledger.int("instances").unwrap()), (500, 1));
    clean(world).await;
    world.cloud.delete(one.id).await.unwrap();
    machine.work(world).await;
    machine.report(world).await.unwrap();
    machine.is_empty(world, "its container and its ports are gone").await;
}

async fn a_port_has_one_owner_also_outside_the_ranges_of_its_node(world: &World) {
    let mut machine = Machine::new(world).await;
    let running = (InstanceState::Running, DesiredState::Running);
    let mut one = on(world, &mut machine, running).await;
    let mut other = on(world, &mut machine, running).await;
    let at = one.created_at;
    // The ranges of the node are from 63,000 to 63,099.
    one.ports = vec![port(22, at), port(63_000, at)];
    other.ports = vec![port(63_001, at), port(22, at)];
    let answers = world.cloud.import_instances(&[one.clone(), other.clone()]).await;
    assert!(matches!(answers[0], Ok(Imported::New)), "{answers:?}");
    assert!(answers[1].as_ref().is_err_and(|it| it.part.as_deref() == Some("ports[1]")), "{answers:?}");
    let kept = world.cloud.repositories().instances().ports(one.id).await.unwrap();
    let mut ports: Vec<u16> = kept.iter().map(|port| port.port).collect();
    ports.sort_unstable();
    assert_eq!(ports, [22, 63_000]);
    other.ports.truncate(1);
    brought(world, std::slice::from_ref(&other)).await;
    for id in [one.id, other.id] {
        world.cloud.delete(id).await.unwrap();
    }
    machine.work(world).await;
    machine.is_empty(world, "the port outside its ranges came back too").await;
    clean(world).await;
}
