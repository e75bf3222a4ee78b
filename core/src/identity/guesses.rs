//! Guesses at accounts as a stranger sees them: [`Guesses`].

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashMap;
use zeroize::Zeroizing;

use super::digest::keyed;
use super::entropy::Entropy;
use super::login_policy::LoginPolicy;
use crate::time::Timestamp;

/// How strangers have guessed, by address and source, whether or not anybody has the address.
///
/// What a stranger is told, that it is too soon or not, comes from here, and never from the rows of an account, which only
/// exist where the account does, and which other processes write, too: so it is the same for an address that nobody has. The
/// rows decide beside it, silently, whether the password is looked at. It is in memory, bounded, and under a key of this
/// process, so that nobody can choose what collides. Where it is full, the older half is forgotten; the rows are not.
pub(crate) struct Guesses {
    key: Zeroizing<[u8; 32]>,
    half: usize,
    halves: Mutex<Halves>,
}

/// What is remembered, the newer half and the older one.
#[derive(Debug, Default)]
struct Halves {
    newer: FxHashMap<u128, Tally>,
    older: FxHashMap<u128, Tally>,
}

#[derive(Clone, Copy, Debug)]
enum Tally {
    /// Of an address from one source.
    Failures { failures: u32, failed_at: Timestamp },
    /// Of an address from all unknown sources.
    Tries { window: i64, tries: u32 },
}

/// An address as it was given, with a source: under which hashes it is remembered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guess {
    pair: u128,
    address: u128,
}

impl fmt::Debug for Guesses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guesses").finish_non_exhaustive()
    }
}

impl Guesses {
    pub(crate) fn new(entropy: &dyn Entropy, remembered: usize) -> Self {
        Self { key: Zeroizing::new(entropy.bytes()), half: (remembered / 2).max(1), halves: Mutex::default() }
    }

    /// The guess at an address from a source.
    pub(crate) fn guess(&self, address: &str, source: &str) -> Guess {
        let hash = |text: String| {
            let [half, _] = *keyed(&self.key, text.as_bytes()).as_chunks::<16>().0 else { return 0 };
            u128::from_be_bytes(half)
        };
        Guess {
            pair: hash(format!("{}:{source}{address}", source.len())),
            address: hash(format!(":{address}")),
        }
    }

    /// How long the guess has to wait, where it has to.
    pub(crate) fn wait(&self, guess: Guess, policy: &LoginPolicy, now: Timestamp) -> Option<Duration> {
        let halves = self.lock();
        let delay = match halves.get(guess.pair) {
            Some(Tally::Failures { failures, failed_at }) => policy.wait(failures, failed_at, now),
            _ => Duration::ZERO,
        };
        let full = match halves.get(guess.address) {
            Some(Tally::Tries { window, tries }) => window == policy.window(now) && tries >= policy.rate,
            _ => false,
        };
        let rate = if full { policy.until_next_window(now) } else { Duration::ZERO };
        Some(delay.max(rate)).filter(|wait| !wait.is_zero())
    }

    /// Counts a guess that was refused.
    pub(crate) fn refused(&self, guess: Guess, policy: &LoginPolicy, now: Timestamp) {
        let mut halves = self.lock();
        let failures = match halves.get(guess.pair) {
            Some(Tally::Failures { failures, failed_at }) if !policy.is_forgotten(failed_at, now) => failures,
            _ => 0,
        };
        let this = policy.window(now);
        let tries = match halves.get(guess.address) {
            Some(Tally::Tries { window, tries }) if window == this => tries,
            _ => 0,
        };
        let failures = Tally::Failures { failures: failures.saturating_add(1), failed_at: now };
        halves.put(guess.pair, failures, self.half);
        halves.put(guess.address, Tally::Tries { window: this, tries: tries.saturating_add(1) }, self.half);
    }

    fn lock(&self) -> MutexGuard<'_, Halves> {
        // Each change is one insertion: there is nothing half done.
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Halves {
    fn get(&self, key: u128) -> Option<Tally> {
        self.newer.get(&key).or_else(|| self.older.get(&key)).copied()
    }

    fn put(&mut self, key: u128, tally: Tally, half: usize) {
        if self.newer.len() >= half && !self.newer.contains_key(&key) {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(key, tally);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::SeededEntropy;

    fn after(seconds: u64) -> Timestamp {
        Timestamp::from_micros(1_699_999_980_000_000).plus(Duration::from_secs(seconds))
    }

    #[test]
    fn an_address_and_a_source_wait_for_themselves() {
        let (guesses, policy) = (Guesses::new(&SeededEntropy::new(1), 100), LoginPolicy::default());
        let guess = guesses.guess("nobody@example.org", "192.0.2.1");
        for _ in 0..5 {
            assert_eq!(guesses.wait(guess, &policy, after(0)), None);
            guesses.refused(guess, &policy, after(0));
        }
        assert_eq!(guesses.wait(guess, &policy, after(0)), Some(Duration::from_secs(1)));
        assert_eq!(guesses.wait(guess, &policy, after(1)), None);
        for (address, source) in [("nobody@example.org", "192.0.2.2"), ("no@example.org", "192.0.2.1")] {
            assert_eq!(guesses.wait(guesses.guess(address, source), &policy, after(0)), None);
        }
    }

    #[test]
    fn an_address_takes_so_many_guesses_in_a_window_from_everywhere() {
        let policy = LoginPolicy::default().rate(20, Duration::from_mins(1));
        let guesses = Guesses::new(&SeededEntropy::new(1), 100);
        for source in 0..20 {
            guesses.refused(guesses.guess("nobody@example.org", &source.to_string()), &policy, after(1));
        }
        let another = guesses.guess("nobody@example.org", "another");
        assert_eq!(guesses.wait(another, &policy, after(1)), Some(Duration::from_secs(59)));
        assert_eq!(guesses.wait(another, &policy, after(60)), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (guesses, policy) = (Guesses::new(&SeededEntropy::new(1), 100), LoginPolicy::default());
        for n in 0..1_000 {
            guesses.refused(guesses.guess(&n.to_string(), "192.0.2.1"), &policy, after(0));
        }
        let halves = guesses.lock();
        assert!(halves.newer.len() + halves.older.len() <= 100);
        drop(halves);
        // What is tried again and again is not pushed out by what was tried once.
        let guess = guesses.guess("kept", "192.0.2.1");
        for n in 0..1_000 {
            guesses.refused(guesses.guess(&format!("{n}?"), "192.0.2.1"), &policy, after(0));
            guesses.refused(guess, &policy, after(0));
        }
        assert_eq!(guesses.wait(guess, &policy, after(0)), Some(Duration::from_mins(15)));
    }
}
