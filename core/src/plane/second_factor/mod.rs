//! The second factor: setting up an authenticator, and taking it away. `proof.rs` is where codes are judged.

mod proof;
mod reseal;

pub use proof::SecondFactor;
pub use reseal::Resealed;

use zeroize::Zeroizing;

use super::ControlPlane;
use super::decided::Decided;
use super::security::{forgotten, next_epoch, sessions_of, shut, verification_of};
use super::users::Happened;
use crate::entity::{
    Entity as _, RECOVERY_CODES, RecoveryCode, SecretText, SessionId, USER_ACCESS, USERS, UserId,
    VERIFICATIONS, Verification, VerificationKind, VerificationTry,
};
use crate::error::{Error, Result};
use crate::identity::{KeyRing, TotpParameters};
use crate::store::{Answer, Batch, MAX_PAGE, Query, Row, Scan, Write};
use crate::time::Timestamp;

/// The bytes of an authenticator's secret: as many as the hash of SHA-1 has, which RFC 4226 (section 4, R6) recommends.
const SECRET_BYTES: usize = 20;
/// The characters of a recovery code: none that is taken for another. 16 of 32 are 80 bits.
const RECOVERY_ALPHABET: &str = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
const RECOVERY_LENGTH: usize = 16;

/// An authenticator that is being set up. Nothing of it can be had again.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TotpEnrolment {
    /// The secret, in base32, for those who type it.
    pub secret: SecretText,
    /// What is shown as a QR code.
    pub uri: SecretText,
    /// How its codes are made.
    pub parameters: TotpParameters,
}

/// What was read of a user whose second factor is changed.
struct FactorRows {
    access: Row,
    email: String,
    sessions: Vec<Row>,
    pending: Option<Row>,
    active: Option<Row>,
    recovery: Vec<Row>,
    now: Timestamp,
}

impl ControlPlane {
    /// Begins to set up an authenticator. It does not count before [`ControlPlane::confirm_totp`]; one that was begun before
    /// and not confirmed is forgotten.
    ///
    /// # Errors
    /// `NotFound`; `WrongState` where the user has a second factor already; `Invalid` where the host has given no key.
    #[tracing::instrument(skip_all)]
    pub async fn begin_totp(&self, user: UserId) -> Result<TotpEnrolment> {
        let keys = self.identity.keys()?;
        let secret = Zeroizing::new(self.identity.entropy.bytes::<SECRET_BYTES>());
        let secret = &secret;
        self.decided("totp.begin", Verification::KIND, || async move {
            let rows = self.factor_rows(user).await?;
            if rows.active.is_some() {
                return Err(state_of_factor("on", "setting up another", "disabling it"));
            }
            let policy = &self.identity.totp;
            let id = self.new_id().into();
            let sealed = keys.seal(&*self.identity.entropy, bound_to(id).as_bytes(), &**secret)?;
            let parameters = policy.parameters.clone();
            let verification = Verification {
                id,
                kind: VerificationKind::TwoFactorPending,
                target: user.to_string(),
                user_id: Some(user),
                secret: sealed,
                algorithm: parameters.algorithm,
                digits: parameters.digits,
                period: parameters.period,
                char_set: parameters.char_set.clone(),
                new_email: None,
                expires_at: None,
                created_at: rows.now,
            };
            let tries = VerificationTry { verification_id: id, attempts: 0, last_step: -1, window: 0 };
            let mut batch = self.batch_for("totp.begin", user.uuid());
            batch.writes.extend(rows.pending.iter().flat_map(forgotten));
            batch.push(Write::Insert(verification.to_row()));
            batch.push(Write::Insert(tries.to_row()));
            batch.push(Write::guard(&USER_ACCESS, user, rows.access.revision()));
            batch.push(self.log(Happened::of_user("totp.begin", user, ""), rows.now));
            let enrolment = TotpEnrolment {
                secret: SecretText::new(data_encoding::BASE32_NOPAD.encode(&**secret)),
                uri: parameters.uri(&**secret, &policy.issuer, &rows.email),
                parameters,
            };
            Ok(Decided::Commit(enrolment, batch))
        })
        .await
    }

    /// Proves that the authenticator which was begun shows the right codes: from now on a login needs it. Answers the recovery
    /// codes, each of which stands in for it once; they can't be had again.
    ///
    /// Every session but `keep` ends: they were made without it.
    ///
    /// # Errors
    /// `Unauthenticated` for a wrong code; `NotFound` where none was begun; `TooSoon` after too many wrong codes.
    #[tracing::instrument(skip_all)]
    pub async fn confirm_totp(
        &self,
        user: UserId,
        code: &SecretText,
        keep: Option<SessionId>,
    ) -> Result<Vec<SecretText>> {
        let keys = self.identity.keys()?;
        let codes = self.new_recovery_codes();
        let codes = &codes;
        let confirmed = self.decided("totp.confirm", Verification::KIND, || async move {
            let rows = self.factor_rows(user).await?;
            let pending = rows.pending.as_ref().ok_or_else(|| Error::not_found(Verification::KIND, user))?;
            let judged = self.judge_totp(pending, code, rows.now).await?;
            let Some(accepted) = judged.accepted else {
                return Ok(self.wrong_code("totp.confirm", user, judged));
            };
            let mut batch = self.batch_for("totp.confirm", user.uuid());
            let set = vec![("kind", VerificationKind::TwoFactor.as_str().into())];
            batch.push(Write::update(&VERIFICATIONS, pending.key(), pending.revision(), set));
            batch.push(accepted);
            self.put_recovery_codes(keys, user, codes, &rows, &mut batch);
            batch.writes.extend(shut(&rows.sessions, keep, &rows.access)?);
            batch.push(self.log(Happened::of_user("totp.confirm", user, ""), rows.now));
            Ok(Decided::Commit(Ok(()), batch))
        });
        self.proved("totp.confirm", confirmed.await?)?;
        Ok(codes.clone())
    }

    /// Takes the second factor of a user away, with its recovery codes. Every session but `keep` ends. For a user who asks,
    /// have it proved a short while ago (see [`Caller::proved_within`](crate::identity::Caller::proved_within)).
    ///
    /// # Errors
    /// `NotFound` where there is none.
    #[tracing::instrument(skip_all)]
    pub async fn disable_totp(&self, user: UserId, keep: Option<SessionId>) -> Result<()> {
        self.decided("totp.disable", Verification::KIND, || async move {
            let rows = self.factor_rows(user).await?;
            if rows.active.is_none() && rows.pending.is_none() {
                return Err(Error::not_found(Verification::KIND, user));
            }
            let mut batch = self.batch_for("totp.disable", user.uuid());
            batch.writes.extend(rows.active.iter().chain(&rows.pending).flat_map(forgotten));
            batch.writes.extend(deleted(&rows.recovery));
            batch.writes.extend(shut(&rows.sessions, keep, &rows.access)?);
            batch.push(self.log(Happened::of_user("totp.disable", user, ""), rows.now));
            Ok(Decided::Commit((), batch))
        })
        .await
    }

    /// New recovery codes in place of those that are left, which are worth nothing from then on.
    ///
    /// # Errors
    /// `NotFound` where the user has no second factor.
    #[tracing::instrument(skip_all)]
    pub async fn renew_recovery_codes(&self, user: UserId) -> Result<Vec<SecretText>> {
        let keys = self.identity.keys()?;
        let codes = self.new_recovery_codes();
        let made = &codes;
        self.decided("totp.renew_recovery_codes", Verification::KIND, || async move {
            let rows = self.factor_rows(user).await?;
            if rows.active.is_none() {
                return Err(Error::not_found(Verification::KIND, user));
            }
            let mut batch = self.batch_for("totp.renew_recovery_codes", user.uuid());
            self.put_recovery_codes(keys, user, made, &rows, &mut batch);
            batch.push(next_epoch(&rows.access)?);
            batch.push(self.log(Happened::of_user("totp.renew_recovery_codes", user, ""), rows.now));
            Ok(Decided::Commit((), batch))
        })
        .await?;
        Ok(codes)
    }

    fn new_recovery_codes(&self) -> Vec<SecretText> {
        let count = self.identity.totp.recovery_codes.min(64);
        (0..count)
            .map(|_| SecretText::new(self.identity.entropy.text(RECOVERY_ALPHABET, RECOVERY_LENGTH)))
            .collect()
    }

    fn put_recovery_codes(
        &self,
        keys: &KeyRing,
        user: UserId,
        codes: &[SecretText],
        rows: &FactorRows,
        batch: &mut Batch,
    ) {
        batch.writes.extend(deleted(&rows.recovery));
        for code in codes {
            let hash = keys.code_hash(&recovery_of(user), code.expose());
            let code = RecoveryCode { id: self.new_id().into(), user_id: user, hash, created_at: rows.now };
            batch.push(Write::Insert(code.to_row()));
        }
    }

    async fn factor_rows(&self, user: UserId) -> Result<FactorRows> {
        let mut queries = vec![
            Query::Get { table: &USER_ACCESS, key: user.into() },
            Query::Get { table: &USERS, key: user.into() },
            sessions_of(user),
            Query::Scan(Scan::of(&RECOVERY_CODES).by("recovery_codes_user").with(user).limit(MAX_PAGE)),
        ];
        queries.extend(
            [VerificationKind::TwoFactorPending, VerificationKind::TwoFactor]
                .map(|kind| verification_of(&user.to_string(), kind)),
        );
        let reads = self.store.read(queries).await?;
        let mut answers = reads.answers.into_iter().map(Answer::into_rows);
        let mut next = || answers.next().unwrap_or_default();
        let (access, named) = (next().pop(), next().pop());
        let (sessions, recovery, pending, active) = (next(), next(), next().pop(), next().pop());
        let none = || Error::not_found("user", user);
        let (access, named) = (access.ok_or_else(none)?, named.ok_or_else(none)?);
        let email = named.text("email")?.to_owned();
        Ok(FactorRows { access, email, sessions, pending, active, recovery, now: reads.now })
    }
}

fn deleted(rows: &[Row]) -> impl Iterator<Item = Write> {
    rows.iter().map(|row| Write::delete(row.table(), row.key(), row.revision()))
}

/// What a sealed secret belongs to.
fn bound_to(id: crate::entity::VerificationId) -> String {
    format!("totp {id}")
}

/// What a recovery code belongs to.
fn recovery_of(user: UserId) -> String {
    format!("recovery {user}")
}

fn state_of_factor(state: &'static str, event: &'static str, allowed: &'static str) -> Error {
    Error::WrongState { kind: "second factor", state, event, allowed: vec![allowed] }
}
