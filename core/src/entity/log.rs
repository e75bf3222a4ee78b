//! Who did what: [`Log`].

use std::net::IpAddr;
use std::ops::Bound;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::field::entity;
use super::text::text_enum;
use super::user::UserId;
use super::{Entity, Entry, ListPage, PageRequest, Repositories};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::store::{Column, Fixed, Index, Invariant, Is, Scan, Table, Test, Value};
use crate::time::Timestamp;

/// The id of a [`Log`].
pub type LogId = Id<Log>;

/// One line of the audit trail: who did what to what.
///
/// It refers to nothing, so that it outlives what it tells of, and is never changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// The id, chosen by the caller.
    pub id: LogId,
    /// The operation, at most 64 bytes.
    pub title: String,
    /// What it did, at most 4,096 bytes.
    pub description: Option<String>,
    /// The machine that it came from, at most 256 bytes.
    pub host: Option<String>,
    /// The address that it came from.
    pub ip: Option<IpAddr>,
    /// The user who did it.
    pub actor_id: Option<UserId>,
    /// The kind of thing that it was done to, such as `instance`; at most 32 bytes.
    pub subject_kind: Option<String>,
    /// The id of that thing.
    pub subject_id: Option<Uuid>,
    /// When it was done.
    pub timestamp: Timestamp,
    /// How it ended.
    pub outcome: LogOutcome,
}

text_enum!(
    /// How an operation ended.
    LogOutcome, "outcome" {
        /// It was done.
        Done = "done",
        /// It was refused; the line stands for every such refusal within a minute.
        Refused = "refused",
    }
);

/// The table of [`Log`].
pub static LOGS: Table = Table::new(
    "logs",
    &[
        Column::uuid("id"),
        Column::text("title", 64).immutable(),
        Column::text("description", 4096).nullable().immutable(),
        Column::text("host", 256).nullable().immutable(),
        Column::text("ip", 45).nullable().immutable(),
        Column::uuid("actor_id").nullable().immutable(),
        Column::text("subject_kind", 32).nullable().immutable(),
        Column::uuid("subject_id").nullable().immutable(),
        Column::time("timestamp").immutable(),
        Column::text("outcome", 16).default(Fixed::Text("done")).immutable(),
    ],
    &["id"],
)
.indexes(&[
    Index::new("logs_timestamp", &["timestamp"]),
    Index::new("logs_subject", &["subject_id"]),
    Index::new("logs_actor", &["actor_id"]),
])
.invariants(&[Invariant::one_of("logs_outcome", "outcome", LogOutcome::TEXTS)]);

entity!(Log, "log", LOGS {
    fixed: id, title, description, host, ip, actor_id, subject_kind, subject_id, timestamp, outcome;
});

/// Which lines a list gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// Only those about this thing, in the order of ids.
    pub subject_id: Option<Uuid>,
    /// Only those of what this user did or was refused.
    pub actor_id: Option<UserId>,
    /// Only those of this time or later.
    pub from: Option<Timestamp>,
    /// Only those before this time.
    pub until: Option<Timestamp>,
}

impl LogFilter {
    /// What a line has to pass.
    pub(crate) fn tests(&self) -> Vec<Test> {
        let mut tests = Vec::new();
        tests.extend(self.subject_id.map(|subject| Test::eq("subject_id", subject)));
        tests.extend(self.actor_id.map(|actor| Test::eq("actor_id", actor)));
        tests.extend(self.from.map(|from| Test::new("timestamp", Is::Ge(from.into()))));
        tests.extend(self.until.map(|until| Test::new("timestamp", Is::Lt(until.into()))));
        tests
    }
}

/// Where [`Log`]s are kept: appended and read, never changed.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait LogRepository: Send + Sync {
    /// The one with this id.
    async fn get(&self, id: LogId) -> Result<Option<Entry<Log>>>;

    /// The one with this id, or `NotFound`.
    async fn require(&self, id: LogId) -> Result<Entry<Log>> {
        self.get(id).await?.ok_or_else(|| Error::not_found(Log::KIND, id))
    }

    /// Keeps a new one. The same one again is answered with the one that is there; another one under its id is
    /// `AlreadyExists`.
    async fn append(&self, value: Log) -> Result<Entry<Log>>;

    /// A page, the newest first.
    async fn list(&self, filter: LogFilter, page: PageRequest) -> Result<ListPage<Log>>;
}

#[async_trait]
impl LogRepository for Repositories {
    async fn get(&self, id: LogId) -> Result<Option<Entry<Log>>> {
        self.get_entry(id).await
    }

    async fn append(&self, value: Log) -> Result<Entry<Log>> {
        self.create_entry(value.id.into(), value).await
    }

    async fn list(&self, filter: LogFilter, page: PageRequest) -> Result<ListPage<Log>> {
        let scan = Scan::of(&LOGS).descending();
        let mut scan = match (filter.subject_id, filter.actor_id) {
            (Some(subject), _) => scan.by("logs_subject").with(subject),
            (None, Some(actor)) => scan.by("logs_actor").with(actor),
            (None, None) => {
                let from = filter.from.map(Value::from).map_or(Bound::Unbounded, Bound::Included);
                let until = filter.until.map(Value::from).map_or(Bound::Unbounded, Bound::Excluded);
                return self.list_entries(scan.by("logs_timestamp").range(from, until), page).await;
            }
        };
        scan.tests = filter.tests();
        self.list_entries(scan, page).await
    }
}

impl Repositories {
    /// The repository of [`Log`]s.
    pub fn logs(&self) -> &dyn LogRepository {
        self
    }
}
