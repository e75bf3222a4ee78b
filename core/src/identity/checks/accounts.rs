//! Accounts: one first administrator, always one left, and codes that work once and survive few guesses.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Barrier;

use super::World;
use super::login::{log_in, source};
use crate::entity::{
    AccessState, Entry, PageRequest, SecretText, SessionFilter, User, UserFilter, UserId, UserPermission,
    VERIFICATIONS,
};
use crate::error::{Error, Result};
use crate::plane::{Confirmation, LaunchRequest, Message, NewAdministrator, NewUser, SignUp, Standing};
use crate::store::{Scan, StoreExt as _};

pub(super) const FIRST: &str = "first correct horse battery";
const OTHER: &str = "other correct horse battery";

/// How many do the same at once.
const CALLERS: usize = 16;

/// Checks accounts. The store has to have no administrator; one is left.
pub(super) async fn check_accounts(world: &World) {
    of_many_first_administrators_one_is_made(world).await;
    one_administrator_is_always_left(world).await;
    an_address_is_confirmed_once_by_whoever_has_the_password_of_the_sign_up(world).await;
    a_stranger_changes_no_account_that_the_host_made(world).await;
    a_code_that_many_give_at_once_works_once(world).await;
    however_many_guess_at_once_few_guesses_are_looked_at(world).await;
    a_new_password_ends_every_session(world).await;
    an_address_is_changed_by_the_new_one_and_told_to_the_old_one(world).await;
    an_invitation_is_accepted_once(world).await;
    a_user_who_owns_something_is_not_deleted_and_a_deleted_one_is_gone(world).await;
    what_was_not_confirmed_or_used_is_purged(world).await;
}

fn secret(text: impl Into<String>) -> SecretText {
    SecretText::new(text)
}

/// What many do at once gives.
pub(super) async fn at_once<T, F>(work: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let gate = Arc::new(Barrier::new(CALLERS));
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (gate, work) = (Arc::clone(&gate), work(caller));
            tokio::spawn(async move {
                gate.wait().await;
                work.await
            })
        })
        .collect();
    let mut answers = Vec::new();
    for caller in callers {
        answers.push(caller.await.unwrap());
    }
    answers
}

fn only(messages: Vec<Message>) -> Message {
    let [message] = <[Message; 1]>::try_from(messages).unwrap();
    message
}

/// A user who has signed up and confirmed the address.
pub(super) async fn signed_up(world: &World) -> Entry<User> {
    let email = format!("signed-{}@example.org", world.next());
    let sent = world.cloud.sign_up(SignUp::new(email, "Ada", secret(FIRST))).await.unwrap();
    let Message::ConfirmEmail { link_token, .. } = only(sent) else { panic!("nothing to confirm") };
    world.cloud.confirm_email(&Confirmation::Link(link_token), secret(FIRST)).await.unwrap()
}

async fn reset_code(world: &World, email: &str) -> SecretText {
    let sent = world.cloud.request_password_reset(email).await.unwrap();
    let Message::ResetPassword { code, .. } = only(sent) else { panic!("no code") };
    code
}

async fn administrators(world: &World) -> Vec<UserId> {
    let filter = UserFilter { permission: Some(UserPermission::Administrator), activated: None };
    let page = world.cloud.repositories().users().list(filter, PageRequest::default()).await.unwrap();
    page.entries.iter().map(|user| user.id).collect()
}

async fn of_many_first_administrators_one_is_made(world: &World) {
    let answers = at_once(|caller| {
        let cloud = Arc::clone(&world.cloud);
        async move {
            let email = format!("root-{caller}@example.org");
            cloud.create_first_administrator(NewAdministrator::new(email, "Root", secret(FIRST))).await
        }
    })
    .await;
    let made: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().ok()).collect();
    assert_eq!(made.len(), 1);
    assert!(answers.iter().all(|answer| matches!(answer, Ok(_) | Err(Error::AlreadyExists { .. }))));
    assert_eq!(administrators(world).await, [made[0].id]);
    log_in(&world.cloud, made[0].email.as_str(), FIRST, &source()).await.unwrap();
}

/// Whoever goes, by whichever way, and however many go at once: one is left, who may act.
async fn one_administrator_is_always_left(world: &World) {
    let leaves = |deleted: bool, user: UserId| {
        let cloud = Arc::clone(&world.cloud);
        async move { if deleted { cloud.delete_user(user).await } else { cloud.demote(user).await.map(drop) } }
    };
    let repository = world.cloud.repositories().user_access();
    for (first_is_deleted, second_is_deleted) in [(false, false), (false, true), (true, true)] {
        for _ in 0..4 {
            let one = administrators(world).await[0];
            assert!(leaves(first_is_deleted, one).await.is_err(), "the last one went");
            assert!(world.cloud.deactivate(one).await.is_err(), "the last one was suspended");
            let mut access = repository.require(one).await.unwrap();
            access.value.state = AccessState::Suspended;
            assert!(repository.update(access).await.is_err(), "the last one was suspended by hand");
            let number = world.next();
            let two = NewUser::new(format!("admin-{number}@example.org"), "Eve").administrator();
            let two = world.cloud.create_user(two).await.unwrap().id;
            // Both are under way before either is waited for.
            let first = tokio::spawn(leaves(first_is_deleted, one));
            let second = tokio::spawn(leaves(second_is_deleted, two));
            let (first, second) = (first.await.unwrap(), second.await.unwrap());
            assert!(first.is_ok() != second.is_ok(), "{first:?} and {second:?}");
            let left = administrators(world).await;
            assert_eq!(left.len(), 1);
            assert_eq!(repository.require(left[0]).await.unwrap().state, AccessState::Active);
        }
    }
}

async fn an_address_is_confirmed_once_by_whoever_has_the_password_of_the_sign_up(world: &World) {
    let email = format!("victim-{}@example.org", world.next());
    let confirm = |token: SecretText, password: &'static str| {
        let cloud = Arc::clone(&world.cloud);
        async move { cloud.confirm_email(&Confirmation::Link(token), secret(password)).await }
    };
    let sign_up = |password: &'static str| {
        let (cloud, email) = (Arc::clone(&world.cloud), email.clone());
        async move { cloud.sign_up(SignUp::new(email, "Ada", secret(password))).await.unwrap() }
    };
    // Somebody else signs up with the address; its owner clicks on the link, and has another password.
    let Message::ConfirmEmail { link_token: theirs, .. } = only(sign_up(OTHER).await) else { panic!() };
    assert!(matches!(confirm(theirs.clone(), FIRST).await, Err(Error::Unauthenticated)));
    assert_eq!(sign_up(FIRST).await, [], "nothing is mailed within a minute of the last one");
    world.clock.advance(Duration::from_secs(61));
    let Message::ConfirmEmail { link_token: mine, code, .. } = only(sign_up(FIRST).await) else { panic!() };
    for (token, password) in [(theirs, OTHER), (mine.clone(), OTHER)] {
        assert!(matches!(confirm(token, password).await, Err(Error::Unauthenticated)));
    }
    assert!(matches!(log_in(&world.cloud, &email, FIRST, &source()).await, Err(Error::Unauthenticated)));
    // Whoever types codes for the address uses up the guesses at the code, and not the link.
    for number in 0..10 {
        let guess = Confirmation::Code { email: email.clone(), code: secret(format!("WRONG{number:03}")) };
        assert!(world.cloud.confirm_email(&guess, secret(OTHER)).await.is_err());
    }
    let by_code = Confirmation::Code { email: email.clone(), code };
    assert!(world.cloud.confirm_email(&by_code, secret(FIRST)).await.is_err(), "it had its guesses");
    let answers = at_once(|_| confirm(mine.clone(), FIRST)).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    log_in(&world.cloud, &email, FIRST, &source()).await.unwrap();
}

async fn a_stranger_changes_no_account_that_the_host_made(world: &World) {
    let made = world.user().await;
    let sign_up = || SignUp::new(made.email.as_str(), "Mallory", secret(OTHER));
    for _ in 0..2 {
        let told = only(world.cloud.sign_up(sign_up()).await.unwrap());
        assert_eq!(told, Message::AlreadyRegistered { to: made.email.clone() });
        assert_eq!(world.cloud.sign_up(sign_up()).await.unwrap(), [], "the owner is not flooded");
        world.clock.advance(Duration::from_secs(61));
    }
    let now = world.cloud.repositories().users().require(made.id).await.unwrap();
    assert_eq!(now.name, made.name);
    assert!(log_in(&world.cloud, made.email.as_str(), OTHER, &source()).await.is_err());
    // Its owner has what is mailed there, and so sets the first password.
    let code = reset_code(world, made.email.as_str()).await;
    world.cloud.reset_password(made.email.as_str(), &code, secret(FIRST)).await.unwrap();
    log_in(&world.cloud, made.email.as_str(), FIRST, &source()).await.unwrap();
}

async fn a_code_that_many_give_at_once_works_once(world: &World) {
    let user = signed_up(world).await;
    let code = reset_code(world, user.email.as_str()).await;
    let answers = at_once(|_| {
        let (cloud, code, email) = (Arc::clone(&world.cloud), code.clone(), user.email.to_string());
        async move { cloud.reset_password(&email, &code, secret(OTHER)).await }
    })
    .await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(answers.iter().all(|answer| matches!(answer, Ok(_) | Err(Error::Unauthenticated))));
    log_in(&world.cloud, user.email.as_str(), OTHER, &source()).await.unwrap();
}

/// Of as many guesses as are allowed one may be right; after so many wrong ones the right one is none any more.
async fn however_many_guess_at_once_few_guesses_are_looked_at(world: &World) {
    let user = signed_up(world).await;
    let code = reset_code(world, user.email.as_str()).await;
    let answers = at_once(|caller| {
        let (cloud, email) = (Arc::clone(&world.cloud), user.email.to_string());
        async move { cloud.reset_password(&email, &secret(format!("WRONG{caller:03}")), secret(OTHER)).await }
    })
    .await;
    assert!(answers.iter().all(|answer| matches!(answer, Err(Error::Unauthenticated))));
    let after = world.cloud.reset_password(user.email.as_str(), &code, secret(OTHER)).await;
    assert!(matches!(after, Err(Error::Unauthenticated)), "{after:?}");
    // A new one, after the pause, is as good as ever.
    world.clock.advance(Duration::from_secs(61));
    let code = reset_code(world, user.email.as_str()).await;
    world.cloud.reset_password(user.email.as_str(), &code, secret(OTHER)).await.unwrap();
}

async fn sessions(world: &World, user: UserId) -> usize {
    let filter = SessionFilter { user_id: Some(user) };
    world.cloud.repositories().sessions().list(filter, PageRequest::default()).await.unwrap().entries.len()
}

async fn a_new_password_ends_every_session(world: &World) {
    let user = signed_up(world).await;
    let email = user.email.as_str();
    let kept = log_in(&world.cloud, email, FIRST, &source()).await.unwrap();
    let other = log_in(&world.cloud, email, FIRST, &source()).await.unwrap();
    let changed =
        world.cloud.change_password(user.id, secret("wrong one, and long"), secret(OTHER), None).await;
    assert!(matches!(changed, Err(Error::Unauthenticated)));
    assert_eq!(sessions(world, user.id).await, 2);
    let keep = Some(kept.session.id);
    let told = world.cloud.change_password(user.id, secret(FIRST), secret(OTHER), keep).await.unwrap();
    assert_eq!(told, [Message::PasswordChanged { to: user.email.clone() }]);
    world.cloud.check_session(&kept.token, source()).await.unwrap();
    let ended = world.cloud.check_session(&other.token, source()).await;
    assert!(matches!(ended, Err(Error::Unauthenticated)));
    let code = reset_code(world, email).await;
    world.cloud.reset_password(email, &code, secret(FIRST)).await.unwrap();
    assert_eq!(sessions(world, user.id).await, 0);
}

async fn an_address_is_changed_by_the_new_one_and_told_to_the_old_one(world: &World) {
    let user = signed_up(world).await;
    let old_code = reset_code(world, user.email.as_str()).await;
    let new = format!("new-{}@example.org", world.next());
    let sent = world.cloud.request_email_change(user.id, &new).await.unwrap();
    let Message::ConfirmNewEmail { to, code, .. } = only(sent) else { panic!("no code") };
    assert_eq!(to.as_str(), new);
    assert!(world.cloud.change_email(user.id, &secret("WRONG000")).await.is_err());
    assert_eq!(world.cloud.repositories().users().require(user.id).await.unwrap().email, user.email);
    let told = only(world.cloud.change_email(user.id, &code).await.unwrap());
    assert_eq!(told, Message::EmailChanged { to: user.email.clone(), new: to });
    assert!(world.cloud.change_email(user.id, &code).await.is_err(), "a code works once");
    // What was mailed to the old address is worth nothing any more.
    assert!(world.cloud.reset_password(&new, &old_code, secret(OTHER)).await.is_err());
    log_in(&world.cloud, &new, FIRST, &source()).await.unwrap();
}

async fn an_invitation_is_accepted_once(world: &World) {
    let email = format!("guest-{}@example.org", world.next());
    let Message::Invitation { code, .. } = only(world.cloud.invite(&email).await.unwrap()) else { panic!() };
    let answers = at_once(|_| {
        let (cloud, code) = (Arc::clone(&world.cloud), code.clone());
        let request = SignUp::new(email.clone(), "Guest", secret(FIRST));
        async move { cloud.accept_invitation(request, &code).await }
    })
    .await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    log_in(&world.cloud, &email, FIRST, &source()).await.unwrap();
}

async fn a_user_who_owns_something_is_not_deleted_and_a_deleted_one_is_gone(world: &World) {
    let user = signed_up(world).await;
    let node = world.node(user.id).await;
    let instance = world.instance(user.id, node).await;
    let plan = world.cloud.plan_user_deletion(user.id).await.unwrap();
    assert_eq!(plan.stands, [Standing::Nodes(1), Standing::LiveInstances(1)]);
    assert!(matches!(world.cloud.delete_user(user.id).await, Err(Error::StillUsed { .. })));
    let session = log_in(&world.cloud, user.email.as_str(), FIRST, &source()).await.unwrap();
    world.cloud.delete(instance).await.unwrap();
    assert!(world.cloud.delete_user(user.id).await.is_err(), "the node is there");

    let other = signed_up(world).await;
    let theirs = log_in(&world.cloud, other.email.as_str(), FIRST, &source()).await.unwrap();
    world.cloud.delete_user(other.id).await.unwrap();
    assert!(world.cloud.check_session(&theirs.token, source()).await.is_err());
    world.cloud.check_session(&session.token, source()).await.unwrap();
    assert!(log_in(&world.cloud, other.email.as_str(), FIRST, &source()).await.is_err());
    let launch: Result<_> = world.cloud.launch(LaunchRequest::new(other.id, "late").on_node(node)).await;
    assert!(launch.is_err(), "nobody launches for somebody who is gone");
    // The address is free again.
    let sent = world.cloud.sign_up(SignUp::new(other.email.as_str(), "Ada", secret(FIRST))).await.unwrap();
    assert!(matches!(only(sent), Message::ConfirmEmail { .. }));
}

async fn what_was_not_confirmed_or_used_is_purged(world: &World) {
    let email = |name: &str| format!("{name}-{}@example.org", world.next());
    let (forgotten, late) = (email("forgotten"), email("late"));
    for email in [&forgotten, &late] {
        world.cloud.sign_up(SignUp::new(email.as_str(), "Ada", secret(FIRST))).await.unwrap();
    }
    let (made, confirmed) = (world.user().await, signed_up(world).await);
    let code = reset_code(world, confirmed.email.as_str()).await;
    world.cloud.invite(&email("guest")).await.unwrap();
    assert_eq!(world.cloud.purge_unconfirmed(100).await.unwrap(), 0, "they may still confirm");
    world.clock.advance(Duration::from_hours(24 * 30));
    // One signs up again; the other one is gone with everything.
    world.cloud.sign_up(SignUp::new(late.as_str(), "Ada", secret(FIRST))).await.unwrap();
    assert!(world.cloud.purge_unconfirmed(100).await.unwrap() >= 1);
    let users = world.cloud.repositories().users();
    assert_eq!(users.find_by_email(&forgotten).await.unwrap(), None);
    for kept in [late.as_str(), made.email.as_str(), confirmed.email.as_str()] {
        assert!(users.find_by_email(kept).await.unwrap().is_some(), "{kept} was purged");
    }
    let enrolled = world.cloud.begin_totp(confirmed.id).await.is_ok();
    let purged = world.cloud.purge_codes(1).await.unwrap();
    assert_eq!(purged, 1);
    assert!(world.cloud.purge_codes(1000).await.unwrap() >= 1);
    assert_eq!(world.cloud.purge_codes(1000).await.unwrap(), 0);
    assert!(world.cloud.reset_password(confirmed.email.as_str(), &code, secret(OTHER)).await.is_err());
    let kept = world.cloud.store().scan_all(Scan::of(&VERIFICATIONS)).await.unwrap();
    let of_totp = kept.iter().any(|row| row.text("target").unwrap() == confirmed.id.to_string());
    assert!(enrolled && of_totp, "an authenticator is purged");
}
