//! Asking a provider for what is to be rented: once for each rental.

use futures_util::future::join_all;

use super::answer::Recorded;
use super::{ControlPlane, Held};
use crate::entity::{Entity as _, GPU_LEASES, RENTALS, Rental, RentalId, RentalState};
use crate::error::{Error, Result};
use crate::plane::retry::lost_race;
use crate::rent::{RentRequest, RentalOptions, RentalProvider};
use crate::store::{Scan, StoreExt as _, Test, Write};

/// How many are asked for at the same time.
const AT_ONCE: usize = 16;

/// What came of asking a provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Asked {
    /// How many machines it was asked for.
    pub asked: u64,
    /// How many it rented.
    pub rented: u64,
    /// How many it refused.
    pub refused: u64,
    /// Of how many it is not known.
    pub unknown: u64,
    /// How many it rented and that were given back at once, since nobody wanted them any more.
    pub given_back: u64,
}

impl ControlPlane {
    /// Asks the provider for every machine that is to be rented of it and that it was not asked for. Any number of processes may do so
    /// at any time: each machine is asked for once.
    ///
    /// What is asked for is counted before the call. Where the answer is lost, whatever was rented is found by its label in a
    /// [`janitor_pass`](Self::janitor_pass), or given back there.
    ///
    /// # Errors
    /// `Invalid` where the host has said nothing about renting; those of the store.
    #[tracing::instrument(skip_all, fields(provider = provider.name()))]
    pub async fn rent_pending(&self, provider: &dyn RentalProvider) -> Result<Asked> {
        let options = self.rental_options()?;
        let pending = Scan::of(&RENTALS)
            .by("rentals_state")
            .with(provider.name())
            .with(RentalState::Renting.as_str())
            .test(Test::eq("tries", 0_i64));
        let rows = self.store.scan_all(pending).await?;
        let mut asked = Asked::default();
        for rows in rows.chunks(AT_ONCE) {
            let calls = rows.iter().map(async |row| self.rent_one(provider, options, row.id("id")?).await);
            for outcome in join_all(calls).await {
                asked.count(outcome?);
            }
        }
        Ok(asked)
    }

    /// Asks for one machine, where it is still wanted and nobody else has asked.
    async fn rent_one(
        &self,
        provider: &dyn RentalProvider,
        options: &RentalOptions,
        id: RentalId,
    ) -> Result<Option<Recorded>> {
        let held = match self.held_rental(id).await {
            Err(Error::NotFound { .. }) => return Ok(None),
            held => held?,
        };
        let fresh = held.rental.state == RentalState::Renting && held.rental.tries == 0;
        if !fresh || !held.is_wanted() || held.now >= held.rental.ready_until {
            return Ok(None);
        }
        let request = RentRequest {
            label: options.label(id),
            rental: id,
            lease: held.rental.of_lease,
            offer: held.rental.offer.clone(),
            gpus: held.rental.gpus,
            price_micros: held.rental.price_micros,
        };
        if !self.counts_ask(&held).await? {
            return Ok(None);
        }
        let answer = provider.rent(&request).await;
        let recorded = self.record_answer(id, &answer).await?;
        if let Recorded::NotWanted(instance) = &recorded
            && let Err(error) = provider.release(instance).await
        {
            // It has our label: the janitor finds it.
            tracing::warn!(%id, %error, "what nobody wants was not given back yet");
        }
        Ok(Some(recorded))
    }

    /// Counts that the provider is asked, before it is; `false` where somebody else was faster.
    async fn counts_ask(&self, held: &Held) -> Result<bool> {
        let mut rental = held.rental.value.clone();
        (rental.tries, rental.updated_at) = (1, held.now);
        let batch = self
            .batch("rental.ask")
            .with(held.updated(&rental))
            .with(Write::guard(&GPU_LEASES, held.lease.id, held.lease.revision))
            .with(self.log_rental("rental.ask", &rental, &rental.offer, held.now));
        match self.store.commit(batch).await {
            Ok(_) => Ok(true),
            Err(error) if lost_race(&error) => Ok(false),
            Err(error) => Err(Error::of_store(Rental::KIND, error)),
        }
    }
}

impl Asked {
    fn count(&mut self, outcome: Option<Recorded>) {
        let Some(outcome) = outcome else { return };
        self.asked += 1;
        match outcome {
            Recorded::Rented => self.rented += 1,
            Recorded::Refused => self.refused += 1,
            Recorded::Unknown => self.unknown += 1,
            Recorded::NotWanted(_) => self.given_back += 1,
        }
    }
}
