//! What a worker says to the control plane: lines of JSON over TCP, a question and its answer.
//!
//! Each line carries the key of a node's agent, so put TLS around them, or say the same over the interface that your control plane has.

mod remote;
mod served;
mod wire;

use apportion::Error;
use serde::{Deserialize, Serialize};

pub use remote::Remote;
pub use served::serve;

/// What saying something comes to.
pub type Result<T, E = Refused> = std::result::Result<T, E>;

/// Why something was not heard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Refused {
    /// Another worker has joined as the agent of this node since.
    #[error("another worker speaks for this node now")]
    Replaced,
    /// The run is not this worker's any more, or has ended: what it says changes nothing.
    #[error("the run is not this worker's any more: {reason}")]
    Over {
        /// What the control plane says.
        reason: String,
    },
    /// The control plane was not reached, or could not be sure: ask again.
    #[error("the control plane is not reached: {reason}")]
    Unreachable {
        /// Why.
        reason: String,
    },
    /// The control plane refuses it.
    #[error("{code}: {message}")]
    Denied {
        /// The code of the error.
        code: String,
        /// What it says.
        message: String,
    },
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        match &error {
            error if error.is_replaced() => Self::Replaced,
            Error::WrongState { .. } => Self::Over { reason: error.to_string() },
            error if error.is_retryable() => Self::Unreachable { reason: error.to_string() },
            error => Self::Denied { code: error.code().to_owned(), message: error.to_string() },
        }
    }
}
