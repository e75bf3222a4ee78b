//! Judging codes: the second half of a login, and proving it again.
//!
//! A code is judged over rows, and its batch carries what was judged: a right one moves the last step on, on the condition that
//! it is still below and that there are attempts left; a wrong one takes an attempt, on the condition that there is one. So
//! however many guess at once, as many guesses get an answer as there are attempts, and a code is accepted once.

use super::{bound_to, recovery_of, state_of_factor};
use crate::entity::{
    Entity as _, RECOVERY_CODES, SESSIONS, SecretText, SessionState, USER_ACCESS, UserId, VERIFICATION_TRIES,
    Verification, VerificationKind, VerificationTry,
};
use crate::error::{Error, Result};
use crate::identity::{Origin, TotpParameters};
use crate::plane::decided::Decided;
use crate::plane::refusals::Refusal;
use crate::plane::security::{tidy, verification_of};
use crate::plane::sessions::LiveSession;
use crate::plane::users::Happened;
use crate::plane::{ControlPlane, LoggedIn};
use crate::store::{Answer, Change, Is, Query, Row, Scan, StoreError, StoreExt as _, Test, Write};
use crate::time::Timestamp;

use std::time::Duration;

/// What somebody proves the second factor with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SecondFactor {
    /// The code that the authenticator shows.
    Totp(SecretText),
    /// One of the recovery codes; capitals, spaces and hyphens do not matter.
    Recovery(SecretText),
}

/// What came of judging a code.
pub(super) struct Judged {
    /// The write that makes it count, where it is right.
    pub(super) accepted: Option<Write>,
    /// The write that charges it, where it is wrong; none for a recovery code, which nobody guesses.
    charge: Option<Write>,
    now: Timestamp,
}

/// A code was wrong, or used before.
pub(super) struct Wrong {
    user: UserId,
    now: Timestamp,
}

/// What a code proves.
pub(super) type Proof<T> = std::result::Result<T, Wrong>;

impl ControlPlane {
    /// Finishes a login that awaits its second factor: answers a full session with a new token. The token of the login is worth
    /// nothing from then on.
    ///
    /// # Errors
    /// `Unauthenticated` for a token of no such login, or a wrong or used code; `TooSoon` after too many wrong codes, as
    /// [`TotpPolicy`](crate::identity::TotpPolicy) says.
    #[tracing::instrument(skip_all)]
    pub async fn finish_log_in(
        &self,
        token: &SecretText,
        factor: &SecondFactor,
        origin: &Origin,
    ) -> Result<LoggedIn> {
        let finished = self.decided("user.finish_log_in", "login", || async move {
            let live = self.awaiting(token).await?;
            let user = live.session.user_id;
            let judged = self.judge(user, factor, live.now).await?;
            let Some(accepted) = judged.accepted else {
                return Ok(self.wrong_code("user.finish_log_in", user, judged));
            };
            let new = self.new_session_from(origin, user, SessionState::Full, Some(live.now), live.now);
            let mut batch = self.batch_for("user.finish_log_in", user.uuid());
            batch.push(Write::guard(&USER_ACCESS, user, live.access.revision()));
            batch.push(accepted);
            batch.writes.extend(live.end());
            batch.writes.extend(self.room_for(user, SessionState::Full).await?);
            batch.writes.extend(new.writes);
            // The source that gave the password is the one which has proved itself; its row was made with the login.
            let source = live.session.ip.map_or_else(Origin::unknown, Origin::ip).source();
            batch.writes.extend(self.login_succeeded(user, &source, live.now));
            let happened = Happened::of_user("user.finish_log_in", user, how(factor));
            batch.push(self.log_from(origin, happened, live.now));
            Ok(Decided::Commit(Ok(LoggedIn::new(new.session, new.token)), batch))
        });
        self.proved("user.finish_log_in", finished.await?)
    }

    /// Proves the second factor again in a session, for something that asks for a fresh proof.
    ///
    /// # Errors
    /// As [`ControlPlane::finish_log_in`]; `WrongState` where the user has no second factor.
    #[tracing::instrument(skip_all)]
    pub async fn verify_again(&self, token: &SecretText, factor: &SecondFactor) -> Result<()> {
        let verified = self.decided("session.verify_again", "session", || async move {
            let live = self.live(token, SessionState::Full).await?;
            let user = live.session.user_id;
            let judged = self.judge(user, factor, live.now).await?;
            let Some(accepted) = judged.accepted else {
                return Ok(self.wrong_code("session.verify_again", user, judged));
            };
            let LiveSession { session, row, access, now, .. } = &live;
            let set = vec![("verified_at", (*now).into()), ("updated_at", (*now).into())];
            let batch = self
                .batch_for("session.verify_again", user.uuid())
                .with(Write::guard(&USER_ACCESS, user, access.revision()))
                .with(accepted)
                .with(Write::update(&SESSIONS, session.id, row.revision(), set))
                .with(self.log(Happened::of_user("session.verify_again", user, how(factor)), *now));
            Ok(Decided::Commit(Ok(()), batch))
        });
        self.proved("session.verify_again", verified.await?)
    }

    async fn judge(&self, user: UserId, factor: &SecondFactor, now: Timestamp) -> Result<Judged> {
        match factor {
            SecondFactor::Totp(code) => {
                let reads = self
                    .store
                    .read(vec![verification_of(&user.to_string(), VerificationKind::TwoFactor)])
                    .await?;
                let active = reads.into_rows().pop();
                let active = active.ok_or_else(|| state_of_factor("off", "proving it", "setting it up"))?;
                self.judge_totp(&active, code, now).await
            }
            SecondFactor::Recovery(code) => self.judge_recovery(user, code, now).await,
        }
    }

    /// Judges a code of the authenticator in this row.
    pub(super) async fn judge_totp(&self, row: &Row, code: &SecretText, now: Timestamp) -> Result<Judged> {
        let verification = Verification::from_row(row)?;
        let key = verification.id;
        let tries = self.store.get(&VERIFICATION_TRIES, key).await?.value;
        let tries = tries.as_ref().map(VerificationTry::from_row).transpose()?;
        let tries = tries.ok_or_else(|| Error::Conflict { what: "second factor".into() })?;
        let policy = &self.identity.totp;
        let (window, length) = (now.as_micros().div_euclid(policy.window_micros()), policy.window_micros());
        let (same_window, used) = (tries.window == window, tries.attempts);
        if same_window && used >= policy.attempts {
            let over = window.saturating_add(1).saturating_mul(length).saturating_sub(now.as_micros());
            let retry_after = Duration::from_micros(u64::try_from(over).unwrap_or(0).max(1));
            return Err(Error::TooSoon { retry_after });
        }
        let secret = self.identity.keys()?.open(bound_to(key).as_bytes(), &verification.secret);
        // Under a key that the host has lost, or moved from another row: nobody has to know which.
        let secret = secret.ok_or_else(|| {
            StoreError::corrupt(row.table().name, Some(row.key()), "secret", "no key of the host opens it")
        })?;
        let parameters = TotpParameters {
            algorithm: verification.algorithm,
            digits: verification.digits,
            period: verification.period,
            char_set: verification.char_set,
        };
        let step = parameters.matching(&secret, code.expose().trim(), now, policy.window, tries.last_step);
        let below = i64::from(policy.attempts);
        let mut tests = vec![Test::eq("window", tries.window)];
        let mut set = Vec::new();
        if same_window {
            tests.push(Test::new("attempts", Is::Lt(below.into())));
        } else {
            set.push(("window", Change::Set(window.into())));
        }
        let mut judged = Judged { accepted: None, charge: None, now };
        if let Some(step) = step {
            tests.push(Test::new("last_step", Is::Lt(step.into())));
            set.push(("last_step", Change::Set(step.into())));
            if !same_window {
                set.push(("attempts", Change::Set(0_i64.into())));
            }
            judged.accepted = Some(Write::patch(&VERIFICATION_TRIES, key, tests, set));
        } else {
            set.push(("attempts", if same_window { Change::Add(1) } else { Change::Set(1_i64.into()) }));
            judged.charge = Some(Write::patch(&VERIFICATION_TRIES, key, tests, set));
        }
        Ok(judged)
    }

    async fn judge_recovery(&self, user: UserId, code: &SecretText, now: Timestamp) -> Result<Judged> {
        let code = tidy(code);
        let by_hash = |hash: SecretText| {
            Query::Scan(Scan::of(&RECOVERY_CODES).by("recovery_codes_hash").with(hash.expose()).limit(1))
        };
        let hashes = self.identity.keys()?.code_hashes(&recovery_of(user), code.expose());
        let reads = self.store.read(hashes.into_iter().map(by_hash).collect()).await?;
        let found = reads.answers.into_iter().find_map(Answer::into_row);
        let accepted = found.map(|row| Write::delete(&RECOVERY_CODES, row.key(), row.revision()));
        Ok(Judged { accepted, charge: None, now })
    }

    /// What follows a wrong code: it is charged.
    pub(super) fn wrong_code<T>(
        &self,
        operation: &'static str,
        user: UserId,
        judged: Judged,
    ) -> Decided<Proof<T>> {
        let wrong = Err(Wrong { user, now: judged.now });
        match judged.charge {
            Some(charge) => Decided::Commit(wrong, self.batch(operation).with(charge)),
            None => Decided::Done(wrong),
        }
    }

    /// What follows a right code; a wrong one is noted for the audit trail.
    pub(super) fn proved<T>(&self, operation: &'static str, proof: Proof<T>) -> Result<T> {
        proof.map_err(|Wrong { user, now }| {
            let _ = self.count_refusal(Refusal::of_user(operation, user), self.caller.origin(), now);
            Error::Unauthenticated
        })
    }
}

const fn how(factor: &SecondFactor) -> &'static str {
    match factor {
        SecondFactor::Totp(_) => "by authenticator",
        SecondFactor::Recovery(_) => "by recovery code",
    }
}
