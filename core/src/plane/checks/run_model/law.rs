//! What holds in every state, whatever the rules are.

use std::collections::BTreeMap;

use super::Checked;
use super::facts::Rows;
use super::state::{Model, TrainingRun};
use crate::entity::{GpuHealth, RunState};

/// Checks what is stored, beside what was stored before.
pub(super) fn check(before: &Rows, rows: &Rows) -> Checked {
    nothing_is_given_twice(rows)?;
    a_run_has_its_lease_and_no_other(rows)?;
    what_has_ended_stays_as_it_is(before, rows)
}

fn nothing_is_given_twice(rows: &Rows) -> Checked {
    for gpu in &rows.gpus {
        let holders: Vec<_> = rows.held.iter().filter(|held| held.gpu_id == Some(gpu.id)).collect();
        let sum: i64 = holders.iter().map(|held| held.milli.get()).sum();
        let whole = holders.iter().any(|held| held.milli.get() == 1000);
        if sum > 1000 || sum != gpu.used_milli.get() || (whole && holders.len() > 1) {
            return Err(format!("a gpu is given twice, or lost: {gpu:?} is held by {holders:?}"));
        }
        for held in holders {
            let lease = rows.leases.iter().find(|lease| lease.id == held.lease_id);
            if lease.is_none_or(|lease| lease.released_at.is_some()) {
                return Err(format!("what is over holds a gpu: {held:?} of {lease:?}"));
            }
        }
    }
    Ok(())
}

fn a_run_has_its_lease_and_no_other(rows: &Rows) -> Checked {
    let mut live = BTreeMap::new();
    for run in &rows.runs {
        let own: Vec<_> = rows.leases.iter().filter(|lease| lease.run_id == Some(run.id)).collect();
        let has = matches!(run.state, RunState::Starting | RunState::Training | RunState::Uploading);
        let fits = match own.as_slice() {
            [] => !has,
            [own] => has && own.attempt == run.attempt && own.released_at.is_none(),
            _ => false,
        };
        if !fits {
            return Err(format!("a run without its lease, or a lease without its run: {run:?}, {own:?}"));
        }
        if has_ended(run.state) {
            continue;
        }
        if let Some(other) = live.insert(run.of_training, run.id) {
            return Err(format!("a training has two runs that have not ended: {other} and {}", run.id));
        }
    }
    Ok(())
}

const fn has_ended(state: RunState) -> bool {
    matches!(state, RunState::Completed | RunState::Failed | RunState::Aborted | RunState::Stalled)
}

fn what_has_ended_stays_as_it_is(before: &Rows, rows: &Rows) -> Checked {
    for run in before.runs.iter().filter(|run| has_ended(run.state)) {
        // But for how long GPUs were held for it: that ends later.
        let now = rows.runs.iter().find(|row| row.id == run.id);
        let same = now.is_some_and(|now| {
            let held_ms = run.held_ms;
            now.held_ms >= held_ms && *run == crate::entity::TrainingRun { held_ms, ..now.clone() }
        });
        if !same {
            return Err(format!("a run that has ended is another one now: {run:?} is {now:?}"));
        }
    }
    for lease in before.leases.iter().filter(|lease| lease.released_at.is_some()) {
        if !rows.leases.contains(lease) {
            return Err(format!("a lease that is over is another one now: {lease:?}"));
        }
    }
    for rental in before.rentals.iter().filter(|rental| rental.ended_at.is_some()) {
        if !rows.rentals.contains(rental) {
            return Err(format!("a rental that has ended is another one now: {rental:?}"));
        }
    }
    Ok(())
}

impl Model {
    /// Whether what a queue was just given is within its quota of GPUs and those of the queues above, of which so much was left
    /// before: counted as in the design of hierarchical cohorts of Kueue (KEP-79), from what is left at each leaf upwards, and not as
    /// the queue itself counts. Where a quota was lowered below its use, nothing more is taken of it.
    pub(super) fn keeps_to_quotas(&self, queue: usize, before: &[Option<i64>]) -> Checked {
        let (mut next, mut before) = (Some(queue), before.iter());
        while let Some(at) = next {
            let (queue, left) = (&self.queues[at], self.left_of(at));
            let least = if queue.parent.is_none() { Some(0) } else { queue.borrowing.map(|most| -most) };
            let was_left = before.next().copied().flatten();
            if let (Some(left), Some(least)) = (left, least)
                && left < least
                && Some(left) != was_left
            {
                return Err(format!("{left} are left of queue {at} now, and at least {least} have to be"));
            }
            next = queue.parent;
        }
        Ok(())
    }

    /// What is left of a queue, and of each above it.
    pub(super) fn left_above(&self, queue: usize) -> Vec<Option<i64>> {
        let above = std::iter::successors(Some(queue), |at| self.queues[*at].parent);
        above.map(|at| self.left_of(at)).collect()
    }

    /// What is left of the GPUs of a queue and those below it; nothing where there is no end of them.
    fn left_of(&self, at: usize) -> Option<i64> {
        let queue = &self.queues[at];
        // What is no queue's own, and has no limit, is without end; below another one it is nothing.
        let own = if queue.parent.is_none() { queue.own? } else { queue.own.unwrap_or(0) };
        let mut left = own - self.used_of(at)[0];
        for below in (0..self.queues.len()).filter(|below| self.queues[*below].parent == Some(at)) {
            let of = self.left_of(below)?;
            left += self.queues[below].lending.map_or(of, |most| of.min(most));
        }
        Some(left)
    }

    /// Whether a lease that was just given is what its run asked for, of nodes and GPUs that can be given.
    pub(super) fn is_as_asked(&self, at: usize, rows: &Rows) -> Checked {
        let lease = &self.leases[at];
        let run = &self.runs[lease.run];
        let wrong = |what: &str| Err(format!("{what}: {lease:?} of {run:?}"));
        let ask = &run.request.ask;
        if lease.amounts != run.amounts() {
            return wrong("it is not charged with what it asked for");
        }
        if lease.parts.iter().map(|part| part.members).sum::<i64>() != i64::from(ask.members) {
            return wrong("some members of the gang are missing");
        }
        if ask.spread && lease.parts.iter().any(|part| part.members != 1) {
            return wrong("two members of it are on one node");
        }
        let milli: i64 = lease.gpus.iter().map(|(_, milli)| milli).sum();
        let each = ask.gpu_milli.get();
        if milli != lease.amounts[0] || lease.gpus.iter().any(|(_, milli)| milli % each != 0) {
            return wrong("it has other gpus than it asked for");
        }
        for part in &lease.parts {
            self.is_given_there(part, (run, lease), rows)?;
        }
        Ok(())
    }

    fn is_given_there(
        &self,
        part: &super::state::Part,
        (run, lease): (&TrainingRun, &super::state::Lease),
        rows: &Rows,
    ) -> Checked {
        let node = &self.nodes[part.node];
        let ask = &run.request.ask;
        let wrong = |what: &str| Err(format!("{what}: node {} for {lease:?} of {run:?}", part.node));
        if node.state != crate::entity::NodeState::Active {
            return wrong("the node takes nothing");
        }
        let here = lease.gpus.iter().filter(|(gpu, _)| node.gpus.contains(gpu));
        let healthy = |(gpu, _): &&(crate::entity::GpuId, i64)| {
            rows.gpus.iter().any(|row| row.id == *gpu && row.health == GpuHealth::Healthy)
        };
        let milli: i64 = here.clone().filter(healthy).map(|(_, milli)| milli).sum();
        let ask_of = |each: i64| each * part.members;
        let gpus = i64::from(ask.gpus) * if ask.gpus == 0 { 0 } else { ask.gpu_milli.get() };
        let asked = [gpus, ask.cpu.get(), ask.memory.get(), ask.storage.get()].map(ask_of);
        if milli != asked[0] || part.amounts != asked {
            return wrong("it has another part of the node than its members ask for");
        }
        if ask.gpus > 0 && !(ask.models.is_empty() || ask.models.iter().any(|model| model == node.model)) {
            return wrong("these are gpus of another model");
        }
        let held = self.held_on(part.node);
        if held.iter().zip(node.total).any(|(held, total)| *held > total) {
            return wrong("the node does not have that much");
        }
        Ok(())
    }
}
