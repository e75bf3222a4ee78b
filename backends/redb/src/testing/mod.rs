//! Storages for tests and benchmarks: slow, and cut off from power. Behind the feature `testing`.

mod decode;
mod power;
mod slow;

pub use decode::decode;
pub use power::{Disk, PowerLoss, Surviving};
pub use slow::SlowSync;
