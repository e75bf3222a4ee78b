//! A machine rented for a run: [`Rental`].

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::field::entity;
use super::gpu_lease::LeaseId;
use super::text::{text_enum, transitions};
use super::{Entity, Entry, ListPage, PageRequest, Repositories};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::store::{Column, Fixed, Index, Invariant, Reference, Scan, Table, Unique};
use crate::time::Timestamp;

/// The id of a [`Rental`].
pub type RentalId = Id<Rental>;

/// A machine with GPUs that is rented of a provider for one lease.
///
/// The row is there before the provider is asked, and its id is in the label of the machine there: whatever was rented under the
/// label of a row that does not want it can be told, and is given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rental {
    /// The id: what makes its label.
    pub id: RentalId,
    /// The lease, until the machine is given back.
    pub lease_id: Option<LeaseId>,
    /// The lease that it is or was of.
    pub of_lease: LeaseId,
    /// The name of the provider, at most 64 bytes.
    pub provider: String,
    /// The offer that is taken, as the provider calls it; at most 128 bytes.
    pub offer: String,
    /// What is rented it is called at the provider; at most 128 bytes. `None` until it is known.
    pub instance_id: Option<String>,
    /// Where it is.
    pub state: RentalState,
    /// How many GPUs it has.
    pub gpus: u32,
    /// Their model, at most 64 bytes.
    pub gpu_model: String,
    /// What an hour costs, in millionths of the host's currency.
    pub price_micros: u64,
    /// How often the provider was asked for it, or to take it back.
    pub tries: u32,
    /// What the provider last said; at most 4,096 bytes.
    pub status_info: Option<String>,
    /// Until when it has to be there, while it is asked for.
    pub ready_until: Timestamp,
    /// When it was decided on.
    pub created_at: Timestamp,
    /// When the provider had it.
    pub rented_at: Option<Timestamp>,
    /// When it was known to be given back, or never to have been.
    pub ended_at: Option<Timestamp>,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When the provider's answer to being asked for it came. `None` while it is waited for, or where it was lost.
    pub answered_at: Option<Timestamp>,
    /// Since when the provider's lists do not have it.
    pub missing_since: Option<Timestamp>,
}

text_enum!(
    /// Where a rental is.
    RentalState, "state" {
        /// It is decided on: the provider may have been asked, and may have it.
        Renting = "renting",
        /// The provider has it.
        Rented = "rented",
        /// It is to be given back: the provider may have it still.
        Releasing = "releasing",
        /// The provider does not have it any more. Terminal.
        Released = "released",
        /// The provider never had it. Terminal.
        Failed = "failed",
        /// The provider had it, and then had it no longer without being asked. Terminal.
        Lost = "lost",
    }
);

text_enum!(
    /// What happens to a rental.
    RentalEvent, "event" {
        /// The provider says, or lists, that it is there.
        Seen = "seen",
        /// It is not wanted any more.
        Release = "release",
        /// The provider lists everything, and it is not there.
        Gone = "gone",
    }
);

transitions!(
    /// The state after an event, or `WrongState` where it cannot happen.
    RentalState, RentalEvent, "rental"
);

impl RentalState {
    const fn after(self, event: RentalEvent) -> Option<Self> {
        match (self, event) {
            (Self::Renting | Self::Rented, RentalEvent::Seen) => Some(Self::Rented),
            (Self::Renting | Self::Rented | Self::Releasing, RentalEvent::Release)
            | (Self::Releasing, RentalEvent::Seen) => Some(Self::Releasing),
            (Self::Renting, RentalEvent::Gone) => Some(Self::Failed),
            (Self::Rented, RentalEvent::Gone) => Some(Self::Lost),
            (Self::Releasing, RentalEvent::Gone) => Some(Self::Released),
            _ => None,
        }
    }

    /// Whether the provider may have it.
    pub const fn may_be_there(self) -> bool {
        matches!(self, Self::Renting | Self::Rented | Self::Releasing)
    }
}

impl Rental {
    /// How long the provider had it at a time, or has had it: what is paid for. Nothing where it never had it.
    pub fn held(&self, now: Timestamp) -> std::time::Duration {
        let from = self.rented_at.or(self.ended_at).unwrap_or(now);
        self.ended_at.unwrap_or(now).since(from)
    }
}

/// The table of [`Rental`].
pub static RENTALS: Table = Table::new(
    "rentals",
    &[
        Column::uuid("id"),
        Column::uuid("lease_id").nullable(),
        Column::uuid("of_lease").immutable(),
        Column::text("provider", 64).immutable(),
        Column::text("offer", 128).immutable(),
        Column::text("instance_id", 128).nullable(),
        Column::text("state", 16),
        Column::int("gpus").immutable(),
        Column::text("gpu_model", 64).immutable(),
        Column::int("price_micros").immutable(),
        Column::int("tries").default(Fixed::Int(0)),
        Column::text("status_info", 4096).nullable(),
        Column::time("ready_until").immutable(),
        Column::time("created_at").immutable(),
        Column::time("rented_at").nullable(),
        Column::time("ended_at").nullable(),
        Column::time("updated_at"),
        Column::time("answered_at").nullable(),
        Column::time("missing_since").nullable(),
    ],
    &["id"],
)
.uniques(&[
    Unique::new("rentals_lease", &["lease_id"]),
    Unique::new("rentals_instance_id", &["provider", "instance_id"]),
])
.indexes(&[Index::new("rentals_state", &["provider", "state"])])
.references(&[Reference::new("rentals_of_lease", &["of_lease"], "gpu_leases")])
.invariants(&[
    Invariant::one_of("rentals_state", "state", RentalState::TEXTS),
    Invariant::at_least("rentals_gpus_positive", "gpus", 1),
    Invariant::at_least("rentals_price_not_negative", "price_micros", 0),
    Invariant::at_least("rentals_tries_not_negative", "tries", 0),
]);

entity!(Rental, "rental", RENTALS {
    fixed: id, of_lease, provider, offer, gpus, gpu_model, price_micros, ready_until, created_at;
    plain: lease_id, instance_id, state, tries, status_info, rented_at, ended_at, updated_at,
        answered_at, missing_since;
});

/// Which rentals a list gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RentalFilter {
    /// Only those of this provider.
    pub provider: Option<String>,
    /// Only those in this state, of the provider that is named.
    pub state: Option<RentalState>,
}

/// Where [`Rental`]s are kept. They are made and ended by operations.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait RentalRepository: Send + Sync {
    /// The one with this id.
    async fn get(&self, id: RentalId) -> Result<Option<Entry<Rental>>>;

    /// The one with this id, or `NotFound`.
    async fn require(&self, id: RentalId) -> Result<Entry<Rental>> {
        self.get(id).await?.ok_or_else(|| Error::not_found(Rental::KIND, id))
    }

    /// A page, in the order of ids among those of one state.
    async fn list(&self, filter: RentalFilter, page: PageRequest) -> Result<ListPage<Rental>>;
}

#[async_trait]
impl RentalRepository for Repositories {
    async fn get(&self, id: RentalId) -> Result<Option<Entry<Rental>>> {
        self.get_entry(id).await
    }

    async fn list(&self, filter: RentalFilter, page: PageRequest) -> Result<ListPage<Rental>> {
        let all = Scan::of(&RENTALS);
        let scan = match (filter.provider.as_deref(), filter.state) {
            (Some(provider), None) => all.by("rentals_state").with(provider),
            (Some(provider), Some(state)) => all.by("rentals_state").with(provider).with(state.as_str()),
            (None, Some(state)) => all.test(crate::store::Test::eq("state", state.as_str())),
            (None, None) => all,
        };
        self.list_entries(scan, page).await
    }
}

impl Repositories {
    /// The repository of [`Rental`]s.
    pub fn rentals(&self) -> &dyn RentalRepository {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_allows_exactly_the_events_of_the_table() {
        use RentalState::{Failed, Lost, Released, Releasing, Rented, Renting};
        const NO: Option<RentalState> = None;
        // seen, release, gone
        let table = [
            (Renting, [Some(Rented), Some(Releasing), Some(Failed)]),
            (Rented, [Some(Rented), Some(Releasing), Some(Lost)]),
            (Releasing, [Some(Releasing), Some(Releasing), Some(Released)]),
            (Released, [NO; 3]),
            (Failed, [NO; 3]),
            (Lost, [NO; 3]),
        ];
        assert_eq!(table.map(|(state, _)| state), RentalState::ALL);
        for (state, row) in table {
            for (event, to) in RentalEvent::ALL.iter().zip(row) {
                assert_eq!(state.on(*event).ok(), to, "{state} on {event}");
            }
            assert_eq!(state.may_be_there(), row != [NO; 3], "{state}");
        }
    }
}
