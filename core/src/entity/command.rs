//! What a node's agent is to do: [`Command`].

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::compute_node::NodeId;
use super::field::entity;
use super::text::{text_enum, transitions};
use super::{Entity, Entry, ListPage, PageRequest, Repositories};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::store::{Column, Fixed, Index, Invariant, Reference, Scan, Table};
use crate::time::Timestamp;

/// The id of a [`Command`].
pub type CommandId = Id<Command>;

/// Something that the agent of a node is to do, kept until it is done, failed, or given up.
///
/// An agent takes it on a lease. Each lease is another attempt, and its number is the fencing token: what an agent says of an
/// attempt that is over changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The id, chosen by the caller: an agent that gets it twice does it once.
    pub id: CommandId,
    /// The node.
    pub node_id: NodeId,
    /// What is to be done.
    pub kind: CommandKind,
    /// The instance or image that it is done to; none for a ping.
    pub subject_id: Option<Uuid>,
    /// What the agent needs to know, as the sender wrote it; at most 16,384 bytes.
    pub payload: Option<String>,
    /// Where it is.
    pub state: CommandState,
    /// How often it was leased.
    pub attempt: u32,
    /// How often it may be leased before it is parked.
    pub max_attempts: u32,
    /// The session of the agent that has it, or had it last.
    pub session: Option<u32>,
    /// When the lease ends, while it is leased.
    pub leased_until: Option<Timestamp>,
    /// After this it is not begun any more.
    pub deadline: Option<Timestamp>,
    /// What the agent said of it, or why it was parked; at most 4,096 bytes.
    pub result: Option<String>,
    /// When it was sent.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

text_enum!(
    /// What an agent is to do.
    CommandKind, "kind" {
        /// Make an instance and start it.
        CreateInstance = "create_instance",
        /// Start one that is stopped.
        StartInstance = "start_instance",
        /// Stop one.
        StopInstance = "stop_instance",
        /// Stop one and remove all of it.
        DeleteInstance = "delete_instance",
        /// Fetch an image.
        LoadImage = "load_image",
        /// Remove an image.
        DeleteImage = "delete_image",
        /// Make an image of an instance.
        SaveImage = "save_image",
        /// Say that it is there.
        Ping = "ping",
    }
);

text_enum!(
    /// Where a command is.
    CommandState, "state" {
        /// It waits for an agent.
        Queued = "queued",
        /// An agent has it.
        Leased = "leased",
        /// It was done.
        Done = "done",
        /// The agent says that it cannot be done, or it was withdrawn.
        Failed = "failed",
        /// It was tried too often, or too late: somebody has to look at it.
        Parked = "parked",
    }
);

text_enum!(
    /// What happens to a command.
    CommandEvent, "event" {
        /// An agent takes it, or takes it over after a lease has ended.
        Lease = "lease",
        /// The agent has done it.
        Complete = "complete",
        /// The agent says that it cannot be done.
        Fail = "fail",
        /// The agent gives it back, to be tried again.
        GiveBack = "give_back",
        /// It is given up.
        Park = "park",
        /// Whoever sent it wants it no longer, and no agent has it.
        Withdraw = "withdraw",
        /// Somebody has looked at it, and wants it to be tried again.
        Retry = "retry",
    }
);

transitions!(
    /// The state after an event, or `WrongState` where it cannot happen.
    CommandState, CommandEvent, "command"
);

impl CommandState {
    const fn after(self, event: CommandEvent) -> Option<Self> {
        match (self, event) {
            (Self::Queued | Self::Leased, CommandEvent::Lease) => Some(Self::Leased),
            (Self::Leased, CommandEvent::Complete) => Some(Self::Done),
            (Self::Leased, CommandEvent::Fail) | (Self::Queued | Self::Leased, CommandEvent::Withdraw) => {
                Some(Self::Failed)
            }
            (Self::Leased, CommandEvent::GiveBack) | (Self::Parked, CommandEvent::Retry) => {
                Some(Self::Queued)
            }
            (Self::Queued | Self::Leased, CommandEvent::Park) => Some(Self::Parked),
            _ => None,
        }
    }
}

/// The table of [`Command`].
pub static COMMANDS: Table = Table::new(
    "commands",
    &[
        Column::uuid("id"),
        Column::uuid("node_id").immutable(),
        Column::text("kind", 32).immutable(),
        Column::uuid("subject_id").nullable().immutable(),
        Column::text("payload", 16_384).nullable().immutable(),
        Column::text("state", 16).default(Fixed::Text("queued")),
        Column::int("attempt").default(Fixed::Int(0)),
        Column::int("max_attempts"),
        Column::int("session").nullable(),
        Column::time("leased_until").nullable(),
        Column::time("deadline").nullable().immutable(),
        Column::text("result", 4096).nullable(),
        Column::time("created_at").immutable(),
        Column::time("updated_at"),
    ],
    &["id"],
)
.indexes(&[Index::new("commands_queue", &["node_id", "state"])])
.references(&[Reference::new("commands_node", &["node_id"], "compute_nodes")])
.invariants(&[
    Invariant::one_of("commands_kind", "kind", CommandKind::TEXTS),
    Invariant::one_of("commands_state", "state", CommandState::TEXTS),
    Invariant::at_least("commands_attempt_not_negative", "attempt", 0),
    Invariant::not_above("commands_attempts", "attempt", "max_attempts"),
]);

entity!(Command, "command", COMMANDS {
    fixed: id, node_id, kind, subject_id, payload, deadline, created_at;
    plain: state, attempt, max_attempts, session, leased_until, result, updated_at;
});

/// Which commands a list gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandFilter {
    /// Only those of this node.
    pub node_id: Option<NodeId>,
    /// Only those in this state.
    pub state: Option<CommandState>,
}

/// Where [`Command`]s are kept. They are sent, taken and answered by operations.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait CommandRepository: Send + Sync {
    /// The one with this id.
    async fn get(&self, id: CommandId) -> Result<Option<Entry<Command>>>;

    /// The one with this id, or `NotFound`.
    async fn require(&self, id: CommandId) -> Result<Entry<Command>> {
        self.get(id).await?.ok_or_else(|| Error::not_found(Command::KIND, id))
    }

    /// A page, in the order of ids among those of one state.
    async fn list(&self, filter: CommandFilter, page: PageRequest) -> Result<ListPage<Command>>;
}

#[async_trait]
impl CommandRepository for Repositories {
    async fn get(&self, id: CommandId) -> Result<Option<Entry<Command>>> {
        self.get_entry(id).await
    }

    async fn list(&self, filter: CommandFilter, page: PageRequest) -> Result<ListPage<Command>> {
        let mut scan = Scan::of(&COMMANDS);
        if let Some(node) = filter.node_id {
            scan = scan.by("commands_queue").with(node);
        }
        match (filter.node_id, filter.state) {
            (Some(_), Some(state)) => scan = scan.with(state.as_str()),
            (None, Some(state)) => scan = scan.test(crate::store::Test::eq("state", state.as_str())),
            (_, None) => {}
        }
        self.list_entries(scan, page).await
    }
}

impl Repositories {
    /// The repository of [`Command`]s.
    pub fn commands(&self) -> &dyn CommandRepository {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_allows_exactly_the_events_of_the_table() {
        use CommandState::{Done, Failed, Leased, Parked, Queued};
        const NO: Option<CommandState> = None;
        // lease, complete, fail, give_back, park, withdraw, retry
        let table = [
            (Queued, [Some(Leased), NO, NO, NO, Some(Parked), Some(Failed), NO]),
            (Leased, [Some(Leased), Some(Done), Some(Failed), Some(Queued), Some(Parked), Some(Failed), NO]),
            (Done, [NO; 7]),
            (Failed, [NO; 7]),
            (Parked, [NO, NO, NO, NO, NO, NO, Some(Queued)]),
        ];
        assert_eq!(table.map(|(state, _)| state), CommandState::ALL);
        for (state, row) in table {
            for (event, to) in CommandEvent::ALL.iter().zip(row) {
                assert_eq!(state.on(*event).ok(), to, "{state} on {event}");
            }
        }
    }
}
