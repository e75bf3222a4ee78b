//! Why a run waits: [`Queue::why_pending`].

use uuid::Uuid;

use super::Resources;
use super::gang::{GangMisfit, misfit};
use super::order::OrderKey;
use super::pending::Entry;
use super::policy::LineKind;
use super::round::Round;
use super::share::Share;
use super::state::Queue;
use super::tree::QueueMisfit;
use crate::time::Timestamp;

/// How many of those that are ahead are named.
const NAMED: usize = 5;

/// Why a run waits, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhyPending {
    /// What is in the way now; nothing if it could start, were it its turn.
    pub reasons: Vec<Reason>,
    /// How many that wait come before it in its queue.
    pub ahead: u64,
    /// The first of them.
    pub first_ahead: Vec<Uuid>,
    /// What share its account has now, with what it used before.
    pub share: Share,
    /// When it is expected to start, if it gets the next turn and everybody ends as expected; none where that is not
    /// known.
    pub expected_start: Option<Timestamp>,
}

/// Something that is in the way of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It is not to be started yet.
    NotDue {
        /// When it is.
        at: Timestamp,
    },
    /// Its queue, or one above that, has too little left of something.
    Quota(QueueMisfit),
    /// The nodes have no room for all members of the gang.
    NoRoom(GangMisfit),
    /// Others were asked to stop for it and still hold their place.
    Stopping {
        /// Those that have not ended.
        victims: Vec<Uuid>,
    },
}

impl Queue {
    /// Says why a run waits; nothing if it does not.
    ///
    /// It looks at all that wait in the same queue, so it costs more than a tick does: it is for one who asks.
    pub fn why_pending(&mut self, job: Uuid, now: Timestamp) -> Option<WhyPending> {
        let victims =
            self.claims().waiting_for(job).map(|victims| victims.iter().copied().collect::<Vec<_>>());
        let mut round = self.round(now);
        let entry = round.pending.get(job)?;
        let mut reasons = Vec::new();
        if let Some(at) = entry.job.not_before.filter(|at| *at > now) {
            reasons.push(Reason::NotDue { at });
        }
        if let Err(misfit) = round.trial.tree.fits(entry.job.queue, entry.total) {
            reasons.push(Reason::Quota(misfit));
        }
        if !round.trial.has_room(&entry.job.ask) {
            reasons.push(Reason::NoRoom(misfit(round.trial.cluster, &entry.job.ask)));
        }
        if let Some(victims) = victims.filter(|victims| !victims.is_empty()) {
            reasons.push(Reason::Stopping { victims });
        }
        let (ahead, first_ahead) = round.ahead_of(entry);
        let share = round.shares.of_account(entry.job.account, Resources::ZERO);
        let due = entry.job.not_before.unwrap_or(now);
        let expected_start = round.slot(entry).and_then(|slot| slot.at).map(|at| at.max(due));
        Some(WhyPending { reasons, ahead, first_ahead, share, expected_start })
    }
}

impl Round<'_> {
    /// How many of those that are due come before a run in its queue, and the first few of them.
    fn ahead_of(&self, entry: &Entry) -> (u64, Vec<Uuid>) {
        if self.rules.line == LineKind::Standing {
            return self.ahead_in_standing(entry);
        }
        let by_shares = self.rules.line == LineKind::Shares;
        let place = |other: &Entry| {
            let share =
                if by_shares { self.shares.of_account(other.job.account, other.total) } else { Share::ZERO };
            (share, other.key)
        };
        let own = place(entry);
        let due = |other: &&Entry| other.job.not_before.is_none_or(|at| at <= self.now);
        let same = self.pending.iter().filter(|other| other.job.queue == entry.job.queue).filter(due);
        let mut ahead: Vec<_> = same.map(place).filter(|place| *place < own).collect();
        let count = u64::try_from(ahead.len()).unwrap_or(u64::MAX);
        ahead.sort_unstable();
        (count, ahead.into_iter().take(NAMED).map(|(_, key)| key.id).collect())
    }

    /// The same where everybody has a place.
    fn ahead_in_standing(&self, entry: &Entry) -> (u64, Vec<Uuid>) {
        let waiting = self.standing.waiting.iter().filter(|(_, lane)| lane.queue == entry.job.queue);
        let own = self.standing.waiting.iter().find(|(key, _)| key.id == entry.job.id);
        let before = |key: &OrderKey| own.is_none_or(|(own, _)| key < own);
        let mut ahead: Vec<OrderKey> = waiting.map(|(key, _)| *key).filter(before).collect();
        ahead.sort_unstable();
        let count = u64::try_from(ahead.len()).unwrap_or(u64::MAX);
        (count, ahead.into_iter().take(NAMED).map(|key| key.id).collect())
    }
}
