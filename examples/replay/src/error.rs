//! Why the program ended without a result.

use std::path::PathBuf;

use apportion::store::{BadDeclaration, StoreError};

use crate::cli::UsageError;
use crate::queue::QueueReplayError;
use crate::report::ReportError;
use crate::trace::TraceError;

/// Why the program ended without a result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppError {
    /// The arguments cannot be followed.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// A file of the input is not what it should be.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The report could not be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The figures could not be written.
    #[error("{}: the figures cannot be written", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The experiment fills GPUs, and there are none.
    #[error("no node has a GPU: the experiment has nothing to fill")]
    NoGpus,
    /// The jobs cannot be replayed through the queue.
    #[error(transparent)]
    Queue(#[from] QueueReplayError),
    /// There is no folder for a store that is thrown away.
    #[error("no temporary folder can be made")]
    Temporary(#[source] std::io::Error),
    /// The tables cannot be declared together.
    #[error("the tables are not well declared")]
    Declared(#[from] BadDeclaration),
    /// The histogram of latencies cannot be made.
    #[error("latencies cannot be measured")]
    Histogram(#[from] hdrhistogram::CreationError),
    /// The store failed, or cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something of the control plane failed that no pod is at fault for.
    #[error(transparent)]
    Plane(#[from] apportion::Error),
    /// A user or a node cannot be created.
    #[error("{what} cannot be created")]
    SetUp {
        /// Who or what.
        what: String,
        /// Why it cannot.
        source: apportion::Error,
    },
    /// An operation failed for another reason than what its pod asks for.
    #[error("pod {pod}: the operation failed")]
    Operation {
        /// The pod.
        pod: String,
        /// Why it failed.
        source: apportion::Error,
    },
    /// The store to continue on holds something else.
    #[error("the store holds something else than a replay: there is nothing to --resume")]
    NotAReplay,
    /// The store to continue on holds a replay of something else.
    #[error("the replay was begun with other inputs: {name} {begun}, and now {given}")]
    OtherInputs {
        /// Which input.
        name: &'static str,
        /// What it was; a hash, where it is long.
        begun: String,
        /// What it is now.
        given: String,
    },
    /// A replay would be mixed into another one.
    #[error(
        "schema {schema} holds a replay already: continue it with --resume, or name another one with --schema"
    )]
    SchemaInUse {
        /// The schema.
        schema: String,
    },
    /// There is no replay to continue.
    #[error("schema {schema} holds no replay: there is nothing to --resume")]
    NothingInSchema {
        /// The schema.
        schema: String,
    },
    /// Counters differ from a recount of the rows.
    #[error("the audit found {counters} counters that differ from a recount of the rows")]
    Drift {
        /// How many.
        counters: u64,
    },
    /// Not every pod was launched or refused.
    #[error("{accounted} of {pods} pods are accounted for")]
    Unaccounted {
        /// How many pods there are.
        pods: u64,
        /// How many of them were launched or refused.
        accounted: u64,
    },
    /// The change feed tells of another state than the rows.
    #[error("the change feed tells of another state than the rows")]
    FeedDiffers,
    /// The final state is not the expected one.
    #[error("the digest is {got}, not {expected}")]
    OtherDigest {
        /// What was expected.
        expected: String,
        /// What it is.
        got: String,
    },
    /// The terminal, or what stands in its place, takes no more text.
    #[error("the table cannot be printed")]
    Output(#[from] std::io::Error),
}

impl AppError {
    /// 2 where the input is bad and nothing was written, as for unknown arguments; 1 for all else.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_)
            | Self::Trace(_)
            | Self::NoGpus
            | Self::Queue(QueueReplayError::TooLarge { .. })
            | Self::NotAReplay
            | Self::OtherInputs { .. }
            | Self::SchemaInUse { .. }
            | Self::NothingInSchema { .. } => 2,
            _ => 1,
        }
    }

    /// The error and its causes, on one line.
    pub fn report(&self) -> String {
        let causes = std::iter::successors(std::error::Error::source(self), |error| error.source());
        causes.fold(self.to_string(), |line, cause| format!("{line}: {cause}"))
    }
}
