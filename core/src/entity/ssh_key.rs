//! Who is let into an instance: [`SshKey`].

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::field::entity;
use super::text::DisplayName;
use super::user::UserId;
use super::{Entity, Entry, ListPage, PageRequest, Repositories};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::store::{Column, Reference, Scan, Table, Unique};
use crate::time::Timestamp;

/// The id of an [`SshKey`].
pub type SshKeyId = Id<SshKey>;

/// An SSH public key of a user.
///
/// An instance keeps a copy of the text as it was at the launch; deleting the key here revokes nothing there. The
/// same key may be that of two users, but is nobody's twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshKey {
    /// The id, chosen by the caller.
    pub id: SshKeyId,
    /// Whose it is.
    pub user_id: UserId,
    /// How its owner calls it.
    pub name: DisplayName,
    /// One line in the format of OpenSSH, without options or comment; at most 4,096 bytes. See
    /// [`SshPublicKey`](crate::identity::SshPublicKey).
    pub key: String,
    /// Its algorithm, such as `ssh-ed25519`; at most 64 bytes.
    pub algorithm: String,
    /// `SHA256:` and the digest of the key, as OpenSSH prints it; at most 64 bytes.
    pub fingerprint: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// The table of [`SshKey`].
pub static SSH_KEYS: Table = Table::new(
    "ssh_keys",
    &[
        Column::uuid("id"),
        Column::uuid("user_id").immutable(),
        Column::text("name", 256),
        Column::text("key", 4096).immutable(),
        Column::text("algorithm", 64).immutable(),
        Column::text("fingerprint", 64).immutable(),
        Column::time("created_at").immutable(),
    ],
    &["id"],
)
.uniques(&[Unique::new("ssh_keys_fingerprint", &["user_id", "fingerprint"])])
.references(&[Reference::new("ssh_keys_user", &["user_id"], "users")]);

entity!(SshKey, "ssh_key", SSH_KEYS {
    fixed: id, user_id, key, algorithm, fingerprint, created_at;
    plain: name;
});

/// Which keys a list gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SshKeyFilter {
    /// Only those of this user.
    pub user_id: Option<UserId>,
}

/// Where [`SshKey`]s are kept: found, listed and deleted.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait SshKeyRepository: Send + Sync {
    /// The one with this id.
    async fn get(&self, id: SshKeyId) -> Result<Option<Entry<SshKey>>>;

    /// The one with this id, or `NotFound`.
    async fn require(&self, id: SshKeyId) -> Result<Entry<SshKey>> {
        self.get(id).await?.ok_or_else(|| Error::not_found(SshKey::KIND, id))
    }

    /// A user's key with this fingerprint.
    async fn find_by_fingerprint(&self, user: UserId, fingerprint: &str) -> Result<Option<Entry<SshKey>>>;

    /// Deletes the one that still has this revision.
    async fn delete(&self, id: SshKeyId, revision: i64) -> Result<()>;

    /// A page, in the order of ids.
    async fn list(&self, filter: SshKeyFilter, page: PageRequest) -> Result<ListPage<SshKey>>;
}

#[async_trait]
impl SshKeyRepository for Repositories {
    async fn get(&self, id: SshKeyId) -> Result<Option<Entry<SshKey>>> {
        self.get_entry(id).await
    }

    async fn find_by_fingerprint(&self, user: UserId, fingerprint: &str) -> Result<Option<Entry<SshKey>>> {
        self.find_entry(Scan::of(&SSH_KEYS).by("ssh_keys_fingerprint").with(user).with(fingerprint)).await
    }

    async fn delete(&self, id: SshKeyId, revision: i64) -> Result<()> {
        self.delete_entry::<SshKey>(id.into(), revision).await
    }

    async fn list(&self, filter: SshKeyFilter, page: PageRequest) -> Result<ListPage<SshKey>> {
        let scan = Scan::of(&SSH_KEYS);
        let scan = match filter.user_id {
            Some(user) => scan.by("ssh_keys_user").with(user),
            None => scan,
        };
        self.list_entries(scan, page).await
    }
}

impl Repositories {
    /// The repository of [`SshKey`]s.
    pub fn ssh_keys(&self) -> &dyn SshKeyRepository {
        self
    }
}
