//! Mailed codes: one for a target and a purpose, good for a while, for a few guesses, and once.
//!
//! A guess is charged before it is judged, by a commit of its own that is refused once as many were charged as are allowed;
//! only then is it compared. So however many guess at once, no more are compared than that, right or wrong. A right one
//! deletes the code in the batch of its effect, and so works once.

use std::time::Duration;

use super::super::ControlPlane;
use super::super::security::{forgotten, tidy, verification_of};
use crate::entity::{
    Email, Entity as _, SecretText, TotpAlgorithm, UserId, VERIFICATION_TRIES, Verification, VerificationId,
    VerificationKind, VerificationTry,
};
use crate::error::{Error, Result};
use crate::identity::same;
use crate::store::{Change, Is, Refusal, Row, StoreExt as _, Test, Write};
use crate::time::Timestamp;

/// A code that was made, and the writes that keep it.
pub(super) struct Prepared {
    pub(super) code: SecretText,
    pub(super) expires_at: Timestamp,
    pub(super) writes: Vec<Write>,
}

/// What a code is for.
pub(super) struct Purpose<'p> {
    pub(super) kind: VerificationKind,
    pub(super) target: &'p str,
    pub(super) user: Option<UserId>,
    pub(super) new_email: Option<Email>,
    pub(super) lifetime: Duration,
}

/// What a guess came to.
pub(super) enum Guessed {
    /// It is the code: these writes use it up.
    Right(Box<Verification>, Vec<Write>, Timestamp),
    /// It is not, or there is none.
    Wrong,
}

impl ControlPlane {
    /// A new code in place of the one in `kept`; none where that one was sent a moment ago.
    pub(super) fn prepare_code(
        &self,
        purpose: Purpose<'_>,
        kept: Option<&Row>,
        now: Timestamp,
    ) -> Result<Option<Prepared>> {
        let policy = &self.identity.codes;
        if let Some(kept) = kept
            && kept.time("created_at")?.plus(policy.pause) > now
        {
            return Ok(None);
        }
        policy.check()?;
        let keys = self.identity.keys()?;
        let id: VerificationId = self.new_id().into();
        let digits = policy.digits.clamp(6, 32);
        let code = self.identity.entropy.text(&policy.char_set, usize::try_from(digits).unwrap_or(8));
        let code = SecretText::new(code);
        let expires_at = now.plus(purpose.lifetime);
        let verification = Verification {
            id,
            kind: purpose.kind,
            target: purpose.target.to_owned(),
            user_id: purpose.user,
            secret: keys.code_hash(&bound_to(id), code.expose()),
            algorithm: TotpAlgorithm::Sha256,
            digits,
            period: u32::try_from(purpose.lifetime.as_secs()).unwrap_or(u32::MAX).max(1),
            char_set: policy.char_set.clone(),
            new_email: purpose.new_email,
            expires_at: Some(expires_at),
            created_at: now,
        };
        let tries = VerificationTry { verification_id: id, attempts: 0, last_step: -1, window: 0 };
        let mut writes: Vec<Write> = kept.into_iter().flat_map(forgotten).collect();
        writes.push(Write::Insert(verification.to_row()));
        writes.push(Write::Insert(tries.to_row()));
        Ok(Some(Prepared { code, expires_at, writes }))
    }

    /// Charges one guess at the code for a target, and says which code it may be compared with: none where there is none, or
    /// where it has had all its guesses. Once for each guess, however often it is then decided.
    pub(super) async fn charge_guess(
        &self,
        target: &str,
        kind: VerificationKind,
    ) -> Result<Option<VerificationId>> {
        let reads = self.store.read(vec![verification_of(target, kind)]).await?;
        let now = reads.now;
        let Some(row) = reads.into_rows().pop() else { return Ok(None) };
        let kept = Verification::from_row(&row)?;
        if kept.expires_at.is_none_or(|end| end <= now) {
            return Ok(None);
        }
        let some_left = vec![Test::new("attempts", Is::Lt(i64::from(self.identity.codes.attempts).into()))];
        let charge =
            Write::patch(&VERIFICATION_TRIES, kept.id, some_left, vec![("attempts", Change::Add(1))]);
        match self.store.commit(self.batch("code.guess").with(charge)).await {
            Ok(_) => Ok(Some(kept.id)),
            // All were charged, or the code was used or replaced meanwhile.
            Err(error) if error.refusal().is_some_and(Refusal::is_conflict) => Ok(None),
            Err(error) => Err(Error::of_store(Verification::KIND, error)),
        }
    }

    /// Judges a guess that was charged to this code.
    pub(super) async fn guess_code(
        &self,
        target: &str,
        kind: VerificationKind,
        charged: VerificationId,
        guess: &SecretText,
    ) -> Result<Guessed> {
        let reads = self.store.read(vec![verification_of(target, kind)]).await?;
        let now = reads.now;
        let Some(row) = reads.into_rows().pop() else { return Ok(Guessed::Wrong) };
        let kept = Verification::from_row(&row)?;
        // It may have ended, or been replaced by one that the guess was not charged to.
        if kept.id != charged || kept.expires_at.is_none_or(|end| end <= now) {
            return Ok(Guessed::Wrong);
        }
        if !self.is_code(&bound_to(kept.id), &kept.secret, guess)? {
            return Ok(Guessed::Wrong);
        }
        let used = forgotten(&row).into();
        Ok(Guessed::Right(Box::new(kept), used, now))
    }

    /// Whether a guess is the code of this hash. Capitals, spaces and hyphens do not matter.
    pub(super) fn is_code(&self, bound: &str, kept: &SecretText, guess: &SecretText) -> Result<bool> {
        let hashes = self.identity.keys()?.code_hashes(bound, tidy(guess).expose());
        // Every hash is compared, whatever came of the one before.
        Ok(hashes.iter().fold(false, |found, hash| same(hash.expose(), kept.expose()) | found))
    }
}

/// What the hash of a code belongs to.
fn bound_to(id: VerificationId) -> String {
    format!("code {id}")
}
