//! Time as a value: [`Timestamp`], and the [`Clock`] that everything takes instead of reading the time itself.

use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// A moment in UTC with microsecond precision, from the year 1 to the year 9999.
///
/// Every backend keeps exactly this much, so a moment reads back as it was written, everywhere. Finer input is
/// cut off, not rounded; a moment outside the range becomes the nearest one inside it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "DateTime<Utc>", into = "DateTime<Utc>")]
pub struct Timestamp(i64);

impl Timestamp {
    /// The start of the year 1.
    pub const MIN: Self = Self(-62_135_596_800_000_000);
    /// The last microsecond of the year 9999.
    pub const MAX: Self = Self(253_402_300_799_999_999);
    /// The start of 1970.
    pub const EPOCH: Self = Self(0);

    /// The moment so many microseconds after the start of 1970.
    pub const fn from_micros(micros: i64) -> Self {
        if micros < Self::MIN.0 {
            Self::MIN
        } else if micros > Self::MAX.0 {
            Self::MAX
        } else {
            Self(micros)
        }
    }

    /// Microseconds since the start of 1970.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// The moment `by` later; stops at [`Timestamp::MAX`].
    pub fn plus(self, by: Duration) -> Self {
        Self::from_micros(self.0.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The moment `by` earlier; stops at [`Timestamp::MIN`].
    pub fn minus(self, by: Duration) -> Self {
        Self::from_micros(self.0.saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long this is after `earlier`; zero where it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(at: DateTime<Utc>) -> Self {
        Self::from_micros(at.timestamp_micros())
    }
}

impl From<Timestamp> for DateTime<Utc> {
    fn from(at: Timestamp) -> Self {
        // The range of a timestamp lies inside chrono's.
        DateTime::UNIX_EPOCH + TimeDelta::microseconds(at.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&DateTime::<Utc>::from(*self).to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where the time comes from.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The time of day. It may jump; a store never lets its own time run backwards (see `store::Store`).
    fn now(&self) -> Timestamp;

    /// Time since some fixed start, which never jumps: what deadlines are measured with.
    fn monotonic(&self) -> Duration;
}

/// The clock of the operating system.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else is given")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else is given")]
    fn now(&self) -> Timestamp {
        DateTime::<Utc>::from(SystemTime::now()).into()
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A clock that moves only when told to, for tests and for replaying recorded events.
#[derive(Debug)]
pub struct ManualClock(Mutex<(Timestamp, Duration)>);

impl ManualClock {
    /// A clock that stands at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self(Mutex::new((now, Duration::ZERO)))
    }

    /// Moves both the time of day and the monotonic time forward.
    pub fn advance(&self, by: Duration) {
        let mut at = self.lock();
        *at = (at.0.plus(by), at.1.saturating_add(by));
    }

    /// Sets the time of day, forward or back; the monotonic time stays.
    pub fn set(&self, now: Timestamp) {
        self.lock().0 = now;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (Timestamp, Duration)> {
        // Two plain numbers are never half written.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.lock().0
    }

    fn monotonic(&self) -> Duration {
        self.lock().1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_keeps_microseconds_and_cuts_what_is_finer() {
        let fine = DateTime::from_timestamp(1, 123_456_789).unwrap();
        assert_eq!(Timestamp::from(fine).to_string(), "1970-01-01T00:00:01.123456Z");
        assert_eq!(DateTime::<Utc>::from(Timestamp::from(fine)).timestamp_subsec_nanos(), 123_456_000);
    }

    #[test]
    fn the_ends_of_the_range_are_printed_and_read_back() {
        for end in [
            Timestamp::MIN,
            Timestamp::MAX,
            Timestamp::from_micros(i64::MAX),
            Timestamp::from_micros(i64::MIN),
        ] {
            let json = serde_json::to_string(&end).unwrap();
            assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), end);
        }
    }

    #[test]
    fn setting_a_manual_clock_back_leaves_its_monotonic_time() {
        let clock = ManualClock::new(Timestamp::EPOCH);
        clock.advance(Duration::from_secs(5));
        clock.set(Timestamp::MIN);
        assert_eq!((clock.now(), clock.monotonic()), (Timestamp::MIN, Duration::from_secs(5)));
    }
}
