//! Logins through others: who gets in, and that nobody locks themselves out.

use std::sync::Arc;
use std::time::Duration;

use super::World;
use super::accounts::{FIRST, at_once, signed_up};
use super::login::{log_in, source};
use crate::entity::{Connection, Entry, LOGIN_WAYS, Limits, SessionState, TotpAlgorithm, UserId};
use crate::error::{Error, Result};
use crate::identity::ConnectionPolicy;
use crate::plane::{LogInThrough, LoggedIn, Message, ProviderAccount};
use crate::store::StoreExt as _;

/// The provider whose accounts are linked by themselves, in these checks.
const VOUCHES: &str = "vouches";

/// The policy of these checks.
pub(super) fn policy() -> ConnectionPolicy {
    ConnectionPolicy::default().vouching(VOUCHES)
}

pub(super) async fn check_connections(world: &World) {
    an_account_lets_its_user_in_until_it_is_unlinked(world).await;
    an_account_is_one_users_however_many_link_it(world).await;
    the_last_way_in_is_not_taken_however_many_take_one(world).await;
    an_account_is_linked_by_itself_only_where_all_vouch_for_it(world).await;
    the_second_factor_is_asked_for_as_after_a_password(world).await;
    somebody_signs_up_through_a_provider_without_a_password(world).await;
}

fn account(world: &World, provider: &str) -> ProviderAccount {
    ProviderAccount::new(provider, format!("account-{}", world.next()))
}

async fn through(world: &World, account: &ProviderAccount) -> Result<Option<LoggedIn>> {
    Ok(match world.cloud.log_in_through(account.clone(), source()).await? {
        LogInThrough::LoggedIn(logged_in, _) => Some(logged_in),
        LogInThrough::NoAccount => None,
    })
}

async fn connections(world: &World, user: UserId) -> Vec<Entry<Connection>> {
    world.cloud.list_connections(user).await.unwrap()
}

/// How many ways in are counted, which have to be those that there are.
async fn ways(world: &World, user: UserId) -> i64 {
    let counted =
        world.cloud.store().get(&LOGIN_WAYS, user).await.unwrap().value.unwrap().int("ways").unwrap();
    let password = world.cloud.repositories().passwords().get(user).await.unwrap().is_some();
    let there = connections(world, user).await.len() + usize::from(password);
    assert_eq!(counted, i64::try_from(there).unwrap());
    counted
}

async fn an_account_lets_its_user_in_until_it_is_unlinked(world: &World) {
    let user = signed_up(world).await;
    let account = account(world, "github");
    assert!(through(world, &account).await.unwrap().is_none());
    let made = world.cloud.link(user.id, account.clone()).await.unwrap();
    assert_eq!(world.cloud.link(user.id, account.clone()).await.unwrap(), made, "the same again is the same");
    let session = through(world, &account).await.unwrap().unwrap();
    assert_eq!(session.session.user_id, user.id);
    world.cloud.check_session(&session.token, source()).await.unwrap();
    // The same id at another provider is another account.
    assert!(through(world, &ProviderAccount::new("gitlab", account.id.as_str())).await.unwrap().is_none());
    world.cloud.deactivate(user.id).await.unwrap();
    assert!(matches!(through(world, &account).await, Err(Error::Unauthenticated)));
    world.cloud.activate(user.id).await.unwrap();
    let other = signed_up(world).await;
    assert!(matches!(world.cloud.unlink(other.id, made.id).await, Err(Error::NotFound { .. })));
    world.cloud.unlink(user.id, made.id).await.unwrap();
    assert!(through(world, &account).await.unwrap().is_none());
    assert_eq!(ways(world, user.id).await, 1);
    for bad in [
        ProviderAccount::new("Git Hub", "1"),
        ProviderAccount::new("github", ""),
        ProviderAccount::new("", "1"),
    ] {
        assert!(matches!(world.cloud.link(user.id, bad).await, Err(Error::Invalid { .. })));
    }
}

async fn an_account_is_one_users_however_many_link_it(world: &World) {
    let account = account(world, "github");
    let mut users = Vec::new();
    for _ in 0..16 {
        users.push(signed_up(world).await.id);
    }
    let answers = at_once(|caller| {
        let (cloud, account, user) = (Arc::clone(&world.cloud), account.clone(), users[caller]);
        async move { cloud.link(user, account).await }
    })
    .await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    let theirs = |error: &Error| matches!(error, Error::AlreadyExists { kind: "connection", .. });
    assert!(answers.iter().all(|answer| answer.as_ref().err().is_none_or(theirs)), "{answers:?}");
    for user in users {
        ways(world, user).await;
    }
}

async fn the_last_way_in_is_not_taken_however_many_take_one(world: &World) {
    for round in 0..10 {
        let user = signed_up(world).await.id;
        for _ in 0..3 {
            world.cloud.link(user, account(world, "github")).await.unwrap();
        }
        let all = connections(world, user).await;
        let answers = at_once(|caller| {
            let (cloud, connection) = (Arc::clone(&world.cloud), all[caller % 3].id);
            async move {
                if caller % 4 == 3 {
                    cloud.remove_password(user, None).await.map(drop)
                } else {
                    cloud.unlink(user, connection).await
                }
            }
        })
        .await;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 3, "round {round}: {answers:?}");
        let kept = |error: &Error| matches!(error, Error::WrongState { .. } | Error::NotFound { .. });
        assert!(answers.iter().all(|answer| answer.as_ref().err().is_none_or(kept)), "{answers:?}");
        assert_eq!(ways(world, user).await, 1);
    }
}

async fn an_account_is_linked_by_itself_only_where_all_vouch_for_it(world: &World) {
    let user = signed_up(world).await;
    let email = user.email.as_str();
    let refused = [
        // The host does not name the provider.
        account(world, "github").verified_email(email),
        // The provider does not vouch for the address.
        account(world, VOUCHES).unverified_email(email),
        account(world, VOUCHES),
        // It is nobody's.
        account(world, VOUCHES).verified_email(format!("nobody-{}@example.org", world.next())),
    ];
    for account in refused {
        assert!(through(world, &account).await.unwrap().is_none(), "{account:?} lets somebody in");
    }
    // Somebody who was made by an administrator has not confirmed the address.
    let unconfirmed = world.user().await;
    let theirs = account(world, VOUCHES).verified_email(unconfirmed.email.as_str());
    assert!(through(world, &theirs).await.unwrap().is_none());
    assert_eq!(connections(world, user.id).await.len() + connections(world, unconfirmed.id).await.len(), 0);

    let mine = account(world, VOUCHES).verified_email(email.to_uppercase());
    let answers = at_once(|_| {
        let (cloud, mine) = (Arc::clone(&world.cloud), mine.clone());
        async move { cloud.log_in_through(mine, source()).await }
    })
    .await;
    let mut told = Vec::new();
    for answer in answers {
        let LogInThrough::LoggedIn(logged_in, messages) = answer.unwrap() else {
            panic!("it lets nobody in")
        };
        assert_eq!(logged_in.session.user_id, user.id);
        told.extend(messages);
    }
    let to = user.email.clone();
    assert_eq!(told, [Message::AccountLinked { to, provider: VOUCHES.into() }], "it was linked once");
    assert_eq!(ways(world, user.id).await, 2);
}

async fn the_second_factor_is_asked_for_as_after_a_password(world: &World) {
    let user = signed_up(world).await;
    let account = account(world, "github");
    world.cloud.link(user.id, account.clone()).await.unwrap();
    let enrolment = world.cloud.begin_totp(user.id).await.unwrap();
    let key = data_encoding::BASE32_NOPAD.decode(enrolment.secret.expose().as_bytes()).unwrap();
    let totp = crate::identity::TotpParameters::default();
    assert_eq!(totp.algorithm, TotpAlgorithm::Sha1);
    let code = |world: &World| totp.code(&key, totp.step(crate::time::Clock::now(&*world.clock)));
    world.cloud.confirm_totp(user.id, &code(world), None).await.unwrap();
    world.clock.advance(Duration::from_secs(30));
    let awaiting = through(world, &account).await.unwrap().unwrap();
    assert_eq!(awaiting.session.state, SessionState::AwaitingSecondFactor);
    assert!(world.cloud.check_session(&awaiting.token, source()).await.is_err());
    let factor = crate::plane::SecondFactor::Totp(code(world));
    let full = world.cloud.finish_log_in(&awaiting.token, &factor, &source()).await.unwrap();
    world.cloud.check_session(&full.token, source()).await.unwrap();
}

async fn somebody_signs_up_through_a_provider_without_a_password(world: &World) {
    let email = format!("through-{}@example.org", world.next());
    let limits = Limits::default();
    let bare = account(world, VOUCHES);
    let unverified = bare.clone().unverified_email(email.as_str());
    let no_word = account(world, "github").verified_email(email.as_str());
    for refused in [bare.clone(), unverified, no_word] {
        let answer = world.cloud.sign_up_through(refused, "Ada", limits).await;
        assert!(matches!(answer, Err(Error::Invalid { .. })));
    }
    let account = bare.verified_email(email.as_str());
    let answers = at_once(|_| {
        let (cloud, account) = (Arc::clone(&world.cloud), account.clone());
        async move { cloud.sign_up_through(account, "Ada", limits).await }
    })
    .await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    let user = answers.into_iter().find_map(Result::ok).unwrap();
    assert_eq!(through(world, &account).await.unwrap().unwrap().session.user_id, user.id);
    assert!(log_in(&world.cloud, &email, FIRST, &source()).await.is_err(), "there is no password");
    let only = connections(world, user.id).await.remove(0);
    assert!(matches!(world.cloud.unlink(user.id, only.id).await, Err(Error::WrongState { .. })));
    // A password that is set by a mailed code is another way in.
    let sent = world.cloud.request_password_reset(&email).await.unwrap();
    let Some(Message::ResetPassword { code, .. }) = sent.into_iter().next() else { panic!("no code") };
    let password = crate::entity::SecretText::new(FIRST);
    world.cloud.reset_password(&email, &code, password).await.unwrap();
    assert_eq!(ways(world, user.id).await, 2);
    world.cloud.unlink(user.id, only.id).await.unwrap();
    log_in(&world.cloud, &email, FIRST, &source()).await.unwrap();
}
