//! Machines that are rented for leases: asked for, recorded, and given back.
//!
//! A provider is called between two batches, never inside one. What it may have done in a call whose answer was lost is found by
//! the label: `ask.rs` asks once, `janitor.rs` compares with what the provider lists, `ended.rs` is what becomes of a lease
//! whose machine is gone.

mod answer;
mod ask;
mod ended;
mod gpus;
mod janitor;

pub use ask::Asked;
pub use janitor::JanitorPass;

use super::ControlPlane;
use super::leases::{LOOKS, still_of};
use super::users::Happened;
use crate::entity::{
    BindingState, Entity as _, Entry, GPU_LEASES, GpuLease, RENTALS, Rental, RentalId, TRAINING_RUNS,
    TrainingRun, entry,
};
use crate::error::{Error, Result};
use crate::rent::RentalOptions;
use crate::store::{Key, Row, StoreExt as _, Write};
use crate::time::Timestamp;

/// A rental with its lease and the run of that, as they were read.
#[derive(Clone, Debug)]
struct Held {
    rental: Entry<Rental>,
    lease: Entry<GpuLease>,
    run: Entry<TrainingRun>,
    now: Timestamp,
}

impl Held {
    /// Whether the lease is still to be worked on.
    fn is_wanted(&self) -> bool {
        self.rental.lease_id.is_some()
            && matches!(self.lease.state, BindingState::Reserved | BindingState::Bound)
    }

    /// The write of the changed rental.
    fn updated(&self, rental: &Rental) -> Write {
        Write::update(&RENTALS, rental.id, self.rental.revision, rental.plain())
    }

    /// It was written: what is there now.
    fn became(&mut self, rental: Rental) {
        self.rental = Entry::new(rental, self.rental.revision + 1);
    }
}

impl ControlPlane {
    pub(in crate::plane) fn rental_options(&self) -> Result<&RentalOptions> {
        let options = self.rentals.as_deref();
        let options =
            options.ok_or_else(|| Error::invalid("rentals", "the host has said nothing about renting"))?;
        options.check()?;
        Ok(options)
    }

    async fn held_rental(&self, id: RentalId) -> Result<Held> {
        self.held_rentals(&[id]).await?.pop().ok_or_else(|| Error::not_found(Rental::KIND, id))
    }

    /// Those of these rentals that there are, with what they are of, as lease and run fit together.
    async fn held_rentals(&self, ids: &[RentalId]) -> Result<Vec<Held>> {
        for _ in 0..LOOKS {
            let held = self.read_rentals(ids).await?;
            if held.iter().all(|held| still_of(&held.lease, &held.run)) {
                return Ok(held);
            }
        }
        Err(Error::Conflict { what: Rental::KIND.to_owned() })
    }

    async fn read_rentals(&self, ids: &[RentalId]) -> Result<Vec<Held>> {
        let rentals = ids.iter().map(|id| (&RENTALS, Key::from(*id))).collect();
        let rentals: Vec<Row> = self.store.get_many(rentals).await?.value.into_iter().flatten().collect();
        let mut keys = Vec::with_capacity(rentals.len());
        for row in &rentals {
            keys.push((&GPU_LEASES, Key::from(row.id::<GpuLease>("of_lease")?)));
        }
        let leases = self.store.get_many(keys).await?.value;
        let mut keys = Vec::with_capacity(rentals.len());
        for lease in &leases {
            keys.push((&TRAINING_RUNS, Key::from(there(lease.as_ref())?.id::<TrainingRun>("of_run")?)));
        }
        let runs = self.store.get_many(keys).await?;
        let mut held = Vec::with_capacity(rentals.len());
        for ((rental, lease), run) in rentals.iter().zip(&leases).zip(&runs.value) {
            let (rental, lease, run) =
                (entry(rental)?, entry(there(lease.as_ref())?)?, entry(there(run.as_ref())?)?);
            held.push(Held { rental, lease, run, now: runs.now });
        }
        Ok(held)
    }

    fn log_rental(&self, operation: &'static str, rental: &Rental, told: &str, now: Timestamp) -> Write {
        let (kind, subject) = (Rental::KIND, rental.id.uuid());
        self.log(Happened { operation, actor: None, kind, subject, description: told }, now)
    }
}

/// A row that is there as long as what refers to it is; both may just have been deleted.
fn there(row: Option<&Row>) -> Result<&Row> {
    row.ok_or_else(|| Error::Conflict { what: Rental::KIND.to_owned() })
}

/// So much of what a provider says as is kept.
fn clipped(told: &str) -> String {
    let mut told: String = told.chars().filter(|letter| *letter != '\0').collect();
    told.truncate(told.floor_char_boundary(1024));
    told
}
