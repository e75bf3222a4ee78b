//! A control plane in the application's own transaction.

use std::sync::{Arc, Mutex, PoisonError};

use super::ControlPlane;
use super::follow::Held;
use crate::entity::{InstanceId, Repositories};
use crate::identity::Caller;
use crate::store::Store;

#[cfg(test)]
mod tests;

impl ControlPlane {
    /// This control plane inside a transaction that the application began: it reads and commits there, so what it does
    /// happens with the application's own statements or not at all. `transaction` is a store itself, such as the SQL
    /// backends bind to a transaction of their database.
    ///
    /// Where there is room it learns from this control plane, whose store it asks for the feed meanwhile: a transaction
    /// has none. What it launches is taken off what both see as free until it is dropped, so drop it when the transaction
    /// has ended, whichever way. A launch does not count on room that a deletion in the same transaction makes.
    ///
    /// A refusal leaves the transaction as it was. What needs a snapshot, such as [`ControlPlane::audit`], is refused.
    pub fn within(&self, transaction: Arc<dyn Store>) -> Self {
        let unsettled = Some(Arc::new(Mutex::new(Held::none(&self.followed))));
        Self { unsettled, ..self.derived(transaction, Arc::clone(&self.caller)) }
    }

    /// The same control plane over another way to its store, on behalf of somebody.
    pub(super) fn derived(&self, store: Arc<dyn Store>, caller: Arc<Caller>) -> Self {
        Self {
            repositories: Repositories::new(Arc::clone(&store), Arc::clone(&self.ids)),
            followed: Arc::clone(&self.followed),
            planner: Arc::clone(&self.planner),
            metrics: Arc::clone(&self.metrics),
            ids: Arc::clone(&self.ids),
            entity_ids: Arc::clone(&self.entity_ids),
            deadline: self.deadline,
            identity: Arc::clone(&self.identity),
            trainings: self.trainings,
            refusals: Arc::clone(&self.refusals),
            rentals: self.rentals.clone(),
            runs: self.runs,
            caller,
            unsettled: self.unsettled.clone(),
            store,
        }
    }

    /// A batch about an instance was accepted. Outside a transaction it stays off the view until its record arrives;
    /// inside one nobody knows whether that will ever be.
    pub(super) fn settled(&self, held: &mut Held, instance: InstanceId, launched: bool) {
        match &self.unsettled {
            None => held.keep(instance.uuid()),
            Some(unsettled) if launched => {
                let mut unsettled = unsettled.lock().unwrap_or_else(PoisonError::into_inner);
                held.pass_on(instance.uuid(), &mut unsettled);
            }
            // What a deletion gives back is nobody's to take before it is committed: `held` forgets it.
            Some(_) => {}
        }
    }

    /// How many launches wait for the end of the transaction.
    pub(super) fn unsettled(&self) -> usize {
        let count = |held: &Mutex<Held>| held.lock().unwrap_or_else(PoisonError::into_inner).count();
        self.unsettled.as_deref().map_or(0, count)
    }
}
