//! What of a user is edited: name, phone and limits.

use super::ControlPlane;
use super::decided::Decided;
use super::users::Happened;
use crate::entity::{DisplayName, Entity as _, Entry, Limits, QUOTAS, Quota, USERS, User, UserId};
use crate::error::{Error, Result};
use crate::store::{StoreExt as _, Write};

/// What a user changes of themselves. What is not given stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Profile {
    /// How the user is called from now on.
    pub name: Option<String>,
    /// The phone number from now on, at most 32 bytes; an empty one is none.
    pub phone: Option<String>,
}

impl Profile {
    /// Nothing is changed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Changes the name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Changes the phone number; an empty one takes it away.
    pub fn phone(mut self, phone: impl Into<String>) -> Self {
        self.phone = Some(phone.into());
        self
    }
}

impl ControlPlane {
    /// Changes name and phone of a user, what is given of them. What is so already changes nothing.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for a name or number that is none.
    #[tracing::instrument(skip_all)]
    pub async fn update_profile(&self, user: UserId, profile: Profile) -> Result<Entry<User>> {
        let name = profile.name.map(DisplayName::new).transpose()?;
        let (name, phone) = (&name, &profile.phone);
        self.decided("user.update", "user", || async move {
            let read = self.store.get(&USERS, user).await?;
            let row = read.value.ok_or_else(|| Error::not_found("user", user))?;
            let kept = User::from_row(&row)?;
            let mut changed = kept.clone();
            if let Some(name) = name {
                changed.name = name.clone();
            }
            if let Some(phone) = phone {
                changed.phone = Some(phone.clone()).filter(|phone| !phone.is_empty());
            }
            if changed == kept {
                return Ok(Decided::Done(Entry::new(kept, row.revision())));
            }
            changed.updated_at = read.now;
            let set = vec![
                ("name", changed.name.clone().into()),
                ("phone", changed.phone.clone().into()),
                ("updated_at", changed.updated_at.into()),
            ];
            let batch = self
                .batch("user.update")
                .with(Write::update(&USERS, user, row.revision(), set))
                .with(self.log(Happened::of_user("user.update", user, "name or phone"), read.now));
            Ok(Decided::Commit(Entry::new(changed, row.revision() + 1), batch))
        })
        .await
    }

    /// Sets what a user may have at most. They may be lower than what is used: then nothing more is granted until enough came
    /// back.
    #[tracing::instrument(skip_all)]
    pub async fn set_limits(&self, user: UserId, limits: Limits) -> Result<Entry<Quota>> {
        self.decided("quota.set", "quota", || async move {
            let read = self.store.get(&QUOTAS, user).await?;
            let row = read.value.ok_or_else(|| Error::not_found("user", user))?;
            let kept = Quota::from_row(&row)?;
            if kept.limits() == limits {
                return Ok(Decided::Done(Entry::new(kept, row.revision())));
            }
            let changed = kept.with_limits(limits);
            let batch = self
                .batch("quota.set")
                .with(Write::update(&QUOTAS, user, row.revision(), changed.plain()))
                .with(self.log(Happened::of_user("quota.set", user, "limits"), read.now));
            Ok(Decided::Commit(Entry::new(changed, row.revision() + 1), batch))
        })
        .await
    }
}
