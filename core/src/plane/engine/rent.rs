//! Renting for runs that own nodes have no room for.

use uuid::Uuid;

use super::RunScheduler;
use crate::entity::{LeaseId, RunId};
use crate::error::{Error, Result};
use crate::plane::leases::{Grant, GrantRental};
use crate::queue::Reason;
use crate::rent::{OfferQuery, RentalProvider};

/// How many runs are looked at in one call.
const AT_ONCE: usize = 64;

impl RunScheduler {
    /// Decides to rent a machine for each run that waits, that says what it may cost, and for which nothing but room on own nodes
    /// is missing; the first 64 of them. Each gets a lease and the row of its rental in one batch;
    /// [`ControlPlane::rent_pending`](crate::ControlPlane::rent_pending) then asks the provider.
    ///
    /// # Errors
    /// `Invalid` where the host has said nothing about renting; `Provider` where it tells no offers; those of the store.
    #[tracing::instrument(skip_all, fields(provider = provider.name()))]
    pub async fn rent_waiting(&self, provider: &dyn RentalProvider) -> Result<Vec<(RunId, LeaseId)>> {
        let wanted = {
            let mut guard = self.known.lock().await;
            let known = self.refreshed(&mut guard).await?;
            let now = self.plane.store.read(Vec::new()).await?.now;
            let rentable: Vec<_> = known.rentable.iter().map(|(run, query)| (*run, query.clone())).collect();
            let misses_only_room = |(run, _): &(Uuid, OfferQuery)| {
                known.queue.why_pending(*run, now).is_some_and(|why| {
                    !why.reasons.is_empty() && why.reasons.iter().all(|it| matches!(it, Reason::NoRoom(_)))
                })
            };
            rentable.into_iter().filter(misses_only_room).take(AT_ONCE).collect::<Vec<_>>()
        };
        let mut grants = Vec::with_capacity(wanted.len());
        for (run, query) in wanted {
            let offers = provider.offers(&query).await.map_err(Error::Provider)?;
            if let Some(offer) = query.cheapest(&offers) {
                let rental = GrantRental { provider: provider.name().to_owned(), offer: offer.clone() };
                grants.push(Grant { run: RunId::new(run), nodes: Vec::new(), rental: Some(rental) });
            }
        }
        let answers = self.plane.grant_runs(&grants).await;
        let mut rented = Vec::new();
        for (grant, answer) in grants.iter().zip(answers) {
            match answer {
                Ok(lease) => rented.push((grant.run, lease.value.id)),
                Err(error @ (Error::Store(_) | Error::Invalid { .. })) => return Err(error),
                // It got GPUs meanwhile, or ended.
                Err(error) => tracing::debug!(run = %grant.run, %error, "not rented for"),
            }
        }
        Ok(rented)
    }
}
