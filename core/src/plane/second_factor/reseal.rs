//! Secrets under the newest key of the host.

use super::bound_to;
use crate::entity::{Entity as _, VERIFICATIONS, Verification, VerificationKind};
use crate::error::Result;
use crate::plane::ControlPlane;
use crate::store::{Batch, MAX_PAGE, PageCursor, Row, Scan, StoreError, StoreExt as _, Write};

/// How far [`ControlPlane::reseal_secrets`] has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resealed {
    /// Secrets that are under the newest key from now on.
    pub resealed: u64,
    /// Secrets that no key of the host opens. Their users have to set up their second factor anew.
    pub lost: u64,
    /// Where to go on; none where everything was looked at.
    pub next: Option<PageCursor>,
}

impl ControlPlane {
    /// Encrypts the secrets of authenticators under the newest key of the host, those of one page of at most 1,000. When it was
    /// asked to the end, with every process knowing the new key, older keys are needed for recovery codes only, which
    /// [`ControlPlane::renew_recovery_codes`] replaces.
    ///
    /// Any number of processes may do this, and again.
    #[tracing::instrument(skip_all)]
    pub async fn reseal_secrets(&self, after: Option<PageCursor>) -> Result<Resealed> {
        let page = self.store.scan(Scan::of(&VERIFICATIONS).after(after).limit(MAX_PAGE)).await?.value;
        let mut resealed = Resealed { next: page.next, ..Resealed::default() };
        let mut batches = Vec::new();
        for row in &page.rows {
            match self.resealed(row)? {
                Seal::Newest => {}
                Seal::Lost => resealed.lost += 1,
                Seal::Older(batch) => batches.push(batch),
            }
        }
        for answer in self.store.commit_many(batches).await {
            match answer {
                Ok(_) => resealed.resealed += 1,
                // It was replaced or taken away meanwhile.
                Err(StoreError::Refused(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(resealed)
    }

    fn resealed(&self, row: &Row) -> Result<Seal> {
        let keys = self.identity.keys()?;
        let verification = Verification::from_row(row)?;
        let sealed =
            matches!(verification.kind, VerificationKind::TwoFactor | VerificationKind::TwoFactorPending);
        if !sealed || keys.is_newest(&verification.secret) {
            return Ok(Seal::Newest);
        }
        let bound = bound_to(verification.id);
        let Some(secret) = keys.open(bound.as_bytes(), &verification.secret) else {
            return Ok(Seal::Lost);
        };
        let newer = keys.seal(&*self.identity.entropy, bound.as_bytes(), &secret)?;
        let set = vec![("secret", newer.expose().into())];
        let update = Write::update(&VERIFICATIONS, row.key(), row.revision(), set);
        Ok(Seal::Older(self.batch("totp.reseal").with(update)))
    }
}

/// How a secret is sealed.
enum Seal {
    /// Under the newest key, or it is none.
    Newest,
    /// Under an older one: this seals it anew.
    Older(Batch),
    /// Under none that is left.
    Lost,
}
