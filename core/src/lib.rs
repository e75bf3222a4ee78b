//! The control-plane core of a GPU cloud, as a library: users, machines, images, instances, ports, GPUs, quotas, a
//! scheduler, an audit log and a change feed, with no GPU assigned twice and no quota overshot.
//!
//! - [`ControlPlane`] has the operations: create a user, register a node, launch, stop, start and delete instances,
//!   explain and try out a launch, audit.
//! - [`entity`] has what is kept, each entity with its table and its repository.
//! - [`store`] is the storage kernel: tables declared as data, guarded batches, one feed. Its [`store::Store`] is the
//!   contract that every backend keeps; [`store::memory`] is the reference, `apportion-redb` the embedded file.
//! - [`sched`] is the scheduling core, usable without any store.
//! - [`queue`] is the fair-share queue over it: quotas, gangs, backfill, preemption; as pure as that is.
//!
//! # Examples
//! ```
//! use std::sync::Arc;
//!
//! use apportion::amount::{CpuMilli, GpuMilli};
//! use apportion::entity::TABLES;
//! use apportion::plane::{LaunchRequest, NewNode, NewUser};
//! use apportion::store::memory::MemoryStore;
//! use apportion::time::SystemClock;
//! use apportion::{ControlPlane, Error};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = Arc::new(MemoryStore::new(TABLES, Arc::new(SystemClock::new()))?);
//! let cloud = ControlPlane::new(store);
//!
//! let ada = cloud.create_user(NewUser::new("ada@example.org", "Ada")).await?;
//! let rack = NewNode::new(ada.id, "rack-1").cpu(CpuMilli::from_u32(32_000)).gpus(1, "A100");
//! cloud.register_node(rack).await?;
//!
//! // Two instances share the GPU; a third finds no room, and is told why.
//! let share = |name: &str| LaunchRequest::new(ada.id, name).gpu_share(GpuMilli::from_u32(500));
//! let first = cloud.launch(share("first")).await?;
//! cloud.launch(share("second")).await?;
//! match cloud.launch(share("third")).await {
//!     Err(Error::NoCapacity(why)) => assert_eq!((why.nodes, why.gpu), (1, 1)),
//!     other => panic!("{other:?}"),
//! }
//!
//! // Deleting gives everything back, exactly once, however often it is asked.
//! cloud.delete(first.id).await?;
//! cloud.delete(first.id).await?;
//! cloud.launch(share("third")).await?;
//! assert!(cloud.audit().await?.is_clean());
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//! | feature | what it adds |
//! |---|---|
//! | `conformance` | the contract of a store as a test suite, for backends of your own |
//! | `mock` | `mockall` mocks of the repositories |

pub mod access;
pub mod amount;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod entity;
pub mod error;
pub mod id;
pub mod identity;
pub mod machine;
pub mod plane;
pub mod ports;
pub mod queue;
pub mod rent;
pub mod sched;
pub mod store;
pub mod time;
pub mod training;

pub use error::{Error, Result};
pub use plane::ControlPlane;
