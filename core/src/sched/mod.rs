//! The scheduling core: where a task goes.
//!
//! It is pure: no store, no clock, no task runtime; the same input and seed give the same plan. A [`Cluster`] is the
//! index of nodes, a [`Demand`] what a task asks of one node, a [`Policy`] how to choose among the nodes that fit, and
//! a [`Scheduler`] decides. [`fits()`] is the one judge of whether a demand fits a node: planner, dry run and commit
//! all ask it.
//!
//! Nodes of equal free state are one class, and a demand remembers its score per class, so the cost of a decision
//! grows with what changed since the last one like it, not with the number of nodes.

mod change_log;
mod class;
mod class_table;
mod cluster;
mod defragment;
mod demand;
mod explain;
mod fits;
mod fragment;
mod grain;
mod hash_index;
mod members;
mod memo;
mod mix;
mod nearest;
mod node;
mod outlook;
mod place;
mod placement;
mod policy;
mod room;
mod rows;
mod scheduler;
mod scorer;
mod shortfall;
mod supply;
mod task_counts;
mod totals;

pub use cluster::Cluster;
pub use defragment::{Defragmentation, Move, NotHeld, defragment, freeable};
pub use demand::{Demand, GpuDemand, InvalidDemand, MAX_GPUS, MAX_MODEL_BYTES, MAX_MODELS, Tag};
pub use explain::{Candidate, Explanation, Terms};
pub use fits::{Misfit, fits};
pub use fragment::{FragmentMeter, Fragmentation, fragmentation};
pub use mix::{COVERED_PERCENT, MixLearner, TaskMix, TypicalTask};
pub use nearest::NearMiss;
pub use node::{GpuState, InvalidNode, InvalidNodes, NodeState, Running};
pub use place::PlaceError;
pub use placement::{NoFit, Placement};
pub use policy::{CPU_CAP, GPU_CAP, Policy, UnknownPolicy};
pub use scheduler::Scheduler;
pub use shortfall::{GpuShortfall, Obstacle, Shortfall, shortfall};
pub use totals::Totals;
