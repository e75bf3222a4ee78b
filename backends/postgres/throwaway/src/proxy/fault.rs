//! What is to happen, and when.

use std::time::Duration;

/// The moment of a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum When {
    /// A message that commits has come from the client: the server does not see it (until a stall or a delay ends).
    ///
    /// A simple query of several statements, one of them a commit, is one message and is held as a whole.
    BeforeCommit,
    /// The message that commits was handed to the server, which acts on it; its answer does not reach the client.
    AtCommit,
    /// The server has committed and said so; that answer does not reach the client.
    AfterCommit,
    /// A statement that contains this text, in any case, is about to be run: the server does not see it.
    OnStatement(String),
    /// At once, on the connections that are open, the oldest first.
    Now,
}

/// What happens to the connection that a fault meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// Both its sides are closed.
    Cut,
    /// Both its sides are reset, so that the client has an error where a closed connection would have an end.
    Reset,
    /// It stays open and nothing more goes through, until [`FaultProxy::heal`](super::FaultProxy::heal).
    Stall,
    /// Nothing goes through for this long.
    Delay(Duration),
}

/// Something that will happen to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// At which moment.
    pub when: When,
    /// What then.
    pub what: What,
    /// How many times; for [`When::Now`], on how many connections.
    pub times: u32,
}

impl Fault {
    /// A fault that fires one time.
    pub fn once(when: When, what: What) -> Self {
        Self { when, what, times: 1 }
    }

    /// A fault that fires whenever its moment comes; for [`When::Now`], on all connections that are open.
    pub fn always(when: When, what: What) -> Self {
        Self { when, what, times: u32::MAX }
    }
}
