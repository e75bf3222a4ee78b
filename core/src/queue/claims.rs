//! Those for whom others stop: [`Claims`].

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::round::Round;

/// The runs for which others were asked to stop, with those that still hold something.
///
/// They go before all others: what was freed for them is theirs, whatever the order says about those that stopped.
#[derive(Debug, Clone, Default)]
pub(super) struct Claims(BTreeMap<Uuid, BTreeSet<Uuid>>);

impl Claims {
    pub(super) fn add(&mut self, claimant: Uuid, victim: Uuid) {
        self.0.entry(claimant).or_default().insert(victim);
    }

    /// The claimant has what it wanted, or wants it no more.
    pub(super) fn drop_claimant(&mut self, claimant: Uuid) {
        self.0.remove(&claimant);
    }

    pub(super) fn ended(&mut self, victim: Uuid) {
        for victims in self.0.values_mut() {
            victims.remove(&victim);
        }
    }

    /// The runs that others still stop for.
    pub(super) fn waiting_for(&self, claimant: Uuid) -> Option<&BTreeSet<Uuid>> {
        self.0.get(&claimant)
    }
}

impl Round<'_> {
    /// Starts those for whom others have stopped, and keeps the place of those for whom they have not yet. Answers
    /// those whose place somebody else has, or something else has become of it: they wait like all others.
    pub(super) fn settle_claims(&mut self, claims: &Claims) -> Vec<Uuid> {
        let entries = claims.0.iter().filter_map(|(id, victims)| Some((self.pending.get(*id)?, victims)));
        let mut entries: Vec<_> = entries.collect();
        entries.sort_unstable_by_key(|(entry, _)| entry.key);
        let mut lapsed = Vec::new();
        for (entry, victims) in entries {
            if victims.is_empty() {
                if self.attempt(entry).is_err() {
                    lapsed.push(entry.job.id);
                }
                continue;
            }
            if self.attempt(entry).is_ok() {
                // Others left sooner than those who stop for it.
                continue;
            }
            let start = self.trial.mark();
            self.look_ahead();
            let fits = self.trial.tree.fits(entry.job.queue, entry.total).is_ok();
            let placed = if fits { self.trial.place_gang(&entry.job.ask).ok() } else { None };
            self.trial.back_to(start);
            if let Some(placements) = placed {
                self.claim(entry, placements, Vec::new());
            }
        }
        lapsed
    }
}
