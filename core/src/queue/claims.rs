//! Those for whom others stop: [`Claims`].

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::pending::Entry;
use super::round::{Kept, Round};
use crate::sched::Placement;

/// The runs for which others were asked to stop, with those that still hold something.
///
/// They go before all others: what was freed for them is theirs, whatever the order says about those that stopped.
#[derive(Debug, Clone, Default)]
pub(super) struct Claims {
    victims: BTreeMap<Uuid, BTreeSet<Uuid>>,
    /// Where each was to go when this was last decided. Beside each other they fit there, and maybe nowhere else.
    places: BTreeMap<Uuid, Vec<Placement>>,
}

impl Claims {
    pub(super) fn add(&mut self, claimant: Uuid, victim: Uuid) {
        self.victims.entry(claimant).or_default().insert(victim);
    }

    /// The claimant has what it wanted, or wants it no more.
    pub(super) fn drop_claimant(&mut self, claimant: Uuid) {
        self.victims.remove(&claimant);
    }

    pub(super) fn ended(&mut self, victim: Uuid) {
        for victims in self.victims.values_mut() {
            victims.remove(&victim);
        }
    }

    /// Remembers what was kept for whom.
    pub(super) fn remember(&mut self, kept: Vec<Kept>) {
        self.places = kept.into_iter().map(|kept| (kept.claimant, kept.placements)).collect();
    }

    /// The runs that others still stop for.
    pub(super) fn waiting_for(&self, claimant: Uuid) -> Option<&BTreeSet<Uuid>> {
        self.victims.get(&claimant)
    }

    fn place(&self, claimant: Uuid) -> Option<&[Placement]> {
        self.places.get(&claimant).map(Vec::as_slice)
    }
}

impl Round<'_> {
    /// Starts those for whom others have stopped, and keeps the place of those for whom they have not yet. Answers
    /// those whose place somebody else has, or something else has become of it: they wait like all others.
    pub(super) fn settle_claims(&mut self, claims: &Claims) -> Vec<Uuid> {
        let entries = claims.victims.iter().filter_map(|(id, left)| Some((self.pending.get(*id)?, left)));
        let mut entries: Vec<_> = entries.collect();
        entries.sort_unstable_by_key(|(entry, _)| entry.key);
        let (ready, early): (Vec<_>, Vec<_>) = entries.into_iter().partition(|(_, left)| left.is_empty());
        // Each where it was to go, so that nobody takes what was freed for another.
        let mut elsewhere = Vec::new();
        for (entry, _) in ready {
            let started = match claims.place(entry.job.id) {
                Some(place) => self.start_at(entry, place),
                None => self.attempt(entry).is_ok(),
            };
            if !started {
                elsewhere.push(entry);
            }
        }
        let mut waiting = Vec::new();
        for (entry, _) in early {
            if let Some(placements) = self.place_when_stopped(entry, claims.place(entry.job.id)) {
                self.keep_place(entry, placements, Vec::new());
                waiting.push(entry);
            }
        }
        elsewhere.retain(|entry| self.attempt(entry).is_err());
        // Others may leave sooner than those who stop for it.
        for entry in waiting {
            self.start_early(entry);
        }
        elsewhere.into_iter().map(|entry| entry.job.id).collect()
    }

    fn start_at(&mut self, entry: &Entry, placements: &[Placement]) -> bool {
        let starts =
            self.trial.tree.fits(entry.job.queue, entry.total).is_ok() && self.trial.place_at(placements);
        if starts {
            self.provide(entry);
            self.begin(entry, placements.to_vec());
        }
        starts
    }

    /// Starts one on nodes that are kept for nobody, if it fits there beside all for whom others stop.
    fn start_early(&mut self, entry: &Entry) {
        let (id, queue) = (entry.job.id, entry.job.queue);
        self.trial.release(queue, entry.total);
        let fits = self.trial.tree.fits(queue, entry.total).is_ok();
        self.trial.charge(queue, entry.total);
        if fits && let Some(placements) = self.place(entry) {
            self.kept.retain(|kept| kept.claimant != id);
            self.plan.reservations.retain(|reservation| reservation.job != id);
            self.begin(entry, placements);
        }
    }

    /// Where a run goes when all have stopped that do so: where it was to go before, if it still can.
    fn place_when_stopped(&mut self, entry: &Entry, before: Option<&[Placement]>) -> Option<Vec<Placement>> {
        let start = self.trial.mark();
        self.look_ahead();
        let fits = self.trial.tree.fits(entry.job.queue, entry.total).is_ok();
        let placed = match before {
            _ if !fits => None,
            Some(before) if self.trial.place_at(before) => Some(before.to_vec()),
            _ => self.trial.place_gang(&entry.job.ask).ok(),
        };
        self.trial.back_to(start);
        placed
    }
}
