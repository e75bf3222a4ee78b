//! Passwords as hashes: [`PasswordHashing`].

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use argon2::password_hash::Error as HashError;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use futures_channel::oneshot;

use super::entropy::Entropy;
use crate::entity::SecretText;
use crate::error::{Error, Result};

/// How passwords are hashed, and how long they may be.
///
/// By default argon2id with 19 MiB, two passes and one lane, the first choice of OWASP's Password Storage Cheat Sheet. What is
/// hashed with less is hashed anew at the next login.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PasswordPolicy {
    /// Memory of one hash, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
    /// The fewest characters of a new password.
    pub min_characters: usize,
    /// The most bytes of a password. More would be work that strangers could ask for.
    pub max_bytes: usize,
    /// How many are hashed at the same time; each takes a thread and `memory_kib`.
    pub workers: usize,
    /// How many may wait; one more is refused.
    pub waiting: usize,
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self {
            memory_kib: 19 * 1024,
            passes: 2,
            lanes: 1,
            min_characters: 8,
            max_bytes: 256,
            workers: processors.clamp(1, 4),
            waiting: 1024,
        }
    }
}

impl PasswordPolicy {
    /// Sets memory in KiB, passes and lanes of a hash.
    pub fn cost(mut self, memory_kib: u32, passes: u32, lanes: u32) -> Self {
        (self.memory_kib, self.passes, self.lanes) = (memory_kib, passes, lanes);
        self
    }

    /// Sets how many are hashed at the same time, and how many may wait.
    pub fn permits(mut self, workers: usize, waiting: usize) -> Self {
        (self.workers, self.waiting) = (workers, waiting);
        self
    }

    /// Sets the fewest characters and the most bytes.
    pub fn length(mut self, min_characters: usize, max_bytes: usize) -> Self {
        (self.min_characters, self.max_bytes) = (min_characters, max_bytes);
        self
    }

    /// Checks a new password.
    pub(crate) fn check(&self, password: &SecretText) -> Result<()> {
        let text = password.expose();
        let reason = if text.len() > self.max_bytes {
            format!("it is longer than {} bytes", self.max_bytes)
        } else if text.chars().count() < self.min_characters {
            format!("it is shorter than {} characters", self.min_characters)
        } else if text.contains('\0') {
            "it contains a NUL".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::invalid("password", reason))
    }

    fn argon2(&self) -> Result<Argon2<'static>> {
        let params = Params::new(self.memory_kib, self.passes, self.lanes, None)
            .map_err(|error| Error::invalid("password policy", error.to_string()))?;
        Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
    }
}

/// What is done in a thread of the pool.
enum Job {
    Hash {
        password: SecretText,
        salt: [u8; 16],
        answer: oneshot::Sender<Result<SecretText>>,
    },
    Verify {
        password: SecretText,
        kept: Option<SecretText>,
        answer: oneshot::Sender<Result<Verdict>>,
    },
    #[cfg(test)]
    Panic(#[expect(dead_code, reason = "it is only dropped")] oneshot::Sender<()>),
}

/// What came of checking a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is another one, or there is none.
    Wrong,
    /// It is the one.
    Right {
        /// Whether it should be hashed anew, since the policy has changed.
        outdated: bool,
    },
}

/// Hashes and checks passwords, in threads of its own, so many at a time.
///
/// A thread belongs to a password until it is hashed, whether or not anybody still waits for it; one that nobody waits for any
/// more before its turn costs nothing.
pub struct PasswordHashing {
    policy: PasswordPolicy,
    entropy: Arc<dyn Entropy>,
    queue: SyncSender<Job>,
    jobs: Arc<Mutex<Receiver<Job>>>,
    /// How many threads there are. They are started when they are needed, and end when this is dropped.
    running: Arc<AtomicUsize>,
}

impl fmt::Debug for PasswordHashing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordHashing").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl PasswordHashing {
    pub(crate) fn new(policy: PasswordPolicy, entropy: Arc<dyn Entropy>) -> Self {
        let (queue, jobs) = sync_channel(policy.waiting.max(1));
        Self { policy, entropy, queue, jobs: Arc::new(Mutex::new(jobs)), running: Arc::default() }
    }

    /// How it hashes.
    pub fn policy(&self) -> &PasswordPolicy {
        &self.policy
    }

    /// The PHC string of a new password.
    ///
    /// # Errors
    /// `Invalid` where it is too short or too long; `TooSoon` where too many wait.
    pub(crate) async fn hash(&self, password: SecretText) -> Result<SecretText> {
        self.policy.check(&password)?;
        let (answer, hashed) = oneshot::channel();
        self.send(Job::Hash { password, salt: self.entropy.bytes(), answer })?;
        hashed.await.unwrap_or_else(|_| Err(Self::stopped()))
    }

    /// Checks a password against a PHC string. Where there is none it takes as long as if there were one.
    ///
    /// One that was hashed under another policy takes the time of that one, until its user has logged in again.
    ///
    /// # Errors
    /// `TooSoon` where too many wait, or where the machine has no memory for it: then it is neither right nor wrong.
    pub(crate) async fn verify(&self, password: SecretText, kept: Option<SecretText>) -> Result<Verdict> {
        let (answer, verdict) = oneshot::channel();
        self.send(Job::Verify { password, kept, answer })?;
        verdict.await.unwrap_or_else(|_| Err(Self::stopped()))
    }

    fn send(&self, job: Job) -> Result<()> {
        self.start_missing();
        if self.running.load(Ordering::Acquire) == 0 {
            return Err(Self::stopped());
        }
        self.queue.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(_) => Error::TooSoon { retry_after: Duration::from_secs(1) },
            TrySendError::Disconnected(_) => Self::stopped(),
        })
    }

    /// Starts the threads that are not there: at first all, later those that could not be had before.
    fn start_missing(&self) {
        let wanted = self.policy.workers.max(1);
        let one_more = |running| (running < wanted).then_some(running + 1);
        while self.running.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_ok() {
            let place = Place(Arc::clone(&self.running));
            let worker = Worker { policy: self.policy.clone(), jobs: Arc::clone(&self.jobs), _place: place };
            // Where no thread can be had its place is given back, those that were had do the work, and the next call tries
            // again.
            if thread::Builder::new().name("apportion-hashing".into()).spawn(move || worker.run()).is_err() {
                return;
            }
        }
    }

    /// No thread is left: a host out of threads, or a hash that could not get its memory.
    fn stopped() -> Error {
        Error::TooSoon { retry_after: Duration::from_secs(1) }
    }
}

/// The place of a thread among those that run.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

struct Worker {
    policy: PasswordPolicy,
    jobs: Arc<Mutex<Receiver<Job>>>,
    _place: Place,
}

impl Worker {
    fn run(self) {
        let dummy = self.dummy();
        loop {
            let next = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = next else { return };
            // A panic over one password drops its answer, which its caller sees as `stopped`, and ends no thread.
            let _ = catch_unwind(AssertUnwindSafe(|| self.work(job, &dummy)));
        }
    }

    fn work(&self, job: Job, dummy: &SecretText) {
        match job {
            #[cfg(test)]
            Job::Panic(_) => panic!("a hash has failed"),
            Job::Hash { answer, .. } if answer.is_canceled() => {}
            Job::Verify { answer, .. } if answer.is_canceled() => {}
            Job::Hash { password, salt, answer } => {
                let _ = answer.send(self.hash(&password, &salt));
            }
            Job::Verify { password, kept, answer } => {
                let _ = answer.send(self.verify(&password, kept.as_ref(), dummy));
            }
        }
    }

    /// A hash of the live parameters that no password has: its salt and its hash are nothing but digits. Nothing is computed
    /// for it, so that it is there in any case.
    fn dummy(&self) -> SecretText {
        let (m, t, p) = (self.policy.memory_kib, self.policy.passes, self.policy.lanes);
        SecretText::new(format!("$argon2id$v=19$m={m},t={t},p={p}${}${}", "A".repeat(22), "A".repeat(43)))
    }

    fn hash(&self, password: &SecretText, salt: &[u8; 16]) -> Result<SecretText> {
        let hash = self.policy.argon2()?.hash_password_with_salt(password.expose().as_bytes(), salt);
        hash.map(|hash: PasswordHash| SecretText::new(hash.to_string()))
            .map_err(|error| Error::invalid("password policy", error.to_string()))
    }

    fn verify(
        &self,
        password: &SecretText,
        kept: Option<&SecretText>,
        dummy: &SecretText,
    ) -> Result<Verdict> {
        // What is no hash is treated as none, and costs as much.
        let kept = kept.and_then(|kept| PasswordHash::new(kept.expose()).ok());
        let Some(hash) = kept.clone().or_else(|| PasswordHash::new(dummy.expose()).ok()) else {
            return Err(Error::invalid("password policy", "its parameters are out of range"));
        };
        // What is too long never was a password, and costs as much as one that could be.
        let text = password.expose().as_bytes();
        let text = text.get(..self.policy.max_bytes).unwrap_or(text);
        // Parameters are those of the hash, so that older ones are still checked.
        let fits = judge(Argon2::default().verify_password(text, &hash))?;
        if !fits || kept.is_none() || password.expose().len() > self.policy.max_bytes {
            return Ok(Verdict::Wrong);
        }
        Ok(Verdict::Right { outdated: self.outdated(&hash) })
    }

    fn outdated(&self, kept: &PasswordHash) -> bool {
        let Ok(params) = Params::try_from(kept) else {
            return true;
        };
        let of = (params.m_cost(), params.t_cost(), params.p_cost());
        kept.algorithm.as_str() != "argon2id"
            || of != (self.policy.memory_kib, self.policy.passes, self.policy.lanes)
    }
}

/// Whether a password fits its hash. The owner's is not wrong because memory is short.
fn judge(compared: std::result::Result<(), HashError>) -> Result<bool> {
    match compared {
        Ok(()) => Ok(true),
        Err(HashError::OutOfMemory) => Err(PasswordHashing::stopped()),
        Err(_) => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::SeededEntropy;

    fn hashing(policy: PasswordPolicy) -> PasswordHashing {
        PasswordHashing::new(policy, Arc::new(SeededEntropy::new(1)))
    }

    fn quick() -> PasswordPolicy {
        PasswordPolicy::default().cost(64, 1, 1)
    }

    fn word(text: &str) -> SecretText {
        SecretText::new(text)
    }

    #[tokio::test]
    async fn a_password_is_known_by_its_phc_string() {
        let hashing = hashing(PasswordPolicy::default());
        let kept = hashing.hash(word("correct horse")).await.unwrap();
        assert!(kept.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", kept.expose());
        let right = Verdict::Right { outdated: false };
        assert_eq!(hashing.verify(word("correct horse"), Some(kept.clone())).await.unwrap(), right);
        assert_eq!(hashing.verify(word("correct hors"), Some(kept)).await.unwrap(), Verdict::Wrong);
        assert_eq!(hashing.verify(word("nobody's password"), None).await.unwrap(), Verdict::Wrong);
        assert_eq!(hashing.verify(word("a"), Some(word("no hash"))).await.unwrap(), Verdict::Wrong);
    }

    #[tokio::test]
    async fn one_of_an_older_policy_is_still_known_and_said_to_be_outdated() {
        let kept = hashing(quick()).hash(word("correct horse")).await.unwrap();
        for newer in [quick().cost(128, 1, 1), quick().cost(64, 2, 1)] {
            let verdict = hashing(newer).verify(word("correct horse"), Some(kept.clone())).await.unwrap();
            assert_eq!(verdict, Verdict::Right { outdated: true });
        }
    }

    #[tokio::test]
    async fn the_length_is_limited_and_what_is_beyond_it_is_never_right() {
        let hashing = hashing(quick().length(8, 12));
        for (text, says) in [
            ("short", "it is shorter than 8 characters"),
            ("thirteen byte", "it is longer than 12 bytes"),
            ("with\0a nul", "it contains a NUL"),
        ] {
            let refused = hashing.hash(word(text)).await.unwrap_err().to_string();
            assert_eq!(refused, format!("password is invalid: {says}"));
        }
        let kept = hashing.hash(word("twelve bytes")).await.unwrap();
        assert_eq!(hashing.verify(word("twelve bytes and more"), Some(kept)).await.unwrap(), Verdict::Wrong);
    }

    #[tokio::test]
    async fn too_many_are_refused_and_a_dropped_one_keeps_its_thread_until_it_is_done() {
        let hashing = hashing(PasswordPolicy::default().permits(1, 2));
        let kept = hashing.hash(word("correct horse")).await.unwrap();
        let check = || hashing.verify(word("correct horse"), Some(kept.clone()));
        let refused = futures_util::future::join_all((0..8).map(|_| check())).await;
        let full = refused.iter().filter(|one| matches!(one, Err(Error::TooSoon { .. }))).count();
        assert!((5..=6).contains(&full), "{full} of 8 were refused, with one thread and two places");
        // What is dropped before its turn costs nothing, and the queue is free again.
        drop(check());
        assert!(check().await.is_ok());
    }

    #[tokio::test]
    async fn a_panic_in_a_thread_is_answered_and_ends_no_thread() {
        let hashing = hashing(PasswordPolicy::default().permits(1, 4));
        let kept = hashing.hash(word("correct horse")).await.unwrap();
        let (answer, panicked) = oneshot::channel();
        // While the only thread works on the first, the others wait; nothing is asked afterwards that could start another.
        let first = hashing.verify(word("correct horse"), Some(kept.clone()));
        let second = async {
            hashing.send(Job::Panic(answer)).unwrap();
            panicked.await
        };
        let third = hashing.verify(word("correct horse"), Some(kept.clone()));
        let (first, second, third) = futures_util::join!(first, second, third);
        assert!(second.is_err(), "its caller waits for nothing");
        assert_eq!(first.unwrap(), third.unwrap());
        assert_eq!(hashing.running.load(Ordering::Acquire), 1);
    }

    #[tokio::test]
    async fn a_thread_that_has_ended_is_replaced_and_threads_end_with_their_pool() {
        let hashing = hashing(quick().permits(2, 4));
        hashing.hash(word("correct horse")).await.unwrap();
        // As if a thread had ended: its place is free.
        hashing.running.fetch_sub(1, Ordering::AcqRel);
        hashing.hash(word("correct horse")).await.unwrap();
        let running = Arc::clone(&hashing.running);
        assert_eq!(running.fetch_add(1, Ordering::AcqRel), 2, "and the third is counted again");
        drop(hashing);
        for _ in 0..1000 {
            if running.load(Ordering::Acquire) == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{} threads are left", running.load(Ordering::Acquire));
    }

    #[test]
    fn what_there_is_no_memory_for_is_neither_right_nor_wrong() {
        assert!(matches!(judge(Err(HashError::OutOfMemory)), Err(Error::TooSoon { .. })));
        assert!(!judge(Err(HashError::PasswordInvalid)).unwrap() && judge(Ok(())).unwrap());
    }
}
