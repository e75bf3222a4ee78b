//! The stores that a replay can work on, as they are named on the command line.

use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::ValueEnum;

use super::{ReplayArgs, UsageError, folder_of};

/// What an acknowledged change survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DurabilityArg {
    /// A crash of the process or the machine, and a power cut.
    Full,
    /// A crash of the process only.
    ProcessCrash,
}

impl From<DurabilityArg> for apportion_redb::Durability {
    fn from(arg: DurabilityArg) -> Self {
        match arg {
            DurabilityArg::Full => Self::Full,
            DurabilityArg::ProcessCrash => Self::ProcessCrash,
        }
    }
}

impl From<DurabilityArg> for apportion_sqlite::Durability {
    fn from(arg: DurabilityArg) -> Self {
        match arg {
            DurabilityArg::Full => Self::Full,
            DurabilityArg::ProcessCrash => Self::ProcessCrash,
        }
    }
}

/// The address of a database, which may have a password in it: it is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The address, for the driver.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseUrl(..)")
    }
}

/// A store as `--store` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreArg {
    /// `memory:`, which is gone at the end.
    Memory,
    /// A redb file: `redb:PATH` or just `PATH`.
    Redb(PathBuf),
    /// A SQLite file: `sqlite:PATH`.
    Sqlite(PathBuf),
    /// A Postgres database: `postgres://…` or `postgresql://…`.
    Postgres(DatabaseUrl),
    /// The address of something else. What it is is not kept: there may be a password in it.
    Unknown,
}

impl FromStr for StoreArg {
    // A value that is refused here would be repeated in the message, with its password.
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let (scheme, rest) = text.split_once(':').unwrap_or_default();
        Ok(match scheme.to_ascii_lowercase().as_str() {
            "memory" if rest.is_empty() => Self::Memory,
            "redb" => Self::Redb(rest.into()),
            "sqlite" => Self::Sqlite(rest.strip_prefix("//").unwrap_or(rest).into()),
            // The driver knows the scheme in lower case only.
            known @ ("postgres" | "postgresql") => Self::Postgres(DatabaseUrl(format!("{known}:{rest}"))),
            _ if text.contains("://") => Self::Unknown,
            _ => Self::Redb(text.into()),
        })
    }
}

/// Where a replay keeps its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreAt {
    /// In memory.
    Memory,
    /// In this redb file, which stays.
    Redb(PathBuf),
    /// In a redb file in the system's temporary folder, which goes with the replay.
    Temporary,
    /// In this SQLite file, which stays.
    Sqlite(PathBuf),
    /// In a schema of this Postgres database, which stays.
    Postgres {
        /// The database.
        url: DatabaseUrl,
        /// The schema.
        schema: String,
    },
}

impl StoreAt {
    /// What the state is kept in, for a sentence.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Redb(_) | Self::Temporary => "redb",
            Self::Sqlite(_) => "SQLite",
            Self::Postgres { .. } => "Postgres",
        }
    }
}

impl ReplayArgs {
    /// Judges where the state and the results would go.
    pub fn store_at(&self) -> Result<StoreAt, UsageError> {
        for path in [Some(&self.report), self.json.as_ref()].into_iter().flatten() {
            folder_of(path)?;
        }
        if self.schema.is_some() && !matches!(self.store, Some(StoreArg::Postgres(_))) {
            return Err(UsageError::SchemaOfNothing);
        }
        match &self.store {
            None if self.nodes.is_some() => Ok(StoreAt::Redb(self.file(Path::new("replay.redb"))?)),
            Some(StoreArg::Redb(path)) => Ok(StoreAt::Redb(self.file(path)?)),
            Some(StoreArg::Sqlite(path)) => Ok(StoreAt::Sqlite(self.file(path)?)),
            Some(StoreArg::Postgres(url)) => self.in_postgres(url),
            Some(StoreArg::Unknown) => Err(UsageError::UnknownStore),
            None | Some(StoreArg::Memory) if self.resume => Err(UsageError::ResumeWithoutStore),
            None => Ok(StoreAt::Temporary),
            Some(StoreArg::Memory) => Ok(StoreAt::Memory),
        }
    }

    /// A file that is there exactly where it is to be continued.
    fn file(&self, path: &Path) -> Result<PathBuf, UsageError> {
        folder_of(path)?;
        match (path.exists(), self.resume) {
            (true, false) => Err(UsageError::StoreExists { path: path.to_owned() }),
            (false, true) => Err(UsageError::NothingToResume { path: path.to_owned() }),
            _ => Ok(path.to_owned()),
        }
    }

    fn in_postgres(&self, url: &DatabaseUrl) -> Result<StoreAt, UsageError> {
        if self.durability.is_some() {
            return Err(UsageError::ServerDurability);
        }
        let schema = self.schema.clone().unwrap_or_else(|| "replay".to_owned());
        Ok(StoreAt::Postgres { url: url.clone(), schema })
    }
}

/// Reads the name of a schema.
pub(super) fn schema_name(text: &str) -> Result<String, String> {
    let letter = |at: usize, c: char| c.is_ascii_lowercase() || at > 0 && (c.is_ascii_digit() || c == '_');
    if !text.is_empty() && text.len() <= 40 && text.chars().enumerate().all(|(at, c)| letter(at, c)) {
        Ok(text.to_owned())
    } else {
        Err("must be a lower-case letter, then letters, digits and underscores, 40 at most".to_owned())
    }
}
