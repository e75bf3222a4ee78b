//! Where secrets come from: [`Entropy`].

use std::fmt;
use std::sync::{Mutex, PoisonError};

use rand::{Rng as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;

/// Where the bits of tokens, keys, codes and salts come from.
pub trait Entropy: Send + Sync + fmt::Debug {
    /// Fills the bytes with bits that nobody can foretell.
    fn fill(&self, bytes: &mut [u8]);
}

/// The operating system's randomness, through a generator that is reseeded from it.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the source of secrets that everything else is given"
    )]
    fn fill(&self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }
}

/// Bits that depend on nothing but a seed: for tests, and for nothing else.
pub struct SeededEntropy(Mutex<Pcg64Mcg>);

impl SeededEntropy {
    /// Bits of this seed.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(Pcg64Mcg::seed_from_u64(seed)))
    }
}

impl fmt::Debug for SeededEntropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeededEntropy").finish_non_exhaustive()
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes);
    }
}

impl dyn Entropy + '_ {
    /// An array of unforeseeable bytes.
    pub(crate) fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// A text of `length` characters, each one of `alphabet` with the same probability.
    ///
    /// Bytes beyond the largest multiple of the alphabet's size are thrown away, so that no character is likelier.
    pub(crate) fn text(&self, alphabet: &str, length: usize) -> String {
        let alphabet: Vec<char> = alphabet.chars().take(256).collect();
        let Some(bound) = 256_usize.checked_div(alphabet.len()).map(|times| times * alphabet.len()) else {
            return String::new();
        };
        let mut text = String::with_capacity(length);
        let mut count = 0;
        while count < length {
            for byte in self.bytes::<32>() {
                let at = usize::from(byte);
                let Some(c) = alphabet.get(at % alphabet.len()).filter(|_| at < bound && count < length)
                else {
                    continue;
                };
                text.push(*c);
                count += 1;
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_its_length_and_every_character_of_its_alphabet() {
        let entropy: &dyn Entropy = &SeededEntropy::new(1);
        let alphabet = "ABCDEFGHJKLMNPQRSTUVWXYZ123456789";
        let text = entropy.text(alphabet, 10_000);
        assert_eq!(text.chars().count(), 10_000);
        for c in alphabet.chars() {
            let times = text.chars().filter(|found| *found == c).count();
            assert!((200..420).contains(&times), "{c} occurs {times} times of 10,000");
        }
        assert_eq!(entropy.text("", 5), "");
    }

    #[test]
    fn the_operating_systems_bits_differ_from_call_to_call() {
        let entropy: &dyn Entropy = &OsEntropy;
        assert_ne!(entropy.bytes::<32>(), entropy.bytes::<32>());
    }
}
