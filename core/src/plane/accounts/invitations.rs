//! Inviting an address, and accepting that.

use super::super::ControlPlane;
use super::super::decided::Decided;
use super::super::refusals::Refusal;
use super::super::security::verification_of;
use super::super::users::Happened;
use super::codes::{Guessed, Purpose};
use super::{Message, SignUp, by_email, password_writes};
use crate::entity::{DisplayName, Email, Entity as _, Entry, SecretText, User, VerificationKind};
use crate::error::{Error, Result};
use crate::store::Answer;

impl ControlPlane {
    /// Invites an address that has no user yet. The answer has to be mailed. Where the address has one, nothing is.
    #[tracing::instrument(skip_all)]
    pub async fn invite(&self, email: &str) -> Result<Vec<Message>> {
        let email = Email::new(email)?;
        let email = &email;
        self.decided("user.invite", "invitation", || async move {
            let kind = VerificationKind::Onboarding;
            let reads = self.store.read(vec![by_email(email), verification_of(email.as_str(), kind)]).await?;
            let now = reads.now;
            let mut found = reads.answers.into_iter().map(Answer::into_row);
            if found.next().flatten().is_some() {
                return Ok(Decided::Done(Vec::new()));
            }
            let lifetime = self.identity.codes.confirmation;
            let purpose = Purpose { kind, target: email.as_str(), user: None, new_email: None, lifetime };
            let Some(made) = self.prepare_code(purpose, found.next().flatten().as_ref(), now)? else {
                return Ok(Decided::Done(Vec::new()));
            };
            let mut batch = self.batch("user.invite");
            batch.writes = made.writes;
            let nobody = uuid::Uuid::nil();
            let event = Happened {
                operation: "user.invite",
                actor: None,
                kind: "user",
                subject: nobody,
                description: email.as_str(),
            };
            batch.push(self.log(event, now));
            let message =
                Message::Invitation { to: email.clone(), code: made.code, expires_at: made.expires_at };
            Ok(Decided::Commit(vec![message], batch))
        })
        .await
    }

    /// Accepts an invitation by its code: makes a user of this name and password, whose address is confirmed.
    ///
    /// # Errors
    /// `Unauthenticated` for a code that is wrong, was used or has ended; `AlreadyExists` where somebody signed up with the
    /// address meanwhile.
    #[tracing::instrument(skip_all)]
    pub async fn accept_invitation(&self, request: SignUp, code: &SecretText) -> Result<Entry<User>> {
        let (email, name) = (Email::new(request.email)?, DisplayName::new(request.name)?);
        let hash = self.identity.hashing.hash(request.password).await?;
        let (email, name, hash, limits) = (&email, &name, &hash, request.limits);
        let kind = VerificationKind::Onboarding;
        let guess_at = self.charge_guess(email.as_str(), kind).await?;
        let accepted = self.decided("user.accept_invitation", User::KIND, || async move {
            let Some(guess_at) = guess_at else { return Ok(Decided::Done(None)) };
            let Guessed::Right(_, spent, now) = self.guess_code(email.as_str(), kind, guess_at, code).await?
            else {
                return Ok(Decided::Done(None));
            };
            let mut user = User::new(self.new_id().into(), email.clone(), name.clone(), now);
            user.activated = true;
            let mut batch = self.batch_for("user.accept_invitation", user.id.uuid());
            batch.writes = spent;
            batch.writes.extend(user.creation(limits));
            batch.writes.extend(password_writes(user.id, hash, None, now));
            batch.push(self.log(Happened::of_user("user.accept_invitation", user.id, ""), now));
            Ok(Decided::Commit(Some(Entry::new(user, 1)), batch))
        });
        let accepted = accepted.await?;
        if accepted.is_none() {
            self.note_refusal(Refusal { operation: "user.accept_invitation", subject: None, user: None })
                .await;
        }
        accepted.ok_or(Error::Unauthenticated)
    }
}
