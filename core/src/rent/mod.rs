//! Machines that are rented: what a provider has to do ([`RentalProvider`]), and the rule that compares what is decided with what is
//! there ([`reconcile`]).
//!
//! The row of a rental is there before the provider is asked, and the machine's label says of which row it is. So whatever
//! becomes of the process that asks, a machine that no row wants is told by its label and is given back; a machine with any
//! other label is nobody's business.

#[cfg(any(test, feature = "conformance"))]
pub mod mock;
mod offer;
mod options;
mod provider;
mod reconcile;

pub use offer::{Offer, OfferQuery};
pub use options::RentalOptions;
pub use provider::{
    ListedMachine, MAX_INSTANCE_ID, ProviderError, ProviderResult, RentRequest, RentalProvider, RentedMachine,
};
pub use reconcile::{KnownRental, ListPass, RentalAction, reconcile};
