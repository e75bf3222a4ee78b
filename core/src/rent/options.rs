//! What the host decides about rented machines: [`RentalOptions`], and the label that it makes.

use std::time::Duration;

use uuid::Uuid;

use super::offer::Offer;
use crate::entity::{LeaseId, Rental, RentalId, RentalState};
use crate::error::{Error, Result};
use crate::time::Timestamp;

/// What the host decides about rented machines.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RentalOptions {
    /// The name of this installation: 1 to 40 lower-case letters, digits, `-` and `_`. Machines under its label that no row wants
    /// are given back, so no two databases may share one, a copy of a database included.
    pub deployment: String,
    /// How long a machine has to be missing from the provider's lists until it counts as gone; as long as a machine may be rented
    /// and not listed yet.
    pub grace: Duration,
    /// How long the provider has until a machine is there.
    pub ready_within: Duration,
}

impl RentalOptions {
    /// Those of the installation of this name: two lists a minute apart, a quarter of an hour to be there.
    pub fn new(deployment: impl Into<String>) -> Self {
        Self {
            deployment: deployment.into(),
            grace: Duration::from_mins(1),
            ready_within: Duration::from_mins(15),
        }
    }

    /// Sets how long a machine has to be missing.
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets how long the provider has.
    pub const fn ready_within(mut self, within: Duration) -> Self {
        self.ready_within = within;
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        let fits = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        if (1..=40).contains(&self.deployment.len()) && self.deployment.bytes().all(fits) {
            return Ok(());
        }
        Err(Error::invalid("rentals.deployment", "1 to 40 lower-case letters, digits, - and _ are expected"))
    }

    /// What every label of this installation begins with.
    pub fn prefix(&self) -> String {
        format!("{}/", self.deployment)
    }

    /// The label of the machine of a rental.
    pub fn label(&self, rental: RentalId) -> String {
        format!("{}/{rental}", self.deployment)
    }

    /// The rental that a label is of: only what [`label`](Self::label) makes is one.
    pub fn rental_of(&self, label: &str) -> Option<RentalId> {
        let id = label.strip_prefix(&self.deployment)?.strip_prefix('/')?;
        let rental = RentalId::new(Uuid::try_parse(id).ok()?);
        (self.label(rental) == label).then_some(rental)
    }

    /// The row of a machine that is to be rented for a lease: inserted with the lease, before the provider is asked.
    pub fn intend(
        &self,
        id: RentalId,
        lease: LeaseId,
        provider: &str,
        offer: &Offer,
        now: Timestamp,
    ) -> Rental {
        Rental {
            id,
            lease_id: Some(lease),
            of_lease: lease,
            provider: provider.to_owned(),
            offer: offer.offer.clone(),
            instance_id: None,
            state: RentalState::Renting,
            gpus: offer.gpus,
            gpu_model: offer.gpu_model.clone(),
            price_micros: offer.price_micros,
            tries: 0,
            status_info: None,
            ready_until: now.plus(self.ready_within),
            created_at: now,
            rented_at: None,
            ended_at: None,
            updated_at: now,
            answered_at: None,
            missing_since: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_it_makes_is_a_label_of_an_installation() {
        let (ours, id) = (RentalOptions::new("prod"), RentalId::new(Uuid::from_u128(7)));
        assert_eq!(ours.rental_of(&ours.label(id)), Some(id));
        let other = RentalOptions::new("prod-2").label(id);
        for label in [
            "",
            "prod",
            "prod/",
            "prod/x",
            "Prod/00000000-0000-0000-0000-000000000007",
            &other,
            "prod/00000000000000000000000000000007",
            "prod/{00000000-0000-0000-0000-000000000007}",
            "prod/00000000-0000-0000-0000-00000000000A",
            " prod/00000000-0000-0000-0000-000000000007",
            "prod/00000000-0000-0000-0000-000000000007 ",
            "prod//00000000-0000-0000-0000-000000000007",
        ] {
            assert_eq!(ours.rental_of(label), None, "{label}");
        }
    }

    #[test]
    fn a_deployment_is_a_short_name() {
        for good in ["a", "prod-2", "a_b", &"x".repeat(40)] {
            assert!(RentalOptions::new(good).check().is_ok());
        }
        for bad in ["", "a/b", "A", "a b", "ä", &"x".repeat(41)] {
            assert!(RentalOptions::new(bad).check().is_err(), "{bad}");
        }
    }
}
