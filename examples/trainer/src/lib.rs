//! A training service: runs wait for GPUs in a fair queue, and workers on the machines carry them out.
//!
//! - [`service`]: the control plane's side: what gives GPUs to runs, and what looks for those that came no further.
//! - [`control`]: what a worker says to the control plane, and how it is answered.
//! - [`worker`]: what takes runs on a machine and carries them out as processes.
//! - [`train`]: a small training that really learns, in place of yours.

pub mod control;
pub mod service;
pub mod train;
pub mod worker;
