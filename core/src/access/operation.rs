//! What can be asked on behalf of a caller: [`Operation`].

use crate::entity::{Action, EntityKind};

/// Declares every operation with what has to be allowed for it.
macro_rules! operations {
    ($($(#[$doc:meta])* $variant:ident = $text:literal: $action:ident $kind:ident,)+) => {
        /// What can be asked on behalf of a caller.
        ///
        /// Each is one action on one kind of thing; that is what a permission or a grant has to allow.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Operation {
            $($(#[$doc])* $variant,)+
        }

        impl Operation {
            /// Every one, in declared order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its name, as in the audit trail.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// What is done.
            pub const fn action(self) -> Action {
                match self { $(Self::$variant => Action::$action),+ }
            }

            /// To what kind of thing.
            pub const fn kind(self) -> EntityKind {
                match self { $(Self::$variant => EntityKind::$kind),+ }
            }
        }

        impl std::fmt::Display for Operation {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

operations! {
    /// Making a user.
    CreateUser = "user.create": Create User,
    /// Inviting an address.
    Invite = "user.invite": Create User,
    /// Seeing a user.
    ReadUser = "user.read": Read User,
    /// Changing name or phone.
    UpdateUser = "user.update": Update User,
    /// Changing the password.
    ChangePassword = "password.change": Update User,
    /// Taking the password away.
    RemovePassword = "password.remove": Update User,
    /// Changing the address.
    ChangeEmail = "email.change": Update User,
    /// Deleting a user.
    DeleteUser = "user.delete": Delete User,
    /// Making a user an administrator.
    Promote = "user.promote": Operate User,
    /// Making an administrator a user.
    Demote = "user.demote": Operate User,
    /// Suspending a user.
    Deactivate = "user.deactivate": Operate User,
    /// Letting a suspended user act again.
    Activate = "user.activate": Operate User,
    /// Seeing limits and use.
    ReadQuota = "quota.read": Read Quota,
    /// Setting limits.
    SetQuota = "quota.set": Update Quota,
    /// Seeing sessions.
    ListSessions = "session.list": Read Session,
    /// Ending sessions.
    EndSession = "session.end": Delete Session,
    /// Setting up a second factor.
    BeginTotp = "totp.begin": Create Verification,
    /// Confirming a second factor.
    ConfirmTotp = "totp.confirm": Create Verification,
    /// New recovery codes.
    RenewRecoveryCodes = "totp.renew_recovery_codes": Update Verification,
    /// Taking a second factor away.
    DisableTotp = "totp.disable": Delete Verification,
    /// Seeing connections.
    ListConnections = "connection.list": Read Connection,
    /// Linking an account at a provider.
    Link = "connection.link": Create Connection,
    /// Unlinking one.
    Unlink = "connection.unlink": Delete Connection,
    /// Making an API key.
    CreateApiKey = "api_key.create": Create ApiKey,
    /// Seeing API keys.
    ListApiKeys = "api_key.list": Read ApiKey,
    /// Replacing an API key.
    RotateApiKey = "api_key.rotate": Update ApiKey,
    /// Revoking an API key.
    RevokeApiKey = "api_key.revoke": Delete ApiKey,
    /// Adding an SSH key.
    AddSshKey = "ssh_key.add": Create SshKey,
    /// Seeing SSH keys.
    ListSshKeys = "ssh_key.list": Read SshKey,
    /// Calling an SSH key something else.
    RenameSshKey = "ssh_key.rename": Update SshKey,
    /// Deleting an SSH key.
    DeleteSshKey = "ssh_key.delete": Delete SshKey,
    /// Making a role.
    CreateRole = "role.create": Create Role,
    /// Seeing roles.
    ReadRole = "role.read": Read Role,
    /// Deleting a role.
    DeleteRole = "role.delete": Delete Role,
    /// Letting a role do something.
    Allow = "role.allow": Update Role,
    /// No longer letting it.
    Disallow = "role.disallow": Update Role,
    /// Giving a user a role.
    GiveRole = "role.give": Share Role,
    /// Taking a role from a user.
    TakeRole = "role.take": Share Role,
    /// Registering a node.
    RegisterNode = "node.register": Create ComputeNode,
    /// Seeing a node.
    ReadNode = "node.read": Read ComputeNode,
    /// Creating on a node.
    UseNode = "node.use": Use ComputeNode,
    /// Changing a node's profile.
    UpdateNode = "node.update": Update ComputeNode,
    /// Changing what state a node should be in.
    OperateNode = "node.operate": Operate ComputeNode,
    /// Granting a node.
    ShareNode = "node.share": Share ComputeNode,
    /// Deleting a node.
    DeleteNode = "node.delete": Delete ComputeNode,
    /// Seeing a GPU.
    ReadGpu = "gpu.read": Read Gpu,
    /// Saying whether a GPU works.
    UpdateGpu = "gpu.update": Update Gpu,
    /// Fetching an image.
    CreateImage = "image.create": Create Image,
    /// Seeing an image.
    ReadImage = "image.read": Read Image,
    /// Starting from an image.
    UseImage = "image.use": Use Image,
    /// Publishing an image.
    PublishImage = "image.publish": Publish Image,
    /// No longer publishing it.
    UnpublishImage = "image.unpublish": Update Image,
    /// Granting an image.
    ShareImage = "image.share": Share Image,
    /// Deleting an image.
    DeleteImage = "image.delete": Delete Image,
    /// Launching an instance.
    Launch = "instance.launch": Create Instance,
    /// Seeing an instance.
    ReadInstance = "instance.read": Read Instance,
    /// Describing an instance.
    UpdateInstance = "instance.update": Update Instance,
    /// Starting an instance.
    Start = "instance.start": Operate Instance,
    /// Stopping an instance.
    Stop = "instance.stop": Operate Instance,
    /// Giving an instance more or less.
    Resize = "instance.resize": Operate Instance,
    /// Granting an instance.
    ShareInstance = "instance.share": Share Instance,
    /// Deleting an instance.
    DeleteInstance = "instance.delete": Delete Instance,
    /// Seeing a port.
    ReadPort = "port_map.read": Read PortMap,
    /// Keeping a port free by hand.
    CreatePort = "port_map.create": Create PortMap,
    /// Giving such a port back.
    DeletePort = "port_map.delete": Delete PortMap,
    /// Seeing the audit trail.
    ReadLog = "log.read": Read Log,
    /// Making a training.
    CreateTraining = "training.create": Create Training,
    /// Seeing a training.
    ReadTraining = "training.read": Read Training,
    /// Editing a training.
    UpdateTraining = "training.update": Update Training,
    /// Setting how many images a training may have.
    LimitTraining = "training.set_limits": Operate Training,
    /// Deleting a training.
    DeleteTraining = "training.delete": Delete Training,
    /// Announcing an image of a training.
    AnnounceTrainingImage = "training_image.announce": Update Training,
    /// Seeing an image of a training.
    ReadTrainingImage = "training_image.read": Read Training,
    /// Confirming that the file of an image is there.
    ConfirmTrainingImage = "training_image.confirm": Update Training,
    /// Saying what is to be seen on an image.
    CaptionTrainingImage = "training_image.caption": Update Training,
    /// Deleting an image of a training.
    DeleteTrainingImage = "training_image.delete": Update Training,
    /// Asking for a run of a training.
    SubmitRun = "run.submit": Create TrainingRun,
    /// Seeing a run.
    ReadRun = "run.read": Read TrainingRun,
    /// Ending a run.
    AbortRun = "run.abort": Operate TrainingRun,
    /// Doing the work of a run, and telling of it.
    WorkOnRun = "run.work": Use TrainingRun,
    /// Making a queue.
    CreateQueue = "queue.create": Create RunQueue,
    /// Seeing a queue.
    ReadQueue = "queue.read": Read RunQueue,
    /// Changing a queue.
    UpdateQueue = "queue.update": Update RunQueue,
    /// Asking for a run in a queue that is named.
    UseQueue = "queue.use": Use RunQueue,
    /// Deleting a queue.
    DeleteQueue = "queue.delete": Delete RunQueue,
}

impl Operation {
    /// Whether it gives whoever does it a way to be the user whom it is asked of. Such a thing is done to oneself alone, whatever
    /// else is permitted; others a user can be promoted, suspended and deleted by, but not impersonated.
    pub const fn is_personal(self) -> bool {
        matches!(
            self,
            Self::ChangePassword
                | Self::RemovePassword
                | Self::ChangeEmail
                | Self::BeginTotp
                | Self::ConfirmTotp
                | Self::RenewRecoveryCodes
                | Self::Link
                | Self::CreateApiKey
                | Self::RotateApiKey
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_name_is_of_one_operation_and_fits_the_audit_trail() {
        let names: BTreeSet<_> = Operation::ALL.iter().map(|operation| operation.as_str()).collect();
        assert_eq!(names.len(), Operation::ALL.len());
        assert!(names.iter().all(|name| name.len() <= 64 && name.contains('.')));
    }
}
