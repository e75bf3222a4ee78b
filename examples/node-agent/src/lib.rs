//! The agent of a machine: what the machine is, how instances are made on it, and how it hears what is wanted.
//!
//! - [`machine`]: what there is, read from the machine or from a file.
//! - [`driver`]: how instances are made, stopped and removed: as processes, or as Docker containers.
//! - [`control`]: what is said to the control plane, in the same process or over the network.
//! - [`agent`]: the loop over these three.

pub mod agent;
pub mod control;
pub mod driver;
pub mod machine;
