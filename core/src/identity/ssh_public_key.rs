//! SSH public keys, as people paste them: [`SshPublicKey`].

use ssh_key::{Algorithm, HashAlg, PublicKey};

use crate::error::{Error, Result};

/// The longest text that is taken, in bytes.
const MAX_LEN: usize = 4096;
/// The shortest modulus of an RSA key that is taken, in bits (NIST SP 800-57 part 1, table 2: 112 bits of strength).
const MIN_RSA_BITS: usize = 2048;
/// The longest one, in bits: what OpenSSH takes.
const MAX_RSA_BITS: usize = 16_384;

/// What is taken. Keys of DSA are not: OpenSSH takes none since release 7.0.
const ALGORITHMS: &[&str] = &[
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// How many SSH keys there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SshKeyPolicy {
    /// How many a user may have: at most 500, by default 50.
    pub per_user: u32,
}

impl Default for SshKeyPolicy {
    fn default() -> Self {
        Self { per_user: 50 }
    }
}

impl SshKeyPolicy {
    /// With another number of keys for each user, at most 500.
    pub fn per_user(mut self, keys: u32) -> Self {
        self.per_user = keys.min(500);
        self
    }
}

/// A checked SSH public key, in the one form in which it is kept: the algorithm and the key, without options or comment.
///
/// It can be written into a file of authorized keys as it is: it is one line, of letters, digits, and `+/=-.@` and a space.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SshPublicKey {
    /// One line: the algorithm, a space, and the key in base64 (RFC 4253, section 6.6).
    pub text: String,
    /// The algorithm, such as `ssh-ed25519`.
    pub algorithm: String,
    /// `SHA256:` and the digest of the key in base64, as OpenSSH prints it.
    pub fingerprint: String,
}

impl SshPublicKey {
    /// Reads a line as it stands in a `.pub` file. The comment is left out.
    ///
    /// Whether the point of a key on an elliptic curve is on the curve is left to the server that it is for.
    ///
    /// # Errors
    /// `Invalid` on `key` says what is wrong, and never repeats the text, which may be a private key.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = |reason: String| Error::invalid("key", reason);
        let line = text.trim_matches([' ', '\t', '\r', '\n']);
        if line.contains("PRIVATE KEY") {
            return Err(invalid(
                "it is a private key: keep it to yourself, and send the one in the .pub file".into(),
            ));
        }
        if line.len() > MAX_LEN {
            return Err(invalid(format!("it has {} bytes, and at most {MAX_LEN} are taken", line.len())));
        }
        if line.contains(|c: char| c != '\t' && c.is_control()) {
            return Err(invalid("it has to be one line".into()));
        }
        let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
        let (Some(algorithm), key) = (words.next(), words.next()) else {
            return Err(invalid("it is empty".into()));
        };
        if !ALGORITHMS.contains(&algorithm) {
            return Err(invalid(refused(algorithm, line)));
        }
        let key = key.ok_or_else(|| invalid("there is nothing behind the algorithm".into()))?;
        let key = PublicKey::from_openssh(&format!("{algorithm} {key}"))
            .map_err(|_| invalid(format!("what follows {algorithm} is no such key")))?;
        check_rsa(&key).map_err(invalid)?;
        let text = key.to_openssh().map_err(|_| invalid("it cannot be written as one line".into()))?;
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        Ok(Self { text, algorithm: algorithm.to_owned(), fingerprint })
    }
}

/// Why a line that begins so is not taken.
fn refused(first: &str, line: &str) -> String {
    let known = ALGORITHMS.join(", ");
    if matches!(first.parse(), Ok(Algorithm::Dsa)) {
        return format!("keys of DSA are too weak; taken are {known}");
    }
    if first.contains("-cert-v") {
        return "it is a certificate; the key that it is for is needed".to_owned();
    }
    if line.split([' ', '\t']).any(|word| ALGORITHMS.contains(&word)) {
        return "it begins with options, and none are taken".to_owned();
    }
    format!("it has to begin with its algorithm: {known}")
}

fn check_rsa(key: &PublicKey) -> std::result::Result<(), String> {
    let Some(rsa) = key.key_data().rsa() else { return Ok(()) };
    let (Some(modulus), Some(exponent)) = (rsa.n.as_positive_bytes(), rsa.e.as_positive_bytes()) else {
        return Err("the modulus or the exponent of an RSA key is not above zero".into());
    };
    let bits = modulus.first().map_or(0, |first| modulus.len() * 8 - first.leading_zeros() as usize);
    if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
        return Err(format!("it has {bits} bits; from {MIN_RSA_BITS} to {MAX_RSA_BITS} are taken for RSA"));
    }
    let odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
    if !odd(modulus) || !odd(exponent) || exponent == [1] {
        return Err("no RSA key has such a modulus and exponent".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
