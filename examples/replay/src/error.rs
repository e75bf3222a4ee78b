//! Why the program ended without a result.

use std::path::PathBuf;

use crate::cli::UsageError;
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
    /// The replay itself is not part of this build.
    #[error("the replay is not built: only `replay inflate` is")]
    NotBuilt,
    /// The terminal, or what stands in its place, takes no more text.
    #[error("the table cannot be printed")]
    Output(#[from] std::io::Error),
}

impl AppError {
    /// 2 where the input is bad and nothing was written, as for unknown arguments; 1 for all else.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Trace(_) | Self::NoGpus => 2,
            Self::Report(_) | Self::Json { .. } | Self::Output(_) | Self::NotBuilt => 1,
        }
    }

    /// The error and its causes, on one line.
    pub fn report(&self) -> String {
        let causes = std::iter::successors(std::error::Error::source(self), |error| error.source());
        causes.fold(self.to_string(), |line, cause| format!("{line}: {cause}"))
    }
}
