//! What the model expects of everything that is not said by a worker. Each answers what is answered: what came of it, or the code of
//! the refusal.

use std::time::Duration;

use super::facts::Rows;
use super::state::{Model, TrainingRun};
use crate::entity::{BindingState, LeaseId, NodeId, NodeState, RunCause, RunId, RunState, TrainingImageId};
use crate::plane::{ControlPlane, NewRun, RunPolicy};
use crate::time::Timestamp;

pub(super) type Answer = Result<String, &'static str>;

/// For how long a lease is charged at once.
const SLICE: Duration = Duration::from_mins(5);

const PREPARING: Duration = Duration::from_mins(10);
const WAITING: Duration = Duration::from_hours(2);
const STARTING: Duration = Duration::from_mins(3);
const SILENCE: Duration = Duration::from_mins(4);
const UPLOADING: Duration = Duration::from_mins(5);
const BACKOFF: Duration = Duration::from_secs(16);
const LONGEST: Duration = Duration::from_secs(50);

/// What the control planes know of these times.
pub(super) fn policy() -> RunPolicy {
    RunPolicy::default()
        .preparing(PREPARING)
        .waiting(Some(WAITING))
        .starting(STARTING)
        .silence(SILENCE)
        .uploading(UPLOADING)
        .backoff(BACKOFF, LONGEST)
}

impl Model {
    /// A run is in another live state from now on.
    pub(super) fn turn(&mut self, run: usize, to: RunState) {
        let now = self.now;
        let run = &mut self.runs[run];
        run.state = to;
        run.deadline = Some(match to {
            RunState::Preparing => now.plus(PREPARING),
            RunState::WaitingForGpu => now.plus(WAITING),
            RunState::Starting => now.plus(STARTING),
            RunState::Training => now.plus(SILENCE),
            RunState::Uploading => now.plus(UPLOADING),
            _ => run.not_before.unwrap_or(now).max(now),
        });
    }

    pub(super) fn end(&mut self, run: usize, to: RunState) {
        let run = &mut self.runs[run];
        (run.state, run.deadline, run.ended_at) = (to, None, Some(self.now));
    }

    /// An attempt of a run is over, or its state has lasted too long.
    pub(super) fn attempt_over(&mut self, at: usize, cause: RunCause) {
        let now = self.now;
        let run = &mut self.runs[at];
        let had = run.has_gpus();
        let again = match cause {
            RunCause::Invalid | RunCause::Requested => false,
            RunCause::Preempted => had,
            _ => had && run.failures < run.request.max_failures,
        };
        let longest = BACKOFF.saturating_mul(1 << run.failures.min(20)).min(LONGEST);
        if cause == RunCause::Preempted {
            run.preemptions += u32::from(had);
        } else {
            run.failures += u32::from(had);
        }
        run.cause = Some(cause);
        if !again {
            let end = match cause {
                RunCause::Requested => RunState::Aborted,
                RunCause::Crashed | RunCause::Invalid | RunCause::Hardware | RunCause::NotRented => {
                    RunState::Failed
                }
                _ => RunState::Stalled,
            };
            return self.end(at, end);
        }
        run.not_before = Some(now);
        run.pause = (cause != RunCause::Preempted).then(|| (now.plus(longest / 2), now.plus(longest)));
        self.turn(at, RunState::Queued);
    }

    /// Everything that a lease holds comes back.
    pub(super) fn release(&mut self, at: usize) {
        let now = self.now;
        let lease = &mut self.leases[at];
        (lease.state, lease.is_own, lease.node) = (BindingState::Released, false, None);
        (lease.charged_until, lease.released_at) = (now, Some(now));
        let micros = now.as_micros() - lease.since.as_micros();
        self.runs[lease.run].held_ms += micros / 1000;
    }

    /// A run gives up its lease: what no worker has taken is free at once.
    pub(super) fn give_up(&mut self, run: usize, reason: &str) {
        let Some(at) = self.own_lease(run) else { return };
        self.leases[at].reason = Some(reason.to_owned());
        if self.leases[at].state == BindingState::Reserved {
            return self.release(at);
        }
        (self.leases[at].state, self.leases[at].is_own) = (BindingState::Releasing, false);
    }

    /// A lease is known to be over; a run whose own it is has lost its attempt.
    pub(super) fn lost(&mut self, at: usize, cause: RunCause) {
        let (was_own, run) = (self.leases[at].is_own, self.leases[at].run);
        self.release(at);
        if was_own {
            self.attempt_over(run, cause);
        }
    }

    pub(super) fn submit(&mut self, request: &NewRun) -> Answer {
        if let Some(before) = self.runs.iter().find(|run| Some(run.id) == request.id) {
            return if before.request == *request {
                Ok(before.state.to_string())
            } else {
                Err("already_exists")
            };
        }
        let (Some(id), Some(training)) =
            (request.id, self.trainings.iter().position(|it| it.id == request.training))
        else {
            return Err("not_found");
        };
        if self.runs.iter().any(|run| run.training == training && run.is_live()) {
            return Err("already_exists");
        }
        let user = self.trainings[training].user;
        let limit = usize::try_from(self.users[user].limits.run_limit).unwrap_or(0);
        if self.live_runs_of(user) >= limit {
            return Err("quota_exceeded");
        }
        let queue = request.queue.unwrap_or(ControlPlane::DEFAULT_QUEUE);
        let queue = self.queues.iter().position(|it| it.id == queue).ok_or("not_found")?;
        let images = self.images.iter().enumerate();
        let waits_for = images.filter(|(_, it)| it.training == training && !it.is_resized);
        self.runs.push(TrainingRun {
            id,
            training,
            user,
            queue,
            request: request.clone(),
            state: RunState::Queued,
            waits_for: waits_for.map(|(at, _)| at).collect(),
            attempt: 0,
            failures: 0,
            preemptions: 0,
            cause: None,
            not_before: request.not_before,
            pause: None,
            deadline: Some(request.not_before.unwrap_or(self.now).max(self.now)),
            messages: Vec::new(),
            told: 0,
            heard_at: self.now,
            artifact: None,
            held_ms: 0,
            ended_at: None,
        });
        Ok("queued".to_owned())
    }

    pub(super) fn abort(&mut self, id: RunId) -> Answer {
        let run = self.run_at(id).ok_or("not_found")?;
        if self.runs[run].state != RunState::Aborted {
            if !self.runs[run].is_live() {
                return Err("wrong_state");
            }
            self.end(run, RunState::Aborted);
            self.runs[run].cause = Some(RunCause::Requested);
            self.give_up(run, "aborted");
        }
        Ok("aborted".to_owned())
    }

    pub(super) fn abandon(&mut self, id: LeaseId) -> Answer {
        let lease = self.lease_at(id).ok_or("not_found")?;
        if !self.leases[lease].holds() {
            return Err("wrong_state");
        }
        self.leases[lease].reason = Some(super::act::GIVEN_UP.to_owned());
        self.lost(lease, RunCause::WorkerLost);
        Ok(String::new())
    }

    pub(super) fn resize(&mut self, id: TrainingImageId) -> Answer {
        let image = self.images.iter().position(|image| image.id == id).ok_or("not_found")?;
        self.images[image].is_resized = true;
        for run in 0..self.runs.len() {
            let it = &mut self.runs[run];
            let was_last = it.is_live() && it.waits_for.remove(&image) && it.waits_for.is_empty();
            if was_last && it.state == RunState::Preparing {
                self.turn(run, RunState::WaitingForGpu);
            }
        }
        Ok("resized".to_owned())
    }

    /// Whether a run is queued and may go on.
    pub(super) fn is_due(&self, run: usize) -> bool {
        let run = &self.runs[run];
        run.state == RunState::Queued && run.not_before.is_none_or(|from| from <= self.now)
    }

    pub(super) fn advance(&mut self) -> String {
        let (mut preparing, mut ready) = (0, 0);
        for run in 0..self.runs.len() {
            if !self.is_due(run) {
                continue;
            }
            if self.runs[run].waits_for.is_empty() {
                self.turn(run, RunState::WaitingForGpu);
                ready += 1;
            } else {
                self.turn(run, RunState::Preparing);
                preparing += 1;
            }
        }
        format!("{preparing} preparing, {ready} ready")
    }

    /// Runs whose state has lasted too long. Where the sweep was disturbed, what it came to is seen in the rows.
    pub(super) fn sweep_runs(&mut self, seen: Option<&Rows>) -> String {
        let now = self.now;
        let (mut runs, mut heard, mut requeued, mut ended) = (0, 0, 0, 0);
        for at in 0..self.runs.len() {
            let run = &self.runs[at];
            let cause = match run.state {
                RunState::Preparing => RunCause::NotPrepared,
                RunState::WaitingForGpu => RunCause::NoGpus,
                RunState::Starting => RunCause::NotBegun,
                RunState::Training => RunCause::NoProgress,
                RunState::Uploading => RunCause::NotUploaded,
                _ => continue,
            };
            if run.deadline.is_none_or(|deadline| deadline > now) {
                continue;
            }
            let next = (run.state == RunState::Training).then(|| run.heard_at.plus(SILENCE));
            let mut next = next.filter(|until| *until > now);
            let row = seen.and_then(|rows| rows.runs.iter().find(|row| row.id == run.id));
            let undone = row.is_some_and(|row| match next {
                Some(_) => row.state_deadline == run.deadline,
                None => row.cause != Some(cause) || row.updated_at != now,
            });
            if undone {
                continue;
            }
            // It may have told more since the sweep has looked.
            let looked = row.and_then(|row| row.state_deadline).filter(|until| *until > now);
            next = next.map(|most| looked.map_or(most, |looked| looked.min(most)));
            runs += 1;
            if next.is_some() {
                self.runs[at].deadline = next;
                heard += 1;
                continue;
            }
            self.attempt_over(at, cause);
            self.give_up(at, cause.as_str());
            if self.runs[at].is_live() { requeued += 1 } else { ended += 1 }
        }
        format!("{runs} runs, {heard} heard, {requeued} requeued, {ended} ended")
    }

    /// Leases that were not renewed in time, and what is charged of the others; as [`Self::sweep_runs`] where it was disturbed.
    pub(super) fn sweep_leases(&mut self, seen: Option<&Rows>) -> String {
        let now = self.now;
        let (mut expired, mut charged) = (0, 0);
        for at in 0..self.leases.len() {
            let lease = &self.leases[at];
            let row = seen.and_then(|rows| rows.leases.iter().find(|row| row.id == lease.id));
            if lease.state == BindingState::Bound && lease.expires_at <= now {
                let undone = row.is_some_and(|row| row.reason.as_deref() != Some("not renewed in time"));
                if !undone {
                    let run = lease.run;
                    self.leases[at].reason = Some("not renewed in time".to_owned());
                    (self.leases[at].state, self.leases[at].is_own) = (BindingState::Releasing, false);
                    self.attempt_over(run, RunCause::WorkerLost);
                    expired += 1;
                }
            }
            let lease = &mut self.leases[at];
            let undone = row.is_some_and(|row| row.charged_until != now.plus(SLICE));
            if lease.holds() && lease.charged_until <= now && !undone {
                lease.charged_until = now.plus(SLICE);
                charged += 1;
            }
        }
        format!("{expired} expired, {charged} charged")
    }

    pub(super) fn join(&mut self, id: NodeId) -> Answer {
        let node = self.nodes.iter_mut().find(|node| node.id == id).ok_or("not_found")?;
        let session = node.session.unwrap_or(0) + 1;
        node.session = Some(session);
        if node.state == NodeState::Dead {
            node.state = NodeState::Active;
        }
        Ok(format!("session {session}"))
    }

    pub(super) fn dead(&mut self, id: NodeId) -> Answer {
        let at = self.nodes.iter().position(|node| node.id == id).ok_or("not_found")?;
        if self.nodes[at].state != NodeState::Dead {
            self.nodes[at].state = NodeState::Dead;
            self.nodes[at].session = self.nodes[at].session.map(|session| session + 1);
        }
        let mut given_up = 0;
        for lease in 0..self.leases.len() {
            let known = &self.leases[lease];
            if !known.holds() || known.parts.iter().all(|part| part.node != at) {
                continue;
            }
            let elsewhere = known.parts.iter().any(|part| part.node != at);
            if !elsewhere || known.state == BindingState::Reserved {
                self.leases[lease].reason = Some(super::act::BURNT.to_owned());
                self.lost(lease, RunCause::Hardware);
            } else if known.is_own {
                let run = known.run;
                self.give_up(run, super::act::BURNT);
                self.attempt_over(run, RunCause::Hardware);
            } else {
                continue;
            }
            given_up += 1;
        }
        Ok(format!("{given_up} leases"))
    }

    /// An agent tells which leases something runs of.
    pub(super) fn report(&mut self, id: NodeId, session: u32, running: &[LeaseId]) -> Answer {
        let node = self.nodes.iter().position(|node| node.id == id).ok_or("not_found")?;
        if self.nodes[node].session != Some(session) {
            return Err("wrong_state");
        }
        let mut released = 0;
        for at in 0..self.leases.len() {
            let lease = &self.leases[at];
            let here = lease.parts.iter().any(|part| part.node == node) && lease.node == Some(node);
            let earlier = lease.session.is_some_and(|taken| taken < session);
            let gone = match lease.state {
                BindingState::Releasing => true,
                BindingState::Bound => earlier,
                _ => false,
            };
            if here && gone && !running.contains(&lease.id) {
                self.lost(at, RunCause::WorkerLost);
                released += 1;
            }
        }
        Ok(format!("{released} released"))
    }

    /// What an account is charged for holding something, period by period: GPU thousandths, processor time and memory, times seconds.
    pub(super) fn spent(&self, user: usize) -> std::collections::BTreeMap<i64, [i128; 3]> {
        const HOUR: i128 = 3_600_000_000;
        let mut spent = std::collections::BTreeMap::new();
        for lease in self.leases.iter().filter(|lease| self.runs[lease.run].user == user) {
            let micros = |at: Timestamp| i128::from(at.as_micros());
            let (since, until) = (micros(lease.since), micros(lease.charged_until));
            for period in since.div_euclid(HOUR)..=until.div_euclid(HOUR) {
                let (from, to) = (since.max(period * HOUR), until.min((period + 1) * HOUR));
                let sums = spent.entry(i64::try_from(period).unwrap_or(i64::MAX)).or_insert([0; 3]);
                for (sum, amount) in sums.iter_mut().zip(lease.amounts) {
                    let of = |at: i128| i128::from(amount) * (at - since) / 1_000_000;
                    *sum += of(to.max(from)) - of(from);
                }
            }
        }
        spent.retain(|_, sums| *sums != [0; 3]);
        spent
    }
}
