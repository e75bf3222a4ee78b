//! Mailed codes: one for a target and a purpose, good for a while, for a few guesses, and once.
//!
//! A guess is judged over the row of tries, and its batch carries what it was judged by: a wrong one counts, on the condition that
//! nobody counted meanwhile, and the last one that is allowed deletes the code; a right one deletes it with its effect. So
//! however many guess at once, the code is gone after as many wrong ones as are allowed, and works once.

use std::time::Duration;

use super::super::ControlPlane;
use super::super::session_ends::page;
use crate::entity::{
    Email, Entity as _, SecretText, TotpAlgorithm, UserId, VERIFICATION_TRIES, VERIFICATIONS, Verification,
    VerificationId, VerificationKind, VerificationTry,
};
use crate::error::Result;
use crate::identity::same;
use crate::store::{Change, Query, Row, Scan, StoreExt as _, Test, Write};
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
    Right(Box<Verification>, Vec<Write>),
    /// It is not, and this counts it; nothing does where there is no code.
    Wrong(Vec<Write>),
}

/// The question for a code.
pub(super) fn code_for(target: &str, kind: VerificationKind) -> Query {
    Query::Scan(Scan::of(&VERIFICATIONS).by("verifications_target").with(target).with(kind.as_str()).limit(1))
}

/// The writes that forget a code. The row of its tries is only ever patched.
pub(super) fn forgotten(row: &Row) -> [Write; 2] {
    [
        Write::delete(&VERIFICATION_TRIES, row.key(), 1),
        Write::delete(&VERIFICATIONS, row.key(), row.revision()),
    ]
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
        let mut writes: Vec<Write> = kept.iter().flat_map(|kept| forgotten(kept)).collect();
        writes.push(Write::Insert(verification.to_row()));
        writes.push(Write::Insert(tries.to_row()));
        Ok(Some(Prepared { code, expires_at, writes }))
    }

    /// Judges a guess at the code for a target.
    pub(super) async fn guess_code(
        &self,
        target: &str,
        kind: VerificationKind,
        guess: &SecretText,
    ) -> Result<(Guessed, Timestamp)> {
        let reads = self.store.read(vec![code_for(target, kind)]).await?;
        let row = page(reads.answers.into_iter().next()).pop();
        let Some(row) = row else { return Ok((Guessed::Wrong(Vec::new()), reads.now)) };
        let kept = Verification::from_row(&row)?;
        let tries = self.store.get(&VERIFICATION_TRIES, kept.id).await?;
        let now = tries.now;
        // It was used or replaced between the two reads.
        let Some(tries) = tries.value else { return Ok((Guessed::Wrong(Vec::new()), now)) };
        if kept.expires_at.is_none_or(|end| end <= now) {
            return Ok((Guessed::Wrong(Vec::new()), now));
        }
        if self.is_code(&bound_to(kept.id), &kept.secret, guess)? {
            let used = forgotten(&row).into();
            return Ok((Guessed::Right(Box::new(kept), used), now));
        }
        let attempts = VerificationTry::from_row(&tries)?.attempts;
        if attempts.saturating_add(1) >= self.identity.codes.attempts {
            return Ok((Guessed::Wrong(forgotten(&row).into()), now));
        }
        let so_far = vec![Test::eq("attempts", i64::from(attempts))];
        let count = Write::patch(&VERIFICATION_TRIES, kept.id, so_far, vec![("attempts", Change::Add(1))]);
        Ok((Guessed::Wrong(vec![count]), now))
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

/// A code as it was made, from what somebody has typed.
fn tidy(guess: &SecretText) -> SecretText {
    let plain = |c: &char| !c.is_whitespace() && *c != '-';
    SecretText::new(
        guess.expose().chars().filter(plain).map(|c| c.to_ascii_uppercase()).take(64).collect::<String>(),
    )
}
