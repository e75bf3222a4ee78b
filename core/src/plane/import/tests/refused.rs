//! What cannot be, and is refused before anything is written; and which refusals of a store are looked at again.

use super::*;
use crate::amount::GpuMilli;
use crate::entity::{
    ADMINISTRATIONS, DesiredState, GPUS, GpuHealth, INSTANCES, InstanceState, NODE_LIFECYCLES, PORT_MAPS,
    SecretText, UserPermission,
};
use crate::plane::import::is_lost;
use crate::store::{Cause, Key, Refusal, StoreError, Table};

/// A field, and what makes it one that is refused.
type Spoil<T> = (&'static str, fn(&mut T));
/// The same, where it depends on what is around it.
type Spoils<'s, T> = &'s dyn Fn(&mut T);

#[test]
fn what_has_happened_now_is_not_in_the_future() {
    assert_eq!(refused_field(&user()), "");
    assert_eq!(refused_field(&node()), "");
    assert_eq!(refused_field(&image()), "");
    assert_eq!(refused_field(&instance()), "");
}

#[test]
fn a_user_whose_confirmation_is_under_way_or_who_is_of_the_future_is_refused() {
    let hash = || Some(SecretText::new("x"));
    let confirming = "email_confirmation_hash";
    let spoils: [Spoil<User>; 2] =
        [("created_at", |user| user.created_at = LATE), ("updated_at", |user| user.updated_at = LATE)];
    for (field, spoil) in spoils {
        let mut user = user();
        spoil(&mut user.user);
        assert_eq!(refused_field(&user), field);
    }
    let mut users = [user(), user(), user(), user()];
    users[0].user.email_confirmation_hash = hash();
    users[1].user.email_confirmation_expires = Some(LATE);
    users[2].user.code_confirmation = hash();
    users[3].user.code_confirmation_expires = Some(EARLY);
    assert_eq!(users.each_ref().map(refused_field), [confirming; 4]);
    let mut suspended = user().suspended();
    assert_eq!(refused_field(&suspended), "");
    suspended.user.permission = UserPermission::Administrator;
    assert!(matches!(decided(&suspended, []), Err(Error::WrongState { kind: "user", .. })));
}

#[test]
fn an_image_that_waits_for_something_or_is_of_the_future_is_refused() {
    let spoils: [Spoil<Image>; 4] = [
        ("command_id", |image| image.command_id = Some(id(9))),
        ("created_at", |image| image.created_at = LATE),
        ("updated_at", |image| image.updated_at = LATE),
        ("native_timestamp", |image| image.native_timestamp = LATE),
    ];
    for (field, spoil) in spoils {
        let mut image = image();
        spoil(&mut image);
        assert_eq!(refused_field(&image), field);
    }
}

#[test]
fn a_node_with_impossible_gpus_or_of_the_future_is_refused() {
    let spoils: [Spoil<ImportedNode>; 10] = [
        ("created_at", |node| node.profile.created_at = LATE),
        ("updated_at", |node| node.profile.updated_at = LATE),
        ("gpus", |node| node.gpus = (0..17).map(gpu).collect()),
        ("gpus[1].slot", |node| node.gpus[1].id = node.gpus[0].id),
        ("gpus[1].slot", |node| node.gpus[1].slot = 0),
        ("gpus[1].model", |node| node.gpus[1].model = "A100".into()),
        ("gpus[1].provider", |node| node.gpus[1].provider = Some("cloud".into())),
        ("gpus[1].provider", |node| node.gpus[1].instance_id = Some("rental".into())),
        ("gpus[1].created_at", |node| node.gpus[1].created_at = LATE),
        ("gpus[1].updated_at", |node| node.gpus[1].updated_at = LATE),
    ];
    for (field, spoil) in spoils {
        let mut node = node();
        spoil(&mut node);
        assert_eq!(refused_field(&node), field);
    }
    let mut node = node();
    node.gpus = (0..16).map(gpu).collect();
    (node.gpus[1].model, node.gpus[1].health) = ("A100".into(), GpuHealth::Quarantined);
    (node.gpus[2].model, node.gpus[2].health) = ("A100".into(), GpuHealth::Gone);
    assert_eq!(refused_field(&node), "", "one that does not work may be of another model");
}

#[test]
fn an_instance_that_holds_what_nothing_can_or_is_of_the_future_is_refused() {
    let ended = |it: &mut ImportedInstance| {
        (it.state, it.desired, it.ports) = (InstanceState::Lost, DesiredState::Running, Vec::new());
    };
    let port = |port: u16| ImportedPort::new(Family::Ipv4, Protocol::Tcp, port, NOW);
    let spoils: [(&str, Spoils<'_, ImportedInstance>); 20] = [
        ("created_at", &|it| it.created_at = LATE),
        ("updated_at", &|it| it.updated_at = LATE),
        ("gpus", &|it| it.gpus = (100..117).map(id).collect()),
        ("", &|it| it.gpus = (100..116).map(id).collect()),
        ("gpus", &|it| it.gpus.push(id(GPU))),
        ("gpu_milli", &|it| it.gpus.clear()),
        ("gpu_milli", &|it| it.gpu_milli = GpuMilli::ZERO),
        ("gpu_milli", &|it| it.gpu_milli = GpuMilli::from_u32(1001)),
        ("", &|it| (it.gpus, it.gpu_milli) = (Vec::new(), GpuMilli::ZERO)),
        ("ports", &|it| it.ports = (1..=65).map(port).collect()),
        ("", &|it| it.ports = (1..=64).map(port).collect()),
        ("ports[0]", &|it| it.ports[0].port = 0),
        ("ports[1]", &|it| it.ports.push(port(22))),
        ("", &|it| it.ports.push(ImportedPort { protocol: Protocol::Udp, ..port(22) })),
        ("ports[0].created_at", &|it| it.ports[0].created_at = LATE),
        ("ports", &|it| it.state = InstanceState::Deleted),
        ("", &|it| ended(it)),
        ("image", &|it| {
            ended(it);
            it.image = Some(id(IMAGE));
        }),
        ("key", &|it| it.key = Some(String::new())),
        ("", &|it| it.key = None),
    ];
    for (at, (field, spoil)) in spoils.into_iter().enumerate() {
        let mut instance = instance();
        spoil(&mut instance);
        assert_eq!(refused_field(&instance), field, "{at}");
    }
    for (name, text) in [("a\nb", "ssh-rsa AAAA"), ("a", "ssh-rsa AAAA\r"), ("a", "\u{0}")] {
        let mut instance = instance();
        instance.ssh_key = Some((name.into(), text.into()));
        assert_eq!(refused_field(&instance), "ssh_key", "{name:?} {text:?}");
    }
}

#[test]
fn an_instance_is_on_a_node_that_lives_and_has_its_image() {
    let mut one = instance();
    one.image = Some(id(IMAGE));
    assert_eq!(refused_field(&one), "");
    one.node = id(NODE + 100);
    assert!(matches!(decided(&one, []), Err(Error::NotFound { kind: "compute_node", .. })));
    let there = NodeLifecycle { node_id: one.node, state: NodeState::Active, has_agent: false };
    let of_other = decided(&one, [there.to_row()]);
    assert!(matches!(&of_other, Err(Error::Invalid { field, .. }) if field == "image"), "{of_other:?}");
    one.image = Some(id(IMAGE + 100));
    let unknown = decided(&one, [there.to_row()]);
    assert!(matches!(&unknown, Err(Error::NotFound { kind: "image", .. })), "{unknown:?}");
    let dead = decided(&instance(), [lifecycle(NodeState::Dead, true)]);
    assert!(matches!(&dead, Err(Error::WrongState { kind: "compute_node", .. })), "{dead:?}");
    for state in [NodeState::Cordoned, NodeState::Draining, NodeState::Unknown] {
        assert!(decided(&instance(), [lifecycle(state, true)]).is_ok(), "{state}: what exists there exists");
    }
}

fn refusal(table: &Table, key: impl Into<Key>, cause: Cause) -> Refusal {
    Refusal { write: 0, table: table.name, key: key.into(), cause }
}

fn duplicate(unique: &'static str) -> Cause {
    Cause::Duplicate { unique, owner: id::<Image>(9).into() }
}

#[test]
fn what_another_one_did_first_is_looked_at_again_and_what_the_item_cannot_be_is_not() {
    let conflict = || Cause::Conflict { expected: 1, found: 2 };
    let instance = instance();
    let port = instance.port_id(&instance.ports[0]);
    let table = [
        (true, refusal(&INSTANCES, instance.id, duplicate("instances"))),
        (true, refusal(&NODE_LIFECYCLES, instance.node, conflict())),
        (true, refusal(&NODE_LIFECYCLES, instance.node, Cause::Missing)),
        (false, refusal(&INSTANCES, instance.id, duplicate("instances_owner_live_name"))),
        (false, refusal(&INSTANCES, instance.id, Cause::NoParent { reference: "instances_owner" })),
        (false, refusal(&GPUS, instance.gpus[0], Cause::TestFailed { column: "node_id" })),
        (false, refusal(&GPUS, instance.gpus[0], Cause::Missing)),
        (false, refusal(&GPUS, instance.gpus[0], Cause::Invariant { rule: "gpus_used_at_most_whole" })),
        (false, refusal(&PORT_MAPS, port, duplicate("port_maps"))),
    ];
    for (again, refusal) in table {
        assert_eq!(is_lost(&instance, &StoreError::Refused(Box::new(refusal.clone()))), again, "{refusal:?}");
    }
    let first = refusal(&ADMINISTRATIONS, Key::from(uuid::Uuid::nil()), duplicate("administrations"));
    assert!(
        is_lost(&user(), &StoreError::Refused(Box::new(first))),
        "both made the row that counts administrators"
    );
    let unavailable = StoreError::Unavailable { reason: "gone".into(), source: None };
    assert!(!is_lost(&user(), &unavailable), "nobody was first");
}

#[test]
fn what_a_refusal_means_for_an_instance_is_this_table() {
    let mut it = instance();
    it.gpus.push(id(GPU + 100));
    it.ports.push(ImportedPort::new(Family::Ipv6, Protocol::Udp, 7, NOW));
    let port = it.port_id(&it.ports[1]);
    let told = |refusal: Refusal| {
        let (field, why) = it.refused(&refusal)?;
        let what = match why {
            Error::AlreadyExists { kind, key } => format!("{kind} {key}"),
            Error::NotFound { kind, .. } => format!("no {kind}"),
            Error::Invalid { field, .. } => format!("invalid {field}"),
            other => other.to_string(),
        };
        Some((field.unwrap_or_default(), what))
    };
    let second = it.gpus[1];
    let table = [
        (refusal(&PORT_MAPS, port, duplicate("port_maps")), "ports[1]", "port_map id"),
        (refusal(&PORT_MAPS, port, duplicate("port_maps_slot")), "ports[1]", "port_map slot"),
        (refusal(&GPUS, second, Cause::Missing), "gpus[1]", "no gpu"),
        (refusal(&GPUS, second, Cause::TestFailed { column: "node_id" }), "gpus[1]", "invalid gpus[1]"),
        (
            refusal(&GPUS, second, Cause::Invariant { rule: "gpus_used_at_most_whole" }),
            "gpus[1]",
            "invalid gpus[1]",
        ),
        (refusal(&INSTANCES, it.id, Cause::NoParent { reference: "instances_owner" }), "", "no user"),
        (refusal(&INSTANCES, it.id, duplicate("instances_owner_live_name")), "", "instance name"),
        (refusal(&INSTANCES, it.id, duplicate("instances_node_key")), "", "instance key"),
    ];
    for (refusal, part, what) in table {
        assert_eq!(told(refusal.clone()), Some((part.to_owned(), what.to_owned())), "{refusal:?}");
    }
}
