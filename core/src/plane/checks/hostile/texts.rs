//! Texts that are too long, or are none.

use super::super::World;
use super::super::machine::{LEASE, Machine};
use super::{Case, MANY, TEN_MB, bad_texts, case};
use crate::entity::{CommandKind, InstanceId};
use crate::plane::{CommandOutcome, LaunchRequest, NewCommand, NewImage, NewNode, NewUser, SaveImageRequest};
use crate::ports::{PortRanges, Protocol};
use crate::store::Json;

/// Ranges of ports as values and as they are stored: refused before any store sees them.
pub(super) fn ranges() {
    let tcp = |low, high| PortRanges::new([(Protocol::Tcp, low, high)]);
    let stored = |range: &str| {
        let text = format!("{{\"a\":{{\"protocol\":\"tcp\",\"range\":{range}}}}}");
        Json::parse(&text).map(|json| PortRanges::from_json(&json))
    };
    for (low, high) in [(1, u32::MAX), (80, 79), (0, 9), (0, 0), (1, 65_536), (65_536, 65_536)] {
        tcp(low, high).unwrap_err();
        stored(&format!("[{low},{high}]")).unwrap().unwrap_err();
    }
    for range in
        ["[1,99999999999]", "[-1,5]", "\"1-99999999999\"", "\"80-79\"", "[1]", "[1,2,3]", "[1.5,2]", "null"]
    {
        let error = stored(range).unwrap().unwrap_err();
        assert_eq!(error.label, "a", "{range}");
    }
    PortRanges::new((0..MANY).map(|_| (Protocol::Tcp, 80, 80))).unwrap_err();
    let label = "x".repeat(TEN_MB);
    let long = Json::parse(&format!("{{\"{label}\":{{\"protocol\":\"tcp\",\"range\":[80,79]}}}}")).unwrap();
    let error = PortRanges::from_json(&long).unwrap_err();
    assert!(error.to_string().len() < 1000, "what is told is as long as what was given");
}

/// Names of everything.
pub(super) fn names<'w>(world: &'w World, machine: &Machine) -> Vec<Case<'w>> {
    let (cloud, owner, node) = (&world.cloud, machine.owner, machine.node);
    let mut cases = Vec::new();
    for (what, text) in bad_texts() {
        let launch = || LaunchRequest::new(owner, format!("i-{}", world.fresh())).on_node(node);
        let user = NewUser::new(format!("u-{}@example.org", world.fresh()), text.clone());
        cases.push(case(
            format!("{what} as the name of a user"),
            ("invalid", "name"),
            cloud.create_user(user),
        ));
        let user = NewUser::new(format!("{text}@example.org"), "Ada");
        cases.push(case(format!("{what} as an address"), ("invalid", "email"), cloud.create_user(user)));
        let new = NewNode::new(owner, text.clone());
        cases.push(case(
            format!("{what} as the name of a node"),
            ("invalid", "name"),
            cloud.register_node(new),
        ));
        let new = NewNode::new(owner, format!("n-{}", world.fresh())).gpus(1, text.clone());
        cases.push(case(format!("{what} as a model"), ("invalid", "gpu_model"), cloud.register_node(new)));
        let new = LaunchRequest::new(owner, text.clone()).on_node(node);
        cases.push(case(
            format!("{what} as the name of an instance"),
            ("invalid", "name"),
            cloud.launch(new),
        ));
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJQ9Zcq3Kw2r1sJbQ8qkqO5n0Cq0lq8dG1n7y0Yx8K4d";
        let new = launch().ssh_key(text.clone(), key);
        cases.push(case(format!("{what} as the name of a key"), ("invalid", "name"), cloud.launch(new)));
        let new = launch().ssh_key("mine", text.clone());
        cases.push(case(format!("{what} as a key"), ("invalid", "ssh_key"), cloud.launch(new)));
        let new = SaveImageRequest::of(made(machine)).name(text.clone());
        cases.push(case(
            format!("{what} as the name of a saved image"),
            ("invalid", "name"),
            cloud.save_image(new),
        ));
        let new = NewImage::new(node, "https://example.org/named").name(text);
        cases.push(case(
            format!("{what} as the name of an image"),
            ("invalid", "name"),
            cloud.fetch_image(new),
        ));
    }
    for name in ["", "a", "../..", "a b", "ä-ä", "i\u{202e}i", "a\n"] {
        let new = LaunchRequest::new(owner, name).on_node(node);
        cases.push(case(format!("an instance called {name:?}"), ("invalid", "name"), cloud.launch(new)));
    }
    cases
}

/// An instance that the agent of the machine has made.
fn made(machine: &Machine) -> InstanceId {
    machine.containers.values().find_map(|container| container.mark).unwrap()
}

/// What somebody wishes, in words.
pub(super) fn wishes<'w>(world: &'w World, machine: &Machine) -> Vec<Case<'w>> {
    let (cloud, owner, node) = (&world.cloud, machine.owner, machine.node);
    let mut cases = Vec::new();
    let launch = || LaunchRequest::new(owner, format!("i-{}", world.fresh())).on_node(node);
    for (what, text) in bad_texts() {
        let new = NewImage::new(node, text.clone());
        cases.push(case(format!("{what} as a url"), ("invalid", "url"), cloud.fetch_image(new)));
        let new = NewImage::new(node, "https://example.org/described").description(text.clone());
        cases.push(case(format!("{what} of an image"), ("invalid", "description"), cloud.fetch_image(new)));
        let new = SaveImageRequest::of(made(machine)).description(text.clone());
        cases.push(case(
            format!("{what} of a saved image"),
            ("invalid", "description"),
            cloud.save_image(new),
        ));
        let new = LaunchRequest { description: Some(text.clone()), ..launch() };
        cases.push(case(format!("{what} of an instance"), ("invalid", "description"), cloud.launch(new)));
        let new = LaunchRequest { base_image: Some(text.clone()), ..launch() };
        cases.push(case(format!("{what} as an image"), ("invalid", "base_image"), cloud.launch(new)));
        let new = NewCommand::ping(node).payload(text.clone());
        cases.push(case(format!("{what} for an agent"), ("invalid", "payload"), cloud.send_command(new)));
        let new = launch().payload(text.clone());
        cases.push(case(format!("{what} with a launch"), ("invalid", "payload"), cloud.launch(new)));
        let (dead, gone) = (text.clone(), text);
        cases.push(case(format!("{what} why a node is dead"), ("invalid", "reason"), async move {
            cloud.mark_node_dead(node, &dead).await
        }));
        cases.push(case(format!("{what} why an instance is gone"), ("invalid", "reason"), async move {
            cloud.abandon_instance(world.id().into(), &gone).await
        }));
    }
    for empty in ["", "  ", "\n"] {
        cases.push(case("no reason", ("invalid", "reason"), cloud.mark_node_dead(node, empty)));
        cases.push(case("no url", ("invalid", "url"), cloud.fetch_image(NewImage::new(node, empty))));
    }
    // Not too long as it is given, and too long as it is written down.
    let new = launch().payload("\u{1}".repeat(4096));
    cases.push(case("a payload of control characters", ("invalid", "payload"), cloud.launch(new)));
    cases
}

/// What an agent says of a command.
pub(super) async fn said<'w>(world: &'w World, machine: &Machine) -> Vec<Case<'w>> {
    let cloud = &world.cloud;
    cloud.send_command(NewCommand::ping(machine.node)).await.unwrap();
    machine.launch(world).await;
    let mut cases = Vec::new();
    for held in machine.take(world).await {
        let creates = held.command.kind == CommandKind::CreateInstance;
        let mut answers = Vec::new();
        for (what, text) in bad_texts() {
            answers.push((what, CommandOutcome::Failed(text.clone())));
            answers.push((what, CommandOutcome::Again(text.clone())));
            answers.push((what, CommandOutcome::Done(text)));
        }
        if creates {
            let long = format!("{{\"key\":\"{}\"}}", "x".repeat(129));
            answers.extend([("a long key", CommandOutcome::Done(long))]);
            answers.extend([("nothing", CommandOutcome::Done("{}".to_owned()))]);
        }
        for (what, outcome) in answers {
            let held = held.clone();
            let long_key = what == "a long key";
            let field = if long_key { "result.key" } else { "result" };
            cases.push(case(format!("{what} of a {}", held.command.kind), ("invalid", field), async move {
                cloud.complete_command(&held, &outcome).await
            }));
        }
        let other = crate::plane::CommandLease::new(held.command.clone(), held.session, held.attempt + 1);
        cases.push(case("an attempt to come", ("wrong_state", "command"), async move {
            cloud.extend_command(&other, LEASE).await
        }));
    }
    cases
}
