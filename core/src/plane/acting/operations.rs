//! Every operation on behalf of a caller.

use super::{Acting, Thing};
use crate::access::Operation;
use crate::entity::{
    Access, Action, ComputeNode, EntityKind, Entry, Instance, InstanceId, Limits, Quota, Role, RoleId,
    SecretText, SessionId, User, UserId,
};
use crate::error::{Error, Result};
use crate::machine::InstanceSize;
use crate::plane::{
    ControlPlane, Grant, LaunchRequest, NewNode, NewRole, NewUser, OpenSession, Profile, SecondFactor,
    Shared, TotpEnrolment,
};
use crate::time::Timestamp;

impl Acting {
    /// See [`ControlPlane::create_user`]. Making an administrator needs the right to promote as well.
    pub async fn create_user(&self, request: NewUser) -> Result<Entry<User>> {
        let mut asked = vec![(Operation::CreateUser, Thing::Cloud)];
        if request.administrator {
            asked.push((Operation::Promote, Thing::Cloud));
        }
        let request = &request;
        self.run_all(&asked, |plane| async move { plane.create_user(request.clone()).await }).await
    }

    /// See [`ControlPlane::update_profile`].
    pub async fn update_profile(&self, user: UserId, profile: Profile) -> Result<Entry<User>> {
        let profile = &profile;
        self.run(Operation::UpdateUser, Thing::Account(user), |plane| async move {
            plane.update_profile(user, profile.clone()).await
        })
        .await
    }

    /// See [`ControlPlane::set_limits`].
    pub async fn set_limits(&self, user: UserId, limits: Limits) -> Result<Entry<Quota>> {
        self.run(Operation::SetQuota, Thing::Account(user), |plane| async move {
            plane.set_limits(user, limits).await
        })
        .await
    }

    /// See [`ControlPlane::list_sessions`].
    pub async fn list_sessions(&self, user: UserId) -> Result<Vec<OpenSession>> {
        self.run(Operation::ListSessions, Thing::Account(user), |plane| async move {
            plane.list_sessions(user).await
        })
        .await
    }

    /// See [`ControlPlane::end_session`].
    pub async fn end_session(&self, user: UserId, session: SessionId) -> Result<()> {
        self.run(Operation::EndSession, Thing::Account(user), |plane| async move {
            plane.end_session(user, session).await
        })
        .await
    }

    /// Ends every session of a user but the one that the caller asks by; see [`ControlPlane::end_other_sessions`].
    pub async fn end_other_sessions(&self, user: UserId) -> Result<usize> {
        let own = self.caller().session().filter(|_| self.caller().user() == Some(user));
        self.run(Operation::EndSession, Thing::Account(user), |plane| async move {
            match own {
                Some(keep) => plane.end_other_sessions(user, keep).await,
                None => plane.end_all_sessions(user).await,
            }
        })
        .await
    }

    /// See [`ControlPlane::begin_totp`].
    pub async fn begin_totp(&self, user: UserId) -> Result<TotpEnrolment> {
        self.run(
            Operation::BeginTotp,
            Thing::Account(user),
            |plane| async move { plane.begin_totp(user).await },
        )
        .await
    }

    /// See [`ControlPlane::confirm_totp`]; the session that the caller asks by stays.
    pub async fn confirm_totp(&self, user: UserId, code: &SecretText) -> Result<Vec<SecretText>> {
        let keep = self.caller().session();
        self.run(Operation::ConfirmTotp, Thing::Account(user), |plane| async move {
            plane.confirm_totp(user, code, keep).await
        })
        .await
    }

    /// See [`ControlPlane::renew_recovery_codes`].
    pub async fn renew_recovery_codes(&self, user: UserId) -> Result<Vec<SecretText>> {
        self.run(Operation::RenewRecoveryCodes, Thing::Account(user), |plane| async move {
            plane.renew_recovery_codes(user).await
        })
        .await
    }

    /// See [`ControlPlane::disable_totp`]; the session that the caller asks by stays.
    pub async fn disable_totp(&self, user: UserId) -> Result<()> {
        let keep = self.caller().session();
        self.run(Operation::DisableTotp, Thing::Account(user), |plane| async move {
            plane.disable_totp(user, keep).await
        })
        .await
    }

    /// See [`ControlPlane::create_role`].
    pub async fn create_role(&self, request: NewRole) -> Result<Entry<Role>> {
        let request = &request;
        self.run(Operation::CreateRole, Thing::Cloud, |plane| async move {
            plane.create_role(request.clone()).await
        })
        .await
    }

    /// See [`ControlPlane::delete_role`].
    pub async fn delete_role(&self, role: RoleId) -> Result<()> {
        self.run(Operation::DeleteRole, Thing::Cloud, |plane| async move { plane.delete_role(role).await })
            .await
    }

    /// See [`ControlPlane::allow`].
    pub async fn allow(
        &self,
        role: RoleId,
        action: Action,
        entity: EntityKind,
        access: Access,
    ) -> Result<()> {
        self.run(Operation::Allow, Thing::Cloud, |plane| async move {
            plane.allow(role, action, entity, access).await
        })
        .await
    }

    /// See [`ControlPlane::disallow`].
    pub async fn disallow(
        &self,
        role: RoleId,
        action: Action,
        entity: EntityKind,
        access: Access,
    ) -> Result<()> {
        self.run(Operation::Disallow, Thing::Cloud, |plane| async move {
            plane.disallow(role, action, entity, access).await
        })
        .await
    }

    /// See [`ControlPlane::give_role`].
    pub async fn give_role(&self, user: UserId, role: RoleId) -> Result<()> {
        self.run(Operation::GiveRole, Thing::Account(user), |plane| async move {
            plane.give_role(user, role).await
        })
        .await
    }

    /// See [`ControlPlane::take_role`].
    pub async fn take_role(&self, user: UserId, role: RoleId) -> Result<()> {
        self.run(Operation::TakeRole, Thing::Account(user), |plane| async move {
            plane.take_role(user, role).await
        })
        .await
    }

    /// See [`ControlPlane::share`].
    pub async fn share(&self, user: UserId, what: Shared, expires_at: Option<Timestamp>) -> Result<Grant> {
        let (operation, thing) = sharing(what);
        self.run(operation, thing, |plane| async move { plane.share(user, what, expires_at).await }).await
    }

    /// See [`ControlPlane::revoke`].
    pub async fn revoke(&self, user: UserId, what: Shared) -> Result<()> {
        let (operation, thing) = sharing(what);
        self.run(operation, thing, |plane| async move { plane.revoke(user, what).await }).await
    }

    /// See [`ControlPlane::grants_of`].
    pub async fn grants_of(&self, what: Shared) -> Result<Vec<Grant>> {
        let (operation, thing) = sharing(what);
        self.run(operation, thing, |plane| async move { plane.grants_of(what).await }).await
    }

    /// See [`ControlPlane::register_node`]: for oneself, or for another account where that is allowed.
    pub async fn register_node(&self, request: NewNode) -> Result<Entry<ComputeNode>> {
        let request = &request;
        self.run(Operation::RegisterNode, Thing::Account(request.owner), |plane| async move {
            plane.register_node(request.clone()).await
        })
        .await
    }

    /// See [`ControlPlane::start`].
    pub async fn start(&self, instance: InstanceId) -> Result<Entry<Instance>> {
        self.run(
            Operation::Start,
            Thing::Instance(instance),
            |plane| async move { plane.start(instance).await },
        )
        .await
    }

    /// See [`ControlPlane::stop`].
    pub async fn stop(&self, instance: InstanceId) -> Result<Entry<Instance>> {
        self.run(
            Operation::Stop,
            Thing::Instance(instance),
            |plane| async move { plane.stop(instance).await },
        )
        .await
    }

    /// See [`ControlPlane::resize`].
    pub async fn resize(&self, instance: InstanceId, size: InstanceSize) -> Result<Entry<Instance>> {
        self.run(Operation::Resize, Thing::Instance(instance), |plane| async move {
            plane.resize(instance, size).await
        })
        .await
    }

    /// See [`ControlPlane::delete`].
    pub async fn delete(&self, instance: InstanceId) -> Result<Entry<Instance>> {
        self.run(Operation::DeleteInstance, Thing::Instance(instance), |plane| async move {
            plane.delete(instance).await
        })
        .await
    }

    /// Launches an instance; see [`ControlPlane::launch`].
    ///
    /// The caller has to be allowed to make instances for the owner, to create on the node, and to start from the image where
    /// one is given. Where no node is named, and the caller may not create on any, those that they may create on are tried in
    /// turn.
    pub async fn launch(&self, request: LaunchRequest) -> Result<Entry<Instance>> {
        let mut asked = vec![(Operation::Launch, Thing::Account(request.owner))];
        let mut image_node = None;
        if let Some(image) = request.image {
            asked.push((Operation::UseImage, Thing::Image(image)));
            let Some(kept) = self.plane.repositories.images().get(image).await? else {
                // Refused, and noted, in the order in which one that may not be seen is.
                return self.run_all(&asked, |_| async { Err(Thing::Image(image).not_found()) }).await;
            };
            image_node = Some(kept.node_id);
        }
        let launch = |asked: Vec<(Operation, Thing)>, request: LaunchRequest| async move {
            let request = &request;
            let act = |plane: ControlPlane| async move { plane.launch(request.clone()).await };
            self.run_all(&asked, act).await
        };
        if let Some(node) = request.node.or(image_node) {
            asked.push((Operation::UseNode, Thing::Node(node)));
            return launch(asked, request).await;
        }
        if self.may_anywhere(Action::Use, EntityKind::ComputeNode).await? {
            return launch(asked, request).await;
        }
        // What has nothing to do with a node is decided once.
        self.run_all(&asked, |_| async { Ok(()) }).await?;
        let mut refusal = None;
        for node in self.usable_nodes().await? {
            let mut asked = asked.clone();
            asked.push((Operation::UseNode, Thing::Node(node)));
            match launch(asked, request.clone().on_node(node)).await {
                Err(full @ (Error::NoCapacity(_) | Error::NoFreePort { .. })) => refusal = Some(full),
                // It was taken back, or is gone, since it was read.
                Err(gone @ (Error::Denied { .. } | Error::NotFound { .. })) => {
                    refusal = refusal.or(Some(gone));
                }
                answer => return answer,
            }
        }
        Err(refusal.unwrap_or_else(|| Error::NoCapacity(Box::default())))
    }

    /// Proves the second factor again in the session of this token; see [`ControlPlane::verify_again`].
    pub async fn verify_again(&self, token: &SecretText, factor: &SecondFactor) -> Result<()> {
        self.plane.verify_again(token, factor).await
    }
}

const fn sharing(what: Shared) -> (Operation, Thing) {
    match what {
        Shared::Node(node) => (Operation::ShareNode, Thing::Node(node)),
        Shared::Image(image) => (Operation::ShareImage, Thing::Image(image)),
        Shared::Instance(instance) => (Operation::ShareInstance, Thing::Instance(instance)),
    }
}
