//! apportion is the control-plane core of a GPU cloud, as a library.

pub mod amount;
pub mod sched;
