//! What identity is made of: [`Caller`], [`Origin`], [`KeyRing`], [`Entropy`], and password hashing.
//!
//! The operations that use them are those of [`ControlPlane`](crate::ControlPlane).

mod api_key_text;
mod caller;
#[cfg(feature = "conformance")]
pub mod checks;
mod code_policy;
mod connection_policy;
mod digest;
mod entropy;
mod guesses;
mod hashing;
mod key_ring;
mod login_policy;
mod options;
mod origin;
mod session_policy;
mod ssh_public_key;
mod totp;
mod totp_policy;

pub use api_key_text::ApiKeyPolicy;
pub(crate) use api_key_text::{hint, kind_of, new_key};
pub use caller::{Caller, Via};
pub use code_policy::CodePolicy;
pub use connection_policy::ConnectionPolicy;
pub(crate) use digest::{same, sha256, sha256_hex};
pub use entropy::{Entropy, OsEntropy, SeededEntropy};
pub(crate) use guesses::{Guess, Guesses};
pub(crate) use hashing::Verdict;
pub use hashing::{PasswordHashing, PasswordPolicy};
pub use key_ring::{HostKey, KeyRing};
pub use login_policy::LoginPolicy;
pub use options::IdentityOptions;
pub use origin::Origin;
pub use session_policy::SessionPolicy;
pub use ssh_public_key::{SshKeyPolicy, SshPublicKey};
pub use totp::TotpParameters;
pub use totp_policy::TotpPolicy;
