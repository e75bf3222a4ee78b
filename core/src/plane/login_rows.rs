//! What a login is decided on, and how guesses are counted.

use std::time::Duration;

use super::ControlPlane;
use super::login::{Attempt, LoginRefusal, retries_forgiven};
use super::security::verification_of;
use super::sessions::may_act;
use crate::entity::{
    Email, Entity as _, LOGIN_RATES, LOGIN_RETRIES, LOGIN_THROTTLES, LoginRate, LoginThrottle, PASSWORDS,
    SecretText, USER_ACCESS, USERS, UserId, VerificationKind,
};
use crate::error::{Error, Result};
use crate::identity::{LoginPolicy, Verdict};
use crate::store::{
    Answer, Change, Is, MAX_PAGE, Query, Row, Scan, StoreError, StoreExt as _, Test, Value, Write,
};
use crate::time::Timestamp;

/// Whether a password is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is, after so many wrong ones from there.
    Admitted { failures: u32 },
    /// It is not, and who asked is not told.
    Silent,
    /// It is not, and who asked is told to wait.
    TooSoon(Duration),
}

/// The rows that a login is decided on; of an address that nobody has there is none.
#[derive(Debug)]
pub(super) struct LoginRows {
    pub(super) user: Option<UserId>,
    account: Option<(Row, Row)>,
    password: Option<Row>,
    throttle: Option<LoginThrottle>,
    rate: Option<LoginRate>,
    pub(super) second_factor: bool,
    /// Any user, for a commit that changes nothing.
    pub(super) anybody: Option<Row>,
    pub(super) now: Timestamp,
}

/// How an attempt is counted: the tests that keep the counting exact, and the rows that have to be there for it.
#[derive(Debug)]
pub(super) struct Charge {
    /// The writes that make the rows; they go into a batch before.
    pub(super) missing: Vec<Write>,
    user: UserId,
    source: String,
    tests: Vec<Test>,
    failures: Change,
    rate: Option<Write>,
    now: Timestamp,
}

impl ControlPlane {
    /// What a login is decided on. For an address that nobody has as much is read.
    pub(super) async fn login_rows(&self, email: Option<&Email>, source: &str) -> Result<LoginRows> {
        let found = match email {
            Some(email) => {
                self.store
                    .scan(Scan::of(&USERS).by("users_email").with(email.clone()).limit(1))
                    .await?
                    .value
                    .rows
            }
            None => Vec::new(),
        };
        let user = found.first().map(|row| row.id("id")).transpose()?;
        let id = user.unwrap_or_else(|| self.new_id().into());
        let reads = self
            .store
            .read(vec![
                Query::Get { table: &USERS, key: id.into() },
                Query::Get { table: &USER_ACCESS, key: id.into() },
                Query::Get { table: &PASSWORDS, key: id.into() },
                Query::Get { table: &LOGIN_THROTTLES, key: (id, source).into() },
                Query::Get { table: &LOGIN_RATES, key: id.into() },
                verification_of(&id.to_string(), VerificationKind::TwoFactor),
                Query::Scan(Scan::of(&USERS).limit(1)),
            ])
            .await?;
        let mut answers = reads.answers.into_iter();
        let mut row = || answers.next().and_then(Answer::into_row);
        let (account, access, password, throttle, rate) = (row(), row(), row(), row(), row());
        let (two_factor, anybody) = (row(), row());
        // An address that was changed between the two reads is nobody's.
        let same = |account: &Row| account.text("email").ok() == email.map(Email::as_str);
        let account = account.filter(same).zip(access);
        Ok(LoginRows {
            user: user.filter(|_| account.is_some()),
            account,
            password,
            throttle: throttle.as_ref().map(LoginThrottle::from_row).transpose()?,
            rate: rate.as_ref().map(LoginRate::from_row).transpose()?,
            second_factor: two_factor.is_some(),
            anybody,
            now: reads.now,
        })
    }

    /// Whether an attempt may be looked at.
    pub(super) fn admission(&self, attempt: &Attempt, rows: &LoginRows) -> Admission {
        let policy = &self.identity.logins;
        if let Some(wait) = rows.wait_if_known(policy) {
            return Admission::TooSoon(wait);
        }
        let known = rows.is_known(policy);
        if !known && let Some(wait) = self.identity.guesses.wait(attempt.guess, policy, rows.now) {
            return Admission::TooSoon(wait);
        }
        if !rows.wait(policy).is_zero() || (!known && rows.is_rate_used_up(policy)) {
            return Admission::Silent;
        }
        Admission::Admitted { failures: rows.failures(policy) }
    }

    /// Makes sure that there is a row of the source at the account, for [`ControlPlane::login_succeeded`] and
    /// [`ControlPlane::source_known`], which change it. A login that awaits its second factor has made that of its address.
    pub(super) async fn ensure_source(&self, user: UserId, source: &str) -> Result<()> {
        let now = self.store.read(Vec::new()).await?.now;
        let batch = self.batch("login.source").with(new_throttle(user, source, now));
        self.store.commit(batch).await.map(drop).map_err(|error| Error::of_store("user", error))
    }

    /// The writes of a login that has fully succeeded, from there: wrong passwords are forgotten, and the source is known.
    ///
    /// After a second factor the source is that of the session which awaited it (its `ip`), whose row is there.
    #[expect(clippy::unused_self, reason = "it reads as the other parts of a batch")]
    pub(super) fn login_succeeded(&self, user: UserId, source: &str, now: Timestamp) -> Vec<Write> {
        vec![retries_forgiven(user), known(user, source, now)]
    }

    /// The writes that make the caller's source one which has succeeded at an account, and so is not slowed down by what
    /// others do: for a user who has proved in another way who they are, such as by a mailed code.
    ///
    /// The row has to be there: [`ControlPlane::ensure_source`].
    pub(super) fn source_known(&self, user: UserId, now: Timestamp) -> Vec<Write> {
        vec![known(user, &self.caller.origin().source(), now)]
    }

    /// Deletes what is left of at most `limit` sources: without a wrong password since they are forgotten, and without a login
    /// for as long as a source is known. Says how many. Any number of processes may do so at the same time.
    ///
    /// A login from such a source at this very moment may be forgotten with it.
    #[tracing::instrument(skip(self))]
    pub async fn purge_login_throttles(&self, limit: usize) -> Result<usize> {
        use std::ops::Bound::{Included, Unbounded};
        let policy = &self.identity.logins;
        let (mut purged, mut after) = (0, None);
        while purged < limit {
            let now = self.store.read(Vec::new()).await?.now;
            let old = Included(now.minus(policy.forgotten_after).into());
            let scan = Scan::of(&LOGIN_THROTTLES).by("login_throttles_failed_at").range(Unbounded, old);
            let page = self.store.scan(scan.after(after).limit(MAX_PAGE)).await?.value;
            let mut batches = Vec::new();
            for row in &page.rows {
                if !is_known(row.opt_time("succeeded_at")?, policy, now) && purged + batches.len() < limit {
                    // A row that is only ever patched has its first revision.
                    let delete = Write::delete(&LOGIN_THROTTLES, row.key(), row.revision());
                    batches.push(self.batch("login.purge").with(delete));
                }
            }
            for answer in self.store.commit_many(batches).await {
                match answer {
                    Ok(_) => purged += 1,
                    // Another process was faster.
                    Err(error) if error.refusal().is_some() => {}
                    Err(error) => return Err(Error::of_store("login", error)),
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(purged)
    }
}

impl LoginRows {
    /// The revision of the password, where there is one.
    pub(super) fn password_revision(&self) -> Option<i64> {
        self.password.as_ref().map(Row::revision)
    }

    /// The hash of the password of a user.
    pub(super) fn password_hash(&self) -> Result<Option<SecretText>> {
        let row = self.password.as_ref().filter(|_| self.user.is_some());
        Ok(row.map(|row| row.text("hash").map(SecretText::new)).transpose()?)
    }

    /// The access row of a user, whose revision is the epoch that the login is decided in.
    pub(super) fn access(&self) -> Option<&Row> {
        self.account.as_ref().map(|(_, access)| access)
    }

    /// Why the user does not get in, in any case or with this password.
    pub(super) fn refusal(&self, verdict: Verdict) -> std::result::Result<Option<LoginRefusal>, StoreError> {
        let Some((account, access)) = &self.account else {
            return Ok(Some(LoginRefusal::UnknownAddress));
        };
        Ok(match verdict {
            _ if self.password.is_none() => Some(LoginRefusal::NoPassword),
            Verdict::Wrong => Some(LoginRefusal::WrongPassword),
            Verdict::Right { .. } if !account.bool("activated")? => Some(LoginRefusal::NotActivated),
            Verdict::Right { .. } if !may_act(access, account)? => Some(LoginRefusal::Suspended),
            Verdict::Right { .. } => None,
        })
    }

    pub(super) fn one_more_retry(user: UserId) -> Write {
        Write::record(&LOGIN_RETRIES, user, "retry_count", 1)
    }

    /// Whether the source has succeeded at the account.
    pub(super) fn is_known(&self, policy: &LoginPolicy) -> bool {
        is_known(self.throttle.as_ref().and_then(|row| row.succeeded_at), policy, self.now)
    }

    /// How many wrong passwords count.
    fn failures(&self, policy: &LoginPolicy) -> u32 {
        match &self.throttle {
            Some(row) if !self.is_forgotten(policy) => row.failures,
            _ => 0,
        }
    }

    fn is_forgotten(&self, policy: &LoginPolicy) -> bool {
        let failed_at = self.throttle.as_ref().and_then(|row| row.failed_at);
        failed_at.is_none_or(|failed_at| policy.is_forgotten(failed_at, self.now))
    }

    /// How long the source has to wait.
    fn wait(&self, policy: &LoginPolicy) -> Duration {
        match &self.throttle {
            Some(LoginThrottle { failures, failed_at: Some(failed_at), .. }) => {
                policy.wait(*failures, *failed_at, self.now)
            }
            _ => Duration::ZERO,
        }
    }

    /// How long a source that has succeeded before has to wait, where it has to.
    pub(super) fn wait_if_known(&self, policy: &LoginPolicy) -> Option<Duration> {
        Some(self.wait(policy)).filter(|wait| self.is_known(policy) && !wait.is_zero())
    }

    fn is_rate_used_up(&self, policy: &LoginPolicy) -> bool {
        self.rate
            .as_ref()
            .is_some_and(|rate| rate.window >= policy.window(self.now) && rate.tries >= policy.rate)
    }

    /// How an attempt that was admitted after so many failures is counted; none where it was too late.
    pub(super) fn charge(&self, policy: &LoginPolicy, admitted: u32, source: &str) -> Option<Charge> {
        let (user, now, failures) = (self.user?, self.now, self.failures(policy));
        let mut tests = Vec::new();
        let mut change = Change::Add(1);
        if admitted >= policy.free_failures && failures >= policy.free_failures {
            // A wait is over for one attempt, the first.
            if failures != admitted {
                return None;
            }
            tests.push(Test::eq("failures", failures));
        } else if failures >= policy.at_once {
            return None;
        } else if self.throttle.as_ref().is_some_and(|row| row.failures > 0) && self.is_forgotten(policy) {
            let forgotten = now.minus(policy.forgotten_after);
            tests.push(Test::new("failed_at", Is::Le(forgotten.into())));
            change = Change::Set(Value::Int(1));
        } else {
            tests.push(Test::new("failures", Is::Lt(policy.at_once.into())));
        }
        let mut missing = Vec::new();
        if self.throttle.is_none() {
            missing.push(new_throttle(user, source, now));
        }
        let rate = if self.is_known(policy) { None } else { Some(self.rate(policy, user, &mut missing)?) };
        Some(Charge { missing, user, source: source.to_owned(), tests, failures: change, rate, now })
    }

    /// One more guess at the account, where it takes one more in this window.
    fn rate(&self, policy: &LoginPolicy, user: UserId, missing: &mut Vec<Write>) -> Option<Write> {
        let this = policy.window(self.now);
        if self.is_rate_used_up(policy) || policy.rate == 0 {
            return None;
        }
        let window = match &self.rate {
            Some(rate) if rate.window < this => {
                // The first guess in a new window; of several one begins it, the others are decided again.
                let tests = vec![Test::eq("window", rate.window)];
                let set =
                    vec![("window", Change::Set(Value::Int(this))), ("tries", Change::Set(Value::Int(1)))];
                return Some(Write::patch(&LOGIN_RATES, user, tests, set));
            }
            Some(rate) => rate.window,
            None => {
                missing.push(Write::Ensure(LoginRate { user_id: user, window: this, tries: 0 }.to_row()));
                this
            }
        };
        let tests = vec![Test::eq("window", window), Test::new("tries", Is::Lt(policy.rate.into()))];
        Some(Write::patch(&LOGIN_RATES, user, tests, vec![("tries", Change::Add(1))]))
    }
}

impl Charge {
    /// A wrong password was given.
    pub(super) fn wrong(&self) -> impl Iterator<Item = Write> {
        let set = vec![("failures", self.failures.clone()), ("failed_at", Change::Max(self.now.into()))];
        self.writes(set)
    }

    /// The right one was given. Before the second factor nothing is forgotten by that.
    pub(super) fn right(&self, full: bool) -> impl Iterator<Item = Write> {
        let set = if full { success(self.now) } else { vec![("failed_at", Change::Max(self.now.into()))] };
        self.writes(set)
    }

    fn writes(&self, set: Vec<(&'static str, Change)>) -> impl Iterator<Item = Write> {
        let key = (self.user, self.source.as_str());
        [Write::patch(&LOGIN_THROTTLES, key, self.tests.clone(), set)].into_iter().chain(self.rate.clone())
    }
}

fn is_known(succeeded_at: Option<Timestamp>, policy: &LoginPolicy, now: Timestamp) -> bool {
    succeeded_at.is_some_and(|at| at.plus(policy.known_for) > now)
}

fn known(user: UserId, source: &str, now: Timestamp) -> Write {
    Write::patch(&LOGIN_THROTTLES, (user, source), Vec::new(), success(now))
}

fn success(now: Timestamp) -> Vec<(&'static str, Change)> {
    vec![("failures", Change::Set(Value::Int(0))), ("succeeded_at", Change::Max(now.into()))]
}

/// The row of a source that has done nothing yet. It has a time, by which it is purged one day.
fn new_throttle(user: UserId, source: &str, now: Timestamp) -> Write {
    let row = LoginThrottle {
        user_id: user,
        source: source.to_owned(),
        failures: 0,
        failed_at: Some(now),
        succeeded_at: None,
    };
    Write::Ensure(row.to_row())
}
