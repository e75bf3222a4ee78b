//! What a provider offers, and which offer is taken.

use crate::amount::MemoryMib;
use crate::entity::RunAsk;

/// What is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OfferQuery {
    /// How many GPUs the machine has to have: exactly so many.
    pub gpus: u32,
    /// The models that will do; all where none is named.
    pub models: Vec<String>,
    /// The memory that each GPU must have.
    pub gpu_memory: Option<MemoryMib>,
    /// What an hour may cost at most, in millionths of the host's currency.
    pub price_micros: u64,
}

/// A machine that a provider offers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Offer {
    /// What the provider calls it; at most 128 bytes.
    pub offer: String,
    /// How many GPUs it has.
    pub gpus: u32,
    /// Their model.
    pub gpu_model: String,
    /// The memory of each.
    pub gpu_memory: Option<MemoryMib>,
    /// What an hour costs, in millionths of the host's currency.
    pub price_micros: u64,
}

impl Offer {
    /// An offer that is called so, of so many GPUs of a model, at a price an hour.
    pub fn new(offer: impl Into<String>, gpus: u32, gpu_model: impl Into<String>, price_micros: u64) -> Self {
        Self { offer: offer.into(), gpus, gpu_model: gpu_model.into(), gpu_memory: None, price_micros }
    }

    /// Says how much memory each GPU has.
    pub const fn gpu_memory(mut self, memory: MemoryMib) -> Self {
        self.gpu_memory = Some(memory);
        self
    }
}

impl OfferQuery {
    /// What a run asks for, where it may be rented: a single member with whole GPUs, at a price that it names.
    pub fn of(ask: &RunAsk) -> Option<Self> {
        let price_micros = ask.rent_micros?;
        if ask.members != 1 || ask.gpus == 0 || ask.gpu_milli.get() != 1000 {
            return None;
        }
        let (models, gpu_memory) = (ask.models.clone(), ask.gpu_memory);
        Some(Self { gpus: ask.gpus, models, gpu_memory, price_micros })
    }

    /// Whether an offer will do. What a provider answers to a query is not taken on trust.
    pub fn takes(&self, offer: &Offer) -> bool {
        offer.gpus == self.gpus
            && offer.price_micros <= self.price_micros
            && (self.models.is_empty() || self.models.contains(&offer.gpu_model))
            && self.gpu_memory.is_none_or(|least| offer.gpu_memory.is_some_and(|memory| memory >= least))
            && (1..=128).contains(&offer.offer.len())
            && offer.gpu_model.len() <= 64
    }

    /// The cheapest offer that will do; of equal ones the one whose name comes first.
    pub fn cheapest<'o>(&self, offers: &'o [Offer]) -> Option<&'o Offer> {
        let fit = offers.iter().filter(|offer| self.takes(offer));
        fit.min_by(|one, other| (one.price_micros, &one.offer).cmp(&(other.price_micros, &other.offer)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::GpuMilli;

    fn ask() -> RunAsk {
        let memory = Some(MemoryMib::from_u32(24_000));
        RunAsk {
            gpus: 2,
            models: vec!["A".into()],
            gpu_memory: memory,
            rent_micros: Some(100),
            ..RunAsk::default()
        }
    }

    #[test]
    fn only_whole_gpus_of_one_machine_are_rented_and_only_where_a_price_is_named() {
        assert!(OfferQuery::of(&ask()).is_some());
        let part = GpuMilli::from_u32(500);
        for other in [
            RunAsk { rent_micros: None, ..ask() },
            RunAsk { members: 2, ..ask() },
            RunAsk { gpus: 0, ..ask() },
            RunAsk { gpus: 1, gpu_milli: part, ..ask() },
        ] {
            assert_eq!(OfferQuery::of(&other), None, "{other:?}");
        }
    }

    #[test]
    fn the_cheapest_of_those_that_fit_is_taken_and_none_where_none_fits() {
        let query = OfferQuery::of(&ask()).unwrap();
        let good =
            |name: &str, price| Offer::new(name, 2, "A", price).gpu_memory(MemoryMib::from_u32(24_000));
        let unfit = [
            Offer { gpus: 1, ..good("one-gpu", 1) },
            Offer { gpus: 4, ..good("four-gpus", 1) },
            Offer { gpu_model: "B".into(), ..good("other-model", 1) },
            Offer { gpu_memory: Some(MemoryMib::from_u32(23_999)), ..good("small", 1) },
            Offer { gpu_memory: None, ..good("unsaid", 1) },
            good("dear", 101),
            good("", 1),
            good(&"x".repeat(129), 1),
        ];
        assert_eq!(query.cheapest(&unfit), None);
        assert_eq!(query.cheapest(&[]), None);
        let offers = [&unfit[..], &[good("b", 100), good("d", 70), good("c", 70)]].concat();
        assert_eq!(query.cheapest(&offers).map(|offer| offer.offer.as_str()), Some("c"));
    }
}
