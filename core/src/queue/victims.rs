//! Who may be stopped for whom: [`Victims`].

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use rustc_hash::FxHashSet;
use uuid::Uuid;

use super::job::Job;
use super::order::{OrderKey, Standing};
use super::pending::{Entry, JobKey, key};
use super::plan::PreemptionReason;
use super::policy::{LineKind, QueuePolicy};
use super::resources::{Resource, Resources};
use super::round::Round;
use super::running::{Held, RunningSet};
use super::settings::Settings;
use super::share::Share;
use crate::time::Timestamp;

/// Those that may be preempted, in the orders in which they are.
#[derive(Debug)]
pub(super) struct Victims {
    /// Of each queue, the lowest priority first, then the youngest: who began, then who came last.
    by_queue: BTreeMap<Uuid, Vec<Uuid>>,
    /// By the order of the policy, the last first.
    by_order: Vec<(OrderKey, Uuid)>,
    pub(super) failed: usize,
}

impl Search {
    /// Of a claimant that is covered so far below the root.
    pub(super) fn new(depth: usize) -> Self {
        Self { depth, ..Self::default() }
    }
}

impl Victims {
    pub(super) fn new(
        running: &RunningSet,
        settings: &Settings,
        standing: &Standing,
        now: Timestamp,
    ) -> Self {
        let mut by_queue: BTreeMap<Uuid, Vec<&Held>> = BTreeMap::new();
        let mut by_order = Vec::new();
        let rules = settings.policy.rules();
        for held in running.iter() {
            let run = &held.run;
            if run.may_be_preempted(now, run.job.min_runtime) {
                by_queue.entry(run.job.queue).or_default().push(held);
            }
            if rules.displaces && rules.line == LineKind::Fixed && run.may_be_preempted(now, settings.quantum)
            {
                by_order.push((running_key(settings.policy, held, now).order(false), run.job.id));
            }
        }
        if rules.displaces && rules.line == LineKind::Standing {
            let may =
                |id| running.get(id).is_some_and(|held| held.run.may_be_preempted(now, settings.quantum));
            by_order.extend(standing.running.iter().filter(|(_, id)| may(*id)));
        }
        let sorted = |mut held: Vec<&Held>| -> Vec<Uuid> {
            held.sort_unstable_by_key(|held| {
                let job = &held.run.job;
                (job.priority, Reverse((held.run.started, job.submitted, job.id)))
            });
            held.iter().map(|held| held.run.job.id).collect()
        };
        by_order.sort_unstable_by_key(|(key, _)| Reverse(*key));
        let by_queue = by_queue.into_iter().map(|(queue, held)| (queue, sorted(held))).collect();
        Self { by_queue, by_order, failed: 0 }
    }
}

/// The place of a running one in the order of those that wait, as if it waited now.
fn running_key(policy: QueuePolicy, held: &Held, now: Timestamp) -> JobKey {
    let run = &held.run;
    let mut job: Job = run.job.clone();
    job.done = job.done.saturating_add(now.since(run.started));
    key(policy, &job)
}

/// One that gives way, and why.
#[derive(Debug, Clone, Copy)]
pub(super) struct Victim {
    pub(super) id: Uuid,
    pub(super) reason: PreemptionReason,
}

/// Those that borrow, the biggest on top.
type Borrowers = BinaryHeap<(Share, Reverse<Uuid>)>;

/// How far the candidates have been gone through.
#[derive(Debug, Default)]
pub(super) struct Search {
    borrowers: Option<Borrowers>,
    /// How far each of these has been gone through.
    reclaimed: BTreeMap<Uuid, usize>,
    by_priority: usize,
    by_order: usize,
    pub(super) chosen: FxHashSet<Uuid>,
    /// How far below the root the claimant is covered.
    depth: usize,
}

impl Round<'_> {
    /// The next candidate: of the biggest borrower, then of the lowest priority, then the last in order.
    pub(super) fn next_victim(
        &mut self,
        entry: &Entry,
        victims: &Victims,
        search: &mut Search,
    ) -> Option<Victim> {
        if self.settings.reclaim
            && let Some(victim) = self.next_reclaimed(entry, victims, search)
        {
            return Some(victim);
        }
        if self.settings.preempt_by_priority
            && let Some(victim) = self.next_by_priority(entry, victims, search)
        {
            return Some(victim);
        }
        if self.rules.displaces { self.next_by_order(entry, victims, search) } else { None }
    }

    /// The next of the biggest borrower. What is taken makes nobody a bigger one, so only the one on top is looked at.
    fn next_reclaimed(&mut self, entry: &Entry, victims: &Victims, search: &mut Search) -> Option<Victim> {
        let mut heap = search.borrowers.take().unwrap_or_else(|| self.borrowers(entry, victims));
        let victim = self.next_of_borrowers(entry, victims, search, &mut heap);
        search.borrowers = Some(heap);
        victim
    }

    fn next_of_borrowers(
        &mut self,
        entry: &Entry,
        victims: &Victims,
        search: &mut Search,
        heap: &mut Borrowers,
    ) -> Option<Victim> {
        loop {
            let (known, Reverse(borrower)) = heap.pop()?;
            let Some(resource) = self.lent_to(entry, borrower) else { continue };
            let share = self.share_of(borrower);
            if share < known {
                heap.push((share, Reverse(borrower)));
                continue;
            }
            let at = search.reclaimed.entry(borrower).or_insert(0);
            let candidate = victims.by_queue.get(&borrower).and_then(|candidates| candidates.get(*at));
            let Some(held) = candidate.and_then(|id| self.running.get(*id)) else { continue };
            *at += 1;
            heap.push((known, Reverse(borrower)));
            let id = held.run.job.id;
            if held.total.get(resource) > 0
                && self.is_free_to_take(held, search)
                && self.is_beyond_its_own(entry, held)
            {
                return Some(Victim { id, reason: PreemptionReason::Reclaim { borrower, resource } });
            }
        }
    }

    fn borrowers(&self, entry: &Entry, victims: &Victims) -> Borrowers {
        let queues = victims.by_queue.keys().filter(|queue| self.lent_to(entry, **queue).is_some());
        queues.map(|queue| (self.share_of(*queue), Reverse(*queue))).collect()
    }

    fn lent_to(&self, entry: &Entry, queue: Uuid) -> Option<Resource> {
        self.trial.tree.may_reclaim(entry.job.queue, entry.total, queue)
    }

    fn share_of(&self, queue: Uuid) -> Share {
        self.shares.of_queue(self.trial.tree, queue, Resources::ZERO)
    }

    fn next_by_priority(&mut self, entry: &Entry, victims: &Victims, search: &mut Search) -> Option<Victim> {
        let candidates = victims.by_queue.get(&entry.job.queue)?;
        loop {
            let held = self.running.get(*candidates.get(search.by_priority)?)?;
            if held.run.job.priority >= entry.job.priority {
                return None;
            }
            search.by_priority += 1;
            if self.is_free_to_take(held, search) && self.is_not_further_in(entry, held, search) {
                let (claimant, victim) = (entry.job.priority, held.run.job.priority);
                let reason = PreemptionReason::Priority { claimant, victim };
                return Some(Victim { id: held.run.job.id, reason });
            }
        }
    }

    fn next_by_order(&mut self, entry: &Entry, victims: &Victims, search: &mut Search) -> Option<Victim> {
        loop {
            let (key, id) = victims.by_order.get(search.by_order)?;
            if self.turn.is_none_or(|turn| *key <= turn) {
                return None;
            }
            search.by_order += 1;
            let held = self.running.get(*id)?;
            // What a priority may take back, no order takes.
            let lower = !self.settings.preempt_by_priority || held.run.job.priority <= entry.job.priority;
            if lower && self.is_free_to_take(held, search) && self.is_not_further_in(entry, held, search) {
                return Some(Victim { id: *id, reason: PreemptionReason::Order });
            }
        }
    }

    /// The place of a running one in the order of the policy: who began first, where that stops nobody.
    pub(super) fn order_of(&self, held: &Held) -> OrderKey {
        let run = &held.run;
        let known = &self.standing.running;
        match self.rules.line {
            LineKind::Fixed if self.rules.displaces => {
                running_key(self.settings.policy, held, self.now).order(false)
            }
            LineKind::Standing => {
                let at = known.binary_search_by_key(&run.job.id, |(_, id)| *id).ok();
                let key = at.and_then(|at| known.get(at)).map(|(key, _)| *key);
                key.unwrap_or_else(|| by_start(&run.job, run.started))
            }
            LineKind::Fixed | LineKind::Shares => by_start(&run.job, run.started),
        }
    }

    /// The place of one that waits in the same order.
    pub(super) fn order_of_entry(&self, entry: &Entry) -> OrderKey {
        let id = entry.job.id;
        let known = match self.rules.line {
            LineKind::Standing => self
                .turn
                .filter(|turn| turn.id == id)
                .or_else(|| self.standing.waiting.iter().map(|(key, _)| *key).find(|key| key.id == id)),
            LineKind::Fixed if self.rules.displaces => Some(entry.key.order(true)),
            LineKind::Fixed | LineKind::Shares => None,
        };
        known.unwrap_or_else(|| by_start(&entry.job, self.now))
    }

    /// Whether one is not to stop already, and would not want the place of one for whom others do.
    fn is_free_to_take(&self, held: &Held, search: &Search) -> bool {
        let id = held.run.job.id;
        if self.taken.contains(&id) || search.chosen.contains(&id) {
            return false;
        }
        let wants = if self.kept.is_empty() { None } else { Some(self.wants(held)) };
        wants.is_none_or(|wants| !self.kept.iter().any(|kept| self.comes_before(&wants, &kept.wants)))
    }

    /// Whether no queue covers a run that the claimant is not in as well.
    fn is_beyond_its_own(&mut self, entry: &Entry, held: &Held) -> bool {
        let depth = self.depth_of(held);
        depth == 0 || depth <= self.trial.tree.common_depth(entry.job.queue, held.run.job.queue)
    }

    /// The same, and it is not covered further in than the claimant: who borrows takes from those alone that do.
    fn is_not_further_in(&mut self, entry: &Entry, held: &Held, search: &Search) -> bool {
        (!self.settings.reclaim || self.depth_of(held) <= search.depth) && self.is_beyond_its_own(entry, held)
    }
}

/// The place of a run where nobody stops for an order: whoever began first.
pub(super) fn by_start(job: &Job, started: Timestamp) -> OrderKey {
    let rank = u128::from(started.as_micros().cast_unsigned() ^ (1 << 63));
    OrderKey { class: 0, rank, waits: false, submitted: job.submitted, id: job.id }
}
