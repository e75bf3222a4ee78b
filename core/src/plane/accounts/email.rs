//! Changing the address of an account.

use super::super::ControlPlane;
use super::super::decided::Decided;
use super::super::refusals::Refusal;
use super::super::security::{forgotten, next_epoch, verification_of};
use super::super::users::Happened;
use super::codes::{Guessed, Purpose};
use super::{Message, by_email};
use crate::entity::{Email, Entity as _, SecretText, USER_ACCESS, USERS, User, UserId, VerificationKind};
use crate::error::{Error, Result};
use crate::store::{Answer, Query, Write};

impl ControlPlane {
    /// A code that makes an address the one of an account, mailed to that address: the account keeps its own until the code is
    /// given. Where the new address has an account, its owner is told by mail, and nothing else happens.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for an address that is none.
    #[tracing::instrument(skip_all)]
    pub async fn request_email_change(&self, user: UserId, new_email: &str) -> Result<Vec<Message>> {
        let email = Email::new(new_email)?;
        let email = &email;
        self.decided("email.request_change", "verification", || async move {
            let (target, kind) = (user.to_string(), VerificationKind::ChangeEmail);
            let access = Query::Get { table: &USER_ACCESS, key: user.into() };
            let reads =
                self.store.read(vec![access, verification_of(&target, kind), by_email(email)]).await?;
            let now = reads.now;
            let mut found = reads.answers.into_iter().map(Answer::into_row);
            let access = found.next().flatten().ok_or_else(|| Error::not_found(User::KIND, user))?;
            let (code, taken) = (found.next().flatten(), found.next().flatten());
            let (new_email, lifetime) = (Some(email.clone()), self.identity.codes.lifetime);
            let purpose = Purpose { kind, target: &target, user: Some(user), new_email, lifetime };
            let Some(made) = self.prepare_code(purpose, code.as_ref(), now)? else {
                return Ok(Decided::Done(Vec::new()));
            };
            let mut batch = self.batch_for("email.request_change", user.uuid());
            batch.writes = made.writes;
            batch.push(Write::guard(&USER_ACCESS, user, access.revision()));
            batch.push(self.log(Happened::of_user("email.request_change", user, ""), now));
            let (to, code) = (email.clone(), made.code);
            // The code for a taken address is mailed to nobody, and keeps the pause before the next mail there.
            let message = match taken {
                Some(_) => Message::AlreadyRegistered { to },
                None => Message::ConfirmNewEmail { to, code, expires_at: made.expires_at },
            };
            Ok(Decided::Commit(vec![message], batch))
        })
        .await
    }

    /// Changes the address of an account to the one that a code was mailed to. Sessions stay: what lets one in has not changed.
    /// The answer has to be mailed: a notice for the old address.
    ///
    /// # Errors
    /// `Unauthenticated` for a code that is wrong, was used or has ended; `AlreadyExists` where somebody has taken the address
    /// meanwhile.
    #[tracing::instrument(skip_all)]
    pub async fn change_email(&self, user: UserId, code: &SecretText) -> Result<Vec<Message>> {
        let (target, kind) = (user.to_string(), VerificationKind::ChangeEmail);
        let guess_at = self.charge_guess(&target, kind).await?;
        let target = &target;
        let changed = self.decided("email.change", User::KIND, || async move {
            let Some(guess_at) = guess_at else { return Ok(Decided::Done(None)) };
            let Guessed::Right(verification, spent, _) =
                self.guess_code(target, kind, guess_at, code).await?
            else {
                return Ok(Decided::Done(None));
            };
            let mut batch = self.batch_for("email.change", user.uuid());
            let Some(new) = verification.new_email else { return Ok(Decided::Done(None)) };
            let secured = self.secured(user).await?;
            // A code that was mailed to the old address proves nothing about the new one. None is made behind this look: that
            // guards the epoch, which is raised here.
            let reads =
                self.store.read(vec![verification_of(target, VerificationKind::ResetPassword)]).await?;
            let old_code = reads.answers.into_iter().next().and_then(Answer::into_row);
            let set = vec![("email", new.clone().into()), ("updated_at", secured.now.into())];
            batch.writes = spent;
            batch.writes.extend(old_code.iter().flat_map(forgotten));
            batch.push(Write::update(&USERS, user, secured.revision, set));
            batch.push(next_epoch(&secured.access)?);
            batch.push(self.log(Happened::of_user("email.change", user, ""), secured.now));
            Ok(Decided::Commit(Some(vec![Message::EmailChanged { to: secured.user.email, new }]), batch))
        });
        let changed = changed.await?;
        if changed.is_none() {
            self.note_refusal(Refusal::of_user("email.change", user)).await;
        }
        changed.ok_or(Error::Unauthenticated)
    }
}
