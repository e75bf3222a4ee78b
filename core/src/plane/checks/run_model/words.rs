//! What the model expects of what workers say.

use super::expected::Answer;
use super::state::Model;
use crate::entity::{BindingState, RunCause, RunState};
use crate::plane::RunLease;

/// What a worker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    Begin,
    /// A message with this id.
    Tell(u8),
    Upload,
    Complete(Artefact),
    Fail(RunCause),
    /// It holds on to the lease for so many seconds.
    Renew(u16),
    /// Nothing runs any more, and another worker is to go on.
    GiveBack,
    /// Nothing runs any more.
    Release,
}

/// What a worker says that it has uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Artefact {
    Right,
    /// Another one under the right key.
    Other,
    /// That of another attempt.
    WrongKey,
    /// What is no SHA-256.
    Unreadable,
}

impl Artefact {
    pub(super) const fn bytes(self) -> u64 {
        if matches!(self, Self::Other) { 7 } else { 5 }
    }

    pub(super) fn key(self, shown: &RunLease) -> String {
        let attempt = shown.attempt + u32::from(self == Self::WrongKey);
        format!("runs/{}/{attempt}/artifact", shown.run)
    }
}

impl Model {
    pub(super) fn say(&mut self, shown: &RunLease, says: Says) -> Answer {
        match says {
            Says::Begin => {
                self.turn_by_worker(shown, RunState::Starting, RunState::Training)?;
                Ok("training".to_owned())
            }
            Says::Upload => {
                let run = self.turn_by_worker(shown, RunState::Training, RunState::Uploading)?;
                Ok(self.runs[run].key())
            }
            Says::Tell(message) => self.tell(shown, message),
            Says::Complete(artefact) => self.complete(shown, artefact),
            Says::Fail(cause) => self.fail(shown, cause),
            Says::Renew(seconds) => self.renew(shown, seconds),
            Says::GiveBack => self.give_back(shown),
            Says::Release => self.let_go(shown),
        }
    }

    /// The lease of which a worker shows the number, whatever has become of it.
    fn shown(&self, shown: &RunLease) -> Result<usize, &'static str> {
        let lease = self.lease_at(shown.lease).ok_or("not_found")?;
        let known = &self.leases[lease];
        let mine = self.runs[known.run].id == shown.run
            && (known.attempt, known.token) == (shown.attempt, shown.token);
        if mine { Ok(lease) } else { Err("wrong_state") }
    }

    /// The lease of a worker whose word on its run counts.
    fn counts(&self, shown: &RunLease) -> Result<(usize, usize), &'static str> {
        let lease = self.lease_at(shown.lease).ok_or("not_found")?;
        if self.runs[self.leases[lease].run].id != shown.run {
            return Err("not_found");
        }
        self.shown(shown)?;
        let known = &self.leases[lease];
        if !known.is_own || known.state != BindingState::Bound || known.expires_at <= self.now {
            return Err("wrong_state");
        }
        Ok((lease, known.run))
    }

    fn turn_by_worker(
        &mut self,
        shown: &RunLease,
        from: RunState,
        to: RunState,
    ) -> Result<usize, &'static str> {
        let (_, run) = self.counts(shown)?;
        if self.runs[run].state == to {
            return Ok(run);
        }
        if self.runs[run].state != from {
            return Err("wrong_state");
        }
        self.turn(run, to);
        self.hear(run);
        Ok(run)
    }

    fn hear(&mut self, run: usize) {
        self.runs[run].heard_at = self.runs[run].heard_at.max(self.now);
    }

    fn tell(&mut self, shown: &RunLease, message: u8) -> Answer {
        let (_, run) = self.counts(shown)?;
        let id = format!("m-{message}");
        if let Some((_, before)) = self.runs[run].messages.iter().find(|(known, _)| *known == id) {
            return Ok(format!("message {before}"));
        }
        self.hear(run);
        let run = &mut self.runs[run];
        run.told += 1;
        run.messages.push((id, run.told));
        Ok(format!("message {}", run.told))
    }

    /// The run of a lease that is over, while no other attempt has begun.
    fn let_go_before(&self, shown: &RunLease) -> Option<usize> {
        let lease = &self.leases[self.shown(shown).ok()?];
        let over = lease.state == BindingState::Released && self.runs[lease.run].attempt == lease.attempt;
        over.then_some(lease.run)
    }

    fn complete(&mut self, shown: &RunLease, artefact: Artefact) -> Answer {
        if artefact == Artefact::Unreadable {
            return Err("invalid");
        }
        let told = (artefact.key(shown), artefact.bytes());
        if let Some(run) = self.let_go_before(shown)
            && self.runs[run].state == RunState::Completed
            && self.runs[run].artifact.as_ref() == Some(&told)
        {
            return Ok("completed".to_owned());
        }
        let (lease, run) = self.counts(shown)?;
        if told.0 != self.runs[run].key() {
            return Err("invalid");
        }
        if self.runs[run].state != RunState::Uploading {
            return Err("wrong_state");
        }
        self.end(run, RunState::Completed);
        (self.runs[run].artifact, self.runs[run].cause) = (Some(told), None);
        self.release(lease);
        Ok("completed".to_owned())
    }

    fn fail(&mut self, shown: &RunLease, cause: RunCause) -> Answer {
        if !matches!(cause, RunCause::Crashed | RunCause::Invalid | RunCause::Hardware) {
            return Err("invalid");
        }
        if self.lease_at(shown.lease).is_none() || self.run_at(shown.run).is_none() {
            return Err("not_found");
        }
        if let Some(run) = self.let_go_before(shown)
            && self.runs[run].cause == Some(cause)
        {
            return Ok(self.runs[run].state.to_string());
        }
        let (lease, run) = self.counts(shown)?;
        self.attempt_over(run, cause);
        self.release(lease);
        Ok(self.runs[run].state.to_string())
    }

    fn give_back(&mut self, shown: &RunLease) -> Answer {
        if self.lease_at(shown.lease).is_none() || self.run_at(shown.run).is_none() {
            return Err("not_found");
        }
        if let Some(run) = self.let_go_before(shown)
            && self.runs[run].cause.is_none()
            && self.runs[run].is_live()
        {
            return Ok(self.runs[run].state.to_string());
        }
        let (lease, run) = self.counts(shown)?;
        let now = self.now;
        (self.runs[run].cause, self.runs[run].not_before, self.runs[run].pause) = (None, Some(now), None);
        self.turn(run, RunState::Queued);
        self.leases[lease].reason = Some("given back".to_owned());
        self.release(lease);
        Ok(RunState::Queued.to_string())
    }

    fn renew(&mut self, shown: &RunLease, seconds: u16) -> Answer {
        let lease = self.shown(shown)?;
        let until = self.now.plus(std::time::Duration::from_secs(seconds.into()));
        let known = &mut self.leases[lease];
        match known.state {
            BindingState::Bound if known.expires_at > self.now => {
                known.expires_at = known.expires_at.max(until);
                Ok(format!("held until {until}"))
            }
            BindingState::Releasing => Ok(format!("stop: {}", known.reason.clone().unwrap_or_default())),
            _ => Err("wrong_state"),
        }
    }

    fn let_go(&mut self, shown: &RunLease) -> Answer {
        let lease = self.shown(shown)?;
        match self.leases[lease].state {
            BindingState::Released => {}
            BindingState::Releasing => self.release(lease),
            // It was not in time, and says at once that nothing runs any more.
            BindingState::Bound if self.leases[lease].expires_at <= self.now => {
                self.leases[lease].reason = Some("not renewed in time".to_owned());
                self.lost(lease, RunCause::WorkerLost);
            }
            _ => return Err("wrong_state"),
        }
        Ok(String::new())
    }
}
