//! Sessions: how long a token is good, and what ends it.

use std::sync::Arc;
use std::time::Duration;

use super::World;
use super::login::{Member, PASSWORD, log_in, member, second_factor, source};
use crate::entity::{AccessState, SESSION_USES, SecretText, SessionId};
use crate::error::Error;
use crate::identity::{Origin, Via};
use crate::plane::LoggedIn;
use crate::store::StoreExt as _;
use crate::time::Clock as _;

pub(super) async fn check_sessions(world: &World) {
    a_token_is_good_for_its_session_alone(world).await;
    a_session_ends_unused_and_in_any_case(world).await;
    a_session_ends_with_what_its_user_may(world).await;
    a_session_that_awaits_its_second_factor_is_good_for_nothing(world).await;
    a_rotated_session_has_another_token(world).await;
    sessions_are_ended_by_their_user(world).await;
    no_session_outlives_the_ending_of_all(world).await;
    what_has_ended_is_purged(world).await;
}

async fn session(world: &World, member: &Member) -> LoggedIn {
    log_in(&world.cloud, &member.email, PASSWORD, &source()).await.unwrap()
}

async fn is_good(world: &World, token: &SecretText) -> bool {
    match world.cloud.check_session(token, Origin::unknown()).await {
        Ok(_) => true,
        Err(Error::Unauthenticated) => false,
        Err(other) => panic!("{other:?}"),
    }
}

async fn a_token_is_good_for_its_session_alone(world: &World) {
    let member = member(world).await;
    let (one, other) = (session(world, &member).await, session(world, &member).await);
    let text = one.token.expose();
    assert!(text.starts_with("aps_") && text.len() == 68 && text != other.token.expose());
    let kept = world.cloud.repositories().sessions().require(one.session.id).await.unwrap();
    assert!(kept.token_hash.expose().len() == 64 && !text.contains(kept.token_hash.expose()));
    let from = Origin::unknown().host("gateway");
    let caller = world.cloud.check_session(&one.token, from.clone()).await.unwrap();
    let via = Via::Session { user: member.id, session: one.session.id, verified_at: None };
    assert_eq!((caller.via(), caller.origin()), (&via, &from));

    // The id of one with the secret of the other, a changed character, and what is no token at all.
    let mixed = format!("{}{}", &text[..26], &other.token.expose()[26..]);
    let last = if text.ends_with('A') { "B" } else { "A" };
    let changed = format!("{}{last}", &text[..67]);
    let longer = format!("{text}A");
    for wrong in [mixed.as_str(), &changed, &longer, &text[4..], &text[..67], "", "aps_", "aps_é"] {
        assert!(!is_good(world, &SecretText::new(wrong)).await, "a wrong token");
    }
}

async fn a_session_ends_unused_and_in_any_case(world: &World) {
    let member = member(world).await;
    let login = session(world, &member).await;
    let used = async |login: &LoggedIn| {
        let row = world.cloud.store().get(&SESSION_USES, login.session.id).await.unwrap().value.unwrap();
        (row.version(), row.time("last_used_at").unwrap())
    };
    world.clock.advance(Duration::from_secs(59));
    assert!(is_good(world, &login.token).await);
    assert_eq!(used(&login).await, (1, login.session.created_at), "a use within a minute is not recorded");
    world.clock.advance(Duration::from_secs(1));
    let checks: Vec<_> = (0..8)
        .map(|_| {
            let (cloud, token) = (Arc::clone(&world.cloud), login.token.clone());
            tokio::spawn(async move { cloud.check_session(&token, Origin::unknown()).await.is_ok() })
        })
        .collect();
    for check in checks {
        assert!(check.await.unwrap());
    }
    assert_eq!(used(&login).await, (2, world.clock.now()), "and after it once");

    let hour = Duration::from_hours(1);
    world.clock.advance((hour * 24).saturating_sub(Duration::from_micros(1)));
    assert!(is_good(world, &login.token).await);
    world.clock.advance(hour * 24);
    assert!(!is_good(world, &login.token).await, "a day without use");
    assert!(world.cloud.list_sessions(member.id).await.unwrap().is_empty());

    let login = session(world, &member).await;
    while world.clock.now().plus(hour * 12) < login.session.expires_at {
        world.clock.advance(hour * 12);
        assert!(is_good(world, &login.token).await);
    }
    let left = login.session.expires_at.since(world.clock.now());
    world.clock.advance(left.saturating_sub(Duration::from_micros(1)));
    assert!(is_good(world, &login.token).await);
    world.clock.advance(Duration::from_micros(1));
    assert!(!is_good(world, &login.token).await, "its end");
    assert_eq!(login.session.expires_at.since(login.session.created_at), hour * 24 * 30);
}

async fn a_session_ends_with_what_its_user_may(world: &World) {
    let member = member(world).await;
    let login = session(world, &member).await;
    let accesses = world.cloud.repositories().user_access();
    for (state, good) in [(AccessState::Suspended, false), (AccessState::Active, true)] {
        let mut access = accesses.require(member.id).await.unwrap();
        access.value.state = state;
        accesses.update(access).await.unwrap();
        assert_eq!(is_good(world, &login.token).await, good, "{state}");
    }
    let users = world.cloud.repositories().users();
    let mut user = users.require(member.id).await.unwrap();
    user.value.activated = false;
    users.update(user).await.unwrap();
    assert!(!is_good(world, &login.token).await);
}

async fn a_session_that_awaits_its_second_factor_is_good_for_nothing(world: &World) {
    let member = member(world).await;
    second_factor(world, member.id).await;
    let login = session(world, &member).await;
    assert!(!is_good(world, &login.token).await);
    assert!(matches!(world.cloud.rotate_session(&login.token).await, Err(Error::Unauthenticated)));
}

async fn a_rotated_session_has_another_token(world: &World) {
    let member = member(world).await;
    let old = session(world, &member).await;
    world.clock.advance(Duration::from_hours(1));
    let new = world.cloud.rotate_session(&old.token).await.unwrap();
    assert!(new.session.id != old.session.id && new.token != old.token);
    assert_eq!((new.session.expires_at, new.session.ip), (old.session.expires_at, old.session.ip));
    assert!(is_good(world, &new.token).await && !is_good(world, &old.token).await);
    assert!(matches!(world.cloud.rotate_session(&old.token).await, Err(Error::Unauthenticated)));

    // Of several at once one has it.
    let rotations: Vec<_> = (0..4)
        .map(|_| {
            let (cloud, token) = (Arc::clone(&world.cloud), new.token.clone());
            tokio::spawn(async move { cloud.rotate_session(&token).await })
        })
        .collect();
    let mut won = 0;
    for rotation in rotations {
        won += usize::from(rotation.await.unwrap().is_ok());
    }
    assert_eq!((won, world.cloud.list_sessions(member.id).await.unwrap().len()), (1, 1));
}

async fn sessions_are_ended_by_their_user(world: &World) {
    let (member, stranger) = (member(world).await, member(world).await);
    let (one, two, three) =
        (session(world, &member).await, session(world, &member).await, session(world, &member).await);
    let foreign = session(world, &stranger).await;
    let open = world.cloud.list_sessions(member.id).await.unwrap();
    let mut ids: Vec<SessionId> = open.iter().map(|one| one.session.id).collect();
    ids.sort_unstable();
    let mut expected = vec![one.session.id, two.session.id, three.session.id];
    expected.sort_unstable();
    assert_eq!(ids, expected);

    for session in [foreign.session.id, SessionId::new(member.id.uuid())] {
        let refused = world.cloud.end_session(member.id, session).await;
        assert!(matches!(refused, Err(Error::NotFound { .. })), "{refused:?}");
        let refused = world.cloud.end_other_sessions(member.id, session).await;
        assert!(matches!(refused, Err(Error::NotFound { .. })), "{refused:?}");
    }
    world.cloud.end_session(member.id, one.session.id).await.unwrap();
    assert!(!is_good(world, &one.token).await && is_good(world, &two.token).await);
    assert_eq!(world.cloud.end_other_sessions(member.id, two.session.id).await.unwrap(), 1);
    assert!(is_good(world, &two.token).await && !is_good(world, &three.token).await);
    assert_eq!(world.cloud.end_all_sessions(member.id).await.unwrap(), 1);
    assert!(!is_good(world, &two.token).await && is_good(world, &foreign.token).await);
    assert_eq!(world.cloud.end_all_sessions(member.id).await.unwrap(), 0);
}

async fn no_session_outlives_the_ending_of_all(world: &World) {
    let member = member(world).await;
    for round in 0..50 {
        let before = session(world, &member).await;
        let (cloud, token) = (Arc::clone(&world.cloud), before.token.clone());
        let rotation = tokio::spawn(async move { cloud.rotate_session(&token).await });
        for _ in 0..round % 10 {
            tokio::task::yield_now().await;
        }
        world.cloud.end_all_sessions(member.id).await.unwrap();
        if let Ok(rotated) = rotation.await.unwrap() {
            assert!(!is_good(world, &rotated.token).await, "round {round}: a rotated session is still good");
        }
        assert!(world.cloud.list_sessions(member.id).await.unwrap().is_empty(), "round {round}");
        if round % 10 == 9 {
            world.clock.advance(Duration::from_mins(1));
        }
    }
}

async fn what_has_ended_is_purged(world: &World) {
    world.clock.advance(Duration::from_hours(31 * 24));
    world.cloud.purge_sessions(100_000).await.unwrap();
    let member = member(world).await;
    let mut ended = Vec::new();
    for _ in 0..3 {
        ended.push(session(world, &member).await);
    }
    second_factor(world, member.id).await;
    for _ in 0..2 {
        ended.push(session(world, &member).await);
    }
    assert_eq!(world.cloud.purge_sessions(100).await.unwrap(), 0);
    world.clock.advance(Duration::from_mins(10));
    assert_eq!(world.cloud.purge_sessions(1).await.unwrap(), 1, "those past their end, one at a time");
    assert_eq!(world.cloud.purge_sessions(100).await.unwrap(), 1);
    world.clock.advance(Duration::from_hours(12));
    assert!(is_good(world, &ended[0].token).await);
    world.clock.advance(Duration::from_hours(12));
    let (cloud, other) = (Arc::clone(&world.cloud), Arc::clone(&world.cloud));
    let (one, two) = (
        tokio::spawn(async move { cloud.purge_sessions(100).await.unwrap() }),
        tokio::spawn(async move { other.purge_sessions(100).await.unwrap() }),
    );
    assert_eq!(one.await.unwrap() + two.await.unwrap(), 2, "each unused one is purged once");
    assert!(is_good(world, &ended[0].token).await && !is_good(world, &ended[1].token).await);
}
