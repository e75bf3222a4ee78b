//! How mailed codes and links are made: [`CodePolicy`].

use std::collections::BTreeSet;
use std::time::Duration;

use crate::error::{Error, Result};

/// How mailed codes and links are made, and how long they are good.
///
/// What a code is made of is kept with it, so a change of this is one for codes to come.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CodePolicy {
    /// How many characters a code has, 6 to 32.
    pub digits: u32,
    /// The characters that codes are made of, 10 to 64 capitals and digits, each once: by default without `I`, `O` and `0`. No
    /// code is made of others.
    pub char_set: String,
    /// How long a code is good.
    pub lifetime: Duration,
    /// How many wrong codes it survives.
    pub attempts: u32,
    /// How long the link and the code are good that confirm a sign-up or an invitation.
    pub confirmation: Duration,
    /// How long nothing more is sent to the same target, so that nobody is flooded.
    pub pause: Duration,
}

impl Default for CodePolicy {
    fn default() -> Self {
        Self {
            digits: 8,
            char_set: "ABCDEFGHJKLMNPQRSTUVWXYZ123456789".into(),
            lifetime: Duration::from_mins(10),
            attempts: 5,
            confirmation: Duration::from_hours(24),
            pause: Duration::from_mins(1),
        }
    }
}

impl CodePolicy {
    /// Sets how many characters a code has, from 6 to 32; others are taken as the nearest of these.
    pub fn digits(mut self, digits: u32) -> Self {
        self.digits = digits.clamp(6, 32);
        self
    }

    /// Sets how long codes are good, and the links and codes that confirm a sign-up.
    pub fn lifetimes(mut self, code: Duration, confirmation: Duration) -> Self {
        (self.lifetime, self.confirmation) = (code, confirmation);
        self
    }

    /// Refuses characters of which no safe code can be made. What is typed is taken as capitals, so small letters are no good.
    pub(crate) fn check(&self) -> Result<()> {
        let known = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
        let once = self.char_set.chars().collect::<BTreeSet<_>>().len();
        if (10..=64).contains(&once) && once == self.char_set.len() && self.char_set.chars().all(known) {
            return Ok(());
        }
        Err(Error::invalid("identity.codes.char_set", "10 to 64 capitals and digits, each once"))
    }

    /// Sets how many wrong codes one survives.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }
}
