//! How second factors are set up and checked: [`TotpPolicy`].

use std::time::Duration;

use super::totp::TotpParameters;
use crate::error::Result;

/// How second factors are set up and checked.
///
/// How codes are made is kept with each authenticator, so changing `parameters` changes nothing for those that are set up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TotpPolicy {
    /// What authenticator apps call the cloud.
    pub issuer: String,
    /// How the codes of new authenticators are made.
    pub parameters: TotpParameters,
    /// How many periods a clock may be off, either way (RFC 6238, section 5.2, advises one).
    pub window: u32,
    /// How many wrong codes are looked at in one `attempts_per`. Then none is until it is over; recovery codes still are.
    ///
    /// With the default, and three codes good at a time, a guesser who has the password finds one in a year with a probability
    /// of a quarter; less leaves the user fewer typing errors.
    pub attempts: u32,
    /// See `attempts`.
    pub attempts_per: Duration,
    /// How many recovery codes a user gets, up to 64.
    pub recovery_codes: u32,
}

impl Default for TotpPolicy {
    fn default() -> Self {
        Self {
            issuer: "apportion".into(),
            parameters: TotpParameters::default(),
            window: 1,
            attempts: 10,
            attempts_per: Duration::from_hours(1),
            recovery_codes: 10,
        }
    }
}

impl TotpPolicy {
    /// Sets what authenticator apps call the cloud.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = issuer.into();
        self
    }

    /// Sets how the codes of new authenticators are made.
    ///
    /// # Errors
    /// `Invalid` where they make no code.
    pub fn parameters(mut self, parameters: TotpParameters) -> Result<Self> {
        parameters.check()?;
        self.parameters = parameters;
        Ok(self)
    }

    /// Sets how many wrong codes are looked at in which time.
    pub fn attempts(mut self, attempts: u32, per: Duration) -> Self {
        (self.attempts, self.attempts_per) = (attempts, per);
        self
    }

    /// The length of a window of attempts, in microseconds.
    pub(crate) fn window_micros(&self) -> i64 {
        i64::try_from(self.attempts_per.as_micros()).unwrap_or(i64::MAX).max(1)
    }
}
