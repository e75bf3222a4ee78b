//! A private PostgreSQL server for the time of a test.
//!
//! ```
//! use apportion_throwaway_postgres::ThrowawayPostgres;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = ThrowawayPostgres::shared()?;
//! let url = server.fresh_database()?;
//! assert!(url.starts_with("postgres://postgres@127.0.0.1:"));
//! assert_eq!(server.psql("SELECT 1 + 1")?, "2");
//! # Ok(())
//! # }
//! ```
//!
//! The server's programs must be installed; no container is needed. A machine without them is an error that names the
//! line that installs them, so that a test that needs a server fails there and is not passed over. `initdb` and
//! `postgres` are looked for in `PATH`, in `pg_config --bindir` and in the folders of the usual distributions. They
//! refuse to run as root: a test that runs as root has them run as the user `postgres`, or `nobody`.
//!
//! # It leaves nothing behind
//!
//! A server is kept by a small shell beside the test's process, which waits for the end of a pipe that only that
//! process holds. However the process ends (in order, by a panic, by an exit with the server in a static, by
//! SIGKILL), the pipe ends, the server is stopped, and its folder is removed.
//!
//! # Faults
//!
//! [`proxy::FaultProxy`] stands before the server and cuts, resets, stalls or delays a connection at a chosen moment,
//! for example when the server has committed and the client does not know it yet.

mod binaries;
mod client;
mod error;
mod options;
mod processes;
pub mod proxy;
mod server;
mod supervisor;

pub use error::Error;
pub use options::Options;
pub use server::ThrowawayPostgres;
