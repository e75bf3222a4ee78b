//! Signing up, and confirming the address.
//!
//! Whoever confirms gives the password of the sign-up as well. Otherwise somebody could sign up with the address of somebody
//! else and a password of their own, and wait for the owner to click on the link: the account would be confirmed, and theirs.

use super::super::ControlPlane;
use super::super::decided::Decided;
use super::super::refusals::Refusal;
use super::super::security::{next_epoch, verification_of};
use super::super::users::Happened;
use super::codes::Purpose;
use super::{Message, by_email, password_writes};
use crate::entity::{
    CONFIRMATION_TRIES, ConfirmationTry, DisplayName, Email, Entity as _, Entry, Limits, PASSWORDS,
    SecretText, USER_ACCESS, USERS, User, UserId, VerificationKind,
};
use crate::error::{Error, Result};
use crate::identity::{Verdict, sha256_hex};
use crate::store::{Answer, Change, Query, Row, Scan, StoreExt as _, Test, Write};
use crate::time::Timestamp;

/// Somebody who signs up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SignUp {
    /// The login address.
    pub email: String,
    /// The display name.
    pub name: String,
    /// The password.
    pub password: SecretText,
    /// What the user may have at most.
    pub limits: Limits,
}

impl SignUp {
    /// A sign-up with the default limits.
    pub fn new(email: impl Into<String>, name: impl Into<String>, password: SecretText) -> Self {
        Self { email: email.into(), name: name.into(), password, limits: Limits::default() }
    }

    /// Sets the limits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}

/// What proves that an address is somebody's.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Confirmation {
    /// The token of the link.
    Link(SecretText),
    /// The code, typed for this address.
    Code {
        /// The address.
        email: String,
        /// The code.
        code: SecretText,
    },
}

/// What the token of a link begins with.
const LINK_PREFIX: &str = "apl_";

/// A confirmation that is asked for: what is kept of it, and what is mailed.
struct Asked {
    hash: SecretText,
    code_hash: SecretText,
    expires_at: Timestamp,
    message: Message,
}

impl ControlPlane {
    /// Signs somebody up: a user who can log in once the address is confirmed. The answer has to be mailed, and tells nobody
    /// else anything: where the address has an account, its owner is told by mail that somebody tried. So it is with one that
    /// the host has made; its owner sets a password by [`ControlPlane::request_password_reset`].
    ///
    /// Signing up again before the address is confirmed replaces name and password, and the link and code that were mailed;
    /// but nothing within a minute of the last one ([`CodePolicy::pause`](crate::identity::CodePolicy::pause)).
    ///
    /// # Errors
    /// `Invalid` for an address, name or password that is none, or where the host has given no key.
    #[tracing::instrument(skip_all)]
    pub async fn sign_up(&self, request: SignUp) -> Result<Vec<Message>> {
        let (email, name) = (Email::new(request.email)?, DisplayName::new(request.name)?);
        // Hashed in any case, so that the time tells nothing either.
        let hash = self.identity.hashing.hash(request.password).await?;
        let (email, name, hash, limits) = (&email, &name, &hash, request.limits);
        self.decided("user.sign_up", User::KIND, || async move {
            let told = verification_of(email.as_str(), VerificationKind::Onboarding);
            let reads = self.store.read(vec![by_email(email), told]).await?;
            let now = reads.now;
            let mut found = reads.answers.into_iter().map(Answer::into_row);
            let Some(kept) = found.next().flatten() else {
                return self.decide_sign_up(email, name, hash, limits, now);
            };
            let user = User::from_row(&kept)?;
            if user.activated || user.email_confirmation_hash.is_none() {
                return self.decide_notice(&user, found.next().flatten().as_ref(), now);
            }
            if self.is_recent(&user, now) {
                return Ok(Decided::Done(Vec::new()));
            }
            self.decide_again(&kept, user, Some((name, hash))).await
        })
        .await
    }

    /// Tells the owner of an address that somebody tried to sign up with it; but not again before the pause is over, which a code
    /// keeps that is mailed to nobody. It also makes this cost a commit, as a sign-up does.
    fn decide_notice(
        &self,
        user: &User,
        told: Option<&Row>,
        now: Timestamp,
    ) -> Result<Decided<Vec<Message>>> {
        let (kind, lifetime) = (VerificationKind::Onboarding, self.identity.codes.pause);
        let target = user.email.as_str();
        let purpose = Purpose { kind, target, user: None, new_email: None, lifetime };
        let Some(made) = self.prepare_code(purpose, told, now)? else { return Ok(Decided::Done(Vec::new())) };
        let mut batch = self.batch("user.sign_up");
        batch.writes = made.writes;
        Ok(Decided::Commit(vec![Message::AlreadyRegistered { to: user.email.clone() }], batch))
    }

    fn decide_sign_up(
        &self,
        email: &Email,
        name: &DisplayName,
        hash: &SecretText,
        limits: Limits,
        now: Timestamp,
    ) -> Result<Decided<Vec<Message>>> {
        let mut user = User::new(self.new_id().into(), email.clone(), name.clone(), now);
        let asked = self.asked(&user, now)?;
        asked.put(&mut user);
        let mut batch = self.batch_for("user.sign_up", user.id.uuid());
        batch.writes.extend(user.creation(limits));
        batch.writes.extend(password_writes(user.id, hash, None, now));
        batch.push(Write::Insert(ConfirmationTry { user_id: user.id, attempts: 0 }.to_row()));
        batch.push(self.log(Happened::of_user("user.sign_up", user.id, ""), now));
        Ok(Decided::Commit(vec![asked.message], batch))
    }

    /// Mails the link and the code again, which are new ones. Whether there is somebody to confirm is not told.
    #[tracing::instrument(skip_all)]
    pub async fn resend_confirmation(&self, email: &str) -> Result<Vec<Message>> {
        let Ok(email) = Email::new(email) else { return Ok(Vec::new()) };
        let email = &email;
        self.decided("user.resend_confirmation", User::KIND, || async move {
            let reads = self.store.read(vec![by_email(email)]).await?;
            let Some(kept) = reads.answers.into_iter().next().and_then(Answer::into_row) else {
                return Ok(Decided::Done(Vec::new()));
            };
            let user = User::from_row(&kept)?;
            if user.activated || user.email_confirmation_hash.is_none() || self.is_recent(&user, reads.now) {
                return Ok(Decided::Done(Vec::new()));
            }
            self.decide_again(&kept, user, None).await
        })
        .await
    }

    /// A new link and code for somebody who has not confirmed yet, and where it is a new sign-up its name and password.
    async fn decide_again(
        &self,
        kept: &Row,
        mut user: User,
        new: Option<(&DisplayName, &SecretText)>,
    ) -> Result<Decided<Vec<Message>>> {
        let keys = vec![
            (&PASSWORDS, user.id.into()),
            (&CONFIRMATION_TRIES, user.id.into()),
            (&USER_ACCESS, user.id.into()),
        ];
        let read = self.store.get_many(keys).await?;
        let [password, tries, Some(access)] = read.value.as_slice() else {
            return Err(Error::Conflict { what: "user.sign_up".into() });
        };
        let operation = if new.is_some() { "user.sign_up" } else { "user.resend_confirmation" };
        let mut batch = self.batch_for(operation, user.id.uuid());
        let asked = self.asked(&user, read.now)?;
        asked.put(&mut user);
        user.updated_at = read.now;
        if let Some((name, hash)) = new {
            user.name = name.clone();
            batch.writes.extend(password_writes(user.id, hash, password.as_ref(), read.now));
            batch.push(next_epoch(access)?);
        }
        batch.push(Write::update(&USERS, user.id, kept.revision(), user.editable()));
        batch.push(match tries {
            Some(row) => Write::patch(
                &CONFIRMATION_TRIES,
                row.key(),
                Vec::new(),
                vec![("attempts", Change::Set(0_i64.into()))],
            ),
            None => Write::Insert(ConfirmationTry { user_id: user.id, attempts: 0 }.to_row()),
        });
        batch.push(self.log(Happened::of_user(operation, user.id, ""), read.now));
        Ok(Decided::Commit(vec![asked.message], batch))
    }

    /// Confirms an address, by what was mailed and the password of the sign-up: from now on the user can log in.
    ///
    /// # Errors
    /// `Unauthenticated` where either is wrong, was used or has ended; which of them is not said.
    #[tracing::instrument(skip_all)]
    pub async fn confirm_email(&self, proof: &Confirmation, password: SecretText) -> Result<Entry<User>> {
        let found = self.to_confirm(proof).await?;
        let kept = match &found {
            Some((_, password, _)) => password.clone(),
            None => None,
        };
        let verdict = self.identity.hashing.verify(password, kept).await?;
        let Some((user, password, _)) = found else { return Err(Error::Unauthenticated) };
        // What was compared has to be what is kept when it is decided.
        let compared = password.as_ref().map(|hash| hash.expose().to_owned());
        let (id, compared) = (user.id, &compared);
        let confirmed = self.decided("user.confirm_email", User::KIND, || async move {
            let Some((user, password, rows)) = self.to_confirm(proof).await? else {
                return Ok(Decided::Done(None));
            };
            if user.id != id || password.as_ref().map(|hash| hash.expose().to_owned()) != *compared {
                return Ok(Decided::Done(None));
            }
            self.decide_confirmation(user, &rows, proof, verdict)
        });
        let confirmed = confirmed.await?;
        if confirmed.is_none() {
            self.note_refusal(Refusal::of_user("user.confirm_email", id)).await;
        }
        confirmed.ok_or(Error::Unauthenticated)
    }

    fn decide_confirmation(
        &self,
        mut user: User,
        rows: &ConfirmRows,
        proof: &Confirmation,
        verdict: Verdict,
    ) -> Result<Decided<Option<Entry<User>>>> {
        let most = self.identity.codes.attempts;
        let live = |end: Option<Timestamp>| end.is_some_and(|end| end > rows.now);
        let proved = match (proof, &user.code_confirmation) {
            (Confirmation::Link(_), _) => live(user.email_confirmation_expires),
            (Confirmation::Code { code, .. }, Some(hash)) => {
                live(user.code_confirmation_expires) & self.is_code(&bound_to(user.id), hash, code)?
            }
            (Confirmation::Code { .. }, None) => false,
        };
        // A link is guessed by nobody, so whoever types codes for an address uses up none of what its owner has.
        let by_link = matches!(proof, Confirmation::Link(_));
        if user.activated || (!by_link && rows.attempts >= most) {
            return Ok(Decided::Done(None));
        }
        let so_far = vec![Test::eq("attempts", i64::from(rows.attempts))];
        let tries = |set| Write::patch(&CONFIRMATION_TRIES, user.id, so_far, vec![("attempts", set)]);
        if !proved || matches!(verdict, Verdict::Wrong) {
            if by_link {
                return Ok(Decided::Done(None));
            }
            return Ok(Decided::Commit(None, self.batch("user.confirm_email").with(tries(Change::Add(1)))));
        }
        let tries = tries(Change::Set(0_i64.into()));
        user.activated = true;
        user.updated_at = rows.now;
        (user.email_confirmation_hash, user.email_confirmation_expires) = (None, None);
        (user.code_confirmation, user.code_confirmation_expires) = (None, None);
        let batch = self
            .batch_for("user.confirm_email", user.id.uuid())
            .with(Write::update(&USERS, user.id, rows.revision, user.editable()))
            .with(tries)
            .with(next_epoch(&rows.access)?)
            .with(self.log(Happened::of_user("user.confirm_email", user.id, ""), rows.now));
        Ok(Decided::Commit(Some(Entry::new(user, rows.revision + 1)), batch))
    }

    /// The user whom a proof is for, with the hash of their password.
    async fn to_confirm(
        &self,
        proof: &Confirmation,
    ) -> Result<Option<(User, Option<SecretText>, ConfirmRows)>> {
        let query = match proof {
            Confirmation::Link(token) => {
                let hash = sha256_hex(token.expose().as_bytes());
                Query::Scan(Scan::of(&USERS).by("users_email_confirmation_hash").with(hash).limit(1))
            }
            Confirmation::Code { email, .. } => match Email::new(email.as_str()) {
                Ok(email) => by_email(&email),
                Err(_) => return Ok(None),
            },
        };
        let reads = self.store.read(vec![query]).await?;
        let Some(kept) = reads.answers.into_iter().next().and_then(Answer::into_row) else { return Ok(None) };
        let user = User::from_row(&kept)?;
        let keys = vec![
            (&PASSWORDS, user.id.into()),
            (&CONFIRMATION_TRIES, user.id.into()),
            (&USER_ACCESS, user.id.into()),
        ];
        let read = self.store.get_many(keys).await?;
        let [password, Some(tries), Some(access)] = read.value.as_slice() else { return Ok(None) };
        let password = match password {
            Some(row) => Some(crate::entity::Password::from_row(row)?.hash),
            None => None,
        };
        let attempts = ConfirmationTry::from_row(tries)?.attempts;
        let rows = ConfirmRows { revision: kept.revision(), attempts, access: access.clone(), now: read.now };
        Ok(Some((user, password, rows)))
    }

    /// Whether a confirmation was mailed to a user a moment ago.
    fn is_recent(&self, user: &User, now: Timestamp) -> bool {
        let policy = &self.identity.codes;
        let sent = user.code_confirmation_expires.map(|end| end.minus(policy.confirmation));
        sent.is_some_and(|sent| sent.plus(policy.pause) > now)
    }

    fn asked(&self, user: &User, now: Timestamp) -> Result<Asked> {
        let policy = &self.identity.codes;
        policy.check()?;
        let token = self.identity.entropy.bytes::<32>();
        let token =
            SecretText::new(format!("{LINK_PREFIX}{}", data_encoding::BASE64URL_NOPAD.encode(&token)));
        let length = usize::try_from(policy.digits.clamp(6, 32)).unwrap_or(8);
        let code = SecretText::new(self.identity.entropy.text(&policy.char_set, length));
        let expires_at = now.plus(policy.confirmation);
        Ok(Asked {
            hash: SecretText::new(sha256_hex(token.expose().as_bytes())),
            code_hash: self.identity.keys()?.code_hash(&bound_to(user.id), code.expose()),
            expires_at,
            message: Message::ConfirmEmail { to: user.email.clone(), link_token: token, code, expires_at },
        })
    }
}

impl Asked {
    fn put(&self, user: &mut User) {
        user.email_confirmation_hash = Some(self.hash.clone());
        user.email_confirmation_expires = Some(self.expires_at);
        user.code_confirmation = Some(self.code_hash.clone());
        user.code_confirmation_expires = Some(self.expires_at);
    }
}

/// What a confirmation is decided on, beside the user and the password.
struct ConfirmRows {
    revision: i64,
    attempts: u32,
    access: Row,
    now: Timestamp,
}

/// What the hash of the code in a user's row belongs to.
fn bound_to(user: UserId) -> String {
    format!("confirmation {user}")
}
