//! Logins: what is counted, who waits, and who never does.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::World;
use crate::ControlPlane;
use crate::entity::{
    AccessState, Entity as _, LOGIN_RETRIES, LOGIN_THROTTLES, PASSWORDS, Password, SESSION_USES, SESSIONS,
    SecretText, SessionFilter, SessionState, TotpAlgorithm, USER_ACCESS, UserId, Verification,
    VerificationKind,
};
use crate::error::{Error, Result};
use crate::id::TimeOrderedIds;
use crate::identity::hashing::PasswordHashing;
use crate::identity::{IdentityOptions, LoginPolicy, Origin, PasswordPolicy, SeededEntropy};
use crate::plane::{LogIn, LoggedIn, Options};
use crate::store::{MAX_PAGE, Scan, StoreExt as _, Write};

/// The password of every user of these checks.
pub(super) const PASSWORD: &str = "correct horse";

/// A user who can log in.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) id: UserId,
    pub(super) email: String,
}

pub(super) async fn check_login(world: &World) {
    every_refusal_is_the_same(world).await;
    sixty_four_wrong_passwords_at_once_are_counted_as_sixty_four(world).await;
    the_wait_is_as_documented(world).await;
    one_wait_is_over_for_one_attempt(world).await;
    the_owner_gets_in_while_outsiders_guess(world).await;
    nobody_can_tell_by_the_wait_who_has_an_account(world).await;
    a_user_who_is_shut_out_at_the_moment_of_a_login_has_no_session(world).await;
    an_outdated_hash_is_made_anew(world).await;
    a_password_alone_puts_nobody_out(world).await;
    old_sources_are_purged(world).await;
}

/// A source that nothing has come from before.
pub(super) fn source() -> Origin {
    static NEXT: AtomicU32 = AtomicU32::new(0x0a00_0000);
    Origin::ip(IpAddr::V4(Ipv4Addr::from_bits(NEXT.fetch_add(1, Ordering::Relaxed))))
}

/// A user with a password and a confirmed address.
pub(super) async fn member(world: &World) -> Member {
    let user = world.user().await;
    let (id, email) = (user.id, user.email.to_string());
    let mut user = user;
    user.value.activated = true;
    world.cloud.repositories().users().update(user).await.unwrap();
    set_password(world, id, PasswordPolicy::default().cost(64, 1, 1)).await;
    Member { id, email }
}

/// Keeps the password as it is hashed under a policy.
async fn set_password(world: &World, user_id: UserId, policy: PasswordPolicy) {
    let hashing = PasswordHashing::new(policy, Arc::new(SeededEntropy::new(1)));
    let hash = hashing.hash(SecretText::new(PASSWORD)).await.unwrap();
    let now = world.cloud.store().read(Vec::new()).await.unwrap().now;
    let row = Password { user_id, hash, updated_at: now };
    let write = match world.cloud.store().get(&PASSWORDS, user_id).await.unwrap().value {
        Some(kept) => Write::update(&PASSWORDS, user_id, kept.revision(), row.plain()),
        None => Write::Insert(row.to_row()),
    };
    world.commit(vec![write]).await.unwrap();
}

pub(super) async fn log_in(
    cloud: &ControlPlane,
    email: &str,
    password: &str,
    from: &Origin,
) -> Result<LoggedIn> {
    cloud.log_in(LogIn::new(email, SecretText::new(password), from.clone())).await
}

/// What came of a login, in a few letters.
fn told(answer: &Result<LoggedIn>) -> String {
    match answer {
        Ok(_) => "in".to_owned(),
        Err(Error::Unauthenticated) => "no".to_owned(),
        Err(Error::TooSoon { retry_after }) => format!("wait {}", retry_after.as_secs()),
        Err(other) => panic!("{other:?}"),
    }
}

async fn retries(world: &World, user: UserId) -> i64 {
    let row = world.cloud.store().get(&LOGIN_RETRIES, user).await.unwrap().value.unwrap();
    row.int("retry_count").unwrap()
}

/// Moves to the first second of a minute, in which no account was tried.
fn next_window(world: &World) {
    let micros = crate::time::Clock::now(&*world.clock).as_micros().rem_euclid(60_000_000);
    world.clock.advance(Duration::from_micros(60_000_000 - micros.unsigned_abs()));
}

async fn every_refusal_is_the_same(world: &World) {
    let (unconfirmed, suspended, without) = (member(world).await, member(world).await, world.user().await);
    let users = world.cloud.repositories().users();
    let mut user = users.require(unconfirmed.id).await.unwrap();
    user.value.activated = false;
    users.update(user).await.unwrap();
    let accesses = world.cloud.repositories().user_access();
    let mut access = accesses.require(suspended.id).await.unwrap();
    access.value.state = AccessState::Suspended;
    accesses.update(access).await.unwrap();
    let member = member(world).await;
    let long = "x".repeat(10_000);
    for (email, password) in [
        (unconfirmed.email.as_str(), PASSWORD),
        (suspended.email.as_str(), PASSWORD),
        (without.email.as_str(), PASSWORD),
        (member.email.as_str(), "wrong horse"),
        (member.email.as_str(), ""),
        (member.email.as_str(), long.as_str()),
        ("nobody@example.org", PASSWORD),
        ("no address", PASSWORD),
        ("", ""),
    ] {
        let refused = log_in(&world.cloud, email, password, &source()).await;
        assert_eq!(told(&refused), "no", "{email}");
    }
    assert_eq!(retries(world, member.id).await, 3);
    assert_eq!(retries(world, suspended.id).await, 0, "the password of a suspended user was the right one");
    let capital = log_in(&world.cloud, &member.email.to_uppercase(), PASSWORD, &source()).await.unwrap();
    assert_eq!((capital.session.user_id, capital.session.state), (member.id, SessionState::Full));
    assert_eq!(retries(world, member.id).await, 0);
}

async fn sixty_four_wrong_passwords_at_once_are_counted_as_sixty_four(world: &World) {
    next_window(world);
    let (member, from) = (member(world).await, source());
    // A window that is open for 64, so that all of them are in it, however fast the machine is.
    let cloud = another_process(
        world,
        LoginPolicy::default().delays(64, Duration::from_secs(1), Duration::from_mins(15)),
    );
    let refused = at_once(&cloud, &member, (0..64).map(|_| from.clone())).await;
    assert_eq!(refused, vec!["no"; 64]);
    assert_eq!(retries(world, member.id).await, 64);
    assert_eq!(told(&log_in(&cloud, &member.email, PASSWORD, &from).await), "wait 1");
    assert_eq!(told(&log_in(&cloud, &member.email, "wrong horse", &from).await), "wait 1");
    assert_eq!(retries(world, member.id).await, 64);
    // Under the policy of the others, too, and without telling who has not been here before.
    assert_eq!(told(&log_in(&world.cloud, &member.email, PASSWORD, &from).await), "no");
    assert_eq!(told(&log_in(&world.cloud, &member.email, "wrong horse", &from).await), "no");
    assert_eq!(retries(world, member.id).await, 64);
    assert_eq!(told(&log_in(&world.cloud, &member.email, PASSWORD, &source()).await), "in");
    assert_eq!(retries(world, member.id).await, 0);
}

/// Wrong passwords from these sources at the same time.
async fn at_once(
    cloud: &Arc<ControlPlane>,
    member: &Member,
    from: impl Iterator<Item = Origin>,
) -> Vec<String> {
    let attempts: Vec<_> = from
        .map(|from| {
            let (cloud, email) = (Arc::clone(cloud), member.email.clone());
            tokio::spawn(async move { told(&log_in(&cloud, &email, "wrong horse", &from).await) })
        })
        .collect();
    let mut answers = Vec::with_capacity(attempts.len());
    for attempt in attempts {
        answers.push(attempt.await.unwrap());
    }
    answers
}

async fn the_wait_is_as_documented(world: &World) {
    next_window(world);
    let (member, from) = (member(world).await, source());
    for _ in 0..5 {
        assert_eq!(told(&log_in(&world.cloud, &member.email, "wrong horse", &from).await), "no");
    }
    for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900] {
        let wait = Duration::from_secs(seconds);
        let early = log_in(&world.cloud, &member.email, PASSWORD, &from).await;
        assert_eq!(told(&early), format!("wait {seconds}"));
        world.clock.advance(wait.saturating_sub(Duration::from_millis(1)));
        let early = log_in(&world.cloud, &member.email, PASSWORD, &from).await;
        assert!(told(&early).starts_with("wait"), "{early:?} after {seconds} seconds but one thousandth");
        world.clock.advance(Duration::from_millis(1));
        assert_eq!(told(&log_in(&world.cloud, &member.email, "wrong horse", &from).await), "no");
    }
    assert_eq!(retries(world, member.id).await, 17);
    world.clock.advance(Duration::from_mins(15));
    assert_eq!(told(&log_in(&world.cloud, &member.email, PASSWORD, &from).await), "in");
    assert_eq!(retries(world, member.id).await, 0);
    // Now they are forgotten, and the source is told by the rows alone.
    for answer in ["no", "no", "no", "no", "no", "wait 1"] {
        assert_eq!(told(&log_in(&world.cloud, &member.email, "wrong horse", &from).await), answer);
    }
    world.clock.advance(Duration::from_hours(24));
    for answer in ["no", "no", "no", "no", "no", "wait 1"] {
        assert_eq!(told(&log_in(&world.cloud, &member.email, "wrong horse", &from).await), answer);
    }
}

async fn one_wait_is_over_for_one_attempt(world: &World) {
    next_window(world);
    let (member, from) = (member(world).await, source());
    for _ in 0..5 {
        log_in(&world.cloud, &member.email, "wrong horse", &from).await.unwrap_err();
    }
    world.clock.advance(Duration::from_secs(1));
    at_once(&world.cloud, &member, (0..8).map(|_| from.clone())).await;
    assert_eq!(retries(world, member.id).await, 6, "of several guesses after a wait one is looked at");
}

async fn the_owner_gets_in_while_outsiders_guess(world: &World) {
    next_window(world);
    let (member, home) = (member(world).await, source());
    assert_eq!(told(&log_in(&world.cloud, &member.email, PASSWORD, &home).await), "in");
    next_window(world);
    // More sources than the account takes guesses in a minute.
    let told_to_outsiders = at_once(&world.cloud, &member, (0..130).map(|_| source())).await;
    assert_eq!(retries(world, member.id).await, 100, "{told_to_outsiders:?}");
    assert_eq!(told(&log_in(&world.cloud, &member.email, PASSWORD, &home).await), "in");
    let hotel = source();
    assert!(told(&log_in(&world.cloud, &member.email, PASSWORD, &hotel).await).starts_with("wait"));
    next_window(world);
    assert_eq!(told(&log_in(&world.cloud, &member.email, PASSWORD, &hotel).await), "in");
}

async fn nobody_can_tell_by_the_wait_who_has_an_account(world: &World) {
    next_window(world);
    let (member, from) = (member(world).await, source());
    // Two processes, each with a memory of its own, over rows that they share.
    let other = another_process(world, LoginPolicy::default());
    let planes = [&*world.cloud, &*other];
    let (mut to_somebody, mut to_nobody) = (Vec::new(), Vec::new());
    for at in 0..16 {
        for (email, told_to) in
            [(member.email.as_str(), &mut to_somebody), ("nobody-else@example.org", &mut to_nobody)]
        {
            let answer = log_in(planes[at % 2], email, "wrong horse", &from).await;
            told_to.push(told(&answer));
        }
    }
    assert_eq!(to_somebody, to_nobody);
    assert!(to_nobody.iter().any(|told| told.starts_with("wait")), "{to_nobody:?}");
    assert_eq!(retries(world, member.id).await, 5, "both processes together looked at five");
    let third = another_process(world, LoginPolicy::default());
    assert_eq!(told(&log_in(&third, &member.email, PASSWORD, &from).await), "no", "not looked at");
}

fn another_process(world: &World, logins: LoginPolicy) -> Arc<ControlPlane> {
    let identity =
        IdentityOptions::default().passwords(PasswordPolicy::default().cost(64, 1, 1)).logins(logins);
    let ids = Arc::new(TimeOrderedIds::new(Arc::<crate::time::ManualClock>::clone(&world.clock)));
    Arc::new(ControlPlane::with(
        Arc::clone(world.cloud.store()),
        Options::default().identity(identity).ids(ids),
    ))
}

async fn a_user_who_is_shut_out_at_the_moment_of_a_login_has_no_session(world: &World) {
    let (member, home) = (member(world).await, source());
    let mut got_in = 0;
    for round in 0..100 {
        let (cloud, email, from) = (Arc::clone(&world.cloud), member.email.clone(), home.clone());
        let login = tokio::spawn(async move { log_in(&cloud, &email, PASSWORD, &from).await });
        // At another moment of the login in each round.
        for _ in 0..round % 20 {
            tokio::task::yield_now().await;
        }
        shut_out(world, member.id).await;
        let login = login.await.unwrap();
        got_in += usize::from(login.is_ok());
        let filter = SessionFilter { user_id: Some(member.id) };
        let left = world.cloud.repositories().sessions().list(filter, crate::entity::PageRequest::default());
        assert!(left.await.unwrap().entries.is_empty(), "round {round}: a session outlived the shutting out");
        if let Ok(login) = login {
            world.cloud.check_session(&login.token, home.clone()).await.unwrap_err();
        }
        let accesses = world.cloud.repositories().user_access();
        let mut access = accesses.require(member.id).await.unwrap();
        access.value.state = AccessState::Active;
        accesses.update(access).await.unwrap();
    }
    tracing::debug!(got_in, "logins that were before the shutting out, of 100");
}

/// Suspends a user and ends the sessions that are seen, in one batch.
async fn shut_out(world: &World, user: UserId) {
    loop {
        let access = world.cloud.store().get(&USER_ACCESS, user).await.unwrap().value.unwrap();
        let scan = Scan::of(&SESSIONS).by("sessions_user").with(user).limit(MAX_PAGE);
        let sessions = world.cloud.store().scan(scan).await.unwrap().value.rows;
        let set = vec![("state", AccessState::Suspended.as_str().into())];
        let mut writes = vec![Write::update(&USER_ACCESS, user, access.revision(), set)];
        for session in &sessions {
            writes.push(Write::delete(&SESSION_USES, session.key(), 1));
            writes.push(Write::delete(&SESSIONS, session.key(), session.revision()));
        }
        if world.commit(writes).await.is_ok() {
            return;
        }
    }
}

async fn an_outdated_hash_is_made_anew(world: &World) {
    let (member, home) = (member(world).await, source());
    set_password(world, member.id, PasswordPolicy::default().cost(128, 1, 1)).await;
    let logins: Vec<_> = (0..8)
        .map(|_| {
            let (cloud, email, from) = (Arc::clone(&world.cloud), member.email.clone(), home.clone());
            tokio::spawn(async move { told(&log_in(&cloud, &email, PASSWORD, &from).await) })
        })
        .collect();
    for login in logins {
        assert_eq!(login.await.unwrap(), "in");
    }
    let kept = world.cloud.repositories().passwords().require(member.id).await.unwrap();
    assert!(kept.hash.expose().starts_with("$argon2id$v=19$m=64,"));
    assert_eq!(kept.revision, 3, "it was hashed anew once");
    assert_eq!(told(&log_in(&world.cloud, &member.email, PASSWORD, &home).await), "in");
}

async fn a_password_alone_puts_nobody_out(world: &World) {
    next_window(world);
    let (member, home) = (member(world).await, source());
    let full = log_in(&world.cloud, &member.email, PASSWORD, &home).await.unwrap();
    second_factor(world, member.id).await;
    log_in(&world.cloud, &member.email, "wrong horse", &home).await.unwrap_err();
    for _ in 0..12 {
        let awaiting = log_in(&world.cloud, &member.email, PASSWORD, &source()).await.unwrap();
        assert_eq!(awaiting.session.state, SessionState::AwaitingSecondFactor);
        let lasts = awaiting.session.expires_at.since(awaiting.session.created_at);
        assert_eq!(lasts, Duration::from_mins(10));
        world.clock.advance(Duration::from_millis(10));
    }
    assert_eq!(retries(world, member.id).await, 1, "half a login forgives nothing");
    let open = world.cloud.list_sessions(member.id).await.unwrap();
    let awaiting = open.iter().filter(|one| one.session.state == SessionState::AwaitingSecondFactor).count();
    assert_eq!((open.len(), awaiting), (11, 10));
    world.cloud.check_session(&full.token, home).await.unwrap();
}

/// Gives a user a second factor.
pub(super) async fn second_factor(world: &World, user: UserId) {
    let now = world.cloud.store().read(Vec::new()).await.unwrap().now;
    let verification = Verification {
        id: user.uuid().into(),
        kind: VerificationKind::TwoFactor,
        target: user.to_string(),
        user_id: Some(user),
        secret: SecretText::new("sealed"),
        algorithm: TotpAlgorithm::Sha1,
        digits: 6,
        period: 30,
        char_set: "0123456789".to_owned(),
        new_email: None,
        expires_at: None,
        created_at: now,
    };
    world.commit(vec![Write::Insert(verification.to_row())]).await.unwrap();
}

async fn old_sources_are_purged(world: &World) {
    next_window(world);
    world.clock.advance(Duration::from_hours(48));
    world.cloud.purge_login_throttles(100_000).await.unwrap();
    let (member, known, guesser) = (member(world).await, source(), source());
    log_in(&world.cloud, &member.email, PASSWORD, &known).await.unwrap();
    log_in(&world.cloud, &member.email, "wrong horse", &guesser).await.unwrap_err();
    assert_eq!(world.cloud.purge_login_throttles(100).await.unwrap(), 0);
    world.clock.advance(Duration::from_hours(24));
    assert_eq!(world.cloud.purge_login_throttles(100).await.unwrap(), 1);
    let row = |from: &Origin| world.cloud.store().get(&LOGIN_THROTTLES, (member.id, from.source()));
    assert!(row(&guesser).await.unwrap().value.is_none() && row(&known).await.unwrap().value.is_some());
    world.clock.advance(Duration::from_hours(90 * 24));
    assert!(world.cloud.purge_login_throttles(100_000).await.unwrap() > 0);
    assert!(row(&known).await.unwrap().value.is_none());
}
