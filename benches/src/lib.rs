//! What is measured: decisions of the scheduler, durable launches through the whole control plane on each store and by a
//! transaction that was written by hand, reads, heartbeats, reports of machines, an import, checks of sessions and API keys,
//! logins, ticks of the queue, runs that workers take and complete, and moves of tasks that leave GPUs idle. And what no
//! placement can exceed ([`bound`]).
//!
//! `cargo bench -p benches` writes criterion's reports; `cargo run --release -p benches` prints the ratios that
//! matter as small tables, and `cargo run --release -p benches -- report` measures everything in one run and writes it down with
//! plots. All need the programs of a PostgreSQL server, and tell how to install them. `cargo run --release -p benches --
//! instructions` counts instructions and compares them with what was; `.ci/valgrind` installs what it needs.

pub mod bound;
pub mod by_hand;
pub mod checks;
pub mod claims;
pub mod decisions;
pub mod defragment;
pub mod heartbeats;
pub mod import;
pub mod launches;
pub mod logins;
pub mod members;
pub mod queue;
pub mod reads;
pub mod refused;
pub mod reports;
pub mod resident;
pub mod scale;
pub mod server;
pub mod stores;
