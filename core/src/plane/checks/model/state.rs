//! What the model knows: what the control plane is to know, and beside it what there really is on the machines.

use std::collections::BTreeMap;

use super::super::machine::Machine;
use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use crate::entity::{
    CommandId, CommandKind, CommandState, DesiredState, GpuHealth, GpuId, InstanceId, InstanceState, Limits,
    NodeId, NodeState, UserId,
};
use crate::plane::{CommandLease, CommandOutcome, LaunchRequest};
use crate::time::Timestamp;

/// Processor time, memory, disk space.
pub(super) type Amounts = [i64; 3];

/// The first port of every node.
pub(super) const FIRST_PORT: u16 = 63_000;

#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) now: Timestamp,
    pub(super) users: Vec<User>,
    pub(super) nodes: Vec<Node>,
    pub(super) instances: Vec<Instance>,
    pub(super) commands: Vec<Command>,
    /// What containers were given when they were made, by their keys.
    pub(super) given: BTreeMap<String, Given>,
}

/// What a container has for as long as it is there, whatever is known of its instance.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) instance: usize,
    pub(super) gpus: Vec<u32>,
    pub(super) milli: i64,
}

#[derive(Clone, Debug)]
pub(super) struct User {
    pub(super) id: UserId,
    pub(super) limits: Limits,
}

/// What is known of a node, and the machine that it is.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) state: NodeState,
    /// The session that counts, and when it was last heard; none where no agent has joined.
    pub(super) heard: Option<(u32, Timestamp)>,
    pub(super) total: Amounts,
    /// The most that it ever had.
    pub(super) most: Amounts,
    pub(super) gpu_total: i64,
    /// By slot.
    pub(super) gpus: BTreeMap<u32, Gpu>,
    /// How many ports it offers, and offered at most.
    pub(super) ports: u16,
    pub(super) most_ports: u16,
    pub(super) foreign: BTreeMap<String, Foreign>,
    /// What there really is.
    pub(super) machine: Machine,
    pub(super) real_ports: u16,
    pub(super) agent: Option<Agent>,
    /// The agent before, which may wake up.
    pub(super) replaced: Option<Agent>,
}

#[derive(Clone, Debug)]
pub(super) struct Gpu {
    pub(super) id: Option<GpuId>,
    pub(super) key: Option<String>,
    pub(super) health: GpuHealth,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Foreign {
    pub(super) uses: Amounts,
    pub(super) ports: Vec<u16>,
    pub(super) left_by: Option<usize>,
    pub(super) command: Option<usize>,
    pub(super) status: Option<String>,
}

/// An agent, and what it remembers.
#[derive(Clone, Debug)]
pub(super) struct Agent {
    pub(super) session: u32,
    /// What it has taken, and what came of it where it has done it.
    pub(super) leases: Vec<(CommandLease, Option<CommandOutcome>)>,
    pub(super) look: Option<Look>,
}

/// What an agent has seen, and when it began to look.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) at: Timestamp,
    pub(super) machine: Machine,
    pub(super) ports: u16,
}

#[derive(Clone, Debug)]
pub(super) struct Instance {
    pub(super) id: InstanceId,
    pub(super) request: LaunchRequest,
    pub(super) user: usize,
    pub(super) node: usize,
    pub(super) uses: Amounts,
    pub(super) milli: i64,
    /// The slots of its GPUs, and its ports; none once it has ended.
    pub(super) gpus: Vec<u32>,
    pub(super) ports: Vec<u16>,
    pub(super) state: InstanceState,
    pub(super) desired: DesiredState,
    pub(super) by_agent: bool,
    pub(super) command: Option<usize>,
    pub(super) key: Option<String>,
    pub(super) status: Option<String>,
    pub(super) changed: Timestamp,
    /// Somebody said that it is gone, so that its container may still be there.
    pub(super) overridden: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Command {
    pub(super) id: Option<CommandId>,
    pub(super) node: usize,
    pub(super) kind: CommandKind,
    pub(super) instance: usize,
    pub(super) state: CommandState,
    pub(super) attempt: u32,
    pub(super) most: u32,
    pub(super) session: Option<u32>,
    pub(super) until: Option<Timestamp>,
    pub(super) outcome: Option<CommandOutcome>,
}

/// Amounts of a row.
pub(super) const fn amounts(cpu: CpuMilli, memory: MemoryMib, storage: StorageMib) -> Amounts {
    [cpu.get(), memory.get(), storage.get()]
}

pub(super) fn add(to: &mut Amounts, other: Amounts) {
    for (to, other) in to.iter_mut().zip(other) {
        *to += other;
    }
}

impl Instance {
    pub(super) const fn is_live(&self) -> bool {
        self.state.is_live()
    }
}

impl Model {
    /// Those that hold something of a node.
    pub(super) fn on(&self, node: usize) -> impl Iterator<Item = &Instance> {
        self.instances.iter().filter(move |instance| instance.node == node && instance.is_live())
    }

    pub(super) fn of(&self, user: usize) -> impl Iterator<Item = &Instance> {
        self.instances.iter().filter(move |instance| instance.user == user && instance.is_live())
    }

    /// What instances, and containers that nobody launched, hold of a node.
    pub(super) fn held(&self, node: usize) -> Amounts {
        let mut held = [0; 3];
        self.on(node).for_each(|instance| add(&mut held, instance.uses));
        self.nodes[node].foreign.values().for_each(|foreign| add(&mut held, foreign.uses));
        held
    }

    /// What is held of a GPU.
    pub(super) fn gpu_held(&self, node: usize, slot: u32) -> i64 {
        self.on(node).filter(|instance| instance.gpus.contains(&slot)).map(|instance| instance.milli).sum()
    }

    /// Who has each port of a node.
    pub(super) fn taken(&self, node: usize) -> BTreeMap<u16, String> {
        let mut taken = BTreeMap::new();
        for (at, instance) in
            self.instances.iter().enumerate().filter(|(_, it)| it.node == node && it.is_live())
        {
            taken.extend(instance.ports.iter().map(|port| (*port, format!("instance {at}"))));
        }
        for (key, foreign) in &self.nodes[node].foreign {
            taken.extend(foreign.ports.iter().map(|port| (*port, format!("foreign {key}"))));
        }
        taken
    }

    pub(super) fn place_of(&self, instance: InstanceId) -> Option<usize> {
        self.instances.iter().position(|known| known.id == instance)
    }

    /// What an account uses: instances, GPU milli, and the amounts.
    pub(super) fn used(&self, user: usize) -> (i64, i64, Amounts) {
        let (mut instances, mut gpus, mut held) = (0, 0, [0; 3]);
        for instance in self.of(user) {
            instances += 1;
            gpus += instance.milli * i64::from(instance.request.gpus);
            add(&mut held, instance.uses);
        }
        (instances, gpus, held)
    }

    /// The limits of an account, and what is used of each, in the order in which they are judged.
    pub(super) fn limits(&self, user: usize) -> [(Option<i64>, i64); 5] {
        let (instances, gpus, [cpu, memory, storage]) = self.used(user);
        let limits = self.users[user].limits;
        [
            (Some(i64::from(limits.instance_limit)), instances),
            (limits.gpu_milli_limit.map(GpuMilli::get), gpus),
            (limits.cpu_milli_limit.map(CpuMilli::get), cpu),
            (limits.memory_mib_limit.map(MemoryMib::get), memory),
            (limits.storage_mib_limit.map(StorageMib::get), storage),
        ]
    }
}
