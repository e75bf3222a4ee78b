//! One-time codes of authenticators: RFC 4226 and RFC 6238, pure.

use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use super::digest::same;
use crate::entity::{SecretText, TotpAlgorithm};
use crate::error::{Error, Result};
use crate::time::Timestamp;

/// How the codes of an authenticator are made: what is kept beside its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TotpParameters {
    /// The hash function under the HMAC.
    pub algorithm: TotpAlgorithm,
    /// How many characters a code has, 4 to 10.
    pub digits: u32,
    /// How long a code is good, in seconds, from 1 on.
    pub period: u32,
    /// The characters that codes are made of, each once: 10 to 64 of them in ASCII. Authenticator apps know `0123456789` only.
    pub char_set: String,
}

impl Default for TotpParameters {
    /// What every authenticator app knows: SHA-1, six decimal digits, 30 seconds.
    fn default() -> Self {
        Self { algorithm: TotpAlgorithm::Sha1, digits: 6, period: 30, char_set: "0123456789".into() }
    }
}

impl TotpParameters {
    /// Sets the hash function.
    pub fn algorithm(mut self, algorithm: TotpAlgorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// Sets the length of a code.
    pub fn digits(mut self, digits: u32) -> Self {
        self.digits = digits;
        self
    }

    /// Sets how long a code is good, in seconds.
    pub fn period(mut self, seconds: u32) -> Self {
        self.period = seconds;
        self
    }

    /// Sets the characters of a code.
    pub fn char_set(mut self, char_set: impl Into<String>) -> Self {
        self.char_set = char_set.into();
        self
    }

    /// Checks them; `Invalid` says what is wrong.
    pub fn check(&self) -> Result<()> {
        if !(4..=10).contains(&self.digits) {
            return Err(Error::invalid("digits", "a code of an authenticator has from 4 to 10"));
        }
        if self.period == 0 {
            return Err(Error::invalid("period", "it has to be at least a second"));
        }
        let chars = self.char_set.as_bytes();
        let distinct =
            chars.iter().enumerate().all(|(at, one)| !chars.iter().skip(at + 1).any(|other| other == one));
        if !(10..=64).contains(&chars.len()) || !chars.iter().all(u8::is_ascii_graphic) || !distinct {
            return Err(Error::invalid("char_set", "it needs 10 to 64 visible ASCII characters, each once"));
        }
        Ok(())
    }

    /// The time step of a moment: whole periods since 1970 (RFC 6238, section 4.2, with T0 = 0).
    pub fn step(&self, at: Timestamp) -> i64 {
        at.as_micros().div_euclid(1_000_000).div_euclid(i64::from(self.period.max(1)))
    }

    /// The code of a time step (RFC 4226, section 5.3).
    ///
    /// A character is the next digit of the truncated hash to the base of the character set; with ten characters that is the
    /// decimal code of the RFC.
    pub fn code(&self, secret: &[u8], step: i64) -> SecretText {
        let counter = step.to_be_bytes();
        let hash = match self.algorithm {
            TotpAlgorithm::Sha1 => Hmac::<Sha1>::new_from_slice(secret)
                .map(|mac| mac.chain_update(counter).finalize().into_bytes().to_vec()),
            TotpAlgorithm::Sha256 => Hmac::<Sha256>::new_from_slice(secret)
                .map(|mac| mac.chain_update(counter).finalize().into_bytes().to_vec()),
            TotpAlgorithm::Sha512 => Hmac::<Sha512>::new_from_slice(secret)
                .map(|mac| mac.chain_update(counter).finalize().into_bytes().to_vec()),
        };
        // A key of any length is one.
        let hash = hash.unwrap_or_default();
        let offset = usize::from(hash.last().copied().unwrap_or(0) & 0xf);
        let four = hash.get(offset..).and_then(|rest| rest.first_chunk::<4>()).copied().unwrap_or_default();
        let mut value = u32::from_be_bytes(four) & 0x7fff_ffff;
        let chars = self.char_set.as_bytes();
        let base = u32::try_from(chars.len()).unwrap_or(1).max(1);
        let mut code = vec![b'0'; usize::try_from(self.digits).unwrap_or(0)];
        for place in code.iter_mut().rev() {
            *place = usize::try_from(value % base).ok().and_then(|at| chars.get(at)).copied().unwrap_or(b'0');
            value /= base;
        }
        SecretText::new(String::from_utf8(code).unwrap_or_default())
    }

    /// The step, within `window` of now and after `last`, whose code this is. The whole window is always compared.
    pub fn matching(&self, secret: &[u8], code: &str, now: Timestamp, window: u32, last: i64) -> Option<i64> {
        let now = self.step(now);
        let window = i64::from(window);
        let mut found = None;
        for step in now.saturating_sub(window)..=now.saturating_add(window) {
            if same(self.code(secret, step).expose(), code) && step > last && step >= 0 {
                found = Some(step);
            }
        }
        found
    }

    /// What an authenticator app reads from a QR code: `otpauth://totp/issuer:account?secret=…` (Google Authenticator's key URI
    /// format).
    pub fn uri(&self, secret: &[u8], issuer: &str, account: &str) -> SecretText {
        let algorithm = match self.algorithm {
            TotpAlgorithm::Sha1 => "SHA1",
            TotpAlgorithm::Sha256 => "SHA256",
            TotpAlgorithm::Sha512 => "SHA512",
        };
        let (issuer, account) = (percent(issuer), percent(account));
        SecretText::new(format!(
            "otpauth://totp/{issuer}:{account}?secret={}&issuer={issuer}&algorithm={algorithm}&digits={}&period={}",
            BASE32_NOPAD.encode(secret),
            self.digits,
            self.period
        ))
    }
}

/// A text as part of a URI: everything but unreserved characters percent-encoded (RFC 3986, section 2).
fn percent(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &[u8] = b"1234567890123456789012345678901234567890123456789012345678901234";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn codes_are_those_of_rfc_6238_appendix_b() {
        for (seconds, sha1, sha256, sha512) in [
            (59, "94287082", "46119246", "90693936"),
            (1_111_111_109, "07081804", "68084774", "25091201"),
            (1_111_111_111, "14050471", "67062674", "99943326"),
            (1_234_567_890, "89005924", "91819424", "93441116"),
            (2_000_000_000, "69279037", "90698825", "38618901"),
            (20_000_000_000, "65353130", "77737706", "47863826"),
        ] {
            for (algorithm, length, expected) in [
                (TotpAlgorithm::Sha1, 20, sha1),
                (TotpAlgorithm::Sha256, 32, sha256),
                (TotpAlgorithm::Sha512, 64, sha512),
            ] {
                let totp = TotpParameters::default().algorithm(algorithm).digits(8);
                let code = totp.code(&SEED[..length], totp.step(at(seconds)));
                assert_eq!(code.expose(), expected, "{algorithm} at {seconds}");
            }
        }
    }

    #[test]
    fn codes_are_those_of_rfc_4226_appendix_d() {
        let hotp = TotpParameters::default();
        let expected = [
            "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871",
            "520489",
        ];
        for (counter, code) in (0..).zip(expected) {
            assert_eq!(hotp.code(&SEED[..20], counter).expose(), code);
        }
    }

    #[test]
    fn the_characters_the_length_and_the_period_are_as_they_are_given() {
        let totp = TotpParameters::default();
        let (hex, long) = (totp.clone().char_set("0123456789abcdef"), totp.clone().digits(10));
        // The truncated hash of RFC 4226's first counter is 0x4c93cf18, that is 1284755224.
        assert_eq!(hex.clone().digits(8).code(&SEED[..20], 0).expose(), "4c93cf18");
        assert_eq!(hex.code(&SEED[..20], 0).expose(), "93cf18");
        assert_eq!(long.code(&SEED[..20], 0).expose(), "1284755224");
        assert_eq!((totp.step(at(59)), totp.clone().period(60).step(at(59)), totp.step(at(-1))), (1, 0, -1));
        // A counter beyond 32 bits is taken whole.
        let far = i64::from(u32::MAX) + 2;
        assert_ne!(totp.code(&SEED[..20], far), totp.code(&SEED[..20], 1));
    }

    #[test]
    fn a_code_matches_within_the_window_and_after_the_last_one() {
        let totp = TotpParameters::default();
        let secret = &SEED[..20];
        let code = |step| totp.code(secret, step).expose().to_owned();
        let now = at(3_000);
        for (step, window, last, matches) in [
            (100, 1, -1, true),
            (99, 1, -1, true),
            (101, 1, -1, true),
            (98, 1, -1, false),
            (102, 1, -1, false),
            (98, 2, -1, true),
            (99, 0, -1, false),
            (100, 1, 99, true),
            (100, 1, 100, false),
            (99, 1, 100, false),
        ] {
            let found = totp.matching(secret, &code(step), now, window, last);
            assert_eq!(found, matches.then_some(step), "step {step}, window {window}, last {last}");
        }
        assert_eq!(totp.matching(secret, "", now, 1, -1), None);
        assert_eq!(totp.matching(secret, &code(0), at(0), 1, -1), Some(0), "no step before the first");
    }

    #[test]
    fn an_app_is_told_everything() {
        let totp = TotpParameters::default().algorithm(TotpAlgorithm::Sha256).digits(8).period(60);
        assert_eq!(
            totp.uri(&SEED[..10], "ACME & Co", "ada@example.org").expose(),
            "otpauth://totp/ACME%20%26%20Co:ada%40example.org?secret=GEZDGNBVGY3TQOJQ&issuer=ACME%20%26%20Co\
             &algorithm=SHA256&digits=8&period=60"
        );
    }

    #[test]
    fn what_makes_no_code_is_refused() {
        let good = TotpParameters::default();
        assert!(good.check().is_ok());
        for (wrong, field) in [
            (good.clone().digits(3), "digits"),
            (good.clone().digits(11), "digits"),
            (good.clone().period(0), "period"),
            (good.clone().char_set("012345678"), "char_set"),
            (good.clone().char_set("0123456788"), "char_set"),
            (good.clone().char_set("012345678é"), "char_set"),
        ] {
            let refused = wrong.check().unwrap_err();
            assert!(
                matches!(refused, Error::Invalid { field: ref named, .. } if named == field),
                "{refused:?}"
            );
        }
    }
}
