//! SSH keys: added, listed, renamed and deleted.

use super::ControlPlane;
use super::decided::Decided;
use super::security::next_epoch;
use super::users::Happened;
use crate::entity::{DisplayName, Entity as _, Entry, SSH_KEYS, SshKey, SshKeyId, USER_ACCESS, UserId};
use crate::error::{Error, Result};
use crate::identity::SshPublicKey;
use crate::store::{Answer, MAX_PAGE, Query, Row, Scan, StoreError, StoreExt as _, Write};
use crate::time::Timestamp;

impl ControlPlane {
    /// Adds an SSH key of a user: a line as it stands in a `.pub` file, whose comment is left out.
    ///
    /// # Errors
    /// `Invalid` on `key` says what is wrong with the line, see [`SshPublicKey::parse`]; `AlreadyExists` where the user has this
    /// key; `QuotaExceeded` where the user has as many as [`SshKeyPolicy`](crate::identity::SshKeyPolicy) allows.
    #[tracing::instrument(skip_all)]
    pub async fn add_ssh_key(
        &self,
        user: UserId,
        name: impl Into<String> + Send,
        line: &str,
    ) -> Result<Entry<SshKey>> {
        let name = DisplayName::new(name)?;
        let public = SshPublicKey::parse(line)?;
        let (name, public) = (&name, &public);
        self.decided("ssh_key.add", SshKey::KIND, || async move {
            let (access, kept, now) = self.ssh_keys_of(user).await?;
            if kept.iter().any(|key| key.fingerprint == public.fingerprint) {
                return Err(Error::AlreadyExists { kind: SshKey::KIND, key: "fingerprint" });
            }
            let (count, limit) = (kept.len(), self.identity.ssh_keys.per_user);
            if u32::try_from(count).is_ok_and(|count| count >= limit) {
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                return Err(Error::QuotaExceeded {
                    limit_name: "ssh_keys",
                    limit: limit.into(),
                    used: count,
                    asked: 1,
                });
            }
            let key = SshKey {
                id: self.new_id().into(),
                user_id: user,
                name: name.clone(),
                key: public.text.clone(),
                algorithm: public.algorithm.clone(),
                fingerprint: public.fingerprint.clone(),
                created_at: now,
            };
            let batch = self
                .batch_for("ssh_key.add", user.uuid())
                .with(Write::Insert(key.to_row()))
                // Two that come at once are decided one behind the other: the limit is exact.
                .with(next_epoch(&access)?)
                .with(self.log(of_key("ssh_key.add", &key), now));
            Ok(Decided::Commit(Entry::new(key, 1), batch))
        })
        .await
    }

    /// The SSH keys of a user, in the order of ids.
    #[tracing::instrument(skip_all)]
    pub async fn list_ssh_keys(&self, user: UserId) -> Result<Vec<Entry<SshKey>>> {
        Ok(self.ssh_keys_of(user).await?.1)
    }

    /// Calls an SSH key of a user something else.
    ///
    /// # Errors
    /// `NotFound` for a key that is not the user's; `Invalid` for a name that is none.
    #[tracing::instrument(skip_all)]
    pub async fn rename_ssh_key(
        &self,
        user: UserId,
        id: SshKeyId,
        name: impl Into<String> + Send,
    ) -> Result<Entry<SshKey>> {
        let name = &DisplayName::new(name)?;
        self.decided("ssh_key.rename", SshKey::KIND, || async move {
            let (key, now) = self.ssh_key_of(user, id).await?;
            if key.name == *name {
                return Ok(Decided::Done(key));
            }
            let changed = SshKey { name: name.clone(), ..key.value.clone() };
            let batch = self
                .batch_for("ssh_key.rename", user.uuid())
                .with(Write::update(&SSH_KEYS, id, key.revision, changed.plain()))
                .with(self.log(of_key("ssh_key.rename", &changed), now));
            Ok(Decided::Commit(Entry::new(changed, key.revision + 1), batch))
        })
        .await
    }

    /// Deletes an SSH key of a user. An instance keeps the copy that it was launched with.
    ///
    /// # Errors
    /// `NotFound` for a key that is not the user's, so also the second time.
    #[tracing::instrument(skip_all)]
    pub async fn delete_ssh_key(&self, user: UserId, id: SshKeyId) -> Result<()> {
        self.decided("ssh_key.delete", SshKey::KIND, || async move {
            let (key, now) = self.ssh_key_of(user, id).await?;
            let batch = self
                .batch_for("ssh_key.delete", user.uuid())
                .with(Write::delete(&SSH_KEYS, id, key.revision))
                .with(self.log(of_key("ssh_key.delete", &key), now));
            Ok(Decided::Commit((), batch))
        })
        .await
    }

    /// The access row of a user, the keys, and when that was so. Every new key raises the epoch, so with that epoch these are all.
    async fn ssh_keys_of(&self, user: UserId) -> Result<(Row, Vec<Entry<SshKey>>, Timestamp)> {
        let queries = vec![
            Query::Get { table: &USER_ACCESS, key: user.into() },
            Query::Scan(Scan::of(&SSH_KEYS).by("ssh_keys_user").with(user).limit(MAX_PAGE)),
        ];
        let reads = self.store.read(queries).await?;
        let mut answers = reads.answers.into_iter();
        let access = answers.next().and_then(Answer::into_row);
        let access = access.ok_or_else(|| Error::not_found("user", user))?;
        let rows = answers.next().map(Answer::into_rows).unwrap_or_default();
        let keys: std::result::Result<_, StoreError> =
            rows.iter().map(|row| Ok(Entry::new(SshKey::from_row(row)?, row.revision()))).collect();
        Ok((access, keys?, reads.now))
    }

    async fn ssh_key_of(&self, user: UserId, id: SshKeyId) -> Result<(Entry<SshKey>, Timestamp)> {
        let read = self.store.get(&SSH_KEYS, id).await?;
        let not_found = || Error::not_found(SshKey::KIND, id);
        let row = read.value.ok_or_else(not_found)?;
        let key = SshKey::from_row(&row)?;
        if key.user_id != user {
            return Err(not_found());
        }
        Ok((Entry::new(key, row.revision()), read.now))
    }
}

fn of_key<'k>(operation: &'static str, key: &'k SshKey) -> Happened<'k> {
    Happened {
        operation,
        actor: Some(key.user_id.uuid()),
        kind: SshKey::KIND,
        subject: key.id.uuid(),
        description: &key.fingerprint,
    }
}
