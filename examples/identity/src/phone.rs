//! Ada's phone, for the story: an authenticator app. Yours is on the phones of your users.

use apportion::entity::SecretText;
use apportion::identity::TotpParameters;
use apportion::plane::TotpEnrolment;
use apportion::time::{Clock as _, SystemClock};

use crate::Outcome;

/// An authenticator that has scanned a code.
pub struct Phone {
    secret: Vec<u8>,
    parameters: TotpParameters,
}

/// Scans what the browser shows.
pub fn scan(enrolment: &TotpEnrolment) -> Outcome<Phone> {
    let secret = data_encoding::BASE32_NOPAD.decode(enrolment.secret.expose().as_bytes())?;
    Ok(Phone { secret, parameters: enrolment.parameters.clone() })
}

impl Phone {
    /// The code of now, or of some periods later.
    pub fn code(&self, later: i64) -> SecretText {
        let now = SystemClock::new().now();
        self.parameters.code(&self.secret, self.parameters.step(now) + later)
    }
}
