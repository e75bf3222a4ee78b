//! The text of an API key: a prefix, 256 random bits, and a checksum.
//!
//! The form is that of GitHub's tokens ("Behind GitHub's new authentication token formats", github.blog, 5 April 2021): the
//! prefix lets scanners for leaked secrets find a key and say whose it is, and the checksum lets them, and us, tell a key from
//! something that looks like one without asking a database.

use super::entropy::Entropy;
use crate::entity::{ApiKeyKind, SecretText};

/// Digits, capitals, small letters: nothing that a double click does not take along.
const ALPHABET: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 43 characters of 62 are 256.03 bits.
const RANDOM: usize = 43;
/// Six of them hold 32 bits.
const CHECKSUM: usize = 6;
const PREFIX: usize = 4;
/// How many characters of a key are kept to recognise it by: the prefix and 24 of its 256 bits.
const HINT: usize = 8;

/// How many API keys there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiKeyPolicy {
    /// How many keys that have not ended a user may have, the keys of agents included: at most 500, by default 100.
    pub per_user: u32,
}

impl Default for ApiKeyPolicy {
    fn default() -> Self {
        Self { per_user: 100 }
    }
}

impl ApiKeyPolicy {
    /// With another number of keys for each user, at most 500.
    pub fn per_user(mut self, keys: u32) -> Self {
        self.per_user = keys.min(500);
        self
    }
}

/// A new key of a kind.
pub(crate) fn new_key(kind: ApiKeyKind, entropy: &dyn Entropy) -> SecretText {
    let random = SecretText::new(entropy.text(ALPHABET, RANDOM));
    let body = SecretText::new([prefix(kind), random.expose()].concat());
    SecretText::new([body.expose(), &checksum(body.expose())].concat())
}

/// Whether a text is a key as far as it tells itself, and of which kind.
pub(crate) fn kind_of(key: &str) -> Option<ApiKeyKind> {
    let kind = ApiKeyKind::ALL.iter().copied().find(|kind| key.starts_with(prefix(*kind)))?;
    if key.len() != PREFIX + RANDOM + CHECKSUM {
        return None;
    }
    let (body, sum) = key.split_at_checked(PREFIX + RANDOM)?;
    let random = body.get(PREFIX..)?;
    (random.bytes().all(|byte| byte.is_ascii_alphanumeric()) && sum == checksum(body)).then_some(kind)
}

/// The first characters, to recognise a key by.
pub(crate) fn hint(key: &str) -> String {
    key.chars().take(HINT).collect()
}

const fn prefix(kind: ApiKeyKind) -> &'static str {
    match kind {
        ApiKeyKind::User => "apk_",
        ApiKeyKind::NodeAgent => "apn_",
    }
}

/// The CRC-32 of prefix and random part, in base 62 with zeros in front.
fn checksum(body: &str) -> String {
    let mut rest = crc32(body.as_bytes());
    let mut digits = ['0'; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        let at = usize::try_from(rest % 62).unwrap_or(0);
        *digit = ALPHABET.chars().nth(at).unwrap_or('0');
        rest /= 62;
    }
    digits.iter().collect()
}

/// The CRC-32 of IEEE 802.3, section 3.2.9, in its reflected form: what is called CRC-32/ISO-HDLC.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let poly = if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
            crc = (crc >> 1) ^ poly;
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::identity::SeededEntropy;

    #[test]
    fn the_checksum_is_the_known_one() {
        // The check value of CRC-32/ISO-HDLC.
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
        // 3,421,780,262 has these digits in base 62: 3, 45, 35, 27, 22, 14.
        assert_eq!(checksum("123456789"), "3jZRME");
    }

    #[test]
    fn a_new_key_has_its_form() {
        for (kind, prefix) in [(ApiKeyKind::User, "apk_"), (ApiKeyKind::NodeAgent, "apn_")] {
            let key = new_key(kind, &SeededEntropy::new(3));
            let text = key.expose();
            assert!(text.starts_with(prefix) && text.len() == 53, "{text}");
            assert!(text[4..].bytes().all(|byte| byte.is_ascii_alphanumeric()));
            assert_eq!((kind_of(text), hint(text).as_str()), (Some(kind), &text[..8]));
        }
    }

    proptest! {
        #[test]
        fn a_key_with_one_other_character_is_none(seed: u64, at in 0..53_usize, other in "[0-9A-Za-z_é]") {
            let key = new_key(ApiKeyKind::User, &SeededEntropy::new(seed));
            let mut typed: Vec<String> = key.expose().chars().map(String::from).collect();
            prop_assume!(typed[at] != other);
            typed[at] = other;
            prop_assert_eq!(kind_of(&typed.concat()), None);
        }

        #[test]
        fn no_text_makes_it_fail(text in "\\PC*") {
            prop_assert_eq!(kind_of(&text), None);
            prop_assert_eq!(kind_of(&format!("apk_{text}")), None);
        }
    }
}
