//! What the queue promises.

mod backfill;
mod gangs;
mod kit;
mod order;
mod preemption;
mod properties;
mod quotas;
mod shares;
mod standing;
mod state;
mod why;
mod worlds;
