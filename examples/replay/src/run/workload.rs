//! The cluster and the workload as requests to the control plane.

use apportion::amount::GpuMilli;
use apportion::entity::{InstanceId, Limits, NodeId, UserId};
use apportion::plane::{LaunchRequest, NewNode, NewUser, Operation};
use apportion::sched::{Demand, TaskMix};
use apportion::time::Timestamp;
use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid};

use crate::cli::ReplayArgs;
use crate::events::{Change, Event, in_event_time};
use crate::input::Input;
use crate::trace::{NodeRow, PodRow};

/// What is to be replayed.
#[derive(Debug)]
pub(super) struct Workload {
    pub(super) nodes: Vec<NodeRow>,
    pub(super) pods: Vec<PodRow>,
    /// Everything that happens, in its order.
    pub(super) events: Vec<Event>,
    users: usize,
    limits: Limits,
    seed: u64,
}

/// What ids are derived from, so that no two of them are the same.
#[derive(Debug, Clone, Copy)]
enum Kind {
    User = 1,
    Node = 2,
}

impl Workload {
    pub(super) fn new(args: &ReplayArgs, input: Input) -> Self {
        Self {
            events: in_event_time(&input.pods),
            nodes: input.nodes,
            pods: input.pods,
            users: args.users,
            limits: Limits {
                instance_limit: args.instance_limit,
                node_limit: 0,
                gpu_milli_limit: args.gpu_limit.and_then(|gpus| GpuMilli::WHOLE.checked_mul(gpus)),
                ..Limits::default()
            },
            seed: args.seed,
        }
    }

    /// What the pods typically ask for, as the published experiment takes it: from the whole trace.
    pub(super) fn mix(&self) -> TaskMix {
        let demands: Vec<Demand> =
            (0..self.pods.len()).filter_map(|pod| self.request(pod)?.demand().ok()).collect();
        TaskMix::from_demands(&demands)
    }

    /// The operator, whose nodes they all are, and the users.
    pub(super) fn users(&self) -> Vec<NewUser> {
        let node_limit = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let limits = Limits { node_limit, ..Limits::default() };
        let operator =
            NewUser::new("operator@replay.example", "Operator").id(operator()).limits(limits).administrator();
        let user = |number: usize| {
            let number_from_1 = number + 1;
            NewUser::new(format!("user-{number_from_1}@replay.example"), format!("User {number_from_1}"))
                .id(user_id(number))
                .limits(self.limits)
        };
        std::iter::once(operator).chain((0..self.users).map(user)).collect()
    }

    /// The nodes of the trace. It says nothing of disks, so they have none, and no pod asks for any.
    pub(super) fn nodes(&self) -> impl Iterator<Item = NewNode> {
        self.nodes.iter().enumerate().map(|(place, row)| {
            let node = NewNode::new(operator(), row.name.as_str())
                .id(NodeId::new(derived(Kind::Node, place)))
                .cpu(row.cpu_milli)
                .memory(row.memory_mib);
            match &row.model {
                Some(model) => node.gpus(row.gpus, model.as_str()),
                None => node,
            }
        })
    }

    /// What an event asks of the control plane.
    pub(super) fn operation(&self, event: &Event) -> Option<Operation> {
        Some(match event.change {
            Change::Create => Operation::Launch(Box::new(self.request(event.pod)?)),
            Change::Delete => Operation::Delete(self.instance_id(event.pod)?),
        })
    }

    /// A pod's request. Pods belong to the users in turn.
    fn request(&self, place: usize) -> Option<LaunchRequest> {
        let pod = self.pods.get(place)?;
        let owner = user_id(place.checked_rem(self.users)?);
        let request = LaunchRequest::new(owner, pod.name.as_str())
            .id(self.instance_id(place)?)
            .cpu(pod.cpu_milli)
            .memory(pod.memory_mib);
        let request = match (pod.num_gpu, pod.gpu_milli) {
            (0, _) => request,
            (1, milli) if milli < GpuMilli::WHOLE => request.gpu_share(milli),
            (count, _) => request.gpus(count),
        };
        Some(pod.gpu_spec.iter().fold(request, LaunchRequest::gpu_model))
    }

    /// The same in every run, and rising with the time of creation, so that new rows go to the end of the tables.
    fn instance_id(&self, place: usize) -> Option<InstanceId> {
        let pod = self.pods.get(place)?;
        let created_s = u64::try_from(pod.creation_time.unwrap_or(0)).ok()?;
        let mut hash = Sha256::new();
        hash.update(self.seed.to_be_bytes());
        hash.update(place.to_be_bytes());
        let random = hash.finalize().first_chunk().copied()?;
        Some(InstanceId::new(
            Builder::from_unix_timestamp_millis(created_s.saturating_mul(1000), &random).into_uuid(),
        ))
    }
}

/// A moment of the trace as the store's time: second 0 is the start of 1970.
pub(super) fn moment(at_s: i64) -> Timestamp {
    Timestamp::from_micros(at_s.saturating_mul(1_000_000))
}

fn operator() -> UserId {
    UserId::new(derived(Kind::User, 0))
}

fn user_id(number: usize) -> UserId {
    UserId::new(derived(Kind::User, number + 1))
}

/// An id in the order of the list: where two nodes are equally good, the first one of the file is taken.
fn derived(kind: Kind, place: usize) -> Uuid {
    let mut bytes = [0; 10];
    for (to, from) in bytes.iter_mut().zip([0, kind as u8].into_iter().chain(place.to_be_bytes())) {
        *to = from;
    }
    Builder::from_unix_timestamp_millis(0, &bytes).into_uuid()
}
