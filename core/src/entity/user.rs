//! Who uses the cloud: [`User`].

use async_trait::async_trait;
use serde::Serialize;

use super::administration::Administration;
use super::field::{Field, entity};
use super::login_retries::{LOGIN_RETRIES, LoginRetries};
use super::quota::{Limits, QUOTAS, Quota};
use super::repository::is_taken;
use super::text::{DisplayName, Email, SecretText, text_enum};
use super::user_access::{AccessState, USER_ACCESS, UserAccess};
use super::{Entity, Entry, ListPage, PageRequest, Repositories};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::store::{Column, Fixed, Invariant, Scan, StoreExt, Table, Test, Unique, Value, Write};
use crate::time::Timestamp;

/// The id of a [`User`].
pub type UserId = Id<User>;

/// A person or a program that uses the cloud.
///
/// What stands apart from it, each in a row of its own so that writers do not disturb one another: whether it may
/// act ([`UserAccess`](super::UserAccess)), failed logins ([`LoginRetries`](super::LoginRetries)), limits and use
/// ([`Quota`](super::Quota)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct User {
    /// The id, chosen by the caller.
    pub id: UserId,
    /// How the user is called.
    pub name: DisplayName,
    /// A phone number, at most 32 bytes.
    pub phone: Option<String>,
    /// What the user logs in with; no two users share one.
    pub email: Email,
    /// What the user may do.
    pub permission: UserPermission,
    /// Whether the e-mail address is confirmed.
    pub activated: bool,
    /// The hash of the token in a confirmation link, at most 128 bytes.
    #[serde(skip)]
    pub email_confirmation_hash: Option<SecretText>,
    /// When that link ends.
    pub email_confirmation_expires: Option<Timestamp>,
    /// The hash of a code that was sent to the user, at most 256 bytes.
    #[serde(skip)]
    pub code_confirmation: Option<SecretText>,
    /// When that code ends.
    pub code_confirmation_expires: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl User {
    /// Refuses administrators: only one who is demoted, and so no longer counted, can be suspended.
    pub(crate) fn may_be_suspended(&self) -> Result<()> {
        if self.permission != UserPermission::Administrator {
            return Ok(());
        }
        let allowed = vec!["demoting it"];
        Err(Error::WrongState { kind: Self::KIND, state: "administrator", event: "suspending it", allowed })
    }

    /// The writes that make the user, who may act, has never failed to log in, and uses nothing.
    pub(crate) fn creation(&self, limits: Limits) -> [Write; 4] {
        let user_id = self.id;
        [
            Write::Insert(self.to_row()),
            Write::Insert(UserAccess { user_id, state: AccessState::Active }.to_row()),
            Write::Insert(LoginRetries { user_id, retry_count: 0 }.to_row()),
            Write::Insert(Quota::unused(user_id, limits).to_row()),
        ]
    }

    /// Every column that may change but the permission, which is counted.
    pub(crate) fn editable(&self) -> Vec<(&'static str, Value)> {
        self.plain().into_iter().filter(|(column, _)| *column != "permission").collect()
    }

    /// A user without a phone, unconfirmed, with the permissions of a user.
    pub const fn new(id: UserId, email: Email, name: DisplayName, at: Timestamp) -> Self {
        Self {
            id,
            name,
            phone: None,
            email,
            permission: UserPermission::User,
            activated: false,
            email_confirmation_hash: None,
            email_confirmation_expires: None,
            code_confirmation: None,
            code_confirmation_expires: None,
            created_at: at,
            updated_at: at,
        }
    }
}

text_enum!(
    /// What a user may do.
    UserPermission, "permission" {
        /// Everything, to everything.
        Administrator = "administrator",
        /// What an owner or a grant allows.
        User = "user",
    }
);

/// The table of [`User`].
pub static USERS: Table = Table::new(
    "users",
    &[
        Column::uuid("id"),
        Column::text("name", 256),
        Column::text("phone", 32).nullable(),
        Column::text("email", 100),
        Column::text("permission", 32),
        Column::bool("activated").default(Fixed::Bool(false)),
        Column::text("email_confirmation_hash", 128).nullable().secret(),
        Column::time("email_confirmation_expires").nullable(),
        Column::text("code_confirmation", 256).nullable().secret(),
        Column::time("code_confirmation_expires").nullable(),
        Column::time("created_at").immutable(),
        Column::time("updated_at"),
    ],
    &["id"],
)
.uniques(&[
    Unique::new("users_email", &["email"]),
    Unique::new("users_email_confirmation_hash", &["email_confirmation_hash"]),
])
.invariants(&[Invariant::one_of("users_permission", "permission", UserPermission::TEXTS)]);

entity!(User, "user", USERS {
    fixed: id, created_at;
    plain: name, phone, email, permission, activated, email_confirmation_hash, email_confirmation_expires,
        code_confirmation, code_confirmation_expires, updated_at;
});

/// Which users a list gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserFilter {
    /// Only those with this permission.
    pub permission: Option<UserPermission>,
    /// Only those whose address is confirmed, or is not.
    pub activated: Option<bool>,
}

/// Where [`User`]s are kept.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait UserRepository: Send + Sync {
    /// The one with this id.
    async fn get(&self, id: UserId) -> Result<Option<Entry<User>>>;

    /// The one with this id, or `NotFound`.
    async fn require(&self, id: UserId) -> Result<Entry<User>> {
        self.get(id).await?.ok_or_else(|| Error::not_found(User::KIND, id))
    }

    /// The one with this address, however it is capitalised. A text that is no address is nobody's.
    async fn find_by_email(&self, email: &str) -> Result<Option<Entry<User>>>;

    /// Keeps a new one, who may act, has never failed to log in, uses nothing and may use as much as `limits` say.
    /// The same one with the same limits again is answered with the one that is there.
    async fn create(&self, value: User, limits: Limits) -> Result<Entry<User>>;

    /// Changes all but id, creation time and permission of the one that still has this revision. The permission is changed by
    /// [`ControlPlane::promote`](crate::ControlPlane::promote) and [`demote`](crate::ControlPlane::demote), which count
    /// administrators; the one that is given here is ignored, and answered as it was given.
    async fn update(&self, value: Entry<User>) -> Result<Entry<User>>;

    /// Deletes the one that still has this revision, with access, login retries and quota; `StillUsed` while
    /// anything else refers to the user.
    async fn delete(&self, id: UserId, revision: i64) -> Result<()>;

    /// A page, in the order of ids.
    async fn list(&self, filter: UserFilter, page: PageRequest) -> Result<ListPage<User>>;
}

#[async_trait]
impl UserRepository for Repositories {
    async fn get(&self, id: UserId) -> Result<Option<Entry<User>>> {
        self.get_entry(id).await
    }

    async fn find_by_email(&self, email: &str) -> Result<Option<Entry<User>>> {
        let Ok(email) = Email::new(email) else {
            return Ok(None);
        };
        self.find_entry(Scan::of(&USERS).by("users_email").with(email)).await
    }

    async fn create(&self, value: User, limits: Limits) -> Result<Entry<User>> {
        let user_id = value.id;
        let mut batch = self.batch(&USERS, "create");
        batch.writes.extend(value.creation(limits));
        if value.permission == UserPermission::Administrator {
            let counted = self.get_entry::<Administration>(Administration::ID).await?;
            batch.push(Administration::one_more(counted.is_some()));
        }
        let Err(error) = self.store.commit(batch).await else {
            return Ok(Entry::new(value, 1));
        };
        if is_taken::<User>(&error)
            && let Some(found) = self.user_with(user_id, limits).await?.filter(|found| found.value == value)
        {
            return Ok(found);
        }
        Err(Error::of_store(User::KIND, error))
    }

    async fn update(&self, value: Entry<User>) -> Result<Entry<User>> {
        self.update_columns::<User>(value.id.into(), value.revision, value.editable()).await?;
        Ok(Entry::new(value.value, value.revision + 1))
    }

    async fn delete(&self, id: UserId, revision: i64) -> Result<()> {
        let companions: [&Table; 4] = [&USERS, &QUOTAS, &LOGIN_RETRIES, &USER_ACCESS];
        let keys = companions.iter().map(|table| (*table, id.into())).collect();
        let rows = self.store.get_many(keys).await?.value;
        let mut batch = self.batch(&USERS, "delete");
        for row in rows.iter().flatten() {
            if row.table().name != USERS.name {
                batch.push(Write::delete(row.table(), row.key(), row.revision()));
            } else if User::from_row(row)?.permission == UserPermission::Administrator
                && self.get_entry::<Administration>(Administration::ID).await?.is_some()
            {
                batch.push(Administration::one_less());
            }
        }
        self.commit::<User>(batch.with(Write::delete(&USERS, id, revision))).await
    }

    async fn list(&self, filter: UserFilter, page: PageRequest) -> Result<ListPage<User>> {
        let mut scan = Scan::of(&USERS);
        if let Some(permission) = filter.permission {
            scan = scan.test(Test::eq("permission", permission.to_value()));
        }
        if let Some(activated) = filter.activated {
            scan = scan.test(Test::eq("activated", activated));
        }
        self.list_entries(scan, page).await
    }
}

impl Repositories {
    /// The user of this id who may use as much as `limits` say, no more and no less.
    pub(crate) async fn user_with(&self, id: UserId, limits: Limits) -> Result<Option<Entry<User>>> {
        let quota = self.get_entry::<Quota>(id).await?.filter(|quota| quota.limits() == limits);
        if quota.is_some() { self.get_entry(id).await } else { Ok(None) }
    }

    /// The repository of [`User`]s.
    pub fn users(&self) -> &dyn UserRepository {
        self
    }
}
