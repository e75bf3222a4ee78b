//! The second factor.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE32_NOPAD;

use super::World;
use super::login::{Member, PASSWORD, log_in, member, source};
use crate::entity::{SecretText, SessionState};
use crate::error::{Error, Result};
use crate::identity::{Origin, TotpParameters};
use crate::plane::{LoggedIn, SecondFactor};
use crate::time::Clock as _;

/// How often one code is given by many at once.
const ROUNDS: usize = 200;
/// How many give it.
const CALLERS: usize = 64;

pub(super) async fn check_second_factor(world: &World) {
    it_counts_from_its_confirmation_on(world).await;
    one_code_given_by_many_at_once_is_accepted_once(world).await;
    as_many_guesses_get_an_answer_as_there_are_attempts(world).await;
    a_recovery_code_works_once(world).await;
    taking_it_away_takes_all_of_it(world).await;
}

/// A user with an authenticator.
struct Armed {
    member: Member,
    secret: Vec<u8>,
    recovery: Vec<SecretText>,
}

impl Armed {
    async fn new(world: &World) -> Self {
        let member = member(world).await;
        let enrolment = world.cloud.begin_totp(member.id).await.unwrap();
        let secret = BASE32_NOPAD.decode(enrolment.secret.expose().as_bytes()).unwrap();
        let mut armed = Self { member, secret, recovery: Vec::new() };
        let code = armed.code(world, 0);
        armed.recovery = world.cloud.confirm_totp(armed.member.id, &code, None).await.unwrap();
        // The next code is one that was not used.
        world.clock.advance(Duration::from_secs(30));
        armed
    }

    /// The code of now, or of some periods away.
    fn code(&self, world: &World, away: i64) -> SecretText {
        let totp = TotpParameters::default();
        totp.code(&self.secret, totp.step(world.clock.now()) + away)
    }

    /// A code that is wrong now.
    fn wrong(&self, world: &World) -> SecretText {
        let right: Vec<_> = (-1..=1).map(|away| self.code(world, away)).collect();
        let wrong = (0..4).map(|number| SecretText::new(format!("00000{number}")));
        wrong.into_iter().find(|code| !right.contains(code)).unwrap()
    }

    async fn first_half(&self, world: &World) -> LoggedIn {
        let half = log_in(&world.cloud, &self.member.email, PASSWORD, &source()).await.unwrap();
        assert_eq!(half.session.state, SessionState::AwaitingSecondFactor);
        half
    }

    async fn finish(&self, world: &World, half: &LoggedIn, code: SecretText) -> Result<LoggedIn> {
        world.cloud.finish_log_in(&half.token, &SecondFactor::Totp(code), &source()).await
    }

    async fn logged_in(&self, world: &World) -> LoggedIn {
        let half = self.first_half(world).await;
        let full = self.finish(world, &half, self.code(world, 0)).await.unwrap();
        world.clock.advance(Duration::from_secs(30));
        full
    }
}

async fn it_counts_from_its_confirmation_on(world: &World) {
    let (cloud, member) = (&world.cloud, member(world).await);
    let before = log_in(cloud, &member.email, PASSWORD, &source()).await.unwrap();
    let here = log_in(cloud, &member.email, PASSWORD, &source()).await.unwrap();
    let forgotten = cloud.begin_totp(member.id).await.unwrap();
    let enrolment = cloud.begin_totp(member.id).await.unwrap();
    let uri = enrolment.uri.expose();
    assert!(
        uri.starts_with("otpauth://totp/apportion:user-") && uri.contains(enrolment.secret.expose()),
        "{uri}"
    );
    let still = log_in(cloud, &member.email, PASSWORD, &source()).await.unwrap();
    assert_eq!(still.session.state, SessionState::Full, "it was not confirmed");

    let code_of = |secret: &SecretText| {
        let totp = TotpParameters::default();
        let bytes = BASE32_NOPAD.decode(secret.expose().as_bytes()).unwrap();
        totp.code(&bytes, totp.step(world.clock.now()))
    };
    let replaced = cloud.confirm_totp(member.id, &code_of(&forgotten.secret), None).await;
    assert!(matches!(replaced, Err(Error::Unauthenticated)), "{replaced:?}");
    let recovery =
        cloud.confirm_totp(member.id, &code_of(&enrolment.secret), Some(here.session.id)).await.unwrap();
    assert_eq!(recovery.len(), 10);
    // What was let in without it is out, but for the one that set it up.
    for (session, lives) in [(&before, false), (&still, false), (&here, true)] {
        let checked = cloud.check_session(&session.token, Origin::unknown()).await;
        assert_eq!(checked.is_ok(), lives, "{checked:?}");
    }
    let again = cloud.begin_totp(member.id).await;
    assert!(matches!(again, Err(Error::WrongState { .. })), "{again:?}");

    let armed = Armed {
        member,
        secret: BASE32_NOPAD.decode(enrolment.secret.expose().as_bytes()).unwrap(),
        recovery,
    };
    let half = armed.first_half(world).await;
    let checked = cloud.check_session(&half.token, Origin::unknown()).await;
    assert!(matches!(checked, Err(Error::Unauthenticated)), "half a login is none");
    let used = armed.finish(world, &half, armed.code(world, 0)).await;
    assert!(matches!(used, Err(Error::Unauthenticated)), "the code of the confirmation was used: {used:?}");
    let full = armed.finish(world, &half, armed.code(world, 1)).await.unwrap();
    assert_ne!(full.token, half.token);
    let caller = cloud.check_session(&full.token, Origin::unknown()).await.unwrap();
    let now = world.clock.now();
    assert!(caller.proved_within(Duration::from_mins(5), now));
    assert!(!caller.proved_within(Duration::from_mins(5), now.plus(Duration::from_mins(5))));
    let twice = armed.finish(world, &half, armed.code(world, 1)).await;
    assert!(matches!(twice, Err(Error::Unauthenticated)), "its token is worth nothing: {twice:?}");
    world.clock.advance(Duration::from_mins(2));
}

async fn one_code_given_by_many_at_once_is_accepted_once(world: &World) {
    let armed = Armed::new(world).await;
    let full = armed.logged_in(world).await;
    for round in 0..ROUNDS {
        // A new code, and new attempts.
        world.clock.advance(Duration::from_hours(1));
        let _ = world.cloud.check_session(&full.token, Origin::unknown()).await.unwrap();
        let code = armed.code(world, 0);
        let tasks: Vec<_> = (0..CALLERS)
            .map(|_| {
                let (cloud, token, code) = (Arc::clone(&world.cloud), full.token.clone(), code.clone());
                tokio::spawn(async move { cloud.verify_again(&token, &SecondFactor::Totp(code)).await })
            })
            .collect();
        let mut accepted = 0;
        for task in tasks {
            match task.await.unwrap() {
                Ok(()) => accepted += 1,
                Err(Error::Unauthenticated | Error::TooSoon { .. } | Error::Conflict { .. }) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(accepted, 1, "in round {round}");
    }
}

async fn as_many_guesses_get_an_answer_as_there_are_attempts(world: &World) {
    let armed = Armed::new(world).await;
    // At the beginning of a window of attempts.
    let hour = 3_600_000_000;
    let into = world.clock.now().as_micros().rem_euclid(hour);
    world.clock.advance(Duration::from_micros(u64::try_from(hour - into).unwrap()));
    let half = armed.first_half(world).await;
    let wrong = armed.wrong(world);
    let tasks: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (cloud, token, code) = (Arc::clone(&world.cloud), half.token.clone(), wrong.clone());
            tokio::spawn(async move {
                cloud.finish_log_in(&token, &SecondFactor::Totp(code), &Origin::unknown()).await
            })
        })
        .collect();
    let (mut wrong, mut unanswered) = (0, 0);
    for task in tasks {
        match task.await.unwrap() {
            Err(Error::Unauthenticated) => wrong += 1,
            Err(Error::TooSoon { .. } | Error::Conflict { .. }) => unanswered += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((wrong, unanswered), (10, CALLERS - 10));
    let right = armed.finish(world, &half, armed.code(world, 0)).await;
    let Err(Error::TooSoon { retry_after }) = right else { panic!("{right:?}") };
    assert!(retry_after <= Duration::from_hours(1), "{retry_after:?}");
    // A recovery code is no guess.
    let recovery = SecondFactor::Recovery(armed.recovery[0].clone());
    world.cloud.finish_log_in(&half.token, &recovery, &Origin::unknown()).await.unwrap();
    world.clock.advance(retry_after);
    let half = armed.first_half(world).await;
    armed.finish(world, &half, armed.code(world, 0)).await.unwrap();
}

async fn a_recovery_code_works_once(world: &World) {
    let armed = Armed::new(world).await;
    let full = armed.logged_in(world).await;
    let typed = armed.recovery[3].expose().to_lowercase();
    let typed = SecretText::new(format!(" {}-{} ", &typed[..8], &typed[8..]));
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let (cloud, token, code) = (Arc::clone(&world.cloud), full.token.clone(), typed.clone());
            tokio::spawn(async move { cloud.verify_again(&token, &SecondFactor::Recovery(code)).await })
        })
        .collect();
    let mut accepted = 0;
    for task in tasks {
        accepted += usize::from(task.await.unwrap().is_ok());
    }
    assert_eq!(accepted, 1);
    let renewed = world.cloud.renew_recovery_codes(armed.member.id).await.unwrap();
    let old = SecondFactor::Recovery(armed.recovery[4].clone());
    let refused = world.cloud.verify_again(&full.token, &old).await;
    assert!(matches!(refused, Err(Error::Unauthenticated)), "{refused:?}");
    world.cloud.verify_again(&full.token, &SecondFactor::Recovery(renewed[0].clone())).await.unwrap();
    // Those of another user are worth nothing here.
    let other = Armed::new(world).await;
    let foreign = SecondFactor::Recovery(other.recovery[0].clone());
    assert!(world.cloud.verify_again(&full.token, &foreign).await.is_err());
}

async fn taking_it_away_takes_all_of_it(world: &World) {
    let armed = Armed::new(world).await;
    let full = armed.logged_in(world).await;
    let half = armed.first_half(world).await;
    world.cloud.disable_totp(armed.member.id, Some(full.session.id)).await.unwrap();
    let late = armed.finish(world, &half, armed.code(world, 0)).await;
    assert!(matches!(late, Err(Error::Unauthenticated)), "a login that waited for it has ended: {late:?}");
    world.cloud.check_session(&full.token, Origin::unknown()).await.unwrap();
    let none = world.cloud.verify_again(&full.token, &SecondFactor::Totp(armed.code(world, 0))).await;
    assert!(matches!(none, Err(Error::WrongState { .. })), "{none:?}");
    let recovery = SecondFactor::Recovery(armed.recovery[0].clone());
    assert!(world.cloud.verify_again(&full.token, &recovery).await.is_err());
    let plain = log_in(&world.cloud, &armed.member.email, PASSWORD, &source()).await.unwrap();
    assert_eq!(plain.session.state, SessionState::Full);
    let again = world.cloud.disable_totp(armed.member.id, None).await;
    assert!(matches!(again, Err(Error::NotFound { .. })), "{again:?}");
}
