//! Preemption: whom a run that does not fit may stop.

use uuid::Uuid;

use super::order::OrderKey;
use super::pending::Entry;
use super::plan::{Preemption, Reservation};
use super::resources::Resources;
use super::round::{Kept, Round};
use super::running::Held;
use super::victims::{Search, Victim, Victims};
use crate::sched::Placement;

/// The most attempts at preemption in a tick that come to nothing.
const MOST_FAILED: usize = 16;

/// What decides whether one that waits may want the place of another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wants {
    pub(super) queue: Uuid,
    pub(super) priority: i32,
    pub(super) order: OrderKey,
    pub(super) total: Resources,
}

impl Round<'_> {
    /// Whether one whom this plan stops comes before a run whose turn it is, so that it might want its place: then that
    /// one is asked first, by a later tick.
    pub(super) fn stands_back(&self, entry: &Entry, order: OrderKey) -> bool {
        let of = wants(entry, order);
        self.gone.iter().any(|gone| self.comes_before(gone, &of))
    }

    /// Whether the queue of one that stops could take back for it what this run would borrow.
    pub(super) fn is_for_gone(&mut self, entry: &Entry) -> bool {
        let queue = entry.job.queue;
        if self.gone.is_empty()
            || !self.settings.reclaim
            || !self.trial.tree.is_borrowing_with(queue, entry.total)
        {
            return false;
        }
        let start = self.trial.mark();
        for at in 0..self.gone.len() {
            if let Some(gone) = self.gone.get(at) {
                self.trial.release(gone.queue, gone.total);
            }
        }
        self.trial.charge(queue, entry.total);
        let back = |gone: &Wants| self.trial.tree.may_reclaim(gone.queue, gone.total, queue).is_some();
        let any = self.gone.iter().any(back);
        self.trial.back_to(start);
        any
    }

    /// Whether one comes before another by its priority or by the order, wherever they are covered.
    pub(super) fn comes_before(&self, one: &Wants, other: &Wants) -> bool {
        let by_priority = self.settings.preempt_by_priority;
        let higher = by_priority && one.queue == other.queue && one.priority > other.priority;
        let sooner = self.rules.displaces && one.order < other.order;
        higher || (sooner && (!by_priority || one.priority >= other.priority))
    }

    /// One that runs as it would wait.
    pub(super) fn wants(&self, held: &Held) -> Wants {
        let order = OrderKey { waits: true, ..self.order_of(held) };
        Wants { queue: held.run.job.queue, priority: held.run.job.priority, order, total: held.total }
    }

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
        let victims = self.victims.take();
        let mut victims =
            victims.unwrap_or_else(|| Victims::new(self.running, self.settings, &self.standing, self.now));
        let chosen = if victims.failed < MOST_FAILED { self.choose(entry, left, &mut victims) } else { None };
        self.victims = Some(victims);
        chosen.is_some()
    }

    /// Looks for those that are to stop for a run; if there are such, they do.
    fn choose(&mut self, entry: &Entry, most: usize, victims: &mut Victims) -> Option<()> {
        let start = self.trial.mark();
        self.look_ahead();
        // Nobody else need stop where those are enough that stop already.
        let found = if self.fits(entry) { None } else { self.search(entry, most, victims) };
        let Some(chosen) = found.filter(|chosen| !self.would_take_back(entry, chosen)) else {
            self.trial.back_to(start);
            self.hopeless.insert((entry.kind.queue, entry.kind.shape), entry.job.priority);
            return None;
        };
        let placed = self.trial.place_gang(&entry.job.ask).unwrap_or_default();
        self.trial.back_to(start);
        let ids: Vec<Uuid> = chosen.iter().map(|victim| victim.id).collect();
        self.taken.extend(&ids);
        self.uncover(&ids);
        let held = ids.iter().filter_map(|id| self.running.get(*id));
        let gone: Vec<Wants> = held.map(|held| self.wants(held)).collect();
        self.gone.extend(gone);
        self.keep_place(entry, placed, ids);
        let claimant = entry.job.id;
        let preemption = |victim: Victim| Preemption { victim: victim.id, claimant, reason: victim.reason };
        self.plan.preemptions.extend(chosen.into_iter().map(preemption));
        Some(())
    }

    /// Gives up the last claims as long as one that stops for an earlier one need not, since they make more room than
    /// they take. Whoever made them has another turn in a later tick.
    pub(super) fn stop_nobody_in_vain(&mut self) {
        if self.kept.iter().filter(|kept| !kept.victims.is_empty()).count() < 2 {
            return;
        }
        let start = self.trial.mark();
        self.look_ahead();
        let mut at = 0;
        while let Some(preemption) = self.plan.preemptions.get(at).cloned() {
            if self.goes_on(&preemption) {
                self.give_up_last();
                // What it took is free again: maybe for one that was looked at already.
                at = 0;
            } else {
                at += 1;
            }
        }
        self.trial.back_to(start);
    }

    /// Gives up the last claim of the plan. What is looked ahead to is as if it had not been made.
    fn give_up_last(&mut self) {
        let Some(last) = self.kept.iter().rposition(|kept| !kept.victims.is_empty()) else { return };
        let last = self.kept.remove(last);
        self.trial.free(&last.placements);
        self.trial.release(last.wants.queue, last.wants.total);
        last.victims.iter().for_each(|victim| self.keep(*victim));
        self.plan.preemptions.retain(|at| at.claimant != last.claimant);
        self.plan.reservations.retain(|reservation| reservation.job != last.claimant);
    }

    /// Whether there is room for a run if one that stops for it does not.
    ///
    /// The others for whom somebody stops keep their places, but for those that are where that one is.
    fn goes_on(&mut self, at: &Preemption) -> bool {
        let Some(held) = self.running.get(at.victim) else { return false };
        let is_there = |place: &Placement| held.run.placements.iter().any(|own| own.node == place.node);
        let kept = std::mem::take(&mut self.kept);
        let (own, others): (Vec<_>, Vec<_>) = kept.iter().partition(|kept| kept.claimant == at.claimant);
        let others: Vec<_> = others.into_iter().filter(|kept| kept.placements.iter().any(is_there)).collect();
        let start = self.trial.mark();
        for kept in own.iter().chain(&others) {
            self.trial.free(&kept.placements);
        }
        let goes_on = self.trial.tree.fits(held.run.job.queue, held.total).is_ok()
            && self.trial.hold_all(&held.run.placements)
            && self.place_again(&own, &others);
        self.trial.back_to(start);
        self.kept = kept;
        goes_on
    }

    /// Whether the others have room, where they were if that is still possible, and then a claimant.
    fn place_again(&mut self, own: &[&Kept], others: &[&Kept]) -> bool {
        let moved: Vec<_> = others.iter().filter(|kept| !self.trial.place_at(&kept.placements)).collect();
        moved.into_iter().chain(own).all(|kept| {
            let entry = self.pending.get(kept.claimant);
            entry.is_some_and(|entry| self.trial.place_gang(&entry.job.ask).is_ok())
        })
    }

    /// Whether the queue of one that stops could take back, for that one, what the plan gives to others.
    fn would_take_back(&mut self, entry: &Entry, chosen: &[Victim]) -> bool {
        if !self.settings.reclaim || !self.trial.tree.has_quotas() {
            return false;
        }
        let start = self.trial.mark();
        self.trial.charge(entry.job.queue, entry.total);
        let held = chosen.iter().filter_map(|victim| self.running.get(victim.id));
        let mut gone = held.map(|held| self.wants(held)).chain(self.gone.iter().copied());
        let tree = &self.trial.tree;
        let back = |gone: Wants| {
            let mut takers = self.takers.iter().chain([&entry.job.queue]);
            takers.any(|taker| tree.may_reclaim(gone.queue, gone.total, *taker).is_some())
        };
        let any = gone.any(back);
        self.trial.back_to(start);
        any
    }

    /// Keeps a place for a run until others have stopped.
    ///
    /// Its nodes are closed to what starts now, whole: which of what is free on them now is its own, is not told apart.
    pub(super) fn keep_place(&mut self, entry: &Entry, placements: Vec<Placement>, victims: Vec<Uuid>) {
        let nodes = self.close(&placements);
        self.provide(entry);
        let wants = wants(entry, self.order_of_entry(entry));
        let claimant = entry.job.id;
        self.kept.push(Kept { claimant, wants, victims, placements, nodes: nodes.clone() });
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

    fn search(&mut self, entry: &Entry, most: usize, victims: &mut Victims) -> Option<Vec<Victim>> {
        let mut search = Search::new(self.depth_for(entry));
        let mut chosen: Vec<Victim> = Vec::new();
        let mut look_at = 1;
        let fits = loop {
            let next = if chosen.len() < most { self.next_victim(entry, victims, &mut search) } else { None };
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
            victims.failed += 1;
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
}

/// One that waits, with its place in the order.
const fn wants(entry: &Entry, order: OrderKey) -> Wants {
    Wants { queue: entry.job.queue, priority: entry.job.priority, order, total: entry.total }
}
