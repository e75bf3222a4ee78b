//! What has to be sent to somebody: [`Message`].

use crate::entity::{Email, SecretText};
use crate::time::Timestamp;

/// What the host has to send to somebody: the SDK sends no mail.
///
/// It holds secrets: it prints none of them, and is not serialized. A host that keeps it before it is sent keeps it encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// Confirm that this address is yours, by a link with the token or by the code.
    ConfirmEmail {
        /// Whom to.
        to: Email,
        /// What the link carries.
        link_token: SecretText,
        /// What is typed instead.
        code: SecretText,
        /// When both end.
        expires_at: Timestamp,
    },
    /// Somebody signed up with this address, which has an account. A stranger is told no difference, so the owner is.
    AlreadyRegistered {
        /// Whom to.
        to: Email,
    },
    /// You are invited.
    Invitation {
        /// Whom to.
        to: Email,
        /// What accepts it.
        code: SecretText,
        /// When it ends.
        expires_at: Timestamp,
    },
    /// This code sets a new password.
    ResetPassword {
        /// Whom to.
        to: Email,
        /// What sets it.
        code: SecretText,
        /// When it ends.
        expires_at: Timestamp,
    },
    /// This code makes this address the one of your account.
    ConfirmNewEmail {
        /// Whom to: the new address.
        to: Email,
        /// What makes it so.
        code: SecretText,
        /// When it ends.
        expires_at: Timestamp,
    },
    /// Your account has another address now.
    EmailChanged {
        /// Whom to: the old address.
        to: Email,
        /// The new one.
        new: Email,
    },
    /// Your account has another password now.
    PasswordChanged {
        /// Whom to.
        to: Email,
    },
    /// Your account has no password any more.
    PasswordRemoved {
        /// Whom to.
        to: Email,
    },
    /// An account at a provider lets one in now, since it has your address.
    AccountLinked {
        /// Whom to.
        to: Email,
        /// The provider.
        provider: String,
    },
}

impl Message {
    /// Whom it has to be sent to.
    pub const fn to(&self) -> &Email {
        match self {
            Self::ConfirmEmail { to, .. }
            | Self::AlreadyRegistered { to }
            | Self::Invitation { to, .. }
            | Self::ResetPassword { to, .. }
            | Self::ConfirmNewEmail { to, .. }
            | Self::EmailChanged { to, .. }
            | Self::PasswordChanged { to }
            | Self::PasswordRemoved { to }
            | Self::AccountLinked { to, .. } => to,
        }
    }
}
