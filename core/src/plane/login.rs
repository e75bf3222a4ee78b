//! Logging in with an address and a password: [`LogIn`].

use std::time::Duration;

use super::ControlPlane;
use super::login_rows::{Admission, LoginRows};
use super::refusals::Refusal;
use super::retry::{Retry, lost_race};
use super::security::{ended, next_epoch, sessions_of};
use super::session_ends::session_event;
use super::sessions::NewSession;
use crate::entity::{Email, PASSWORDS, SecretText, Session, SessionState, UserId};
use crate::error::{Error, Result};
use crate::identity::{Guess, Origin, Verdict};
use crate::store::{Batch, Receipt, Row, StoreError, StoreExt as _, Value, Write};
use crate::time::Timestamp;

/// Somebody who says who they are, and gives a password.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LogIn {
    /// The address, however it is capitalised.
    pub email: String,
    /// The password.
    pub password: SecretText,
    /// Where the request came from: guesses are counted by it.
    pub origin: Origin,
}

impl LogIn {
    /// A login with this address and password, from there.
    pub fn new(email: impl Into<String>, password: SecretText, origin: Origin) -> Self {
        Self { email: email.into(), password, origin }
    }
}

/// A session that was made, with its token.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoggedIn {
    /// The session. Where its state is [`SessionState::AwaitingSecondFactor`] the token is good for giving that, and for
    /// nothing else.
    pub session: Session,
    /// What the user shows from now on. It can't be had again.
    pub token: SecretText,
}

impl LoggedIn {
    pub(super) const fn new(session: Session, token: SecretText) -> Self {
        Self { session, token }
    }
}

/// How many logins of a user may wait for a second factor. More end the oldest of them, and never a full session: who has
/// only the password puts nobody out.
const MAX_AWAITING: usize = 10;

/// Why a login is refused: for the audit trail, never for who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LoginRefusal {
    UnknownAddress,
    WrongPassword,
    NoPassword,
    NotActivated,
    Suspended,
    TooSoon,
}

/// What stays the same while a login is decided, however often.
#[derive(Debug)]
pub(super) struct Attempt {
    email: Option<Email>,
    pub(super) guess: Guess,
    pub(super) source: String,
    origin: Origin,
}

/// A password that was looked at, or not.
#[derive(Debug)]
struct Looked {
    /// The revision of the password that it was compared with.
    revision: Option<i64>,
    verdict: Verdict,
    admission: Admission,
}

impl ControlPlane {
    /// Logs a user in with a password.
    ///
    /// Every attempt costs one hash of the live parameters, and every one that is answered `Unauthenticated` one commit; so an
    /// address that nobody has, a wrong password, and a user who is suspended or not activated differ neither in the answer
    /// nor in the time that it takes. What a source that never logged in to the account is told, that it is too soon or not, is
    /// remembered by this process, for any address, whether anybody has it or not. The rows of an account, which all
    /// processes share, decide beside it whether the password is looked at; where only they say that it is too soon, the
    /// answer is `Unauthenticated`, even to the right password. A source that has logged in there before is told how long
    /// to wait, and only by the rows.
    ///
    /// `retry_count` rises by one for each password that was compared and was another one; what was refused before, or
    /// beside others that came at the same moment, is not counted. A full login sets it to 0; one that waits for its second
    /// factor does so when it has it.
    ///
    /// # Errors
    /// `Unauthenticated`; `TooSoon` with the time to wait, as [`LoginPolicy`](crate::identity::LoginPolicy) says, or where too many
    /// passwords wait to be hashed.
    #[tracing::instrument(skip_all)]
    pub async fn log_in(&self, request: LogIn) -> Result<LoggedIn> {
        let email = Email::new(request.email.as_str()).ok();
        let address = email.as_ref().map_or(request.email.as_str(), Email::as_str);
        let source = request.origin.source();
        let guess = self.identity.guesses.guess(address, &source);
        let attempt = Attempt { email, guess, source, origin: request.origin };
        let mut retry = Retry::new("user.log_in", &*self.ids, &*self.metrics);
        let mut looked: Option<Looked> = None;
        loop {
            let rows = self.login_rows(attempt.email.as_ref(), &attempt.source).await?;
            // What follows a hash is decided on rows read after it, since hashing takes its time.
            let Some(seen) = looked.take_if(|seen| seen.revision == rows.password_revision()) else {
                looked = Some(self.look(&attempt, &rows, &request.password).await?);
                continue;
            };
            match self.answer(&attempt, &rows, &seen, &request.password).await {
                Ok(answer) => return answer,
                Err(error) if lost_race(&error) => retry.again().await?,
                Err(error) => return Err(Error::of_store("login", error)),
            }
            looked = Some(seen);
        }
    }

    /// Decides whether the password is looked at, and spends the time of a hash in any case.
    async fn look(&self, attempt: &Attempt, rows: &LoginRows, password: &SecretText) -> Result<Looked> {
        let admission = self.admission(attempt, rows);
        let kept = match admission {
            Admission::Admitted { .. } => rows.password_hash()?,
            Admission::Silent | Admission::TooSoon(_) => None,
        };
        let verdict = self.identity.hashing.verify(password.clone(), kept).await?;
        if let Admission::TooSoon(wait) = admission {
            return Err(self.too_soon(attempt, rows, wait));
        }
        Ok(Looked { revision: rows.password_revision(), verdict, admission })
    }

    /// Commits what comes of an attempt, and says it. An error of the store is one of its commit.
    async fn answer(
        &self,
        attempt: &Attempt,
        rows: &LoginRows,
        seen: &Looked,
        password: &SecretText,
    ) -> std::result::Result<Result<LoggedIn>, StoreError> {
        let Some(user) = rows.user else {
            return self.in_silence(attempt, rows, LoginRefusal::UnknownAddress).await;
        };
        let charge = match seen.admission {
            Admission::Admitted { failures } => rows.charge(&self.identity.logins, failures, &attempt.source),
            Admission::Silent | Admission::TooSoon(_) => None,
        };
        let Some(charge) = charge else {
            // Others were faster: the password counts as not looked at, whatever it was.
            return match rows.wait_if_known(&self.identity.logins) {
                Some(wait) => Ok(Err(self.too_soon(attempt, rows, wait))),
                None => self.in_silence(attempt, rows, LoginRefusal::TooSoon).await,
            };
        };
        let refusal = rows.refusal(seen.verdict)?;
        let mut batch = self.batch("user.log_in");
        let Some(refusal) = refusal else {
            let new = match self.admit(attempt, rows, user, seen, password, &mut batch).await {
                Ok(new) => new,
                Err(Error::Store(error)) => return Err(error),
                Err(other) => return Ok(Err(other)),
            };
            batch.writes.extend(charge.right(new.session.state == SessionState::Full));
            self.commit_with_rows(charge.missing, batch).await?;
            return Ok(Ok(LoggedIn::new(new.session, new.token)));
        };
        batch.writes.extend(charge.wrong());
        if refusal == LoginRefusal::WrongPassword {
            batch.push(LoginRows::one_more_retry(user));
        }
        let mut missing = charge.missing;
        if missing.is_empty()
            && let Some(any) = &rows.anybody
        {
            // As many batches as where rows are missing: how many there are tells in a store which waits for more to come.
            missing.push(Write::guard(any.table(), any.key(), any.revision()));
        }
        self.commit_with_rows(missing, batch).await?;
        if !rows.is_known(&self.identity.logins) {
            self.identity.guesses.refused(attempt.guess, &self.identity.logins, rows.now);
        }
        self.login_refused(attempt, rows, refusal);
        Ok(Err(Error::Unauthenticated))
    }

    /// The writes of a login that is admitted: they go into the batch, and the session is what the user gets.
    async fn admit(
        &self,
        attempt: &Attempt,
        rows: &LoginRows,
        user: UserId,
        seen: &Looked,
        password: &SecretText,
        batch: &mut Batch,
    ) -> Result<NewSession> {
        let state = if rows.second_factor { SessionState::AwaitingSecondFactor } else { SessionState::Full };
        let mut new = self.new_session_from(&attempt.origin, user, state, None, rows.now);
        batch.actor = Some(user.uuid());
        // It raises the epoch, and does not only guard it: whoever ends every session has seen those that were there, and must
        // be decided again where this one came after that look.
        if let Some(access) = rows.access() {
            batch.push(next_epoch(access)?);
        }
        batch.push(self.password_write(user, seen, password).await);
        batch.writes.extend(self.room_for(user, state).await?);
        batch.writes.append(&mut new.writes);
        if state == SessionState::Full {
            batch.push(retries_forgiven(user));
        }
        let how = match state {
            SessionState::Full => "by password",
            SessionState::AwaitingSecondFactor => "by password, awaiting the second factor",
        };
        let event = session_event("user.log_in", user, new.session.id, how);
        batch.push(self.log_from(&attempt.origin, event, rows.now));
        Ok(new)
    }

    /// Guards the password; where its hash is outdated it is hashed anew, unless that can't be done now.
    async fn password_write(&self, user: UserId, seen: &Looked, password: &SecretText) -> Write {
        let revision = seen.revision.unwrap_or(0);
        let newer = match seen.verdict {
            Verdict::Right { outdated: true } => self.identity.hashing.hash(password.clone()).await.ok(),
            _ => None,
        };
        match newer {
            // It is the same password: when it was changed stays as it is.
            Some(hash) => Write::update(&PASSWORDS, user, revision, vec![("hash", hash.expose().into())]),
            None => Write::guard(&PASSWORDS, user, revision),
        }
    }

    /// The writes that end the oldest sessions in this state, so that one more is not too many.
    ///
    /// Whoever makes a session adds them; none of them is a session in another state.
    pub(super) async fn room_for(&self, user: UserId, state: SessionState) -> Result<Vec<Write>> {
        let most = match state {
            SessionState::Full => usize::try_from(self.identity.sessions.max_per_user).unwrap_or(usize::MAX),
            SessionState::AwaitingSecondFactor => MAX_AWAITING,
        };
        let reads = self.store.read(vec![sessions_of(user)]).await?;
        let mut rows: Vec<(Timestamp, Row)> = Vec::new();
        for row in reads.into_rows() {
            if row.text("state")? == state.as_str() {
                rows.push((row.time("created_at")?, row));
            }
        }
        rows.sort_by_key(|(created_at, row)| (*created_at, row.key()));
        let too_many = (rows.len() + 1).saturating_sub(most.max(1));
        let oldest: Vec<Row> = rows.into_iter().take(too_many).map(|(_, row)| row).collect();
        Ok(ended(&oldest).collect())
    }

    /// Refuses an attempt that leaves no trace at any account, at the price of one that does: a commit of as many batches, which
    /// change nothing.
    async fn in_silence(
        &self,
        attempt: &Attempt,
        rows: &LoginRows,
        why: LoginRefusal,
    ) -> std::result::Result<Result<LoggedIn>, StoreError> {
        if let Some(any) = &rows.anybody {
            let nothing = || Write::guard(any.table(), any.key(), any.revision());
            let batch = self.batch("user.log_in").with(nothing());
            match self.commit_with_rows(vec![nothing()], batch).await {
                // That somebody was changed at this moment is no matter.
                Err(error) if !lost_race(&error) => return Err(error),
                _ => {}
            }
        }
        self.identity.guesses.refused(attempt.guess, &self.identity.logins, rows.now);
        self.login_refused(attempt, rows, why);
        Ok(Err(Error::Unauthenticated))
    }

    fn too_soon(&self, attempt: &Attempt, rows: &LoginRows, wait: Duration) -> Error {
        self.login_refused(attempt, rows, LoginRefusal::TooSoon);
        Error::TooSoon { retry_after: wait }
    }

    /// The one place that every refused login comes to.
    fn login_refused(&self, attempt: &Attempt, rows: &LoginRows, why: LoginRefusal) {
        tracing::debug!(user = ?rows.user, source = %attempt.source, ?why, "a login was refused");
        let subject = rows.user.map(|user| ("user", user.uuid()));
        let refused = Refusal { operation: "user.log_in", subject, user: rows.user };
        let _ = self.count_refusal(refused, &attempt.origin, rows.now);
    }

    /// Commits a batch behind one that makes rows which it patches. Both are one round trip.
    async fn commit_with_rows(
        &self,
        missing: Vec<Write>,
        batch: Batch,
    ) -> std::result::Result<Receipt, StoreError> {
        let id = batch.id;
        if missing.is_empty() {
            return self.store.commit(batch).await;
        }
        let mut rows = self.batch("user.log_in");
        rows.writes = missing;
        let mut answers = self.store.commit_many(vec![rows, batch]).await;
        let answer = answers.pop().unwrap_or(Err(StoreError::Unknown { id }));
        match (answers.pop(), answer) {
            // Where the rows could not be made, that is why.
            (Some(Err(why)), Err(error)) if error.refusal().is_some() => Err(why),
            (_, answer) => answer,
        }
    }
}

/// The write that forgets how often a user failed to log in.
pub(super) fn retries_forgiven(user: UserId) -> Write {
    let set = vec![("retry_count", crate::store::Change::Set(Value::Int(0)))];
    Write::patch(&crate::entity::LOGIN_RETRIES, user, Vec::new(), set)
}
