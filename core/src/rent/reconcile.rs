//! The rule of rented machines: [`reconcile`] compares what is decided with what the provider lists.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::options::RentalOptions;
use super::provider::{ListedMachine, MAX_INSTANCE_ID};
use crate::entity::{Rental, RentalId, RentalState};
use crate::time::Timestamp;

/// A rental that is known, read after the list was.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KnownRental {
    /// The row.
    pub rental: Rental,
    /// Whether its lease is still to be worked on.
    pub wanted: bool,
}

impl KnownRental {
    /// A rental whose lease wants it, or does not.
    pub const fn new(rental: Rental, wanted: bool) -> Self {
        Self { rental, wanted }
    }
}

/// A list of a provider: when it began, and how long what is not in it may be there nevertheless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListPass {
    /// When the provider was asked, by the clock of the store.
    pub began: Timestamp,
    /// See [`RentalOptions::grace`].
    pub grace: Duration,
}

impl ListPass {
    /// A list that was asked for then.
    pub const fn new(began: Timestamp, grace: Duration) -> Self {
        Self { began, grace }
    }
}

/// What is to be done about a rental, or about a machine under its label.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RentalAction {
    /// The machine is there: record it.
    Seen {
        /// The rental.
        rental: RentalId,
        /// The machine.
        instance_id: String,
    },
    /// The list has it not, and that alone proves nothing: record since when.
    Missed {
        /// The rental.
        rental: RentalId,
    },
    /// It is not wanted any more: record that it is to be given back.
    Unwanted {
        /// The rental.
        rental: RentalId,
    },
    /// Ask the provider to take a machine back.
    GiveBack {
        /// The rental of its label.
        rental: RentalId,
        /// The machine.
        instance_id: String,
    },
    /// The provider does not have it: record that it has ended.
    Gone {
        /// The rental.
        rental: RentalId,
    },
}

impl RentalAction {
    /// The rental that it is about.
    pub const fn rental(&self) -> RentalId {
        match self {
            Self::Seen { rental, .. }
            | Self::Missed { rental }
            | Self::Unwanted { rental }
            | Self::GiveBack { rental, .. }
            | Self::Gone { rental } => *rental,
        }
    }
}

/// What is to be done, rental by rental. Actions of one rental are carried out in their order, and only while each before succeeded.
///
/// `known` has every rental of the provider that may be there, and those that the labels name. They have to be read after
/// the list was answered: a row is there before its machine is, so a label without a row is of a row that is gone.
///
/// No action names a machine that has no label, or a label that is not of this installation, unless the provider itself once
/// answered to a request of ours that it is that machine, and it has no label at all.
pub fn reconcile(
    options: &RentalOptions,
    known: &[KnownRental],
    listed: &[ListedMachine],
    pass: ListPass,
) -> Vec<RentalAction> {
    let lists = Lists::of(options, listed);
    let rows: BTreeMap<RentalId, &KnownRental> = known.iter().map(|known| (known.rental.id, known)).collect();
    let all: BTreeSet<RentalId> = rows.keys().chain(lists.ours.keys()).copied().collect();
    let mut actions = Vec::new();
    for id in all {
        match rows.get(&id).filter(|known| known.rental.state.may_be_there()) {
            Some(known) => Looked { known, lists: &lists, pass, actions: &mut actions }.decide(),
            None => lists.under(id).for_each(|instance| actions.push(give_back(id, instance))),
        }
    }
    actions
}

fn give_back(rental: RentalId, instance: &str) -> RentalAction {
    RentalAction::GiveBack { rental, instance_id: instance.to_owned() }
}

/// What a provider lists, in order.
#[derive(Debug, Default)]
struct Lists<'l> {
    /// Machines by the rental of their label.
    ours: BTreeMap<RentalId, BTreeSet<&'l str>>,
    /// Machines without a label.
    bare: BTreeSet<&'l str>,
    /// All machines.
    all: BTreeSet<&'l str>,
}

impl<'l> Lists<'l> {
    fn of(options: &RentalOptions, listed: &'l [ListedMachine]) -> Self {
        let mut lists = Self::default();
        for machine in listed {
            let name = machine.instance_id.as_str();
            lists.all.insert(name);
            match machine.label.as_deref() {
                None | Some("") => {
                    lists.bare.insert(name);
                }
                Some(label) => {
                    if let Some(rental) = options.rental_of(label) {
                        lists.ours.entry(rental).or_default().insert(name);
                    }
                }
            }
        }
        lists
    }

    fn under(&self, rental: RentalId) -> impl Iterator<Item = &'l str> {
        self.ours.get(&rental).into_iter().flatten().copied()
    }
}

/// A rental that may be there, while it is decided on.
#[derive(Debug)]
struct Looked<'l, 'a> {
    known: &'l KnownRental,
    lists: &'l Lists<'l>,
    pass: ListPass,
    actions: &'a mut Vec<RentalAction>,
}

impl<'l> Looked<'l, '_> {
    fn decide(&mut self) {
        let rental = &self.known.rental;
        let found = self.found();
        let late =
            rental.state == RentalState::Renting && found.is_none() && self.pass.began >= rental.ready_until;
        if rental.state == RentalState::Releasing {
            self.give_up();
        } else if !self.known.wanted || late {
            self.actions.push(RentalAction::Unwanted { rental: rental.id });
            self.give_up();
        } else if let Some(found) = found {
            self.keep(found);
        } else {
            self.give_back_others(None);
            self.miss();
        }
    }

    /// The machine of the rental: the one that is recorded, and where none is, the first under its label.
    fn found(&self) -> Option<&'l str> {
        let rental = &self.known.rental;
        match rental.instance_id.as_deref() {
            Some(recorded) => {
                let labelled = self.lists.under(rental.id).find(|name| *name == recorded);
                labelled.or_else(|| self.lists.bare.get(recorded).copied())
            }
            None => self.lists.under(rental.id).find(|name| (1..=MAX_INSTANCE_ID).contains(&name.len())),
        }
    }

    fn keep(&mut self, found: &str) {
        let rental = &self.known.rental;
        if rental.state != RentalState::Rented
            || rental.instance_id.is_none()
            || rental.missing_since.is_some()
        {
            let (rental, instance_id) = (rental.id, found.to_owned());
            self.actions.push(RentalAction::Seen { rental, instance_id });
        }
        self.give_back_others(Some(found));
    }

    /// Gives back what was rented twice: once it is recorded which one it is.
    fn give_back_others(&mut self, found: Option<&str>) {
        let rental = &self.known.rental;
        if rental.instance_id.is_none() {
            return;
        }
        let others = self.lists.under(rental.id).filter(|name| Some(*name) != found);
        self.actions.extend(others.map(|name| give_back(rental.id, name)));
    }

    fn give_up(&mut self) {
        let rental = &self.known.rental;
        let bare = self.found().filter(|name| self.lists.bare.contains(name));
        let there: BTreeSet<&str> = self.lists.under(rental.id).chain(bare).collect();
        if !there.is_empty() {
            self.actions.extend(there.into_iter().map(|name| give_back(rental.id, name)));
            return;
        }
        match rental.instance_id.as_deref() {
            // It may only not be listed yet: it is given back by its name. Where that name is listed, it is another's.
            Some(name) if !was_asked_back(rental) && !self.lists.all.contains(name) => {
                self.actions.push(give_back(rental.id, name));
            }
            Some(_) if self.is_evidence() => self.actions.push(RentalAction::Gone { rental: rental.id }),
            None if rental.tries == 0 => self.actions.push(RentalAction::Gone { rental: rental.id }),
            _ => self.miss(),
        }
    }

    /// It is not in the list.
    fn miss(&mut self) {
        let rental = &self.known.rental;
        if !self.is_evidence() {
            return;
        }
        match rental.missing_since {
            Some(since) if since.plus(self.pass.grace) <= self.pass.began => {
                self.actions.push(RentalAction::Gone { rental: rental.id });
            }
            Some(_) => {}
            None => self.actions.push(RentalAction::Missed { rental: rental.id }),
        }
    }

    /// Whether it would be in the list: only where the list began behind the provider's answer, or no answer is waited for.
    fn is_evidence(&self) -> bool {
        let rental = &self.known.rental;
        let since = rental.answered_at.max(rental.rented_at);
        match since {
            Some(since) => since < self.pass.began,
            None => rental.tries > 0 && rental.ready_until <= self.pass.began,
        }
    }
}

/// Whether the provider was asked to take it back: it is asked for it once.
const fn was_asked_back(rental: &Rental) -> bool {
    rental.tries >= 2
}

#[cfg(test)]
mod tests;
