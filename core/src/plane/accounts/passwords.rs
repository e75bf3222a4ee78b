//! Changing a password, and setting a forgotten one anew.

use super::super::ControlPlane;
use super::super::decided::Decided;
use super::super::refusals::Refusal;
use super::super::security::{sessions_of, shut, verification_of};
use super::super::users::Happened;
use super::codes::{Guessed, Purpose};
use super::{Message, by_email, password_writes};
use crate::entity::{
    AccessState, Email, Entity as _, LOGIN_RETRIES, PASSWORDS, Password, SecretText, SessionId, USER_ACCESS,
    USERS, User, UserAccess, UserId, VerificationKind,
};
use crate::error::{Error, Result};
use crate::identity::Verdict;
use crate::store::{Answer, Change, Query, Row, StoreExt as _, Write};
use crate::time::Timestamp;

/// What is read of a user whose way in changes.
pub(in crate::plane) struct Secured {
    pub(in crate::plane) user: User,
    pub(in crate::plane) revision: i64,
    pub(in crate::plane) access: Row,
    pub(in crate::plane) password: Option<Row>,
    pub(in crate::plane) sessions: Vec<Row>,
    pub(in crate::plane) now: Timestamp,
}

impl Secured {
    /// The writes that end every session but one, and raise the epoch.
    pub(super) fn shut(&self, keep: Option<SessionId>) -> Result<Vec<Write>> {
        shut(&self.sessions, keep, &self.access)
    }
}

impl ControlPlane {
    /// Reads a user whose way in is to be changed: the access row with the sessions, so that no session is overlooked.
    pub(in crate::plane) async fn secured(&self, id: UserId) -> Result<Secured> {
        let get = |table| Query::Get { table, key: id.into() };
        let queries = vec![get(&USER_ACCESS), get(&USERS), get(&PASSWORDS), sessions_of(id)];
        let reads = self.store.read(queries).await?;
        let now = reads.now;
        let mut answers = reads.answers.into_iter();
        let mut next = || answers.next();
        let none = || Error::not_found(User::KIND, id);
        let access = next().and_then(Answer::into_row).ok_or_else(none)?;
        let kept = next().and_then(Answer::into_row).ok_or_else(none)?;
        let password = next().and_then(Answer::into_row);
        let sessions = next().map(Answer::into_rows).unwrap_or_default();
        let user = User::from_row(&kept)?;
        Ok(Secured { user, revision: kept.revision(), access, password, sessions, now })
    }

    /// Changes a password, by the old one. Every session but `keep` ends; API keys stay.
    ///
    /// The answer has to be mailed to the user.
    ///
    /// # Errors
    /// `Unauthenticated` for a wrong old password, which counts as a failed login; `Invalid` for a new one that is none;
    /// `NotFound` where the user has no password, see [`ControlPlane::request_password_reset`].
    #[tracing::instrument(skip_all)]
    pub async fn change_password(
        &self,
        user: UserId,
        old: SecretText,
        new: SecretText,
        keep: Option<SessionId>,
    ) -> Result<Vec<Message>> {
        let before = self.secured(user).await?;
        let kept = before.password.as_ref().ok_or_else(|| Error::not_found(Password::KIND, user))?;
        let (seen, hash) = (kept.revision(), Password::from_row(kept)?.hash);
        self.identity.hashing.policy().check(&new)?;
        if matches!(self.identity.hashing.verify(old, Some(hash)).await?, Verdict::Wrong) {
            let count = Write::patch(&LOGIN_RETRIES, user, Vec::new(), vec![("retry_count", Change::Add(1))]);
            let batch = self.batch_for("password.change", user.uuid()).with(count);
            self.store.commit(batch).await.map_err(|error| Error::of_store(Password::KIND, error))?;
            self.note_refusal(Refusal::of_user("password.change", user)).await;
            return Err(Error::Unauthenticated);
        }
        let hash = self.identity.hashing.hash(new).await?;
        let hash = &hash;
        self.decided("password.change", Password::KIND, || async move {
            let secured = self.secured(user).await?;
            // It was changed meanwhile: then the old one that was given is not the old one any more.
            if secured.password.as_ref().map(Row::revision) != Some(seen) {
                return Err(Error::Unauthenticated);
            }
            let mut batch = self.batch_for("password.change", user.uuid());
            batch.writes = password_writes(user, hash, secured.password.as_ref(), secured.now);
            batch.writes.extend(secured.shut(keep)?);
            batch.push(self.log(Happened::of_user("password.change", user, ""), secured.now));
            Ok(Decided::Commit(vec![Message::PasswordChanged { to: secured.user.email }], batch))
        })
        .await
    }

    /// A code that sets a forgotten password anew, or the first one of a user whom the host has made. The answer has to be mailed, and is nothing where there is nobody of this
    /// address whom to mail it: whoever asks is told the same.
    ///
    /// # Errors
    /// `Invalid` where the host has given no key.
    #[tracing::instrument(skip_all)]
    pub async fn request_password_reset(&self, email: &str) -> Result<Vec<Message>> {
        self.identity.keys()?;
        let Ok(email) = Email::new(email) else { return Ok(Vec::new()) };
        let email = &email;
        self.decided("password.request_reset", "verification", || async move {
            let reads = self.store.read(vec![by_email(email)]).await?;
            let Some(kept) = reads.answers.into_iter().next().and_then(Answer::into_row) else {
                return Ok(Decided::Done(Vec::new()));
            };
            let user = User::from_row(&kept)?;
            let (target, kind) = (user.id.to_string(), VerificationKind::ResetPassword);
            let access = Query::Get { table: &USER_ACCESS, key: user.id.into() };
            let reads = self.store.read(vec![verification_of(&target, kind), access]).await?;
            let now = reads.now;
            let mut found = reads.answers.into_iter().map(Answer::into_row);
            let (code, access) = (found.next().flatten(), found.next().flatten());
            let Some(access) = access else { return Ok(Decided::Done(Vec::new())) };
            // Who has signed up and not confirmed does that first, with the password that they have.
            let has_signed_up = user.email_confirmation_hash.is_some();
            if (!user.activated && has_signed_up)
                || UserAccess::from_row(&access)?.state != AccessState::Active
            {
                return Ok(Decided::Done(Vec::new()));
            }
            let lifetime = self.identity.codes.lifetime;
            let purpose = Purpose { kind, target: &target, user: Some(user.id), new_email: None, lifetime };
            let Some(made) = self.prepare_code(purpose, code.as_ref(), now)? else {
                return Ok(Decided::Done(Vec::new()));
            };
            let mut batch = self.batch_for("password.request_reset", user.id.uuid());
            batch.writes = made.writes;
            batch.push(Write::guard(&USER_ACCESS, user.id, access.revision()));
            // The address that it is mailed to is still that of the account.
            batch.push(Write::guard(&USERS, user.id, kept.revision()));
            batch.push(self.log(Happened::of_user("password.request_reset", user.id, ""), now));
            let message =
                Message::ResetPassword { to: user.email, code: made.code, expires_at: made.expires_at };
            Ok(Decided::Commit(vec![message], batch))
        })
        .await
    }

    /// Sets a password by the code that was mailed, which confirms the address as well. Every session ends; API keys stay, and so does a second factor. Where the
    /// caller is from is a source that has proved itself, so that somebody whose account is being guessed at gets in.
    ///
    /// # Errors
    /// `Unauthenticated` for a code that is wrong, was used or has ended; `Invalid` for a password that is none.
    #[tracing::instrument(skip_all)]
    pub async fn reset_password(
        &self,
        email: &str,
        code: &SecretText,
        new: SecretText,
    ) -> Result<Vec<Message>> {
        let hash = self.identity.hashing.hash(new).await?;
        let email = Email::new(email).map_err(|_| Error::Unauthenticated)?;
        let found = self
            .store
            .read(vec![by_email(&email)])
            .await?
            .answers
            .into_iter()
            .next()
            .and_then(Answer::into_row);
        let Some(found) = found else { return Err(Error::Unauthenticated) };
        let user = User::from_row(&found)?.id;
        let source = self.caller.origin().source();
        self.ensure_source(user, &source).await?;
        let (target, kind) = (user.to_string(), VerificationKind::ResetPassword);
        let guess_at = self.charge_guess(&target, kind).await?;
        let (hash, target) = (&hash, &target);
        let reset = self.decided("password.reset", Password::KIND, || async move {
            let Some(guess_at) = guess_at else { return Ok(Decided::Done(None)) };
            let Guessed::Right(_, spent, _) = self.guess_code(target, kind, guess_at, code).await? else {
                return Ok(Decided::Done(None));
            };
            let mut batch = self.batch_for("password.reset", user.uuid());
            let secured = self.secured(user).await?;
            batch.writes = spent;
            batch.writes.extend(password_writes(user, hash, secured.password.as_ref(), secured.now));
            batch.writes.extend(secured.shut(None)?);
            batch.writes.extend(self.source_known(user, secured.now));
            if !secured.user.activated {
                let set = vec![("activated", true.into()), ("updated_at", secured.now.into())];
                batch.push(Write::update(&USERS, user, secured.revision, set));
            }
            batch.push(self.log(Happened::of_user("password.reset", user, ""), secured.now));
            Ok(Decided::Commit(Some(vec![Message::PasswordChanged { to: secured.user.email }]), batch))
        });
        let reset = reset.await?;
        if reset.is_none() {
            self.note_refusal(Refusal::of_user("password.reset", user)).await;
        }
        reset.ok_or(Error::Unauthenticated)
    }
}
