//! What is given: which run gets which GPUs, and which worker which lease, is the schedulers' choice. The model learns it from what is
//! stored, and checks that it could be chosen.

use std::time::Duration;

use super::Checked;
use super::facts::Rows;
use super::state::{Lease, Model, Part, Rental};
use crate::entity::{BindingState, LeaseId, RentalState, RunCause, RunId, RunState};
use crate::plane::{ClaimedRun, RunLease, Ticked, Worker};

/// For how long a lease is charged at once.
const SLICE: Duration = Duration::from_mins(5);

impl Model {
    /// What a tick has done: leases that it gave, and runs that it stopped.
    pub(super) fn ticked(&mut self, ticked: &Ticked, rows: &Rows) -> Checked {
        for (run, lease) in &ticked.granted {
            self.granted(*run, *lease, rows)?;
        }
        for (run, claimant) in &ticked.preempted {
            let (Some(run), Some(claimant)) = (self.run_at(*run), self.run_at(*claimant)) else {
                return Err("a run that is not there was stopped, or stopped another one".to_owned());
            };
            if !self.runs[run].has_gpus() || !self.waits(claimant) {
                return Err(format!("run {run} was stopped for run {claimant}, which does not wait"));
            }
            self.give_up(run, "preempted");
            self.attempt_over(run, RunCause::Preempted);
        }
        Ok(())
    }

    /// Whether a run waits for nothing but GPUs.
    fn waits(&self, run: usize) -> bool {
        let it = &self.runs[run];
        it.state == RunState::WaitingForGpu || (self.is_due(run) && it.waits_for.is_empty())
    }

    /// A run was given a lease.
    pub(super) fn granted(&mut self, run: RunId, id: LeaseId, rows: &Rows) -> Checked {
        let Some(run) = self.run_at(run) else {
            return Err("something was given to a run that is not there".to_owned());
        };
        let Some(row) = rows.leases.iter().find(|row| row.id == id) else {
            return Err(format!("a lease is told of that is not there: {id}"));
        };
        if !self.waits(run) {
            return Err(format!("a lease was given to a run that does not wait: {:?}", self.runs[run]));
        }
        let place = |id| self.nodes.iter().position(|node| node.id == id);
        let mut parts = Vec::new();
        for part in rows.parts.iter().filter(|part| part.lease_id == id) {
            let Some(node) = place(part.of_node) else { return Err(format!("no such node: {part:?}")) };
            let amounts =
                [part.gpu_milli.get(), part.cpu_milli.get(), part.memory_mib.get(), part.storage_mib.get()];
            parts.push(Part { node, members: part.members.into(), amounts });
        }
        let held = rows.held.iter().filter(|held| held.lease_id == id);
        let left = self.left_above(self.runs[run].queue);
        self.turn(run, RunState::Starting);
        self.runs[run].attempt += 1;
        self.leases.push(Lease {
            id,
            run,
            attempt: self.runs[run].attempt,
            state: BindingState::Reserved,
            is_own: true,
            token: 0,
            worker: None,
            node: None,
            session: None,
            expires_at: self.now,
            amounts: [row.gpu_milli.get(), row.cpu_milli.get(), row.memory_mib.get(), row.storage_mib.get()],
            parts,
            gpus: held.map(|held| (held.of_gpu, held.milli.get())).collect(),
            since: self.now,
            charged_until: self.now.plus(SLICE),
            released_at: None,
            reason: None,
        });
        if row.gpu_milli.get() > 0 {
            self.account_had_room(self.runs[run].user)?;
        }
        self.keeps_to_quotas(self.runs[run].queue, &left)?;
        if rows.rentals.iter().any(|rental| rental.of_lease == id) {
            return self.is_to_be_rented(self.leases.len() - 1, rows);
        }
        self.is_as_asked(self.leases.len() - 1, rows)
    }

    /// Whether an account to which something was just charged is within its limits.
    fn account_had_room(&self, user: usize) -> Checked {
        let (limits, held) = (&self.users[user].limits, self.charged_to(user));
        match limits.gpu_milli_limit {
            Some(limit) if held[0] > limit.get() => {
                Err(format!("user {user} holds {} gpu milli, and may hold {limit:?}", held[0]))
            }
            _ => Ok(()),
        }
    }

    /// A lease for which a machine is to be rented holds nothing yet.
    fn is_to_be_rented(&mut self, at: usize, rows: &Rows) -> Checked {
        let lease = &self.leases[at];
        let ask = &self.runs[lease.run].request.ask;
        let Some(row) = rows.rentals.iter().find(|row| row.of_lease == lease.id) else {
            return Err("there is no such rental".to_owned());
        };
        let affordable = ask.rent_micros.is_some_and(|most| row.price_micros <= most);
        let as_asked = row.gpus == ask.gpus && lease.amounts == self.runs[lease.run].amounts();
        if !affordable || !as_asked || !lease.parts.is_empty() || !lease.gpus.is_empty() {
            return Err(format!("this was not asked for: {row:?} for {lease:?}"));
        }
        self.rentals.push(Rental {
            id: row.id,
            lease: at,
            state: RentalState::Renting,
            gpu_count: usize::try_from(row.gpus).unwrap_or(0),
            gpus: Vec::new(),
        });
        Ok(())
    }

    /// The leases that a worker may take.
    fn free_for(&self, worker: &Worker) -> Vec<usize> {
        let fits = |at: &usize| {
            let lease = &self.leases[*at];
            let here = match (worker.lease, worker.node) {
                (Some(id), _) => lease.id == id,
                (None, None) => self.rental_of(*at).is_none(),
                (None, Some((node, _))) => {
                    lease.parts.iter().any(|part| self.nodes[part.node].id == node)
                        && self.rental_of(*at).is_none()
                }
            };
            here && lease.state == BindingState::Reserved
        };
        (0..self.leases.len()).filter(fits).collect()
    }

    /// A worker has taken a lease, or has found none.
    pub(super) fn claimed(
        &mut self,
        worker: &Worker,
        got: Result<Option<ClaimedRun>, &'static str>,
        lease: Duration,
    ) -> Checked {
        let node = worker
            .node
            .and_then(|(id, session)| Some((self.nodes.iter().position(|it| it.id == id)?, session.0)));
        if let Some((node, session)) = node
            && self.nodes[node].session != Some(session)
        {
            return match got {
                Err("wrong_state") => Ok(()),
                other => Err(format!("an agent that was replaced has got {other:?}")),
            };
        }
        let free = self.free_for(worker);
        let got = got.map_err(|code| format!("{worker:?} got {code}"))?;
        let Some(claimed) = got else {
            return if free.is_empty() {
                Ok(())
            } else {
                Err(format!("{worker:?} got nothing, and might have {free:?}"))
            };
        };
        let Some(at) = free.into_iter().find(|at| self.leases[*at].id == claimed.lease.lease) else {
            return Err(format!("{worker:?} got what it cannot have: {claimed:?}"));
        };
        let until = self.now.plus(lease);
        let known = &mut self.leases[at];
        known.state = BindingState::Bound;
        known.token += 1;
        (known.worker, known.expires_at) = (Some(worker.name.clone()), until);
        if let Some((node, session)) = node {
            (known.node, known.session) = (Some(node), Some(session));
        }
        let run = &self.runs[known.run];
        let shown = RunLease::new(run.id, known.id, known.attempt, known.token);
        let mut gpus: Vec<_> = claimed.gpus.iter().map(|gpu| (gpu.id, gpu.milli.get())).collect();
        gpus.sort_unstable();
        let mut its = known.gpus.clone();
        its.sort_unstable();
        if claimed.lease != shown || claimed.run.id != run.id || gpus != its || claimed.until != until {
            return Err(format!("{claimed:?} was told, and it is {known:?} of {run:?}"));
        }
        self.taken.push(shown);
        Ok(())
    }

    /// Learns when what was to be tried again is tried, and checks that it is a pause as it is documented.
    pub(super) fn learn_pauses(&mut self, rows: &Rows) -> Checked {
        for run in &mut self.runs {
            let Some((from, to)) = run.pause.take() else { continue };
            let row = rows.runs.iter().find(|row| row.id == run.id);
            let chosen = row.and_then(|row| row.not_before).filter(|at| (from..=to).contains(at));
            let Some(chosen) = chosen else {
                return Err(format!("it is to be tried again between {from} and {to}: {row:?}"));
            };
            run.not_before = Some(chosen);
            if run.state == RunState::Queued {
                run.deadline = Some(chosen);
            }
        }
        Ok(())
    }
}
