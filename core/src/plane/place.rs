//! Where a launch goes: node, GPUs and ports, chosen on a view.

use uuid::Uuid;

use super::request::{LaunchRequest, PortKey};
use super::view::{NodeGpu, Pending, View};
use crate::amount::GpuMilli;
use crate::entity::{GpuId, NodeId};
use crate::error::{Error, Result};
use crate::machine::SpecGpu;
use crate::sched::{
    Demand, Misfit, MixLearner, NoFit, NodeState, Placement, Policy, Scheduler, TaskMix, fits,
};

/// How many nodes with room are tried for their ports.
const MAX_TRIED: usize = 64;

/// Chooses nodes, and learns from every demand what is typical.
#[derive(Debug)]
pub(super) struct Planner {
    scheduler: Scheduler,
    policy: Policy,
    seed: u64,
    learner: Option<MixLearner>,
}

/// What was chosen for a launch.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    pub(super) node: Uuid,
    /// The revision of the node's lifecycle, which the batch guards.
    pub(super) lifecycle_revision: i64,
    pub(super) gpus: Vec<Uuid>,
    pub(super) ports: Vec<PortKey>,
    /// What the agent of the node is told of the GPUs; none where the node has no agent.
    pub(super) told: Option<Vec<SpecGpu>>,
}

impl Planner {
    /// A planner that is given the mix of demands, or learns it.
    pub(super) fn new(policy: Policy, seed: u64, mix: Option<TaskMix>) -> Self {
        let scheduler = Scheduler::new(policy, seed);
        match mix {
            Some(mix) => Self { scheduler: scheduler.with_mix(mix), policy, seed, learner: None },
            None => Self { scheduler, policy, seed, learner: Some(MixLearner::default()) },
        }
    }

    /// Learns that a demand was made.
    pub(super) fn observe(&mut self, demand: &Demand) {
        if let Some(learner) = &mut self.learner
            && learner.observe(demand)
        {
            self.scheduler.set_mix(learner.mix().clone());
        }
    }

    /// The planner that will decide once this demand has been made, where that is another one: for those who ask what would
    /// come of it.
    pub(super) fn once_asked(&self, demand: &Demand) -> Option<Self> {
        let mix = self.learner.as_ref()?.mix_with(demand)?;
        Some(Self::new(self.policy, self.seed, Some(mix)))
    }

    /// The scheduler, for explanations.
    pub(super) fn scheduler(&mut self) -> &mut Scheduler {
        &mut self.scheduler
    }

    /// Chooses node, GPUs and ports. `pinned` is the only node that will do, where there is one.
    pub(super) fn choose(
        &mut self,
        view: &View,
        request: &LaunchRequest,
        demand: &Demand,
        pinned: Option<NodeId>,
        hash: u64,
    ) -> Result<Chosen> {
        if !request.given_gpus.is_empty() {
            let placement = on_gpus(view, demand, &request.given_gpus, pinned)?;
            return chosen(view, &placement, request, hash).ok_or_else(|| no_port(request, 1));
        }
        if self.policy == Policy::Random {
            // Drawn for the request alone: what else was asked, or only planned, changes nothing about it.
            self.scheduler =
                Scheduler::new(self.policy, self.seed ^ hash).with_mix(self.scheduler.mix().clone());
        }
        if let Some(node) = pinned {
            fitting(view, demand, node)?;
            let placement = self.scheduler.find_on(&view.cluster, demand, &node.uuid());
            let placement = placement.ok_or_else(|| Error::not_found("node", node))?;
            return chosen(view, &placement, request, hash).ok_or_else(|| no_port(request, 1));
        }
        let mut without_ports = Vec::new();
        loop {
            let placement = match self.scheduler.decide(&view.cluster, demand, &without_ports) {
                Ok(placement) => placement,
                Err(no_fit) if without_ports.is_empty() => return Err(Error::NoCapacity(Box::new(no_fit))),
                Err(_) => return Err(no_port(request, without_ports.len())),
            };
            if let Some(chosen) = chosen(view, &placement, request, hash) {
                return Ok(chosen);
            }
            without_ports.push(placement.node);
            if without_ports.len() >= MAX_TRIED {
                return Err(no_port(request, without_ports.len()));
            }
        }
    }
}

/// The state of a node that a demand fits.
fn fitting(view: &View, demand: &Demand, node: NodeId) -> Result<NodeState> {
    let state = view.state(node.uuid()).ok_or_else(|| Error::not_found("node", node))?;
    fits(&state, demand).map_err(removed_by)?;
    Ok(state)
}

/// The refusal of the only node that would do.
fn removed_by(misfit: Misfit) -> Error {
    let mut no_fit = NoFit { nodes: 1, ..NoFit::default() };
    no_fit.count(misfit, 1);
    Error::NoCapacity(Box::new(no_fit))
}

/// The placement on the GPUs that a request names.
fn on_gpus(view: &View, demand: &Demand, given: &[GpuId], pinned: Option<NodeId>) -> Result<Placement> {
    let mut node = pinned;
    for (at, gpu) in given.iter().enumerate() {
        // Of another node than the one that is meant, it is as one that is not there.
        let of = view.node_of_gpu(gpu.uuid()).filter(|of| pinned.is_none_or(|pinned| pinned == *of));
        let of = of.ok_or_else(|| Error::not_found("gpu", *gpu))?;
        if *node.get_or_insert(of) != of {
            return Err(Error::invalid(format!("given_gpus[{at}]"), "it is on another node than the first"));
        }
    }
    let node = node.ok_or_else(|| Error::invalid("given_gpus", "none is given"))?;
    let state = fitting(view, demand, node)?;
    let (asked, each) = demand.gpu().need();
    let held = view.node(node.uuid()).map_or(&[][..], |node| &node.gpus);
    let all = (0..).zip(held.iter().zip(&state.gpus));
    let these = all.filter(|(_, (gpu, state))| {
        given.contains(&GpuId::new(gpu.id)) && state.usable_milli() >= each.get()
    });
    let gpus: Vec<u32> = these.map(|(at, _)| at).collect();
    let fitting = u32::try_from(gpus.len()).unwrap_or(u32::MAX);
    if fitting != asked {
        return Err(removed_by(Misfit::Gpu { fitting, asked, each_milli: each.get() }));
    }
    Ok(Placement { node: node.uuid(), gpus, milli_per_gpu: each, demand: demand.clone() })
}

fn no_port(request: &LaunchRequest, nodes: usize) -> Error {
    Error::NoFreePort { asked: request.port_count(), nodes }
}

/// Completes a placement by the ids of the GPUs and by ports; `None` where the node has not enough ports free.
fn chosen(view: &View, placement: &Placement, request: &LaunchRequest, hash: u64) -> Option<Chosen> {
    let node = view.node(placement.node)?;
    let (_, lifecycle_revision) = node.lifecycle?;
    let position = |at: &u32| usize::try_from(*at).ok().and_then(|at| node.gpus.get(at));
    let gpus: Option<Vec<&NodeGpu>> = placement.gpus.iter().map(position).collect();
    let gpus = gpus?;
    let told = node.has_agent.then(|| gpus.iter().map(|gpu| spec_gpu(gpu, request.gpu_milli)).collect());
    let gpus = gpus.iter().map(|gpu| gpu.id).collect();
    // Those that are given come first, so that none of them is picked for something else.
    let is_free = |port: &PortKey| {
        node.ranges(port.family).contains(port.protocol, port.port) && !view.is_taken(placement.node, *port)
    };
    if !request.given_ports.iter().all(is_free) {
        return None;
    }
    let mut ports: Vec<PortKey> = request.given_ports.clone();
    for wanted in &request.ports {
        for nth in 0..wanted.count {
            // Spread the picks of one request too: the next one starts elsewhere.
            let hash = hash.rotate_left(nth).wrapping_add(u64::from(nth));
            let key = |port| PortKey { family: wanted.family, protocol: wanted.protocol, port };
            let taken = |port| ports.contains(&key(port)) || view.is_taken(placement.node, key(port));
            let port = node.ranges(wanted.family).pick(wanted.protocol, hash, taken)?;
            ports.push(key(port));
        }
    }
    Some(Chosen { node: placement.node, lifecycle_revision, gpus, ports, told })
}

fn spec_gpu(gpu: &NodeGpu, milli: GpuMilli) -> SpecGpu {
    let slot = u32::try_from(gpu.slot).unwrap_or(u32::MAX);
    SpecGpu { id: GpuId::new(gpu.id), slot, key: gpu.key.as_deref().map(str::to_owned), milli }
}

impl Chosen {
    /// What the launch takes from its node.
    pub(super) fn pending(&self, demand: &Demand) -> Pending {
        Pending {
            node: self.node,
            release: false,
            gpus: self.gpus.clone(),
            milli_per_gpu: demand.gpu().need().1.get(),
            cpu_milli: demand.cpu().get(),
            memory_mib: demand.memory().get(),
            storage_mib: demand.storage().get(),
            ports: self.ports.clone(),
        }
    }
}
