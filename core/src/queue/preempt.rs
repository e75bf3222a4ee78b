//! Preemption: whom a run that does not fit may stop.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use rustc_hash::FxHashSet;
use uuid::Uuid;

use super::job::Job;
use super::order::{OrderKey, Standing};
use super::pending::{Entry, JobKey, key};
use super::plan::{Preemption, PreemptionReason, Reservation};
use super::policy::{LineKind, QueuePolicy};
use super::resources::Resources;
use super::round::{Kept, Round};
use super::running::{Held, RunningSet};
use super::settings::Settings;
use super::share::Share;
use super::tree::QueueTree;
use crate::sched::Placement;
use crate::time::Timestamp;

/// The most attempts at preemption in a tick that come to nothing.
const MOST_FAILED: usize = 16;

/// Those that may be preempted, in the orders in which they are.
#[derive(Debug)]
pub(super) struct Victims {
    /// Of each queue, the lowest priority first, then the youngest, then by id.
    by_queue: BTreeMap<Uuid, Vec<Uuid>>,
    /// By the order of the policy, the last first.
    by_order: Vec<(OrderKey, Uuid)>,
    /// Those that a plan preempts already.
    taken: FxHashSet<Uuid>,
    failed: usize,
}

impl Victims {
    fn new(running: &RunningSet, settings: &Settings, standing: &Standing, now: Timestamp) -> Self {
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
                (held.run.job.priority, Reverse(held.run.started), held.run.job.id)
            });
            held.iter().map(|held| held.run.job.id).collect()
        };
        by_order.sort_unstable_by_key(|(key, _)| Reverse(*key));
        let by_queue = by_queue.into_iter().map(|(queue, held)| (queue, sorted(held))).collect();
        Self { by_queue, by_order, taken: FxHashSet::default(), failed: 0 }
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
struct Victim {
    id: Uuid,
    reason: PreemptionReason,
}

/// How far the candidates have been gone through.
#[derive(Debug, Default)]
struct Search {
    /// Those that borrow, the biggest on top, and how far each has been gone through.
    borrowers: Option<BinaryHeap<(Share, Reverse<Uuid>)>>,
    reclaimed: BTreeMap<Uuid, usize>,
    by_priority: usize,
    by_order: usize,
    chosen: FxHashSet<Uuid>,
    /// The quotas before anybody gave way, where that matters.
    before: Option<QueueTree>,
}

impl Round<'_> {
    /// Chooses whom a run that does not fit may stop, the fewest that are enough, and keeps their place for it.
    ///
    /// Candidates are added in a fixed order until the run fits, and then each is put back that is not needed: so
    /// without any one of those that are left it would not fit.
    pub(super) fn preempt(&mut self, entry: &Entry) -> bool {
        let place = (entry.kind.queue, entry.kind.shape);
        let left = self.settings.most_preemptions.saturating_sub(self.plan.preemptions.len());
        let known = self.hopeless.get(&place).is_some_and(|priority| entry.job.priority <= *priority);
        if left == 0 || known || !self.preempts() {
            return false;
        }
        let victims = self
            .victims
            .get_or_insert_with(|| Victims::new(self.running, self.settings, &self.standing, self.now));
        if victims.failed >= MOST_FAILED {
            return false;
        }
        let start = self.trial.mark();
        self.look_ahead();
        // Nobody else need stop where those are enough that stop already.
        let found = if self.fits(entry) { None } else { self.search(entry, left) };
        let Some(chosen) = found else {
            self.trial.back_to(start);
            self.hopeless.insert(place, entry.job.priority);
            return false;
        };
        let placed = self.trial.place_gang(&entry.job.ask).unwrap_or_default();
        self.trial.back_to(start);
        let ids: Vec<Uuid> = chosen.iter().map(|victim| victim.id).collect();
        if let Some(victims) = &mut self.victims {
            victims.taken.extend(&ids);
        }
        self.claim(entry, placed, ids);
        let claimant = entry.job.id;
        let preemption = |victim: Victim| Preemption { victim: victim.id, claimant, reason: victim.reason };
        self.plan.preemptions.extend(chosen.into_iter().map(preemption));
        true
    }

    /// Keeps a place for a run until others have stopped.
    ///
    /// Its nodes are closed to what starts now, whole: which of what is free on them now is its own, is not told apart.
    pub(super) fn claim(&mut self, entry: &Entry, placements: Vec<Placement>, victims: Vec<Uuid>) {
        let nodes = self.close(&placements);
        self.provide(entry);
        self.kept.push(Kept { victims, placements, nodes: nodes.clone() });
        self.plan.reservations.push(Reservation { job: entry.job.id, at: None, nodes });
    }

    /// Makes everything as it will be when all have stopped that do so already or by this plan, and those for whom
    /// they do have what is kept for them.
    pub(super) fn look_ahead(&mut self) {
        for held in self.running.stopping() {
            self.trial.free(&held.run.placements);
            self.trial.release(held.run.job.queue, held.total);
        }
        let kept = std::mem::take(&mut self.kept);
        for kept in &kept {
            kept.nodes.iter().for_each(|node| self.trial.open(*node));
            kept.victims.iter().for_each(|victim| self.give_up(*victim));
        }
        for kept in &kept {
            self.trial.hold(&kept.placements);
        }
        self.kept = kept;
    }

    /// Whether a run would fit its queue's quota and the nodes.
    pub(super) fn fits(&self, entry: &Entry) -> bool {
        self.trial.tree.fits(entry.job.queue, entry.total).is_ok() && self.trial.has_room(&entry.job.ask)
    }

    const fn preempts(&self) -> bool {
        self.settings.reclaim || self.settings.preempt_by_priority || self.rules.displaces
    }

    fn search(&mut self, entry: &Entry, most: usize) -> Option<Vec<Victim>> {
        let before = (self.rules.displaces && self.settings.reclaim).then(|| self.trial.tree.clone());
        let mut search = Search { before, ..Search::default() };
        let mut chosen: Vec<Victim> = Vec::new();
        let mut look_at = 1;
        let fits = loop {
            let next = if chosen.len() < most { self.next_victim(entry, &mut search) } else { None };
            let Some(victim) = next else { break self.fits(entry) };
            self.give_up(victim.id);
            search.chosen.insert(victim.id);
            chosen.push(victim);
            // Looking is dear beside freeing: after one, two, four … of them.
            if chosen.len() == look_at {
                look_at *= 2;
                if self.fits(entry) {
                    break true;
                }
            }
        };
        if !fits {
            self.victims.iter_mut().for_each(|victims| victims.failed += 1);
            return None;
        }
        let mut needed = Vec::new();
        for victim in chosen.into_iter().rev() {
            self.keep(victim.id);
            if !self.fits(entry) {
                self.give_up(victim.id);
                needed.push(victim);
            }
        }
        needed.reverse();
        Some(needed)
    }

    fn give_up(&mut self, id: Uuid) {
        if let Some(held) = self.running.get(id) {
            self.trial.free(&held.run.placements);
            self.trial.release(held.run.job.queue, held.total);
        }
    }

    fn keep(&mut self, id: Uuid) {
        if let Some(held) = self.running.get(id) {
            self.trial.hold(&held.run.placements);
            self.trial.charge(held.run.job.queue, held.total);
        }
    }

    /// The next candidate: of the biggest borrower, then of the lowest priority, then the last in order.
    fn next_victim(&self, entry: &Entry, search: &mut Search) -> Option<Victim> {
        let victims = self.victims.as_ref()?;
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
    fn next_reclaimed(&self, entry: &Entry, victims: &Victims, search: &mut Search) -> Option<Victim> {
        let lends = |queue| self.trial.tree.may_reclaim(entry.job.queue, entry.total, queue);
        let share = |queue| self.shares.of_queue(self.trial.tree, queue, Resources::ZERO);
        let heap = search.borrowers.get_or_insert_with(|| {
            let queues = victims.by_queue.keys().filter(|queue| lends(**queue).is_some());
            queues.map(|queue| (share(*queue), Reverse(*queue))).collect()
        });
        loop {
            let (known, Reverse(borrower)) = heap.pop()?;
            let Some(resource) = lends(borrower) else { continue };
            if share(borrower) < known {
                heap.push((share(borrower), Reverse(borrower)));
                continue;
            }
            let at = search.reclaimed.entry(borrower).or_insert(0);
            let candidate = victims.by_queue.get(&borrower).and_then(|candidates| candidates.get(*at));
            let Some(held) = candidate.and_then(|id| self.running.get(*id)) else { continue };
            *at += 1;
            heap.push((known, Reverse(borrower)));
            let id = held.run.job.id;
            if held.total.get(resource) > 0 && is_free_to_take(id, victims, &search.chosen) {
                return Some(Victim { id, reason: PreemptionReason::Reclaim { borrower, resource } });
            }
        }
    }

    fn next_by_priority(&self, entry: &Entry, victims: &Victims, search: &mut Search) -> Option<Victim> {
        let candidates = victims.by_queue.get(&entry.job.queue)?;
        loop {
            let held = self.running.get(*candidates.get(search.by_priority)?)?;
            if held.run.job.priority >= entry.job.priority {
                return None;
            }
            search.by_priority += 1;
            if is_free_to_take(held.run.job.id, victims, &search.chosen) {
                let (claimant, victim) = (entry.job.priority, held.run.job.priority);
                let reason = PreemptionReason::Priority { claimant, victim };
                return Some(Victim { id: held.run.job.id, reason });
            }
        }
    }

    fn next_by_order(&self, entry: &Entry, victims: &Victims, search: &mut Search) -> Option<Victim> {
        loop {
            let (key, id) = victims.by_order.get(search.by_order)?;
            if self.turn.is_none_or(|turn| *key <= turn) {
                return None;
            }
            search.by_order += 1;
            let held = self.running.get(*id)?;
            if is_free_to_take(*id, victims, &search.chosen)
                && self.may_displace(entry, held, search.before.as_ref())
            {
                return Some(Victim { id: *id, reason: PreemptionReason::Order });
            }
        }
    }

    /// Whether a run may take another's place by the order alone: not if the other one could take it back by its
    /// priority or its queue's quota, or they would do so for ever.
    fn may_displace(&self, entry: &Entry, held: &Held, before: Option<&QueueTree>) -> bool {
        let (ours, theirs) = (&entry.job, &held.run.job);
        if ours.queue == theirs.queue {
            return !self.settings.preempt_by_priority || theirs.priority <= ours.priority;
        }
        let (theirs, ours) = ((theirs.queue, held.total), (ours.queue, entry.total));
        // What a queue has a quota of, no order takes: it might be taken back once others have started.
        let quota = |queue| self.trial.tree.path(queue).any(|node| node.quotas.gpu_milli.nominal.is_some());
        before.is_none_or(|before| {
            !quota(theirs.0) && !quota(ours.0) && !self.trial.tree.could_take_back(before, theirs, ours)
        })
    }
}

fn is_free_to_take(id: Uuid, victims: &Victims, chosen: &FxHashSet<Uuid>) -> bool {
    !victims.taken.contains(&id) && !chosen.contains(&id)
}
