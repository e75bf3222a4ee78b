//! What is held on no node of the cluster, such as a rented machine: [`Queue::hold_elsewhere`].

use uuid::Uuid;

use super::resources::Resources;
use super::state::{Queue, Unacceptable};

/// What a run holds elsewhere, and who is charged.
#[derive(Debug, Clone)]
pub(super) struct Elsewhere {
    queue: Uuid,
    account: Uuid,
    amount: Resources,
}

impl Queue {
    /// A run holds so much on no node of the cluster: it is charged to its queue and its account like everything else, until it
    /// has [ended](Self::end). Nobody takes its place, for there is none here.
    pub fn hold_elsewhere(
        &mut self,
        run: Uuid,
        queue: Uuid,
        account: Uuid,
        amount: Resources,
    ) -> Result<(), Unacceptable> {
        if self.tree.get(queue).is_none() {
            return Err(Unacceptable::UnknownQueue { queue });
        }
        if self.pending.get(run).is_some()
            || self.running.get(run).is_some()
            || self.elsewhere.contains_key(&run)
        {
            return Err(Unacceptable::Known { job: run });
        }
        self.tree.charge(queue, amount);
        self.accounts.hold(account, amount);
        self.elsewhere.insert(run, Elsewhere { queue, account, amount });
        Ok(())
    }

    pub(super) fn let_go_elsewhere(&mut self, run: Uuid) {
        if let Some(Elsewhere { queue, account, amount }) = self.elsewhere.remove(&run) {
            self.tree.release(queue, amount);
            self.accounts.free(account, amount);
        }
    }
}
