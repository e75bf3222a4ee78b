//! What is done to accounts, and to the keys and connections of one, on behalf of a caller.

use std::time::Duration;

use super::{Acting, Thing};
use crate::access::{Operation, Scope};
use crate::entity::{
    AccountId, Action, ApiKeyId, Connection, ConnectionId, EntityKind, Entry, Quota, SecretText, SshKey,
    SshKeyId, User, UserId,
};
use crate::error::{Error, Result};
use crate::identity::Via;
use crate::plane::refusals::Refusal;
use crate::plane::{
    ListedApiKey, MadeApiKey, Message, NewApiKey, ProviderAccount, Usage, UsagePages, UserDeletion,
};

impl Acting {
    /// See [`ControlPlane::invite`](crate::ControlPlane::invite).
    pub async fn invite(&self, email: &str) -> Result<Vec<Message>> {
        self.run(Operation::Invite, Thing::Cloud, |plane| async move { plane.invite(email).await }).await
    }

    /// A user.
    pub async fn user(&self, user: UserId) -> Result<Entry<User>> {
        self.run(Operation::ReadUser, Thing::Account(user), |plane| async move {
            plane.repositories().users().require(user).await
        })
        .await
    }

    /// Limits and use of a user.
    pub async fn quota(&self, user: UserId) -> Result<Entry<Quota>> {
        self.run(Operation::ReadQuota, Thing::Account(user), |plane| async move {
            plane.repositories().quotas().require(user).await
        })
        .await
    }

    /// See [`ControlPlane::usage`](crate::ControlPlane::usage): whoever may see limits, instances, nodes,
    /// trainings and runs of the account.
    pub async fn usage(&self, account: AccountId, pages: UsagePages) -> Result<Usage> {
        let asked = [
            Operation::ReadQuota,
            Operation::ReadInstance,
            Operation::ReadNode,
            Operation::ReadTraining,
            Operation::ReadRun,
        ];
        let asked = asked.map(|operation| (operation, Thing::Account(account)));
        let pages = &pages;
        self.run_all(&asked, |plane| async move { plane.usage(account, pages.clone()).await }).await
    }

    /// See [`ControlPlane::change_password`](crate::ControlPlane::change_password); the session that the caller asks by stays.
    pub async fn change_password(
        &self,
        user: UserId,
        old: SecretText,
        new: SecretText,
    ) -> Result<Vec<Message>> {
        let (keep, old, new) = (self.caller().session(), &old, &new);
        self.run(Operation::ChangePassword, Thing::Account(user), |plane| async move {
            plane.change_password(user, old.clone(), new.clone(), keep).await
        })
        .await
    }

    /// See [`ControlPlane::remove_password`](crate::ControlPlane::remove_password); the session that the caller asks by stays.
    pub async fn remove_password(&self, user: UserId) -> Result<Vec<Message>> {
        let keep = self.caller().session();
        self.run(Operation::RemovePassword, Thing::Account(user), |plane| async move {
            plane.remove_password(user, keep).await
        })
        .await
    }

    /// See [`ControlPlane::request_email_change`](crate::ControlPlane::request_email_change).
    pub async fn request_email_change(&self, user: UserId, new_email: &str) -> Result<Vec<Message>> {
        self.run(Operation::ChangeEmail, Thing::Account(user), |plane| async move {
            plane.request_email_change(user, new_email).await
        })
        .await
    }

    /// See [`ControlPlane::change_email`](crate::ControlPlane::change_email).
    pub async fn change_email(&self, user: UserId, code: &SecretText) -> Result<Vec<Message>> {
        self.run(Operation::ChangeEmail, Thing::Account(user), |plane| async move {
            plane.change_email(user, code).await
        })
        .await
    }

    /// See [`ControlPlane::promote`](crate::ControlPlane::promote).
    pub async fn promote(&self, user: UserId) -> Result<Entry<User>> {
        self.run(Operation::Promote, Thing::Account(user), |plane| async move { plane.promote(user).await })
            .await
    }

    /// See [`ControlPlane::demote`](crate::ControlPlane::demote).
    pub async fn demote(&self, user: UserId) -> Result<Entry<User>> {
        self.run(Operation::Demote, Thing::Account(user), |plane| async move { plane.demote(user).await })
            .await
    }

    /// See [`ControlPlane::deactivate`](crate::ControlPlane::deactivate).
    pub async fn deactivate(&self, user: UserId) -> Result<()> {
        self.run(
            Operation::Deactivate,
            Thing::Account(user),
            |plane| async move { plane.deactivate(user).await },
        )
        .await
    }

    /// See [`ControlPlane::activate`](crate::ControlPlane::activate).
    pub async fn activate(&self, user: UserId) -> Result<()> {
        self.run(Operation::Activate, Thing::Account(user), |plane| async move { plane.activate(user).await })
            .await
    }

    /// See [`ControlPlane::plan_user_deletion`](crate::ControlPlane::plan_user_deletion).
    pub async fn plan_user_deletion(&self, user: UserId) -> Result<UserDeletion> {
        self.run(Operation::DeleteUser, Thing::Account(user), |plane| async move {
            plane.plan_user_deletion(user).await
        })
        .await
    }

    /// See [`ControlPlane::delete_user`](crate::ControlPlane::delete_user). Who deletes themselves is authorized once, before:
    /// the first step suspends them.
    pub async fn delete_user(&self, user: UserId) -> Result<()> {
        let (operation, thing) = (Operation::DeleteUser, Thing::Account(user));
        if self.caller().user() == Some(user) {
            self.permitted(&self.known().await?, operation, thing).await?;
            return self.plane.delete_user(user).await;
        }
        self.run(operation, thing, |plane| async move { plane.delete_user(user).await }).await
    }

    /// See [`ControlPlane::link`](crate::ControlPlane::link).
    pub async fn link(&self, user: UserId, account: ProviderAccount) -> Result<Entry<Connection>> {
        let account = &account;
        self.run(Operation::Link, Thing::Account(user), |plane| async move {
            plane.link(user, account.clone()).await
        })
        .await
    }

    /// See [`ControlPlane::unlink`](crate::ControlPlane::unlink).
    pub async fn unlink(&self, user: UserId, connection: ConnectionId) -> Result<()> {
        self.run(Operation::Unlink, Thing::Account(user), |plane| async move {
            plane.unlink(user, connection).await
        })
        .await
    }

    /// See [`ControlPlane::list_connections`](crate::ControlPlane::list_connections).
    pub async fn list_connections(&self, user: UserId) -> Result<Vec<Entry<Connection>>> {
        self.run(Operation::ListConnections, Thing::Account(user), |plane| async move {
            plane.list_connections(user).await
        })
        .await
    }

    /// See [`ControlPlane::create_api_key`](crate::ControlPlane::create_api_key).
    ///
    /// # Errors
    /// `Denied` as well where the caller asks by an API key whose scopes do not cover those of the new one, which would be a way
    /// around them.
    pub async fn create_api_key(&self, user: UserId, request: NewApiKey) -> Result<MadeApiKey> {
        let is_agent = request.node.is_some();
        self.covers(Operation::CreateApiKey, user, &request.scopes, is_agent).await?;
        let request = &request;
        self.run(Operation::CreateApiKey, Thing::Account(user), |plane| async move {
            plane.create_api_key(user, request.clone()).await
        })
        .await
    }

    /// See [`ControlPlane::list_api_keys`](crate::ControlPlane::list_api_keys).
    pub async fn list_api_keys(&self, user: UserId) -> Result<Vec<ListedApiKey>> {
        self.run(Operation::ListApiKeys, Thing::Account(user), |plane| async move {
            plane.list_api_keys(user).await
        })
        .await
    }

    /// See [`ControlPlane::rotate_api_key`](crate::ControlPlane::rotate_api_key).
    ///
    /// # Errors
    /// `Denied` as well where the caller asks by an API key that covers less; see [`Acting::create_api_key`].
    pub async fn rotate_api_key(&self, user: UserId, key: ApiKeyId, overlap: Duration) -> Result<MadeApiKey> {
        self.run(Operation::RotateApiKey, Thing::Account(user), |plane| async move {
            // Scopes never change, so what is read here is what the new key gets.
            if let Some(kept) = plane.repositories().api_keys().get(key).await?
                && kept.user_id == user
            {
                self.covers(Operation::RotateApiKey, user, &kept.scopes, kept.node_id.is_some()).await?;
            }
            plane.rotate_api_key(user, key, overlap).await
        })
        .await
    }

    /// See [`ControlPlane::revoke_api_key`](crate::ControlPlane::revoke_api_key).
    pub async fn revoke_api_key(&self, user: UserId, key: ApiKeyId) -> Result<()> {
        self.run(Operation::RevokeApiKey, Thing::Account(user), |plane| async move {
            plane.revoke_api_key(user, key).await
        })
        .await
    }

    /// See [`ControlPlane::add_ssh_key`](crate::ControlPlane::add_ssh_key).
    pub async fn add_ssh_key(
        &self,
        user: UserId,
        name: impl Into<String> + Send,
        line: &str,
    ) -> Result<Entry<SshKey>> {
        let name: &String = &name.into();
        self.run(Operation::AddSshKey, Thing::Account(user), |plane| async move {
            plane.add_ssh_key(user, name.clone(), line).await
        })
        .await
    }

    /// See [`ControlPlane::list_ssh_keys`](crate::ControlPlane::list_ssh_keys).
    pub async fn list_ssh_keys(&self, user: UserId) -> Result<Vec<Entry<SshKey>>> {
        self.run(Operation::ListSshKeys, Thing::Account(user), |plane| async move {
            plane.list_ssh_keys(user).await
        })
        .await
    }

    /// See [`ControlPlane::rename_ssh_key`](crate::ControlPlane::rename_ssh_key).
    pub async fn rename_ssh_key(
        &self,
        user: UserId,
        key: SshKeyId,
        name: impl Into<String> + Send,
    ) -> Result<Entry<SshKey>> {
        let name: &String = &name.into();
        self.run(Operation::RenameSshKey, Thing::Account(user), |plane| async move {
            plane.rename_ssh_key(user, key, name.clone()).await
        })
        .await
    }

    /// See [`ControlPlane::delete_ssh_key`](crate::ControlPlane::delete_ssh_key).
    pub async fn delete_ssh_key(&self, user: UserId, key: SshKeyId) -> Result<()> {
        self.run(Operation::DeleteSshKey, Thing::Account(user), |plane| async move {
            plane.delete_ssh_key(user, key).await
        })
        .await
    }

    /// Refuses to make a key that may do more than the one that the caller asks by.
    async fn covers(
        &self,
        operation: Operation,
        user: UserId,
        scopes: &[String],
        is_agent: bool,
    ) -> Result<()> {
        let Via::ApiKey { scopes: held, .. } = self.caller().via() else { return Ok(()) };
        let held: Vec<Scope> = held.iter().filter_map(|scope| scope.parse().ok()).collect();
        let agent = is_agent
            .then_some(Scope { action: Some(Action::Operate), entity: Some(EntityKind::ComputeNode) });
        // One that is none is told by the operation itself.
        let mut asked = scopes.iter().filter_map(|scope| scope.parse().ok()).chain(agent);
        if asked.all(|scope: Scope| held.iter().any(|holds| holds.includes(scope))) {
            return Ok(());
        }
        self.plane.note_refusal(Refusal::of_user(operation.as_str(), user)).await;
        Err(Error::Denied { action: operation.as_str() })
    }
}
