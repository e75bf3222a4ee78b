//! How long a refused login takes, by why it is refused: [`Refused`]. Who asks is not to learn the reason by a clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use apportion::entity::{Entry, USER_ACCESS, UserAccess};
use apportion::id::{IdSource as _, TimeOrderedIds};
use apportion::identity::{LoginPolicy, Origin};
use apportion::store::{Batch, Store, Write};
use apportion::time::SystemClock;
use apportion::{ControlPlane, Error};

use crate::launches::now;
use crate::members::{Members, PASSWORD, WRONG, address, default_plane, log_in, source};
use crate::stores::Failed;

/// How many accounts there are of a kind: each takes no more guesses a minute than the policy allows.
const ACCOUNTS: usize = 8;
/// The wait that runs while those are measured who have to wait.
const WAIT: Duration = Duration::from_mins(15);

/// Why a login is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// Nobody has the address.
    Unknown,
    /// The password is another one.
    WrongPassword,
    /// The address was never confirmed; the password is right.
    NotActivated,
    /// The account is suspended; the password is right.
    Suspended,
    /// The source has to wait for what it did at another process; the password is right.
    DelayedElsewhere,
    /// The source has to wait; the password is right.
    Delayed,
    /// The source has to wait, and nobody has the address.
    DelayedUnknown,
}

impl Why {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::Unknown,
        Self::WrongPassword,
        Self::NotActivated,
        Self::Suspended,
        Self::DelayedElsewhere,
        Self::Delayed,
        Self::DelayedUnknown,
    ];

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown address",
            Self::WrongPassword => "wrong password",
            Self::NotActivated => "not activated",
            Self::Suspended => "suspended",
            Self::DelayedElsewhere => "delay running, begun at another process",
            Self::Delayed => "delay running",
            Self::DelayedUnknown => "delay running, unknown address",
        }
    }

    /// Whether the answer says that it is too soon, and not that it is wrong.
    pub const fn tells_to_wait(self) -> bool {
        matches!(self, Self::Delayed | Self::DelayedUnknown)
    }

    /// The kind of address that is refused for it.
    const fn kind(self) -> &'static str {
        match self {
            Self::Unknown => "nobody",
            Self::WrongPassword => "wrong",
            Self::NotActivated => "inactive",
            Self::Suspended => "suspended",
            Self::DelayedElsewhere => "elsewhere",
            Self::Delayed => "delayed",
            Self::DelayedUnknown => "delayed-nobody",
        }
    }
}

/// How long some attempts took.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// A tenth took less.
    pub p10: Duration,
    /// The median.
    pub median: Duration,
    /// A tenth took more.
    pub p90: Duration,
}

impl Spread {
    /// Of these durations, of which there has to be one.
    fn of(mut all: Vec<Duration>) -> Result<Self, Failed> {
        all.sort_unstable();
        let at = |tenths: usize| all.get(all.len() * tenths / 10).copied().ok_or("nothing was measured");
        Ok(Self { p10: at(1)?, median: at(5)?, p90: at(9)? })
    }

    /// Whether there is a duration that is between the tenths of all of them.
    pub fn overlap(all: impl Iterator<Item = Self> + Clone) -> bool {
        all.clone().map(|one| one.p10).max() <= all.map(|one| one.p90).min()
    }

    /// How far the medians are apart.
    pub fn apart(all: impl Iterator<Item = Self> + Clone) -> Duration {
        let medians = all.map(|one| one.median);
        medians.clone().max().unwrap_or_default().saturating_sub(medians.min().unwrap_or_default())
    }
}

/// A store of accounts that are refused for every reason, at the default cost of a hash.
#[derive(Debug)]
pub struct Refused {
    plane: Arc<ControlPlane>,
    /// Another process on the same store, which is not measured.
    elsewhere: Arc<ControlPlane>,
    /// Who has to wait, by kind and number of the account.
    waiting: BTreeMap<(&'static str, usize), Origin>,
    /// A row that nothing else here touches.
    bystander: Entry<UserAccess>,
    ids: TimeOrderedIds,
}

impl Refused {
    /// Makes the accounts on an empty store.
    pub async fn new(store: Arc<dyn Store>) -> Result<Self, Failed> {
        let making = Members::new(Arc::clone(&store));
        let mut members = Vec::new();
        let kinds =
            [Why::WrongPassword, Why::NotActivated, Why::Suspended, Why::DelayedElsewhere, Why::Delayed];
        for why in kinds {
            let made = making.sign_up(why.kind(), ACCOUNTS, why != Why::NotActivated).await?;
            if why == Why::Suspended {
                for member in &made {
                    making.plane().deactivate(member.id).await?;
                }
            }
            members.extend(made);
        }
        making.with_default_hash(&members).await?;
        // One wrong password and the source waits for all of the measurement, instead of five and a second.
        let policy = LoginPolicy::default().delays(1, WAIT, WAIT);
        let plane = default_plane(Arc::clone(&store), policy.clone());
        let bystander = making.sign_up("bystander", 1, true).await?;
        let bystander = bystander.first().ok_or("nobody has signed up")?.id;
        let bystander = plane.repositories().user_access().require(bystander).await?;
        let mut refused = Self {
            plane,
            elsewhere: default_plane(store, policy),
            waiting: BTreeMap::new(),
            bystander,
            ids: TimeOrderedIds::new(Arc::new(SystemClock::new())),
        };
        for kind in [Why::Delayed.kind(), Why::DelayedUnknown.kind()] {
            for account in 0..ACCOUNTS {
                let from = source();
                guess_wrong(&refused.plane, &address(kind, account), &from).await?;
                refused.waiting.insert((kind, account), from);
            }
        }
        Ok(refused)
    }

    /// Is refused so often for each reason, one after the other in turn, so that what else the machine does hits all alike.
    ///
    /// Before each of them `before` other batches are committed together: a store that has just committed a group may
    /// wait for its callers to come back.
    pub async fn measure(&self, rounds: usize, before: usize) -> Result<Vec<(Why, Spread)>, Failed> {
        let mut took: BTreeMap<Why, Vec<Duration>> = BTreeMap::new();
        // The first round warms up.
        for round in 0..=rounds {
            for why in Why::ALL {
                let once = self.once(why, round % ACCOUNTS, before).await?;
                if round > 0 {
                    took.entry(why).or_default().push(once);
                }
            }
        }
        took.into_iter().map(|(why, took)| Ok((why, Spread::of(took)?))).collect()
    }

    /// How long it takes to be refused once.
    async fn once(&self, why: Why, account: usize, before: usize) -> Result<Duration, Failed> {
        let email = address(why.kind(), account);
        // Who has not to wait comes from where nobody came from before.
        let from = self.waiting.get(&(why.kind(), account)).cloned().unwrap_or_else(source);
        if why == Why::DelayedElsewhere {
            guess_wrong(&self.elsewhere, &email, &from).await?;
        }
        self.commit(before).await?;
        let password = if why == Why::WrongPassword { WRONG } else { PASSWORD };
        let began = now();
        let answer = log_in(&self.plane, &email, password, &from).await;
        let took = began.elapsed();
        match answer {
            Err(Error::TooSoon { .. }) if why.tells_to_wait() => Ok(took),
            Err(Error::Unauthenticated) if !why.tells_to_wait() => Ok(took),
            Err(error) => Err(format!("{}: {error}", why.name()).into()),
            Ok(_) => Err(format!("{}: it was not refused", why.name()).into()),
        }
    }

    /// Commits so many batches together, which change nothing.
    async fn commit(&self, count: usize) -> Result<(), Failed> {
        let guard = || {
            let guard = Write::guard(&USER_ACCESS, self.bystander.user_id, self.bystander.revision);
            Batch::new(self.ids.next_id(), "bench.nothing").with(guard)
        };
        for answer in self.plane.store().commit_many((0..count).map(|_| guard()).collect()).await {
            answer?;
        }
        Ok(())
    }
}

/// Gives a wrong password, so that the source has to wait from then on.
async fn guess_wrong(plane: &ControlPlane, email: &str, from: &Origin) -> Result<(), Failed> {
    match log_in(plane, email, WRONG, from).await {
        Err(Error::Unauthenticated) => Ok(()),
        _ => Err("a first wrong password was not answered as one".into()),
    }
}
