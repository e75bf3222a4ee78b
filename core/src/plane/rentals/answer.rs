//! What a provider answered, and what it turned out to have.

use super::{ControlPlane, Held, clipped};
use crate::entity::{Entity as _, Rental, RentalEvent, RentalId, RentalState};
use crate::error::{Error, Result};
use crate::plane::decided::Decided;
use crate::rent::{MAX_INSTANCE_ID, ProviderError, ProviderResult, RentedMachine};
use crate::store::Batch;

/// What was recorded of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Recorded {
    /// The machine is there.
    Rented,
    /// Nothing was rented.
    Refused,
    /// It is not known.
    Unknown,
    /// This machine was rented, and no row wants it.
    NotWanted(String),
}

impl ControlPlane {
    /// Records an answer that comes late; answers the machine that no row wants.
    #[cfg(feature = "conformance")]
    pub(in crate::plane) async fn hears_late(
        &self,
        id: RentalId,
        answer: &ProviderResult<RentedMachine>,
    ) -> Result<Option<String>> {
        match self.record_answer(id, answer).await? {
            Recorded::NotWanted(instance) => Ok(Some(instance)),
            _ => Ok(None),
        }
    }

    /// Records what the provider answered to being asked for a machine, however late it comes.
    pub(super) async fn record_answer(
        &self,
        id: RentalId,
        answer: &ProviderResult<RentedMachine>,
    ) -> Result<Recorded> {
        self.decided("rental.answer", Rental::KIND, || async move {
            let held = match (self.held_rental(id).await, answer) {
                // Its run was deleted meanwhile.
                (Err(Error::NotFound { .. }), Ok(machine)) => {
                    return Ok(Decided::Done(Recorded::NotWanted(machine.instance_id.clone())));
                }
                (Err(Error::NotFound { .. }), Err(_)) => return Ok(Decided::Done(Recorded::Unknown)),
                (held, _) => held?,
            };
            match answer {
                Ok(machine) if (1..=MAX_INSTANCE_ID).contains(&machine.instance_id.len()) => {
                    self.rental_rented(held, &machine.instance_id).await
                }
                Ok(machine) => {
                    let told = format!("a name of {} bytes", machine.instance_id.len());
                    Ok(self.rental_unknown(&held, &told))
                }
                Err(ProviderError::Refused { reason }) => self.rental_refused(held, reason).await,
                Err(error) => Ok(self.rental_unknown(&held, &error.to_string())),
            }
        })
        .await
    }

    async fn rental_rented(&self, held: Held, instance: &str) -> Result<Decided<Recorded>> {
        let recorded = held.rental.instance_id.as_deref();
        if !held.rental.state.may_be_there() || recorded.is_some_and(|recorded| recorded != instance) {
            // Its label leads the janitor there too, should it not be given back now.
            return Ok(Decided::Done(Recorded::NotWanted(instance.to_owned())));
        }
        let mut batch = self.batch("rental.answer");
        let mut rental = held.rental.value.clone();
        rental.answered_at = Some(held.now);
        self.machine_seen(&mut batch, &held, rental, instance).await?;
        Ok(Decided::Commit(Recorded::Rented, batch))
    }

    async fn rental_refused(&self, held: Held, reason: &str) -> Result<Decided<Recorded>> {
        if !held.rental.state.may_be_there() {
            return Ok(Decided::Done(Recorded::Refused));
        }
        if held.rental.instance_id.is_some() {
            // It says no, and lists it.
            return Ok(self.rental_unknown(&held, reason));
        }
        let batch = self.rental_gone("rental.refused", &held, Some(reason)).await?;
        Ok(Decided::Commit(Recorded::Refused, batch))
    }

    /// The call is over, and says nothing of what came of it.
    fn rental_unknown(&self, held: &Held, told: &str) -> Decided<Recorded> {
        if !held.rental.state.may_be_there() {
            return Decided::Done(Recorded::Unknown);
        }
        let mut rental = held.rental.value.clone();
        (rental.answered_at, rental.updated_at) = (Some(held.now), held.now);
        rental.status_info = Some(clipped(told));
        let batch = self.batch("rental.answer").with(held.updated(&rental)).with(self.log_rental(
            "rental.unknown",
            &rental,
            "the answer says nothing",
            held.now,
        ));
        Decided::Commit(Recorded::Unknown, batch)
    }

    /// Adds that the machine of a rental is there: its GPUs are the lease's, where that is still to be worked on. One that is not
    /// wanted any more is recorded too, and is to be given back.
    pub(super) async fn machine_seen(
        &self,
        batch: &mut Batch,
        held: &Held,
        mut rental: Rental,
        instance: &str,
    ) -> Result<Rental> {
        rental.state = rental.state.on(RentalEvent::Seen)?;
        if !held.is_wanted() {
            rental.state = rental.state.on(RentalEvent::Release)?;
        }
        rental.instance_id = Some(instance.to_owned());
        rental.rented_at = rental.rented_at.or(Some(held.now));
        (rental.missing_since, rental.updated_at) = (None, held.now);
        if rental.state == RentalState::Rented {
            self.gpus_appear(batch, held, instance).await?;
        }
        batch.push(held.updated(&rental));
        batch.push(self.log_rental("rental.seen", &rental, instance, held.now));
        Ok(rental)
    }
}
