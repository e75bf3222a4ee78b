//! The storage kernel: typed rows, guarded batches, one feed, the same on every backend.
//!
//! A [`Table`] is declared once, as data. A [`Batch`] of [`Write`]s happens whole or not at all, and is judged by
//! one evaluator ([`eval`]) that every backend uses; so a refusal names the same declaration everywhere. Every
//! commit leaves a [`Record`] in the feed and a [`Receipt`]. What a backend must do is the contract of [`Store`].
//!
//! The law for whoever writes batches: *what a decision read, its batch guards; every "there is no such row" is a
//! unique key; every limit is a ceiling on an adjusted counter.* A sum, a count or a read is never a guard.

mod batch;
pub mod codec;
mod contract;
mod error;
pub mod eval;
pub mod kernel;
pub mod keycode;
mod log;
pub mod memory;
mod metrics;
mod over;
mod query;
mod row;
mod schema;
mod table;
mod value;

pub use batch::{Batch, Change, Fingerprint, MAX_WRITES, Mode, Write};
pub use contract::{MAX_SNAPSHOTS, Read, SNAPSHOT_LIFETIME, Snapshot, SnapshotExt, Store, StoreExt};
pub use error::{Cause, IdProblem, OpenProblem, Refusal, StoreError};
pub use log::{
    Changes, Cursor, MAX_CHANGES, Prune, Pruned, RECEIPT_RETENTION, Receipt, Record, Resolution, RowChange,
    Stored, Verb,
};
pub use metrics::{Metrics, NoMetrics};
pub(crate) use over::store_over;
pub use query::{Answer, Count, Is, MAX_EXAMINED, MAX_PAGE, Page, PageCursor, Query, Reads, Scan, Test};
pub use row::{Key, NewRow, Row};
pub use schema::{
    BadDeclaration, Bounds, ChildInfo, Op, OrderInfo, Prepared, PreparedWrite, ReferenceInfo, ScanPlan,
    Schema, TableId, TableInfo,
};
pub use table::{Ceiling, Check, Column, Fixed, Index, Invariant, Limit, Reference, Role, Table, Unique};
pub use value::{Json, Kind, MAX_INT, Value};
