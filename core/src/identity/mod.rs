//! What identity is made of: [`Caller`], [`Origin`], [`KeyRing`], [`Entropy`], and password hashing.
//!
//! The operations that use them are those of [`ControlPlane`](crate::ControlPlane).

mod api_key_text;
mod caller;
#[cfg(feature = "conformance")]
pub mod checks;
mod digest;
mod entropy;
mod hashing;
mod key_ring;
mod options;
mod origin;
mod scope;

pub use api_key_text::ApiKeyPolicy;
pub(crate) use api_key_text::{hint, kind_of, new_key};
pub use caller::{Caller, Via};
pub(crate) use digest::{keyed_hex, same, sha256, sha256_hex};
pub use entropy::{Entropy, OsEntropy, SeededEntropy};
pub(crate) use hashing::Verdict;
pub use hashing::{PasswordHashing, PasswordPolicy};
pub use key_ring::{HostKey, KeyRing};
pub use options::IdentityOptions;
pub use origin::Origin;
pub use scope::Scope;
