//! What is measured: decisions of the scheduler, and durable launches through the whole control plane.
//!
//! `cargo bench -p benches` writes criterion's reports; `cargo run --release -p benches` prints the ratios that
//! matter as a small table.

pub mod decisions;
pub mod launches;
