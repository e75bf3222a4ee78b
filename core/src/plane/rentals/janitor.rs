//! Comparing what a provider has with what is decided.

use std::collections::BTreeSet;

use super::{ControlPlane, Held, clipped};
use crate::entity::{Entity as _, RENTALS, Rental, RentalEvent, RentalId, RentalState};
use crate::error::{Error, Result};
use crate::plane::retry::lost_race;
use crate::rent::{
    KnownRental, ListPass, ListedMachine, RentalAction, RentalOptions, RentalProvider, reconcile,
};
use crate::store::{Batch, Scan, StoreExt as _};

/// How many rows are read at once.
const AT_ONCE: usize = 100;

/// What one comparison with a provider came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JanitorPass {
    /// How many machines the provider listed under our label.
    pub listed: u64,
    /// How many of those do not run, and are paid for.
    pub stopped: u64,
    /// How many were found, or found again.
    pub seen: u64,
    /// How many were missing for the first time.
    pub missed: u64,
    /// How many turned out not to be wanted any more.
    pub unwanted: u64,
    /// How many machines the provider was asked to take back.
    pub given_back: u64,
    /// How many of these calls failed: the next pass asks again.
    pub refused: u64,
    /// How many rentals ended.
    pub ended: u64,
    /// How many somebody else changed meanwhile: the next pass looks again.
    pub late: u64,
    /// How many could not be recorded.
    pub failed: u64,
}

impl ControlPlane {
    /// Lists what the provider has under our label, and compares: what no row wants is given back, what a row wants is recorded, and
    /// what a row has and the provider has not any more is gone, and its run goes on elsewhere. Machines with another label are
    /// not touched. Any number of processes may do so at any time.
    ///
    /// A machine that is not listed is gone when it was missing for as long as [`RentalOptions::grace`]: pass at least that often.
    ///
    /// # Errors
    /// `Provider` where it could not list, and nothing was done; `Invalid` where the host has said nothing about renting; those of
    /// the store.
    #[tracing::instrument(skip_all, fields(provider = provider.name()))]
    pub async fn janitor_pass(&self, provider: &dyn RentalProvider) -> Result<JanitorPass> {
        let options = self.rental_options()?;
        let began = self.store.read(Vec::new()).await?.now;
        let listed = provider.list(&options.prefix()).await?;
        // Behind the list: the row of what is in it was there before it was rented.
        let held = self.known_rentals(provider.name(), options, &listed).await?;
        let known: Vec<_> =
            held.iter().map(|held| KnownRental::new(held.rental.value.clone(), held.is_wanted())).collect();
        let actions = reconcile(options, &known, &listed, ListPass::new(began, options.grace));
        let mut pass = JanitorPass::of(options, &listed);
        for actions in actions.chunk_by(|one, next| one.rental() == next.rental()) {
            let of = actions.first().map(RentalAction::rental);
            let mut held = held.iter().find(|held| Some(held.rental.id) == of).cloned();
            for action in actions {
                match self.rental_action(provider, action, held.as_mut(), &mut pass).await {
                    Ok(true) => {}
                    Ok(false) => {
                        pass.late += 1;
                        break;
                    }
                    Err(error @ Error::Store(_)) => return Err(error),
                    Err(error) => {
                        tracing::warn!(rental = %action.rental(), %error, "a rental could not be recorded");
                        pass.failed += 1;
                        break;
                    }
                }
            }
        }
        Ok(pass)
    }

    /// The rentals of a provider that may be there, and those that its labels name.
    async fn known_rentals(
        &self,
        provider: &str,
        options: &RentalOptions,
        listed: &[ListedMachine],
    ) -> Result<Vec<Held>> {
        let labels = listed.iter().filter_map(|machine| options.rental_of(machine.label.as_deref()?));
        let mut ids: BTreeSet<RentalId> = labels.collect();
        for state in RentalState::ALL.iter().filter(|state| state.may_be_there()) {
            let scan = Scan::of(&RENTALS).by("rentals_state").with(provider).with(state.as_str());
            for row in self.store.scan_all(scan).await? {
                ids.insert(row.id("id")?);
            }
        }
        let ids: Vec<RentalId> = ids.into_iter().collect();
        let mut known = Vec::with_capacity(ids.len());
        for ids in ids.chunks(AT_ONCE) {
            // What is another provider's is not this one's to have.
            let held = self.held_rentals(ids).await?;
            known.extend(held.into_iter().filter(|held| held.rental.provider == provider));
        }
        Ok(known)
    }

    /// Carries out what is to be done; `false` where somebody else changed the row meanwhile.
    async fn rental_action(
        &self,
        provider: &dyn RentalProvider,
        action: &RentalAction,
        held: Option<&mut Held>,
        pass: &mut JanitorPass,
    ) -> Result<bool> {
        let held = match (action, held) {
            (RentalAction::GiveBack { instance_id, .. }, held) => {
                return self.machine_back(provider, instance_id, held, pass).await;
            }
            (_, Some(held)) => held,
            (_, None) => return Ok(true),
        };
        let mut rental = held.rental.value.clone();
        rental.updated_at = held.now;
        let mut batch = self.batch("rental.janitor");
        let counted = match action {
            RentalAction::Seen { instance_id, .. } => {
                rental = self.machine_seen(&mut batch, held, rental, instance_id).await?;
                &mut pass.seen
            }
            RentalAction::Missed { .. } => {
                rental.missing_since = Some(held.now);
                batch.push(held.updated(&rental));
                &mut pass.missed
            }
            RentalAction::Unwanted { .. } => {
                rental.state = rental.state.on(RentalEvent::Release)?;
                batch.push(held.updated(&rental));
                batch.push(self.log_rental("rental.release", &rental, "it is not wanted any more", held.now));
                &mut pass.unwanted
            }
            RentalAction::Gone { .. } => {
                if !self.gpus_disappear(held).await? {
                    return Ok(false);
                }
                batch = self.rental_gone("rental.gone", held, None).await?;
                &mut pass.ended
            }
            RentalAction::GiveBack { .. } => return Ok(true),
        };
        if !self.rental_written(batch).await? {
            return Ok(false);
        }
        *counted += 1;
        held.became(rental);
        Ok(true)
    }

    /// Asks the provider to take a machine back. Of a row that is to be given back that is counted before.
    async fn machine_back(
        &self,
        provider: &dyn RentalProvider,
        instance: &str,
        mut held: Option<&mut Held>,
        pass: &mut JanitorPass,
    ) -> Result<bool> {
        if let Some(held) = held.as_mut().filter(|held| held.rental.state == RentalState::Releasing) {
            let mut rental = held.rental.value.clone();
            (rental.tries, rental.updated_at) = (rental.tries.saturating_add(1), held.now);
            if !self.rental_written(self.batch("rental.give_back").with(held.updated(&rental))).await? {
                return Ok(false);
            }
            held.became(rental);
        }
        pass.given_back += 1;
        let Err(error) = provider.release(instance).await else { return Ok(true) };
        pass.refused += 1;
        tracing::warn!(instance, %error, "a machine was not given back yet");
        if let Some(held) = held.filter(|held| held.rental.state == RentalState::Releasing) {
            let mut rental = held.rental.value.clone();
            rental.status_info = Some(clipped(&error.to_string()));
            if !self.rental_written(self.batch("rental.give_back").with(held.updated(&rental))).await? {
                return Ok(false);
            }
            held.became(rental);
        }
        Ok(true)
    }

    /// Commits a batch; `false` where somebody else was faster.
    async fn rental_written(&self, batch: Batch) -> Result<bool> {
        match self.store.commit(batch).await {
            Ok(_) => Ok(true),
            Err(error) if lost_race(&error) => Ok(false),
            Err(error) => Err(Error::of_store(Rental::KIND, error)),
        }
    }
}

impl JanitorPass {
    fn of(options: &RentalOptions, listed: &[ListedMachine]) -> Self {
        let ours = |machine: &&ListedMachine| {
            machine.label.as_deref().is_some_and(|label| options.rental_of(label).is_some())
        };
        let count = |machines: usize| u64::try_from(machines).unwrap_or(u64::MAX);
        Self {
            listed: count(listed.iter().filter(ours).count()),
            stopped: count(listed.iter().filter(ours).filter(|machine| !machine.running).count()),
            ..Self::default()
        }
    }
}
