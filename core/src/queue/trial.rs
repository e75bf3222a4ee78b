//! What is tried and taken back: [`Trial`].

use uuid::Uuid;

use super::gang::{GangMisfit, place_gang};
use super::job::Ask;
use super::resources::Resources;
use super::tree::QueueTree;
use crate::sched::{Cluster, Placement, Scheduler};

/// A cluster and a tree of queues on which everything that is done can be taken back, in the opposite order.
///
/// Nothing is copied: what a decision costs grows with what it touches, not with the number of nodes.
#[derive(Debug)]
pub(super) struct Trial<'a> {
    pub(super) cluster: &'a mut Cluster,
    pub(super) scheduler: &'a mut Scheduler,
    pub(super) tree: &'a mut QueueTree,
    log: Vec<Step>,
}

/// Something that was done.
#[derive(Debug)]
enum Step {
    Held(Placement),
    Freed(Placement),
    Closed(Uuid),
    Opened(Uuid),
    Charged(Uuid, Resources),
    Released(Uuid, Resources),
}

/// A point to which everything can be taken back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark(usize);

impl<'a> Trial<'a> {
    pub(super) const fn new(
        cluster: &'a mut Cluster,
        scheduler: &'a mut Scheduler,
        tree: &'a mut QueueTree,
    ) -> Self {
        Self { cluster, scheduler, tree, log: Vec::new() }
    }

    pub(super) const fn mark(&self) -> Mark {
        Mark(self.log.len())
    }

    /// Takes back everything since the mark.
    pub(super) fn back_to(&mut self, mark: Mark) {
        while self.log.len() > mark.0
            && let Some(step) = self.log.pop()
        {
            self.undo(step);
        }
    }

    fn undo(&mut self, step: Step) {
        let done = match step {
            Step::Held(placement) => self.cluster.release(&placement),
            Step::Freed(placement) => self.cluster.hold(&placement),
            Step::Closed(node) => {
                self.cluster.set_schedulable(&node, true);
                Ok(())
            }
            Step::Opened(node) => {
                self.cluster.set_schedulable(&node, false);
                Ok(())
            }
            Step::Charged(queue, amount) => {
                self.tree.release(queue, amount);
                Ok(())
            }
            Step::Released(queue, amount) => {
                self.tree.charge(queue, amount);
                Ok(())
            }
        };
        debug_assert_eq!(done, Ok(()), "what was done can be taken back");
    }

    /// Places all members of a gang, or none.
    pub(super) fn place_gang(&mut self, ask: &Ask) -> Result<Vec<Placement>, GangMisfit> {
        let placements = place_gang(self.scheduler, self.cluster, ask)?;
        self.log.extend(placements.iter().cloned().map(Step::Held));
        Ok(placements)
    }

    /// Places all members of a gang where it is said, or none.
    pub(super) fn place_at(&mut self, placements: &[Placement]) -> bool {
        let start = self.mark();
        for placement in placements {
            if self.cluster.place(placement).is_err() {
                self.back_to(start);
                return false;
            }
            self.log.push(Step::Held(placement.clone()));
        }
        true
    }

    /// Whether a gang would fit.
    pub(super) fn has_room(&self, ask: &Ask) -> bool {
        let members = u64::from(ask.members());
        self.cluster.room(ask.demand(), ask.spread(), members) >= members
    }

    /// Gives back what is held. What is not there any more, on a node that has gone, is passed over.
    pub(super) fn free(&mut self, placements: &[Placement]) {
        for placement in placements {
            if self.cluster.release(placement).is_ok() {
                self.log.push(Step::Freed(placement.clone()));
            }
        }
    }

    /// Takes again what was given back since.
    pub(super) fn hold(&mut self, placements: &[Placement]) {
        for placement in placements {
            if self.cluster.hold(placement).is_ok() {
                self.log.push(Step::Held(placement.clone()));
            }
        }
    }

    /// Takes again all of what was given back since, or nothing of it.
    pub(super) fn hold_all(&mut self, placements: &[Placement]) -> bool {
        let start = self.mark();
        self.hold(placements);
        let all = self.log.len() - start.0 == placements.len();
        if !all {
            self.back_to(start);
        }
        all
    }

    /// Closes a node to everybody.
    pub(super) fn close(&mut self, node: Uuid) {
        if self.cluster.is_schedulable(&node) {
            self.cluster.set_schedulable(&node, false);
            self.log.push(Step::Closed(node));
        }
    }

    /// Opens a node that was closed by [`close`](Self::close).
    pub(super) fn open(&mut self, node: Uuid) {
        if self.cluster.set_schedulable(&node, true) {
            self.log.push(Step::Opened(node));
        }
    }

    pub(super) fn charge(&mut self, queue: Uuid, amount: Resources) {
        self.tree.charge(queue, amount);
        self.log.push(Step::Charged(queue, amount));
    }

    pub(super) fn release(&mut self, queue: Uuid, amount: Resources) {
        self.tree.release(queue, amount);
        self.log.push(Step::Released(queue, amount));
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        self.back_to(Mark(0));
    }
}
