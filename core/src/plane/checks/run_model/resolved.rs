//! Steps made into what is done to what is there.

use std::time::Duration;

use super::act::Act;
use super::of;
use super::run::Run;
use super::state::{Lease, TrainingRun};
use super::step::{Deed, Rival, Shows};
use super::words::{Artefact, Says};
use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use crate::entity::{BindingState, NodeState, RunAsk, RunCause, RunState};
use crate::plane::{NewRun, RunLease};

/// What is asked for.
fn ask(of: u8) -> RunAsk {
    let each = RunAsk {
        cpu: CpuMilli::from_u32(1500),
        memory: MemoryMib::from_u32(700),
        storage: StorageMib::from_u32(30),
        ..RunAsk::default()
    };
    let share = |milli| GpuMilli::from_u32(milli);
    match of % 14 {
        0 | 1 => each,
        2 => RunAsk { gpu_milli: share(300), ..each },
        3 => RunAsk { gpu_milli: share(500), ..each },
        4 | 5 => RunAsk { gpus: 2, ..each },
        6 => RunAsk { members: 2, ..each },
        7 => RunAsk { members: 3, gpu_milli: share(400), ..each },
        8 => RunAsk { members: 2, gpus: 2, spread: true, ..each },
        9 => RunAsk { gpus: 0, cpu: CpuMilli::from_u32(5001), ..each },
        10 => RunAsk { models: vec!["A100".to_owned()], ..each },
        11 => RunAsk { members: 2, models: vec!["H100".to_owned(), "A100".to_owned()], ..each },
        more => {
            let gpus = u32::from(more % 2) + 1;
            RunAsk { gpus, models: vec!["B200".to_owned()], rent_micros: Some(3_000_000), ..each }
        }
    }
}

impl Run<'_> {
    pub(super) fn resolved(&self, deed: Deed) -> Option<Act> {
        let node = |node: u8| self.model.nodes[usize::from(node) % self.model.nodes.len()].id;
        Some(match deed {
            Deed::Submit { training, queue, ask: asked, priority, later, failures } => {
                let training = self.model.trainings[usize::from(training) % self.model.trainings.len()].id;
                let mut new = NewRun::of(training).id(self.new_id().into()).ask(ask(asked));
                let queues = [None, Some(1), Some(2), Some(2), Some(3), Some(3)];
                new.queue =
                    queues[usize::from(queue) % queues.len()].map(|at: usize| self.model.queues[at].id);
                new.not_before = later.then(|| self.model.now.plus(Duration::from_secs(100)));
                Act::Submit(Box::new(new.priority(priority.into()).max_failures(failures.into())))
            }
            Deed::Again { run, is_other } => {
                let before = &self.model.runs[of(run, self.model.runs.len())?].request;
                let priority = before.priority + i64::from(is_other);
                Act::Submit(Box::new(NewRun { priority, ..before.clone() }))
            }
            Deed::Abort { run } => Act::Abort(self.run_of(run)?.id),
            Deed::Abandon { lease } => Act::Abandon(self.lease_of(lease)?.id),
            Deed::Resize { image } => {
                let waits = |at: &usize| self.model.runs.iter().any(|run| run.waits_for.contains(at));
                let all = &self.model.images;
                let wanted: Vec<_> = (0..all.len()).filter(|at| !all[*at].is_resized && waits(at)).collect();
                let at = of(image, wanted.len()).filter(|_| !image.is_multiple_of(8)).map(|at| wanted[at]);
                Act::Resize(all[at.or_else(|| of(image, all.len()))?].id)
            }
            Deed::Say { taken, says, shows } => Act::Say(self.shown(taken, shows)?, says),
            Deed::SweepRuns => Act::SweepRuns,
            Deed::SweepLeases => Act::SweepLeases,
            Deed::Advance => Act::Advance,
            Deed::Join { node: at } => {
                let lost = self.model.nodes.iter().find(|node| node.state == NodeState::Dead);
                Act::Join(lost.filter(|_| !at.is_multiple_of(4)).map_or_else(|| node(at), |lost| lost.id))
            }
            Deed::Dead { node: at } => Act::Dead(node(at)),
            Deed::Report { node: at, running, is_old } => {
                // Most of the time one that has taken something.
                let taken = self.model.held().filter_map(|lease| lease.node).last();
                let place = taken.filter(|_| !at.is_multiple_of(4));
                let place = place.unwrap_or(usize::from(at) % self.model.nodes.len());
                let session = self.model.nodes[place].session.unwrap_or(1) - u32::from(is_old);
                let here =
                    self.model.held().filter(|lease| lease.parts.iter().any(|part| part.node == place));
                let runs = |at: usize| running >> (at % 8) & 1 == 1;
                let runs = here.enumerate().filter(|(at, _)| runs(*at)).map(|(_, lease)| lease.id);
                Act::Report(self.model.nodes[place].id, session, runs.collect())
            }
        })
    }

    /// One of the runs, most of the time one that is live.
    fn run_of(&self, place: u8) -> Option<&TrainingRun> {
        let live: Vec<_> = self.model.runs.iter().filter(|run| run.is_live()).collect();
        let at = of(place / 4, live.len()).filter(|_| !place.is_multiple_of(4)).map(|at| live[at]);
        at.or_else(|| self.model.runs.get(of(place, self.model.runs.len())?))
    }

    /// One of the leases, most of the time one that holds something.
    fn lease_of(&self, place: u8) -> Option<&Lease> {
        let live: Vec<_> = self.model.held().collect();
        let at = of(place / 4, live.len()).filter(|_| !place.is_multiple_of(4)).map(|at| live[at]);
        at.or_else(|| self.model.leases.get(of(place, self.model.leases.len())?))
    }

    /// What one of the workers was given, most of the time of a lease that is not over.
    pub(super) fn taken(&self, place: u8) -> Option<RunLease> {
        let all = &self.model.taken;
        let holds = |shown: &&RunLease| {
            self.model.lease_at(shown.lease).is_some_and(|at| self.model.leases[at].holds())
        };
        let live: Vec<_> = all.iter().filter(holds).collect();
        let at = of(place / 4, live.len()).filter(|_| !place.is_multiple_of(4)).map(|at| *live[at]);
        at.or_else(|| Some(all[of(place, all.len())?]))
    }

    /// What a worker has to say next.
    pub(super) fn next_word(&self, shown: &RunLease, next: u8) -> Option<Says> {
        let lease = &self.model.leases[self.model.lease_at(shown.lease)?];
        let run = &self.model.runs[lease.run];
        let message = u8::try_from(run.told).unwrap_or(u8::MAX).saturating_add(10);
        Some(match (lease.state, run.state, next % 6) {
            (_, _, 0) => Says::Renew(60 + u16::from(next) * 3),
            (BindingState::Releasing, ..) => Says::Release,
            (_, RunState::Starting, _) => Says::Begin,
            (_, RunState::Training, 1 | 4) => Says::Tell(message),
            // The last one again.
            (_, RunState::Training, 2 | 3) => Says::Tell(message.saturating_sub(1)),
            (_, RunState::Training, _) => Says::Upload,
            (_, RunState::Uploading, 1) => Says::Fail(RunCause::Crashed),
            (_, RunState::Uploading, 2) => Says::GiveBack,
            _ => Says::Complete(Artefact::Right),
        })
    }

    /// What one of the workers shows.
    fn shown(&self, place: u8, shows: Shows) -> Option<RunLease> {
        let its = self.taken(place)?;
        let other = self.taken(place.wrapping_add(5))?;
        Some(match shows {
            Shows::Its => its,
            Shows::EarlierAttempt => RunLease { attempt: its.attempt - 1, ..its },
            Shows::EarlierToken => RunLease { token: its.token - 1, ..its },
            Shows::OtherLease => RunLease { lease: other.lease, ..its },
            Shows::OtherRun => RunLease { run: other.run, ..its },
        })
    }

    /// Something else that happens to what is done.
    pub(super) fn rival(&self, act: &Act, by: Rival) -> Option<Act> {
        let of_run = |id| {
            let run = self.model.run_at(id)?;
            self.model
                .taken
                .iter()
                .rev()
                .find(|shown| Some(shown.run) == Some(self.model.runs[run].id))
                .copied()
        };
        if let Act::Resize(image) = act
            && !matches!(by, Rival::SweepRuns | Rival::SweepLeases)
        {
            let at = self.model.images.iter().position(|other| other.id == *image)?;
            let run = self.model.runs.iter().find(|run| run.is_live() && run.waits_for.contains(&at))?;
            let other = run.waits_for.iter().find(|other| **other != at);
            return match (by, other) {
                (Rival::Abort, _) | (_, None) => Some(Act::Abort(run.id)),
                (_, Some(other)) => Some(Act::Resize(self.model.images[*other].id)),
            };
        }
        let shown = match act {
            Act::Say(shown, _) => Some(*shown),
            Act::Abort(run) => of_run(*run),
            Act::Abandon(lease) => self.model.taken.iter().find(|shown| shown.lease == *lease).copied(),
            Act::Submit(_) | Act::Resize(_) => None,
            _ => self.taken(1),
        };
        Some(match by {
            Rival::SweepRuns => Act::SweepRuns,
            Rival::SweepLeases => Act::SweepLeases,
            Rival::Abort => Act::Abort(shown?.run),
            Rival::Abandon => Act::Abandon(shown?.lease),
            Rival::Say(says) => Act::Say(shown?, says),
        })
    }
}
