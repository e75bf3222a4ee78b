//! Lists and numbers that are too large.

use super::super::World;
use super::super::machine::{LEASE, Machine};
use super::{Case, MANY, bad_texts, case};
use crate::amount::{CpuMilli, GpuMilli, MAX};
use crate::entity::{CommandKind, GpuId};
use crate::machine::{FoundGpu, FoundImage, FoundInstance, FoundState, Inventory};
use crate::plane::{Heartbeat, LaunchRequest, NewCommand, NewNode, NodeSession, PortKey, PortRequest};
use crate::ports::{Family, Protocol};
use crate::time::Clock as _;

const fn tcp(port: u16) -> PortKey {
    PortKey { family: Family::Ipv4, protocol: Protocol::Tcp, port }
}

fn ports() -> impl Iterator<Item = PortKey> {
    (1..=u16::MAX).cycle().map(tcp).take(MANY)
}

pub(super) fn launches<'w>(world: &'w World, machine: &Machine) -> Vec<Case<'w>> {
    let (cloud, owner, node) = (&world.cloud, machine.owner, machine.node);
    let launch = || LaunchRequest::new(owner, format!("i-{}", world.fresh())).on_node(node);
    let gpu = GpuId::new(world.id());
    let some = |count| PortRequest { family: Family::Ipv4, protocol: Protocol::Tcp, count };
    let many_models: Vec<String> = (0..MANY).map(|at| format!("model-{at}")).collect();
    let demands = [
        ("models", "demand", LaunchRequest { gpu_models: many_models.clone(), ..launch().gpus(1) }),
        ("models of no gpu", "gpu_models", LaunchRequest { gpu_models: many_models, ..launch() }),
        ("a model of nothing", "demand", launch().gpus(1).gpu_model("")),
        ("a long model", "demand", launch().gpus(1).gpu_model("x".repeat(super::TEN_MB))),
        ("all gpus", "demand", launch().gpus(u32::MAX)),
        ("a part of no gpu", "gpus", LaunchRequest { gpu_milli: GpuMilli::WHOLE, ..launch() }),
        (
            "parts of many gpus",
            "gpus",
            LaunchRequest { gpus: 100_000, gpu_milli: GpuMilli::from_u32(5), ..launch() },
        ),
        ("nothing of a gpu", "demand", launch().gpu_share(GpuMilli::ZERO)),
        ("more than a gpu", "demand", launch().gpu_share(GpuMilli::from_u32(1001))),
        ("no port", "ports[0]", launch().ports(Family::Ipv4, Protocol::Tcp, 0)),
        ("all ports", "ports[0]", launch().ports(Family::Ipv4, Protocol::Tcp, u32::MAX)),
        ("many times ports", "ports[1]", LaunchRequest { ports: vec![some(1); MANY], ..launch() }),
        ("port 0", "given_ports[0]", launch().port(Family::Ipv4, Protocol::Tcp, 0)),
        ("a port twice", "given_ports[1]", LaunchRequest { given_ports: vec![tcp(80); 2], ..launch() }),
        ("a gpu too many", "given_gpus", launch().gpus(1).on_gpu(gpu).on_gpu(gpu)),
        ("a gpu twice", "given_gpus[1]", launch().gpus(2).on_gpu(gpu).on_gpu(gpu)),
        ("many gpus", "given_gpus", LaunchRequest { given_gpus: vec![gpu; MANY], ..launch().gpus(1) }),
        ("many ports", "given_ports", LaunchRequest { given_ports: ports().collect(), ..launch() }),
    ];
    let mut cases: Vec<Case<'w>> = demands
        .into_iter()
        .map(|(what, field, request)| {
            case(format!("a launch with {what}"), ("invalid", field), cloud.launch(request))
        })
        .collect();
    let all = launch().cpu(CpuMilli::new(MAX).unwrap());
    cases.push(case("all processors there could be", ("no_capacity", ""), cloud.launch(all)));
    cases
}

pub(super) fn reports<'w>(world: &'w World, machine: &Machine) -> Vec<Case<'w>> {
    let (node, session) = (machine.node, machine.session);
    let report = || Inventory::taken_at(world.clock.now());
    let running = |key: &str| FoundInstance::new(key, FoundState::Running);
    let gpu = |key: &str| FoundGpu::new(key, "H100");
    let mut twice: Vec<FoundInstance> = (0..MANY).map(|at| running(&at.to_string())).collect();
    twice.push(running("7"));
    let images = |keys: [&str; 2]| report().images(keys.map(FoundImage::new).into());
    let mut inventories = vec![
        (
            "gpus".to_owned(),
            "gpus".to_owned(),
            report().gpus((0..MANY).map(|at| gpu(&at.to_string())).collect()),
        ),
        ("a gpu twice".to_owned(), "gpus[1].key".to_owned(), report().gpus(vec![gpu("a"), gpu("a")])),
        ("an image twice".to_owned(), "images[1].key".to_owned(), images(["a", "a"])),
        ("a container twice".to_owned(), format!("instances[{MANY}].key"), report().instances(twice)),
        (
            "port 0".to_owned(),
            "instances[0].ports".to_owned(),
            report().instances(vec![running("a").port(tcp(0))]),
        ),
        ("many ports".to_owned(), "instances[0].ports".to_owned(), {
            let crowded = FoundInstance { ports: ports().collect(), ..running("a") };
            report().instances(vec![crowded])
        }),
    ];
    for (what, text) in bad_texts() {
        let some = || Some(text.clone());
        let of_image = |image: FoundImage| report().images(vec![image]);
        inventories.extend(
            [
                ("arch", Inventory { arch: some(), ..report() }),
                ("platform", Inventory { platform: some(), ..report() }),
                ("cpu_info", Inventory { cpu_info: some(), ..report() }),
                ("gpu_info", Inventory { gpu_info: some(), ..report() }),
                ("manipulator_driver", Inventory { manipulator_driver: some(), ..report() }),
                ("gpus[0].key", report().gpus(vec![gpu(&text)])),
                ("gpus[0].model", report().gpus(vec![FoundGpu::new("a", text.clone())])),
                ("images[0].key", of_image(FoundImage::new(text.clone()))),
                ("images[0].url", of_image(FoundImage::new("a").url(text.clone()))),
                ("images[0].name", of_image(FoundImage::new("a").name(text.clone()))),
                ("instances[0].key", report().instances(vec![running(&text)])),
            ]
            .map(|(field, inventory)| (what.to_owned(), field.to_owned(), inventory)),
        );
    }
    let cloud = &world.cloud;
    inventories
        .into_iter()
        .map(|(what, field, inventory)| {
            // Fields of a report are told for good: they are few.
            let field: &'static str = Box::leak(field.into_boxed_str());
            case(format!("a report with {what}"), ("invalid", field), async move {
                cloud.report(node, session, &inventory).await
            })
        })
        .collect()
}

pub(super) fn numbers<'w>(world: &'w World, machine: &Machine) -> Vec<Case<'w>> {
    let (cloud, owner, node, session) = (&world.cloud, machine.owner, machine.node, machine.session);
    let mut cases = Vec::new();
    for limit in [0, 101, u32::MAX] {
        let taken = cloud.take_commands(node, session, limit, LEASE);
        cases.push(case(format!("{limit} commands"), ("invalid", "limit"), taken));
    }
    for attempts in [0, 1001, u32::MAX] {
        let ping = NewCommand::ping(node).max_attempts(attempts);
        cases.push(case(
            format!("{attempts} attempts"),
            ("invalid", "max_attempts"),
            cloud.send_command(ping),
        ));
    }
    for session in [NodeSession(0), NodeSession(session.0 + 1), NodeSession(u32::MAX)] {
        let what = |what| format!("{what} in {session:?}");
        let of = ("wrong_state", "node session");
        cases.push(case(what("commands"), of, cloud.take_commands(node, session, 1, LEASE)));
        cases.push(case(what("a look"), of, cloud.begin_report(node, session)));
        let report = Inventory::taken_at(world.clock.now());
        cases.push(case(what("a report"), of, async move { cloud.report(node, session, &report).await }));
        cases.push(case(what("a heartbeat"), of, async move {
            cloud.heartbeats(&[Heartbeat::new(node, session)]).await.remove(0)
        }));
    }
    for gpus in [17, u32::MAX] {
        let new = NewNode::new(owner, format!("n-{}", world.fresh())).gpus(gpus, "H100");
        cases.push(case(format!("a node with {gpus} gpus"), ("invalid", "gpus"), cloud.register_node(new)));
    }
    let ping = NewCommand { subject: Some(world.id()), ..NewCommand::ping(node) };
    cases.push(case("a ping of something", ("invalid", "subject"), cloud.send_command(ping)));
    let nothing = NewCommand { subject: None, ..NewCommand::of(node, CommandKind::StopInstance, world.id()) };
    cases.push(case("to stop nothing", ("invalid", "subject"), cloud.send_command(nothing)));
    cases
}
