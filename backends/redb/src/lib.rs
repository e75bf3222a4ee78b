//! The embedded store of apportion: one redb file, group commit, no server.

mod backend;
mod backup;
mod codec;
mod error;
mod growth;
mod layout;
mod open;
mod options;
mod queue;
mod read;
mod shared;
mod snapshot;
mod store;
mod tables;
#[cfg(feature = "testing")]
pub mod testing;
mod upkeep;
mod view;
mod writer;

pub use options::{Durability, RedbOptions};
pub use store::RedbStore;
