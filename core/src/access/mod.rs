//! Who may do what: [`authorize`], a pure function over what was read.
//!
//! A caller may do something by a permission of one of their roles, on their own things or on any, or by a grant of the thing.
//! [`ControlPlane::acting`](crate::ControlPlane::acting) reads what is needed, asks [`authorize`], and carries what the decision
//! was made on as guards into the operation's batch.

mod defaults;
mod operation;
mod rights;
mod scope;

#[cfg(any(test, feature = "conformance"))]
pub(crate) mod matrix;

pub(crate) use defaults::{default_permissions, permission_id, permission_of};
pub use operation::Operation;
pub use rights::{Decision, Object, Rights, authorize};
pub(crate) use rights::{Reach, reach};
pub use scope::Scope;
