//! What a provider of machines has to do: [`RentalProvider`].

use std::fmt;

use async_trait::async_trait;

use super::offer::{Offer, OfferQuery};
use crate::entity::{LeaseId, RentalId};

/// The longest name of a machine at its provider, in bytes: the names of its GPUs are made of it.
pub const MAX_INSTANCE_ID: usize = 120;

/// A provider of machines with GPUs, as the host talks to it.
///
/// # Contract
/// - `rent` gives the machine its label in the call that rents it. Where a provider cannot, what it rents is not recognised when
///   its answer is lost.
/// - `rent` answers [`ProviderError::Refused`] only where nothing was rented. Where it is not known, it is
///   [`ProviderError::Unknown`]: the machine is found by its label later, or given back.
/// - `list` answers every machine whose label begins with the prefix, whether it runs or not, or an error. It never answers a
///   part: what is not in it counts as not there. More may be in it; what has another label is left alone.
/// - `release` of what is not there is a success.
/// - Every call ends by itself: an implementation has its own time limits.
#[async_trait]
pub trait RentalProvider: Send + Sync + fmt::Debug {
    /// Its name: 1 to 64 bytes, always the same. A rental belongs to the provider of this name.
    fn name(&self) -> &str;

    /// What may be rented now.
    async fn offers(&self, query: &OfferQuery) -> ProviderResult<Vec<Offer>>;

    /// Rents a machine.
    async fn rent(&self, request: &RentRequest) -> ProviderResult<RentedMachine>;

    /// Every machine whose label begins with this.
    async fn list(&self, label_prefix: &str) -> ProviderResult<Vec<ListedMachine>>;

    /// Gives a machine back.
    async fn release(&self, instance_id: &str) -> ProviderResult<()>;
}

/// What a provider answers.
pub type ProviderResult<T> = std::result::Result<T, ProviderError>;

/// Why a provider did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// It did not do it, and will not.
    #[error("the provider refused: {reason}")]
    Refused {
        /// What it says.
        reason: String,
    },
    /// It may have done it: the answer was lost, or says nothing.
    #[error("it is not known what the provider did: {reason}")]
    Unknown {
        /// What is known.
        reason: String,
    },
}

impl ProviderError {
    /// That nothing was done.
    pub fn refused(reason: impl Into<String>) -> Self {
        Self::Refused { reason: reason.into() }
    }

    /// That it is not known what was done.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown { reason: reason.into() }
    }
}

/// What is to be rented.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RentRequest {
    /// The label that the machine has to have.
    pub label: String,
    /// The row.
    pub rental: RentalId,
    /// The lease that it is for: what a worker on the machine takes.
    pub lease: LeaseId,
    /// The offer, as the provider calls it.
    pub offer: String,
    /// How many GPUs it has.
    pub gpus: u32,
    /// What an hour costs at most, in millionths of the host's currency.
    pub price_micros: u64,
}

/// A machine that was rented.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RentedMachine {
    /// What it is called at the provider: 1 to [`MAX_INSTANCE_ID`] bytes.
    pub instance_id: String,
}

impl RentedMachine {
    /// The machine that is called so.
    pub fn new(instance_id: impl Into<String>) -> Self {
        Self { instance_id: instance_id.into() }
    }
}

/// A machine that a provider has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedMachine {
    /// What it is called at the provider.
    pub instance_id: String,
    /// Its label.
    pub label: Option<String>,
    /// Whether it runs. One that does not is there, and is paid for.
    pub running: bool,
}

impl ListedMachine {
    /// A running machine that is called so, and has this label.
    pub fn new(instance_id: impl Into<String>, label: impl Into<Option<String>>) -> Self {
        Self { instance_id: instance_id.into(), label: label.into(), running: true }
    }

    /// Says whether it runs.
    pub const fn running(mut self, running: bool) -> Self {
        self.running = running;
        self
    }
}
