//! What nobody needs any more: codes that have ended, and sign-ups that nobody confirmed.

use super::super::ControlPlane;
use super::super::retry::lost_race;
use super::super::security::forgotten;
use crate::entity::{Entity as _, USERS, User, UserId, VERIFICATIONS, Verification};
use crate::error::{Error, Result};
use crate::store::{MAX_PAGE, Scan, StoreExt as _, Test};
use crate::time::Timestamp;

impl ControlPlane {
    /// Deletes mailed codes and invitations that have ended, at most `limit` of them, and says how many. They are worth nothing,
    /// whether or not they are deleted; any number of processes may do so at the same time.
    #[tracing::instrument(skip(self))]
    pub async fn purge_codes(&self, limit: usize) -> Result<usize> {
        use std::ops::Bound::{Included, Unbounded};
        let (mut purged, mut after) = (0, None);
        while purged < limit {
            let now = self.store.read(Vec::new()).await?.now;
            // An authenticator has no end, and is none of them.
            let ended = Included(now.into());
            let scan = Scan::of(&VERIFICATIONS).by("verifications_expires_at").range(Unbounded, ended);
            let left = u32::try_from(limit - purged).unwrap_or(MAX_PAGE).min(MAX_PAGE);
            let page = self.store.scan(scan.after(after).limit(left)).await?.value;
            let mut batches = Vec::with_capacity(page.rows.len());
            for row in &page.rows {
                let mut batch = self.batch("code.purge");
                batch.writes.extend(forgotten(row));
                batches.push(batch);
            }
            for answer in self.store.commit_many(batches).await {
                match answer {
                    Ok(_) => purged += 1,
                    // It was used or replaced meanwhile, or another process was faster.
                    Err(error) if lost_race(&error) => {}
                    Err(error) => return Err(Error::of_store(Verification::KIND, error)),
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(purged)
    }

    /// Deletes users who signed up and did not confirm their address before link and code ended, at most `limit` of them, and says
    /// how many. One who owns something, which only the host can have given, stays. Every user is looked at, so once a day is
    /// enough.
    #[tracing::instrument(skip(self))]
    pub async fn purge_unconfirmed(&self, limit: usize) -> Result<usize> {
        let (mut purged, mut after) = (0, None);
        while purged < limit {
            let read = self
                .store
                .scan(Scan::of(&USERS).test(Test::eq("activated", false)).after(after).limit(MAX_PAGE));
            let read = read.await?;
            for row in &read.value.rows {
                let user = User::from_row(row)?;
                if purged < limit && is_forgotten(&user, read.now) && self.purge_sign_up(user.id).await? {
                    purged += 1;
                }
            }
            after = read.value.next;
            if after.is_none() {
                break;
            }
        }
        Ok(purged)
    }

    /// Deletes a user who is still not confirmed; says whether it did.
    async fn purge_sign_up(&self, user: UserId) -> Result<bool> {
        match self.delete_user_while(user, "user.purge", is_forgotten).await {
            Ok(()) => Ok(true),
            // Gone, or confirmed, or owns something.
            Err(Error::NotFound { .. } | Error::WrongState { .. } | Error::StillUsed { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Whether somebody signed up and let the confirmation end.
fn is_forgotten(user: &User, now: Timestamp) -> bool {
    !user.activated && user.email_confirmation_expires.is_some_and(|end| end <= now)
}
