//! How long sessions last: [`SessionPolicy`].

use std::time::Duration;

use crate::time::Timestamp;

/// How long sessions last, and how many a user may have.
///
/// Changing it changes what is asked of every session at its next check; only `absolute` is written into a session when it
/// is made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionPolicy {
    /// How long a session may go unused. Use is known as coarsely as `coarse_use` says, so a session ends after between
    /// `idle - coarse_use` and `idle` without any.
    pub idle: Duration,
    /// How long a session lasts at most, however it is used.
    pub absolute: Duration,
    /// How long a login waits for its second factor.
    pub second_factor: Duration,
    /// How much later than the last recorded use one has to be to be recorded again: what keeps a check from being a write.
    pub coarse_use: Duration,
    /// How many sessions a user may have. A new one beyond them ends the oldest. Logins at the same moment may each take the
    /// last place; the next one ends as many as are too many.
    pub max_per_user: u32,
}

impl Default for SessionPolicy {
    fn default() -> Self {
        Self {
            idle: Duration::from_hours(24),
            absolute: Duration::from_hours(30 * 24),
            second_factor: Duration::from_mins(10),
            coarse_use: Duration::from_mins(1),
            max_per_user: 100,
        }
    }
}

impl SessionPolicy {
    /// Sets how long a session may go unused, and how long it lasts at most.
    pub fn lasting(mut self, idle: Duration, absolute: Duration) -> Self {
        (self.idle, self.absolute) = (idle, absolute);
        self
    }

    /// Sets how long a login waits for its second factor.
    pub fn second_factor(mut self, wait: Duration) -> Self {
        self.second_factor = wait;
        self
    }

    /// Sets how coarsely the last use is recorded.
    pub fn coarse_use(mut self, interval: Duration) -> Self {
        self.coarse_use = interval;
        self
    }

    /// Sets how many sessions a user may have, from 1 to 500: more are taken as 500.
    pub fn max_per_user(mut self, sessions: u32) -> Self {
        self.max_per_user = sessions.clamp(1, 500);
        self
    }

    /// Whether a session has ended by itself.
    pub(crate) fn is_over(&self, expires_at: Timestamp, last_used_at: Timestamp, now: Timestamp) -> bool {
        now >= expires_at || now >= last_used_at.plus(self.idle)
    }
}
