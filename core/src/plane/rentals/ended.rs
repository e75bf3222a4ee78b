//! What becomes of a lease whose machine is gone: that is the evidence that nothing uses its GPUs any more.

use super::{ControlPlane, Held, clipped};
use crate::entity::{RentalEvent, RunCause};
use crate::error::Result;
use crate::store::Batch;

impl ControlPlane {
    /// A batch that ends a rental. Whatever its lease still holds comes back; a run whose own lease it was goes on with another one,
    /// or ends.
    pub(super) async fn rental_gone(
        &self,
        operation: &'static str,
        held: &Held,
        info: Option<&str>,
    ) -> Result<Batch> {
        let mut rental = held.rental.value.clone();
        rental.state = rental.state.on(RentalEvent::Gone)?;
        (rental.lease_id, rental.ended_at, rental.updated_at) = (None, Some(held.now), held.now);
        rental.status_info = info.map(clipped).or_else(|| rental.status_info.take());
        let mut batch = if held.rental.lease_id.is_some() && held.lease.state.holds() {
            // What was there and is not any more has broken; what never was could not be rented.
            let cause = if rental.rented_at.is_some() { RunCause::Hardware } else { RunCause::NotRented };
            self.lost(operation, held.run.clone(), held.lease.clone(), cause, held.now).await?
        } else {
            self.batch(operation)
        };
        batch.push(held.updated(&rental));
        batch.push(self.log_rental(operation, &rental, rental.state.as_str(), held.now));
        Ok(batch)
    }
}
