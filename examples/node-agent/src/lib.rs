//! The agent of a machine: what the machine is, and how instances are made on it.
//!
//! - [`machine`]: what there is, read from the machine or from a file.
//! - [`driver`]: how instances are made, stopped and removed: as processes, or as Docker containers.

pub mod driver;
pub mod machine;
