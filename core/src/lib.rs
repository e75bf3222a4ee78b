//! apportion is the control-plane core of a GPU cloud, as a library.

pub mod amount;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod entity;
pub mod error;
pub mod id;
pub mod plane;
pub mod ports;
pub mod sched;
pub mod store;
pub mod time;

pub use error::{Error, Result};
pub use plane::ControlPlane;
