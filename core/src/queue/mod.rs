//! The queue: which runs get GPUs now, which running ones give theirs up, and why the others wait.
//!
//! It is pure, as [`sched`](crate::sched) is: no store, no clock, no task runtime; the same calls give the same plans. A
//! [`Queue`] holds what waits and what runs, the nodes and the quotas. [`Queue::tick`] makes a [`Plan`] of it, which
//! changes nothing: whoever carries it out tells the queue what has become of it.
//!
//! - [`QueueTree`] is the quotas: queues under queues, which lend what they do not use and borrow what others do not.
//! - [`QueuePolicy`] is the order. A [`Share`] is how much of the cluster somebody has, what they used before included.
//! - A [`Job`] asks for a gang ([`Ask`]), which is placed whole or not at all.
//! - What does not fit is passed over by what does; the first passed over get a [`Reservation`], which nobody delays.
//! - Preemption has two reasons besides an order that has it: a queue takes back what is its own, or a run has the higher
//!   priority in its queue. Nobody stops in vain, and nobody who stopped takes its place back in the same state.
//!
//! # Who may be stopped for whom
//!
//! The quota of a queue goes to the runs in it and below it in their order: those first that cannot be stopped, then the
//! higher priorities, then by the policy, or by when they began where a policy stops nobody. A run for which it is
//! enough is *covered* by that queue and by those above it; a run that is covered by no queue but the root has only
//! what others leave. Then:
//!
//! - *Nobody is stopped by another queue who is covered below the queue that both have in common.* What is within a
//!   quota is safe from everybody who is not.
//! - A queue that stays within its quota takes back from those beside it that borrow ([`PreemptionReason::Reclaim`]):
//!   from the biggest borrower first, there the lowest priority, then the youngest.
//! - A run stops those of lower priority in its queue ([`PreemptionReason::Priority`]) and, under an order that has it,
//!   those behind it of no higher priority in any queue ([`PreemptionReason::Order`]), but *who borrows stops those alone
//!   who do*: nobody who is covered further down than the claimant would be. Where nothing is reclaimed, this last rule
//!   is not needed and does not hold in the queue itself.
//!
//! It comes to an end, since each of these raises a measure that nothing lowers: which runs the deepest queues cover,
//! then the queues above them, and so on up, and at last which runs there are; each a list in the order from above, of
//! which the first place that changes is gained and not lost. To reclaim adds a covered run to the claimant's queue and
//! takes none from any other at that depth. One that is stopped by priority or order is behind its claimant in all these
//! lists, and in those that are deeper than where the claimant is covered it is in none. Runs that start only add. What
//! time changes (an order, a run time that is protected) may begin it anew, nothing else does.
//!
//! In one plan, nobody who stops comes before anybody for whom others stop, nobody else is given in passing what one
//! that stops has the better right to, and a claim that would leave more room than an earlier one needs waits for the
//! next tick. So each that stops has to, for the one that it stops for, beside everything else that is planned.
//!
//! # Examples
//! ```
//! use apportion::amount::{CpuMilli, MemoryMib, StorageMib};
//! use apportion::queue::{Ask, Job, Queue, QueueTree, Settings};
//! use apportion::sched::{Demand, GpuDemand, GpuState, NodeState};
//! use apportion::time::Timestamp;
//! use uuid::Uuid;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let [all, ada, node, first, second] = [1, 2, 3, 4, 5].map(Uuid::from_u128);
//! let mut queue = Queue::new(Settings::default(), QueueTree::single(all));
//! queue.upsert_node(&NodeState { gpus: vec![GpuState::IDLE; 8], ..NodeState::empty(node, 0) })?;
//!
//! // Two runs of six GPUs on a node of eight: one starts, the other waits for its end.
//! let six = Demand::new(CpuMilli::ZERO, MemoryMib::ZERO, StorageMib::ZERO, GpuDemand::Whole(6), vec![])?;
//! let now = Timestamp::EPOCH;
//! for id in [first, second] {
//!     queue.submit(Job::new(id, all, ada, now, Ask::one(six.clone())))?;
//! }
//! let plan = queue.tick(now);
//! assert_eq!(plan.grants.len(), 1);
//! for grant in plan.grants {
//!     queue.start(grant.job, grant.placements, now)?;
//! }
//! assert!(queue.tick(now).grants.is_empty());
//!
//! queue.end(first);
//! assert_eq!(queue.tick(now).grants[0].job, second);
//! # Ok(())
//! # }
//! ```

mod claims;
mod cover;
mod elsewhere;
mod gang;
mod job;
mod line;
mod nodes;
mod order;
mod pending;
mod plan;
mod policy;
mod preempt;
mod reservations;
mod resources;
mod round;
mod running;
mod settings;
mod share;
mod shares;
mod state;
mod tree;
mod trial;
mod usage;
mod victims;
mod why;

#[cfg(test)]
mod tests;

pub use gang::GangMisfit;
pub use job::{Ask, InvalidAsk, Job, MAX_MEMBERS, Running};
pub use order::History;
pub use plan::{Grant, Plan, Preemption, PreemptionReason, Reservation};
pub use policy::{QueuePolicy, UnknownQueuePolicy};
pub use resources::{Resource, Resources};
pub use settings::Settings;
pub use share::Share;
pub use state::{Queue, Unacceptable};
pub use tree::{Charge, InvalidTree, MAX_LEVELS, QueueMisfit, QueueNode, QueueTree, Quota, Quotas};
pub use usage::{Decay, Use};
pub use why::{Reason, WhyPending};
