//! What can go wrong with a server of one's own.

use std::io;

/// Why there is no server, or why it did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The machine has no `initdb` and `postgres` in one folder, where they are looked for.
    #[error(
        "no PostgreSQL server programs (initdb and postgres in one folder) were found in PATH, in `pg_config --bindir` \
         or where distributions put them; install them with `apt-get install postgresql`, \
         `dnf install postgresql-server` or `brew install postgresql`"
    )]
    NotInstalled,
    /// There is a server but no `psql`, which runs the statements of the helpers.
    #[error(
        "no psql was found beside the server's programs or in PATH; install it with `apt-get install postgresql-client`, \
         `dnf install postgresql` or `brew install postgresql`"
    )]
    NoClient,
    /// The process runs as root, whom the server refuses, and there is no user to become.
    #[error("PostgreSQL refuses to run as root, and there is neither a user `postgres` nor a user `nobody`")]
    NoUser,
    /// None of the folders for temporary files can be written by the user that the server runs as.
    #[error("the server's user can make a folder in none of: {tried}")]
    NoFolder {
        /// The folders that were tried.
        tried: String,
    },
    /// An option that cannot be handed to the server.
    #[error("{option} cannot be used: {reason}")]
    Option {
        /// Which one.
        option: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// `initdb` or `postgres` ended, or did not become ready.
    #[error("{program} did not succeed; its last lines:\n{log}")]
    Start {
        /// Which program.
        program: &'static str,
        /// The end of what it wrote.
        log: String,
    },
    /// A statement was refused, or there was no connection.
    #[error("psql did not succeed: {message}")]
    Statement {
        /// What psql said.
        message: String,
    },
    /// The process that keeps the server has ended, so there is no server any more.
    #[error("the process that keeps the server is gone")]
    Gone,
    /// The operating system refused something.
    #[error("cannot {what}")]
    Io {
        /// What was attempted.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}
