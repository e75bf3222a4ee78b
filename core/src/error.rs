//! What the SDK answers when it does not do what it was asked: [`Error`].

use std::time::Duration;

use crate::rent::ProviderError;
use crate::sched::NoFit;
use crate::store::{Cause, StoreError};

/// The result of an operation.
pub type Result<T> = std::result::Result<T, Error>;

/// What errors call the life of a node's agent.
pub(crate) const NODE_SESSION: &str = "node session";

/// Why an operation was not carried out.
///
/// Nothing of it happened, unless the error says that the outcome is unknown (see [`Error::is_unknown`]).
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value of the request is not allowed.
    #[error("{field} is invalid: {reason}")]
    Invalid {
        /// What is wrong, such as `name` or `ports[2]`.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no such thing, or the actor may not see it: the answer is the same.
    #[error("there is no such {kind}")]
    NotFound {
        /// The kind of thing, such as `instance`.
        kind: &'static str,
        /// The id or name that was asked for.
        what: String,
    },
    /// Something else has this id, name or other unique key.
    #[error("{kind} exists already with the same {key}")]
    AlreadyExists {
        /// The kind of thing.
        kind: &'static str,
        /// The unique key, such as `id` or `email`.
        key: &'static str,
    },
    /// Somebody else changed it meanwhile: read again and decide again.
    #[error("{what} was changed by somebody else")]
    Conflict {
        /// The operation or table.
        what: String,
    },
    /// A limit of the account would be exceeded.
    #[error("the {limit_name} is {limit}: {used} used, {asked} more asked, {missing} too many", missing = .used + .asked - .limit)]
    QuotaExceeded {
        /// Which limit, such as `instance_limit`.
        limit_name: &'static str,
        /// The limit in force.
        limit: i64,
        /// How much of it is used.
        used: i64,
        /// How much was asked for.
        asked: i64,
    },
    /// No node can take what was asked for; the figures say why.
    #[error("no node can take it: {0}")]
    NoCapacity(Box<NoFit>),
    /// The nodes that have room have too few free ports.
    #[error("none of {nodes} nodes with room has {asked} free ports of the kinds asked for")]
    NoFreePort {
        /// How many ports were asked for.
        asked: u32,
        /// How many nodes with room were tried.
        nodes: usize,
    },
    /// It cannot be deleted while something refers to it.
    #[error("the {kind} is still used by {by}")]
    StillUsed {
        /// The kind of thing.
        kind: &'static str,
        /// What refers to it.
        by: &'static str,
    },
    /// The thing is in a state in which this cannot be done to it.
    #[error("{event} is not possible while the {kind} is {state}")]
    WrongState {
        /// The kind of thing.
        kind: &'static str,
        /// Its state.
        state: &'static str,
        /// What was asked.
        event: &'static str,
        /// What could be asked in this state.
        allowed: Vec<&'static str>,
    },
    /// The actor may see it but not do this.
    #[error("the actor may not {action}")]
    Denied {
        /// What was asked.
        action: &'static str,
    },
    /// Whoever asked is not known: a wrong password, token, key or code, or one that has ended. Which of them is not said.
    #[error("the credentials were refused")]
    Unauthenticated,
    /// It was asked too often, or too many ask at once: try again later.
    #[error("asked too often: try again in {} seconds", .retry_after.as_secs_f64().ceil())]
    TooSoon {
        /// How long to wait.
        retry_after: Duration,
    },
    /// A provider of rented machines did not do what it was asked.
    #[error("the provider of rented machines failed")]
    Provider(#[from] ProviderError),
    /// The store did not do what it was asked.
    #[error("the store failed")]
    Store(#[from] StoreError),
}

impl Error {
    /// A value that is not allowed.
    pub fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), reason: reason.into() }
    }

    /// Something that is not there.
    pub fn not_found(kind: &'static str, what: impl std::fmt::Display) -> Self {
        Self::NotFound { kind, what: what.to_string() }
    }

    /// The last administrator stays one.
    pub(crate) fn last_administrator(event: &'static str) -> Self {
        Self::WrongState {
            kind: "user",
            state: "the last administrator",
            event,
            allowed: vec!["promoting another"],
        }
    }

    /// Whether another agent speaks for the node since: who is told so is to stop.
    pub fn is_replaced(&self) -> bool {
        matches!(self, Self::WrongState { kind: NODE_SESSION, .. })
    }

    /// Whether the same request can succeed later without anybody changing it.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Conflict { .. } | Self::TooSoon { .. } | Self::Provider(_) => true,
            Self::Store(error) => error.is_retryable(),
            _ => false,
        }
    }

    /// Whether the operation may have happened: repeat it under the same id, or resolve it.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Store(StoreError::Unknown { .. }))
    }

    /// A stable short name, for programs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "invalid",
            Self::NotFound { .. } => "not_found",
            Self::AlreadyExists { .. } => "already_exists",
            Self::Conflict { .. } => "conflict",
            Self::QuotaExceeded { .. } => "quota_exceeded",
            Self::NoCapacity(_) => "no_capacity",
            Self::NoFreePort { .. } => "no_free_port",
            Self::StillUsed { .. } => "still_used",
            Self::WrongState { .. } => "wrong_state",
            Self::Denied { .. } => "denied",
            Self::Unauthenticated => "unauthenticated",
            Self::TooSoon { .. } => "too_soon",
            Self::Provider(_) => "provider",
            Self::Store(error) => error.code(),
        }
    }

    /// The error of an operation on a `kind` of thing, for a store's answer to its batch.
    pub(crate) fn of_store(kind: &'static str, error: StoreError) -> Self {
        let StoreError::Refused(refusal) = &error else {
            return match error {
                StoreError::Invalid { field, reason } => Self::Invalid { field: column(&field), reason },
                other => Self::Store(other),
            };
        };
        match &refusal.cause {
            Cause::Missing | Cause::Conflict { .. } | Cause::TestFailed { .. } => {
                Self::Conflict { what: kind.to_owned() }
            }
            Cause::Duplicate { unique, .. } => {
                // The primary key goes by the table's name.
                let key = if *unique == refusal.table { "id" } else { short(refusal.table, unique) };
                Self::AlreadyExists { kind, key }
            }
            Cause::NoParent { reference } => Self::not_found(short(refusal.table, reference), ""),
            Cause::StillReferenced { by, .. } => Self::StillUsed { kind, by },
            Cause::Ceiling { rule, limit, used, asked } => {
                Self::QuotaExceeded { limit_name: rule, limit: *limit, used: *used, asked: *asked }
            }
            Cause::Invariant { rule: "administrations_at_least_one" } => Self::last_administrator("this"),
            Cause::Invariant { .. } | Cause::Overflow { .. } => Self::Store(error),
        }
    }
}

/// The column of a field of a batch, such as `writes[2].images.url`: who asked for something knows nothing of batches.
fn column(field: &str) -> String {
    let of_write = field.strip_prefix("writes[").and_then(|rest| rest.split_once("].")?.1.split_once('.'));
    of_write.map_or(field, |(_, column)| column).to_owned()
}

/// The name of a declaration without its table's.
fn short(table: &str, declaration: &'static str) -> &'static str {
    declaration.strip_prefix(table).and_then(|rest| rest.strip_prefix('_')).unwrap_or(declaration)
}
