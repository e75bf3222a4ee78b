//! The keys of the host: [`KeyRing`].

use std::fmt;

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use data_encoding::BASE64URL_NOPAD;
use zeroize::Zeroizing;

use super::digest::{keyed, keyed_hex};
use super::entropy::Entropy;
use crate::entity::SecretText;
use crate::error::{Error, Result};

/// A key of the host: 256 secret bits with a number.
///
/// The number is kept beside what was made with the key, so it must never be that of another one.
#[derive(Clone)]
pub struct HostKey {
    number: u32,
    key: Zeroizing<[u8; 32]>,
}

impl HostKey {
    /// A key, with the number that it has for good.
    pub fn new(number: u32, key: [u8; 32]) -> Self {
        Self { number, key: Zeroizing::new(key) }
    }

    /// A new key. It is kept nowhere: see [`HostKey::to_hex`].
    pub fn random(number: u32, entropy: &dyn Entropy) -> Self {
        Self::new(number, entropy.bytes())
    }

    /// The key as 64 hexadecimal digits, for a configuration.
    pub fn to_hex(&self) -> SecretText {
        SecretText::new(data_encoding::HEXLOWER.encode(&*self.key))
    }

    /// A key from the 64 hexadecimal digits in a configuration.
    ///
    /// # Errors
    /// `Invalid` where it is not 64 hexadecimal digits. The text is not part of the error.
    pub fn from_hex(number: u32, hex: &SecretText) -> Result<Self> {
        let wrong = || Error::invalid("host_key", "it needs 64 hexadecimal digits");
        let bytes = Zeroizing::new(
            data_encoding::HEXLOWER_PERMISSIVE.decode(hex.expose().trim().as_bytes()).map_err(|_| wrong())?,
        );
        let key = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| wrong())?;
        Ok(Self::new(number, key))
    }

    /// A key of its own for each purpose, so that what one gives away helps nobody with another.
    fn derived(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(keyed(&self.key, purpose.as_bytes()))
    }
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostKey").field("number", &self.number).finish_non_exhaustive()
    }
}

/// The keys of the host, the newest first: what secrets are encrypted and codes are hashed under.
///
/// To change the key, put a new one in front and keep the old ones as long as anything is kept under them. Lose them, and
/// every authenticator and recovery code has to be set up anew; nothing else is lost.
#[derive(Clone, Debug)]
pub struct KeyRing {
    newest: HostKey,
    older: Vec<HostKey>,
}

const SEALING: &str = "apportion sealing v1";
const CODES: &str = "apportion codes v1";

impl KeyRing {
    /// A ring of one key.
    pub const fn new(key: HostKey) -> Self {
        Self { newest: key, older: Vec::new() }
    }

    /// Adds a key that is no longer used for anything new.
    pub fn older(mut self, key: HostKey) -> Self {
        self.older.push(key);
        self
    }

    fn all(&self) -> impl Iterator<Item = &HostKey> {
        std::iter::once(&self.newest).chain(&self.older)
    }

    /// Encrypts a secret under the newest key with XChaCha20-Poly1305; `bound_to` is what it belongs to, so that it opens
    /// nowhere else.
    pub(crate) fn seal(&self, entropy: &dyn Entropy, bound_to: &[u8], secret: &[u8]) -> Result<SecretText> {
        let nonce: [u8; 24] = entropy.bytes();
        let cipher = XChaCha20Poly1305::new((&*self.newest.derived(SEALING)).into());
        let sealed = cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: secret, aad: bound_to })
            .map_err(|_| Error::invalid("secret", "it is too long to be encrypted"))?;
        let mut bytes = nonce.to_vec();
        bytes.extend(sealed);
        Ok(SecretText::new(format!("v1.{}.{}", self.newest.number, BASE64URL_NOPAD.encode(&bytes))))
    }

    /// Decrypts what [`KeyRing::seal`] made, under whichever key it was; `None` where the key is gone, or where it was
    /// changed or belongs to something else.
    pub(crate) fn open(&self, bound_to: &[u8], sealed: &SecretText) -> Option<Zeroizing<Vec<u8>>> {
        let (number, text) = sealed.expose().strip_prefix("v1.")?.split_once('.')?;
        let number: u32 = number.parse().ok()?;
        let key = self.all().find(|key| key.number == number)?;
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<24>()?;
        let cipher = XChaCha20Poly1305::new((&*key.derived(SEALING)).into());
        cipher.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: bound_to }).ok().map(Zeroizing::new)
    }

    /// Whether what is sealed is under the newest key.
    pub(crate) fn is_newest(&self, sealed: &SecretText) -> bool {
        sealed.expose().starts_with(&format!("v1.{}.", self.newest.number))
    }

    /// The hash of a short code under the newest key, for what it belongs to.
    pub(crate) fn code_hash(&self, bound_to: &str, code: &str) -> SecretText {
        SecretText::new(Self::hash_under(&self.newest, bound_to, code))
    }

    /// The hash of a code under every key, the newest first: one of them is what is kept, if it is the code.
    pub(crate) fn code_hashes(&self, bound_to: &str, code: &str) -> Vec<SecretText> {
        self.all().map(|key| SecretText::new(Self::hash_under(key, bound_to, code))).collect()
    }

    fn hash_under(key: &HostKey, bound_to: &str, code: &str) -> String {
        // The lengths keep the parts apart.
        let text = format!("{}:{bound_to}{code}", bound_to.len());
        keyed_hex(&key.derived(CODES), text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::SeededEntropy;

    fn ring(number: u32) -> KeyRing {
        KeyRing::new(HostKey::new(number, [u8::try_from(number).unwrap(); 32]))
    }

    #[test]
    fn what_is_sealed_opens_under_its_key_and_for_what_it_belongs_to() {
        let entropy = SeededEntropy::new(7);
        let old = ring(1);
        let sealed = old.seal(&entropy, b"user 1", b"secret").unwrap();
        assert!(!sealed.expose().contains("secret"));
        assert_eq!(old.open(b"user 1", &sealed).unwrap().as_slice(), b"secret");
        assert!(old.open(b"user 2", &sealed).is_none(), "it was moved to another row");
        assert!(ring(2).open(b"user 1", &sealed).is_none(), "its key is gone");

        let rotated = ring(2).older(HostKey::new(1, [1; 32]));
        assert_eq!(rotated.open(b"user 1", &sealed).unwrap().as_slice(), b"secret");
        assert!(!rotated.is_newest(&sealed));
        let again = rotated.seal(&entropy, b"user 1", b"secret").unwrap();
        assert!(rotated.is_newest(&again) && again != sealed);
    }

    #[test]
    fn what_was_changed_does_not_open() {
        let sealed = ring(1).seal(&SeededEntropy::new(7), b"a", b"secret").unwrap();
        let text = sealed.expose();
        for at in 0..text.len() {
            let mut changed = text.to_owned();
            let other = if &text[at..=at] == "A" { "B" } else { "A" };
            changed.replace_range(at..=at, other);
            assert!(ring(1).open(b"a", &SecretText::new(changed)).is_none(), "byte {at}");
        }
        assert!(ring(1).open(b"a", &SecretText::new("v1.1.")).is_none());
    }

    #[test]
    fn a_code_has_another_hash_for_everything_that_it_belongs_to_and_under_every_key() {
        let code = ring(1).code_hash("ada", "1234");
        assert_eq!(code, ring(1).code_hash("ada", "1234"));
        assert_ne!(code, ring(1).code_hash("ad", "a1234"));
        assert_ne!(code, ring(2).code_hash("ada", "1234"));
        assert!(ring(2).older(HostKey::new(1, [1; 32])).code_hashes("ada", "1234").contains(&code));
    }

    #[test]
    fn a_key_is_64_hexadecimal_digits_and_is_never_printed() {
        let key = HostKey::from_hex(3, &SecretText::new(format!("{}\n", "0A".repeat(32)))).unwrap();
        assert_eq!(*key.key, [10; 32]);
        assert_eq!(format!("{key:?}"), "HostKey { number: 3, .. }");
        for wrong in ["", "0a", &"0a".repeat(33), &"xy".repeat(32)] {
            let refused = HostKey::from_hex(1, &SecretText::new(wrong)).unwrap_err();
            assert_eq!(refused.to_string(), "host_key is invalid: it needs 64 hexadecimal digits");
        }
    }
}
