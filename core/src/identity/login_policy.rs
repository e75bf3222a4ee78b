//! How guessing of passwords is slowed down: [`LoginPolicy`].

use std::time::Duration;

use crate::time::Timestamp;

/// How guessing of passwords is slowed down. Nothing here ever locks an account.
///
/// A *source* is an address, or the network of one ([`Origin::source`](super::Origin::source)). Each pair of account and
/// source waits for itself, so what an outsider does from elsewhere never delays the owner. Beside that an account takes
/// only so many guesses a minute from sources that never succeeded at it, so that many addresses are no way around the
/// wait. A source that has succeeded is not counted there; so the owner gets in from one of those at any time, from another
/// one as soon as the minute is over, and from any by a mailed code, which makes the source one that has succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoginPolicy {
    /// How many wrong passwords a source may give before it has to wait.
    pub free_failures: u32,
    /// How long it waits after those; each further one doubles it.
    pub first_delay: Duration,
    /// The longest wait.
    pub longest_delay: Duration,
    /// How long after the last wrong password all of them are forgotten.
    pub forgotten_after: Duration,
    /// How many wrong passwords of one source count where they came at the same moment, before any wait had begun. More are
    /// refused, whether they were right or not.
    pub at_once: u32,
    /// The time over which guesses at an account from unknown sources are counted.
    pub rate_window: Duration,
    /// How many such guesses an account takes in it.
    pub rate: u32,
    /// How long a source is known after a login from there.
    pub known_for: Duration,
    /// How many addresses that nobody has are remembered, so that guessing at them is slowed down in the same way.
    pub remembered: usize,
}

impl Default for LoginPolicy {
    fn default() -> Self {
        Self {
            free_failures: 5,
            first_delay: Duration::from_secs(1),
            longest_delay: Duration::from_mins(15),
            forgotten_after: Duration::from_hours(24),
            at_once: 100,
            rate_window: Duration::from_mins(1),
            rate: 100,
            known_for: Duration::from_hours(90 * 24),
            remembered: 65_536,
        }
    }
}

impl LoginPolicy {
    /// Sets how many wrong passwords are free, the first wait after them, and the longest one.
    pub fn delays(mut self, free_failures: u32, first: Duration, longest: Duration) -> Self {
        (self.free_failures, self.first_delay, self.longest_delay) = (free_failures, first, longest);
        self
    }

    /// Sets how many guesses from unknown sources an account takes in which time.
    pub fn rate(mut self, guesses: u32, window: Duration) -> Self {
        (self.rate, self.rate_window) = (guesses, window);
        self
    }

    /// Sets how long a source is known after a login from there.
    pub fn known_for(mut self, time: Duration) -> Self {
        self.known_for = time;
        self
    }

    /// How long a source waits after so many wrong passwords.
    pub(crate) fn delay(&self, failures: u32) -> Duration {
        let Some(doublings) = failures.checked_sub(self.free_failures) else {
            return Duration::ZERO;
        };
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        self.first_delay.saturating_mul(factor).min(self.longest_delay)
    }

    /// Whether wrong passwords of which the last was given at `failed_at` are forgotten.
    pub(crate) fn is_forgotten(&self, failed_at: Timestamp, now: Timestamp) -> bool {
        failed_at.plus(self.forgotten_after) <= now
    }

    /// How long a source has still to wait; zero where it may try.
    pub(crate) fn wait(&self, failures: u32, failed_at: Timestamp, now: Timestamp) -> Duration {
        if self.is_forgotten(failed_at, now) {
            return Duration::ZERO;
        }
        failed_at.plus(self.delay(failures)).since(now)
    }

    /// The number of the window that a moment is in.
    pub(crate) fn window(&self, now: Timestamp) -> i64 {
        now.as_micros().div_euclid(self.window_micros())
    }

    /// How long until the next window.
    pub(crate) fn until_next_window(&self, now: Timestamp) -> Duration {
        let micros = self.window_micros();
        let left = micros - now.as_micros().rem_euclid(micros);
        Duration::from_micros(u64::try_from(left).unwrap_or(0))
    }

    fn window_micros(&self) -> i64 {
        i64::try_from(self.rate_window.as_micros()).unwrap_or(i64::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_from_a_second_to_a_quarter_of_an_hour_and_never_ends_in_a_lock() {
        let policy = LoginPolicy::default();
        let waits =
            [(0, 0), (4, 0), (5, 1), (6, 2), (7, 4), (14, 512), (15, 900), (40, 900), (u32::MAX, 900)];
        for (failures, seconds) in waits {
            assert_eq!(policy.delay(failures), Duration::from_secs(seconds), "{failures}");
        }
        let failed = Timestamp::from_micros(1_000_000_000_000);
        let after = |seconds| policy.wait(9, failed, failed.plus(Duration::from_secs(seconds)));
        assert_eq!(
            (after(0), after(15), after(16)),
            (Duration::from_secs(16), Duration::from_secs(1), Duration::ZERO)
        );
        assert!(policy.is_forgotten(failed, failed.plus(Duration::from_hours(24))));
    }

    #[test]
    fn a_window_is_a_part_of_the_time_and_the_next_one_comes() {
        let policy = LoginPolicy::default();
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        assert_eq!((policy.window(at(59)), policy.window(at(60)), policy.window(at(-1))), (0, 1, -1));
        assert_eq!(policy.until_next_window(at(59)), Duration::from_secs(1));
        assert_eq!(policy.until_next_window(at(60)), Duration::from_mins(1));
    }
}
