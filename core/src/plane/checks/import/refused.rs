//! What is not brought in, while the rest is.

use super::{Elsewhere, clean, node, now, port, user};
use crate::amount::GpuMilli;
use crate::entity::{DesiredState, ImageStatus, InstanceState, NodeState};
use crate::error::Error;
use crate::plane::checks::World;
use crate::plane::{Imported, ImportedInstance, NotImported};
use std::time::Duration;

pub(super) async fn check_refused(world: &World) {
    each_that_cannot_be_is_refused_and_the_others_go_in(world).await;
    the_second_of_an_id_is_there_or_is_another_one(world).await;
    of_two_that_want_the_same_the_first_has_it(world).await;
    what_no_row_can_hold_is_refused(world).await;
    nothing_is_brought_to_a_dead_node(world).await;
}

type Answer = Result<Imported, NotImported>;
/// Makes an instance one that cannot be.
type Spoil = fn(&mut ImportedInstance, crate::time::Timestamp);

fn is_new(answer: &Answer) -> bool {
    matches!(answer, Ok(Imported::New))
}

fn why(answer: &Answer) -> (Option<&str>, &Error) {
    let refused = answer.as_ref().unwrap_err();
    (refused.part.as_deref(), &refused.why)
}

/// Many instances of which some cannot be: each has its own answer, and the others are there.
async fn each_that_cannot_be_is_refused_and_the_others_go_in(world: &World) {
    let mut there = Elsewhere::new(world, 40).await;
    let other = node(world, there.users[1].user.id, there.at);
    let of_other = other.gpus[0].id;
    assert!(is_new(&world.cloud.import_users(&there.users[1..]).await[0]));
    assert!(is_new(&world.cloud.import_nodes(&[other]).await[0]));
    there.users.truncate(2);
    let taken = there.instances[3].ports[0].port;
    let second = there.node.gpus[1].id;
    let all = &mut there.instances;
    let key = all[3].key.clone();
    all[5].ports.push(port(taken, there.at));
    (all[7].gpus, all[7].gpu_milli) = (vec![second], GpuMilli::WHOLE);
    all[9].gpus.push(second);
    all[11].owner = world.id().into();
    all[13].node = world.id().into();
    all[15].gpus = vec![world.id().into()];
    all[17].image = Some(world.id().into());
    all[19].gpus = vec![of_other];
    all[21].name = all[3].name.clone();
    all[23].key.clone_from(&key);
    let mut answers = there.bring(&world.cloud).await;
    let answers = answers.split_off(4);
    let expected = [5, 9, 11, 13, 15, 17, 19, 21, 23];
    for (at, answer) in answers.iter().enumerate() {
        assert_eq!(is_new(answer), !expected.contains(&at), "{at}: {answer:?}");
    }
    assert!(matches!(why(&answers[5]), (Some("ports[1]"), Error::AlreadyExists { kind: "port_map", .. })));
    let (part, error) = why(&answers[9]);
    assert!(matches!(error, Error::Invalid { .. }) && part == Some("gpus[1]"), "{:?}", answers[9]);
    assert!(error.to_string().contains(&second.to_string()), "{error}");
    let missing = |at: usize, kind: &str| matches!(why(&answers[at]).1, Error::NotFound { kind: it, .. } if *it == kind);
    assert!(missing(11, "user") && missing(13, "compute_node") && missing(15, "gpu") && missing(17, "image"));
    assert!(matches!(why(&answers[19]), (Some("gpus[0]"), Error::Invalid { .. })), "{:?}", answers[19]);
    assert!(matches!(why(&answers[21]).1, Error::AlreadyExists { kind: "instance", key: "name" }));
    assert!(matches!(why(&answers[23]).1, Error::AlreadyExists { kind: "instance", key: "key" }));
    let told = answers[5].as_ref().unwrap_err().to_string();
    assert_eq!(told, format!("instance {} was not imported for its ports[1]", there.instances[5].id));
    clean(world).await;
}

async fn the_second_of_an_id_is_there_or_is_another_one(world: &World) {
    let mut there = Elsewhere::new(world, 2).await;
    let (same, mut other) = (there.instances[0].clone(), there.instances[1].clone());
    other.description = Some("another".into());
    there.instances.extend([same, other]);
    let answers = there.bring(&world.cloud).await.split_off(4);
    assert!(is_new(&answers[0]) && is_new(&answers[1]));
    assert!(matches!(answers[2], Ok(Imported::WasThere)));
    assert!(matches!(why(&answers[3]).1, Error::AlreadyExists { kind: "instance", key: "id" }));
    let user = user(world, there.at);
    let answers = world.cloud.import_users(&[user.clone(), user]).await;
    assert!(is_new(&answers[0]) && matches!(answers[1], Ok(Imported::WasThere)), "{answers:?}");
    clean(world).await;
}

async fn of_two_that_want_the_same_the_first_has_it(world: &World) {
    let at = now(world).await.minus(Duration::from_hours(1));
    let (one, mut two) = (user(world, at), user(world, at));
    two.user.email = one.user.email.clone();
    let answers = world.cloud.import_users(&[one.clone(), two]).await;
    assert!(is_new(&answers[0]));
    assert!(matches!(why(&answers[1]).1, Error::AlreadyExists { kind: "user", key: "email" }));
    let (first, mut second) = (node(world, one.user.id, at), node(world, one.user.id, at));
    second.profile.name = first.profile.name.clone();
    let mut third = node(world, one.user.id, at);
    third.gpus[1].id = first.gpus[0].id;
    let mut fourth = node(world, one.user.id, at);
    fourth.profile.owner_id = world.id().into();
    let answers = world.cloud.import_nodes(&[first, second, third, fourth]).await;
    assert!(is_new(&answers[0]));
    assert!(matches!(why(&answers[1]).1, Error::AlreadyExists { kind: "compute_node", .. }), "{answers:?}");
    assert!(matches!(why(&answers[2]), (Some("gpus[1]"), Error::AlreadyExists { kind: "gpu", key: "id" })));
    assert!(matches!(why(&answers[3]).1, Error::NotFound { kind: "user", .. }));
    clean(world).await;
}

async fn what_no_row_can_hold_is_refused(world: &World) {
    let there = Elsewhere::new(world, 0).await;
    there.brought(world).await;
    let late = now(world).await.plus(Duration::from_secs(1));
    let spoils: [(&str, Spoil); 12] = [
        ("created_at", |it, late| it.created_at = late),
        ("updated_at", |it, late| it.updated_at = late),
        ("ports[0].created_at", |it, late| it.ports[0].created_at = late),
        ("ports[0]", |it, _| it.ports[0].port = 0),
        ("ports[1]", |it, _| it.ports.push(it.ports[0].clone())),
        ("ports", |it, _| it.ports = vec![it.ports[0].clone(); 65]),
        ("gpus", |it, _| it.gpus.push(it.gpus[0])),
        ("gpu_milli", |it, _| it.gpu_milli = GpuMilli::ZERO),
        ("key", |it, _| it.key = Some(String::new())),
        ("ssh_key", |it, _| it.ssh_key = Some(("a".into(), "ssh-rsa AAAA\nssh-rsa BBBB".into()))),
        ("description", |it, _| it.description = Some("x".repeat(4097))),
        ("image", |it, _| *it = it.clone().state(InstanceState::Lost, DesiredState::Running)),
    ];
    let mut all = vec![there.instance(world)];
    for (_, spoil) in &spoils {
        let mut one = there.instance(world);
        spoil(&mut one, late);
        all.push(one);
    }
    all.push(there.instance(world));
    let answers = world.cloud.import_instances(&all).await;
    assert!(answers.first().is_some_and(is_new) && answers.last().is_some_and(is_new), "{answers:?}");
    for ((field, _), answer) in spoils.iter().zip(&answers[1..]) {
        assert!(
            matches!(why(answer).1, Error::Invalid { field: it, .. } if it == field),
            "{field}: {answer:?}"
        );
    }
    let (mut user, mut image) = (user(world, late), there.image.clone());
    (image.id, image.command_id) = (world.id().into(), Some(world.id().into()));
    let answers = world.cloud.import_users(&[user.clone()]).await;
    assert!(matches!(why(&answers[0]).1, Error::Invalid { field, .. } if field == "created_at"));
    (user.user.created_at, user.user.updated_at) = (there.at, there.at);
    user.user.code_confirmation_expires = Some(late);
    assert!(world.cloud.import_users(&[user]).await[0].is_err());
    assert!(matches!(why(&world.cloud.import_images(&[image.clone()]).await[0]).1, Error::Invalid { .. }));
    (image.command_id, image.key, image.status) = (None, None, ImageStatus::Failed);
    image.node_id = world.id().into();
    let answers = world.cloud.import_images(&[image]).await;
    assert!(matches!(why(&answers[0]).1, Error::NotFound { kind: "compute_node", .. }), "{answers:?}");
    let mut bad = node(world, there.users[1].user.id, there.at);
    bad.gpus[1].model = "A100".into();
    assert!(world.cloud.import_nodes(&[bad]).await[0].is_err(), "a healthy GPU of another model");
    clean(world).await;
}

async fn nothing_is_brought_to_a_dead_node(world: &World) {
    let mut there = Elsewhere::new(world, 1).await;
    there.node.state = NodeState::Dead;
    let answers = there.bring(&world.cloud).await;
    assert!(matches!(why(&answers[4]).1, Error::WrongState { kind: "compute_node", .. }), "{answers:?}");
    clean(world).await;
}
