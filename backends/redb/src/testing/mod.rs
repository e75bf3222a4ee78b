//! Storages for tests and benchmarks: slow, and cut off from power. Behind the feature `testing`.

mod power;
mod slow;

pub use power::{Disk, PowerLoss, Surviving};
pub use slow::SlowSync;
