//! Typed ids, and the [`IdSource`] that makes them.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

use crate::store::Fingerprint;
use crate::time::Clock;

/// The id of a `T`: a UUID that cannot be mistaken for the id of something else.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct Id<T>(Uuid, #[serde(skip)] PhantomData<fn() -> T>);

impl<T> Id<T> {
    /// Says that `id` is the id of a `T`.
    pub const fn new(id: Uuid) -> Self {
        Self(id, PhantomData)
    }

    /// The bare UUID.
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<T> Eq for Id<T> {}
impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}
impl<T> Hash for Id<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
impl<T> fmt::Display for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
impl<T> FromStr for Id<T> {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::from_str(text).map(Self::new)
    }
}
impl<T> From<Uuid> for Id<T> {
    fn from(id: Uuid) -> Self {
        Self::new(id)
    }
}
impl<T> From<Id<T>> for Uuid {
    fn from(id: Id<T>) -> Self {
        id.0
    }
}

/// Where new ids come from.
pub trait IdSource: Send + Sync + fmt::Debug {
    /// An id that nothing has. The id of a batch has to be a UUIDv7 (RFC 9562, section 5.7): what is known of a batch
    /// expires by the time in it.
    fn next_id(&self) -> Uuid;
}

/// UUIDv7 ids: milliseconds, a counter of 12 bits, 62 random bits.
pub struct TimeOrderedIds {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    millis: u64,
    counter: u16,
    random: Pcg64Mcg,
}

impl TimeOrderedIds {
    /// Ids seeded from the operating system's randomness.
    #[expect(clippy::disallowed_methods, reason = "this is the source of ids that everything else is given")]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::seeded(clock, rand::rng().next_u64())
    }

    /// Ids that depend on nothing but the seed and the clock, for tests and replays.
    pub fn seeded(clock: Arc<dyn Clock>, seed: u64) -> Self {
        let random = Pcg64Mcg::seed_from_u64(seed);
        Self { clock, state: Mutex::new(State { millis: 0, counter: 0, random }) }
    }
}

impl fmt::Debug for TimeOrderedIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeOrderedIds").finish_non_exhaustive()
    }
}

/// `UUIDv4` ids: 122 random bits, in no order (RFC 9562, section 5.4). For entities on a database that splits its tables by
/// ranges of keys; not for batches.
pub struct RandomIds(Mutex<Pcg64Mcg>);

impl RandomIds {
    /// Ids seeded from the operating system's randomness.
    #[expect(clippy::disallowed_methods, reason = "this is the source of ids that everything else is given")]
    pub fn new() -> Self {
        let mut seed = [0; 16];
        rand::rng().fill_bytes(&mut seed);
        Self(Mutex::new(Pcg64Mcg::from_seed(seed)))
    }

    /// Ids that depend on nothing but the seed, for tests and replays.
    pub fn seeded(seed: u64) -> Self {
        Self(Mutex::new(Pcg64Mcg::seed_from_u64(seed)))
    }
}

impl Default for RandomIds {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RandomIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RandomIds").finish_non_exhaustive()
    }
}

impl IdSource for RandomIds {
    fn next_id(&self) -> Uuid {
        let mut bytes = [0; 16];
        // A poisoned state is a valid one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes);
        Builder::from_random_bytes(bytes).into_uuid()
    }
}

impl IdSource for TimeOrderedIds {
    /// Above every one that this source has made.
    fn next_id(&self) -> Uuid {
        let now = u64::try_from(self.clock.now().as_micros() / 1000).unwrap_or(0);
        // A poisoned state is a valid one: each field is written whole.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if now > state.millis {
            state.millis = now;
            state.counter = 0;
        } else if state.counter == 0xfff {
            state.millis += 1;
            state.counter = 0;
        } else {
            state.counter += 1;
        }
        let mut rest = [0; 10];
        let random = state.random.next_u64().to_be_bytes();
        for (place, byte) in rest.iter_mut().zip(state.counter.to_be_bytes().into_iter().chain(random)) {
            *place = byte;
        }
        Builder::from_unix_timestamp_millis(state.millis, &rest).into_uuid()
    }
}

/// An id that is the same wherever it is made from these bytes, in the form of a UUID of version 8 (RFC 9562, section 5.8).
pub(crate) fn hashed(bytes: &[u8]) -> Uuid {
    Builder::from_custom_bytes(Fingerprint::of(bytes).0).into_uuid()
}

/// The milliseconds since 1970 that a UUIDv7 carries; `None` for any other version.
pub(crate) fn v7_millis(id: Uuid) -> Option<i64> {
    if id.get_version_num() != 7 {
        return None;
    }
    let millis = id.as_u128() >> 80;
    i64::try_from(millis).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{ManualClock, Timestamp};

    #[test]
    fn ids_rise_even_when_the_clock_stands_or_steps_back() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(5_000_000)));
        let ids = TimeOrderedIds::seeded(clock.clone(), 1);
        let mut last = ids.next_id();
        for round in 0..10_000 {
            if round == 5_000 {
                clock.set(Timestamp::EPOCH);
            }
            let next = ids.next_id();
            assert!(next > last, "{next} after {last}");
            assert_eq!(next.get_version_num(), 7);
            last = next;
        }
        assert_eq!(v7_millis(last), Some(5_002));
    }

    #[test]
    fn random_ids_are_uuids_of_version_4_and_differ() {
        let (a, b) = (RandomIds::seeded(7), RandomIds::seeded(7));
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..1000 {
            let id = a.next_id();
            assert_eq!((id.get_version_num(), v7_millis(id)), (4, None));
            assert_eq!(b.next_id(), id);
            assert!(seen.insert(id));
        }
        assert_ne!(RandomIds::new().next_id(), RandomIds::new().next_id());
    }

    #[test]
    fn the_same_seed_gives_the_same_ids() {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::EPOCH));
        let (a, b) = (TimeOrderedIds::seeded(clock.clone(), 7), TimeOrderedIds::seeded(clock, 7));
        assert_eq!(a.next_id(), b.next_id());
    }
}
