//! What the model knows.

use std::collections::BTreeSet;

use crate::entity::{
    BindingState, GpuId, LeaseId, Limits, NodeId, NodeState, QueueId, RentalId, RentalState, RunCause, RunId,
    RunState, TrainingId, TrainingImageId, UserId,
};
use crate::plane::{NewRun, RunLease};
use crate::time::Timestamp;

/// GPU thousandths, processor time, memory, disk space.
pub(super) type Amounts = [i64; 4];

#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) now: Timestamp,
    pub(super) users: Vec<User>,
    pub(super) queues: Vec<Queue>,
    pub(super) nodes: Vec<Node>,
    pub(super) trainings: Vec<Training>,
    pub(super) images: Vec<Image>,
    pub(super) runs: Vec<TrainingRun>,
    pub(super) leases: Vec<Lease>,
    pub(super) rentals: Vec<Rental>,
    /// What workers were ever given to show.
    pub(super) taken: Vec<RunLease>,
}

#[derive(Clone, Debug)]
pub(super) struct User {
    pub(super) id: UserId,
    pub(super) limits: Limits,
}

/// A queue, with its quota of GPUs.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    pub(super) id: QueueId,
    pub(super) parent: Option<usize>,
    pub(super) own: Option<i64>,
    pub(super) borrowing: Option<i64>,
    pub(super) lending: Option<i64>,
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) state: NodeState,
    /// The session that counts; none where no agent has joined.
    pub(super) session: Option<u32>,
    pub(super) model: &'static str,
    pub(super) gpus: Vec<GpuId>,
    pub(super) total: Amounts,
}

#[derive(Clone, Debug)]
pub(super) struct Training {
    pub(super) id: TrainingId,
    pub(super) user: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) id: TrainingImageId,
    pub(super) training: usize,
    pub(super) is_resized: bool,
}

#[derive(Clone, Debug)]
pub(super) struct TrainingRun {
    pub(super) id: RunId,
    pub(super) training: usize,
    pub(super) user: usize,
    pub(super) queue: usize,
    pub(super) request: NewRun,
    pub(super) state: RunState,
    /// The images that it waits for.
    pub(super) waits_for: BTreeSet<usize>,
    pub(super) attempt: u32,
    pub(super) failures: u32,
    pub(super) preemptions: u32,
    pub(super) cause: Option<RunCause>,
    pub(super) not_before: Option<Timestamp>,
    /// Between when and when it is tried again, until it is seen what was chosen.
    pub(super) pause: Option<(Timestamp, Timestamp)>,
    pub(super) deadline: Option<Timestamp>,
    /// The ids of its messages, with their numbers.
    pub(super) messages: Vec<(String, u64)>,
    pub(super) told: u64,
    pub(super) heard_at: Timestamp,
    pub(super) artifact: Option<(String, u64)>,
    pub(super) held_ms: i64,
    pub(super) ended_at: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub(super) struct Lease {
    pub(super) id: LeaseId,
    pub(super) run: usize,
    pub(super) attempt: u32,
    pub(super) state: BindingState,
    /// Whether it is its run's own.
    pub(super) is_own: bool,
    pub(super) token: u32,
    pub(super) worker: Option<String>,
    /// The node as whose agent it was taken, and the session of that.
    pub(super) node: Option<usize>,
    pub(super) session: Option<u32>,
    pub(super) expires_at: Timestamp,
    pub(super) amounts: Amounts,
    pub(super) parts: Vec<Part>,
    /// The GPUs, with how much of each.
    pub(super) gpus: Vec<(GpuId, i64)>,
    pub(super) since: Timestamp,
    pub(super) charged_until: Timestamp,
    pub(super) released_at: Option<Timestamp>,
    pub(super) reason: Option<String>,
}

/// What a lease holds of a node.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) node: usize,
    pub(super) members: i64,
    pub(super) amounts: Amounts,
}

/// What is known of a rented machine.
#[derive(Clone, Debug)]
pub(super) struct Rental {
    pub(super) id: RentalId,
    pub(super) lease: usize,
    pub(super) state: RentalState,
    pub(super) gpu_count: usize,
    /// Its GPUs, while it is there.
    pub(super) gpus: Vec<GpuId>,
}

pub(super) fn add(to: &mut Amounts, other: Amounts, times: i64) {
    for (to, other) in to.iter_mut().zip(other) {
        *to += other * times;
    }
}

impl TrainingRun {
    pub(super) const fn is_live(&self) -> bool {
        !matches!(self.state, RunState::Completed | RunState::Failed | RunState::Aborted | RunState::Stalled)
    }

    pub(super) const fn has_gpus(&self) -> bool {
        matches!(self.state, RunState::Starting | RunState::Training | RunState::Uploading)
    }

    /// What all members ask for.
    pub(super) fn amounts(&self) -> Amounts {
        let ask = &self.request.ask;
        let gpus = i64::from(ask.gpus) * if ask.gpus == 0 { 0 } else { ask.gpu_milli.get() };
        [gpus, ask.cpu.get(), ask.memory.get(), ask.storage.get()].map(|each| each * i64::from(ask.members))
    }

    /// The key of what its attempt uploads.
    pub(super) fn key(&self) -> String {
        format!("runs/{}/{}/artifact", self.id, self.attempt)
    }
}

impl Lease {
    pub(super) fn holds(&self) -> bool {
        self.state != BindingState::Released
    }
}

impl Model {
    /// Nothing is there yet.
    pub(super) const fn new(now: Timestamp) -> Self {
        Self {
            now,
            users: Vec::new(),
            queues: Vec::new(),
            nodes: Vec::new(),
            trainings: Vec::new(),
            images: Vec::new(),
            runs: Vec::new(),
            leases: Vec::new(),
            rentals: Vec::new(),
            taken: Vec::new(),
        }
    }

    pub(super) fn run_at(&self, id: RunId) -> Option<usize> {
        self.runs.iter().position(|run| run.id == id)
    }

    pub(super) fn lease_at(&self, id: LeaseId) -> Option<usize> {
        self.leases.iter().position(|lease| lease.id == id)
    }

    /// The lease that is a run's own.
    pub(super) fn own_lease(&self, run: usize) -> Option<usize> {
        self.leases.iter().position(|lease| lease.run == run && lease.is_own)
    }

    /// Those that hold something.
    pub(super) fn held(&self) -> impl Iterator<Item = &Lease> {
        self.leases.iter().filter(|lease| lease.holds())
    }

    /// What is held of a GPU.
    pub(super) fn held_of(&self, gpu: GpuId) -> i64 {
        self.held().flat_map(|lease| &lease.gpus).filter(|(of, _)| *of == gpu).map(|(_, milli)| milli).sum()
    }

    /// What is held of a node.
    pub(super) fn held_on(&self, node: usize) -> Amounts {
        let mut held = [0; 4];
        let parts = self.held().flat_map(|lease| &lease.parts);
        parts.filter(|part| part.node == node).for_each(|part| add(&mut held, part.amounts, 1));
        held
    }

    /// What is charged to an account.
    pub(super) fn charged_to(&self, user: usize) -> Amounts {
        let mut held = [0; 4];
        let leases = self.held().filter(|lease| self.runs[lease.run].user == user);
        leases.for_each(|lease| add(&mut held, lease.amounts, 1));
        held
    }

    /// What is charged to a queue.
    pub(super) fn used_of(&self, queue: usize) -> Amounts {
        let mut held = [0; 4];
        let leases = self.held().filter(|lease| self.runs[lease.run].queue == queue);
        leases.for_each(|lease| add(&mut held, lease.amounts, 1));
        held
    }

    pub(super) fn live_runs_of(&self, user: usize) -> usize {
        self.runs.iter().filter(|run| run.user == user && run.is_live()).count()
    }

    /// The rental of a lease.
    pub(super) fn rental_of(&self, lease: usize) -> Option<&Rental> {
        self.rentals.iter().find(|rental| rental.lease == lease)
    }
}
