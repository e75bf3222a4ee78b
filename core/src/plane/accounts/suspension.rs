//! Suspending a user, and letting them act again.

use super::super::ControlPlane;
use super::super::decided::Decided;
use super::super::security::ended;
use super::super::users::Happened;
use crate::entity::{AccessState, Entity as _, USER_ACCESS, User, UserAccess, UserId};
use crate::error::Result;
use crate::store::Write;

impl ControlPlane {
    /// Suspends a user: their sessions end, and neither a login nor an API key nor anything under way of theirs succeeds any more.
    /// What they have keeps running and counting.
    ///
    /// # Errors
    /// `NotFound`; `WrongState` for an administrator, who has to be demoted first.
    #[tracing::instrument(skip_all)]
    pub async fn deactivate(&self, user: UserId) -> Result<()> {
        self.turn_access("user.deactivate", user, AccessState::Suspended).await
    }

    /// Lets a suspended user act again. They log in anew.
    #[tracing::instrument(skip_all)]
    pub async fn activate(&self, user: UserId) -> Result<()> {
        self.turn_access("user.activate", user, AccessState::Active).await
    }

    async fn turn_access(&self, operation: &'static str, user: UserId, state: AccessState) -> Result<()> {
        self.decided(operation, User::KIND, || async move {
            let secured = self.secured(user).await?;
            if UserAccess::from_row(&secured.access)?.state == state {
                return Ok(Decided::Done(()));
            }
            secured.user.may_be_suspended()?;
            let mut batch = self.batch_for(operation, user.uuid());
            batch.writes.extend(ended(&secured.sessions));
            let set = vec![("state", state.as_str().into())];
            batch.push(Write::update(&USER_ACCESS, user, secured.access.revision(), set));
            batch.push(self.log(Happened::of_user(operation, user, ""), secured.now));
            Ok(Decided::Commit((), batch))
        })
        .await
    }
}
