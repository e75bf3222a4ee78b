//! The scheduling core.

mod change_log;
mod class;
mod cluster;
mod demand;
mod fits;
mod members;
mod node;
mod place;
mod placement;
mod totals;

pub use cluster::Cluster;
pub use demand::{Demand, GpuDemand, InvalidDemand, MAX_GPUS, MAX_MODEL_BYTES, MAX_MODELS, Tag};
pub use fits::{Misfit, fits};
pub use node::{GpuState, InvalidNode, NodeState, Running};
pub use place::PlaceError;
pub use placement::{NoFit, Placement};
pub use totals::Totals;
