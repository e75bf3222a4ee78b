//! How a sequence begins, and how it ends: everybody does what they are asked, and nothing is left of anything.

use std::sync::Arc;
use std::time::Duration;

use super::super::machine::Machine;
use super::agent::uses;
use super::run::Run;
use super::state::{FIRST_PORT, Gpu, Model, Node, User, amounts};
use super::step::{Fate, Step};
use super::{BEGIN, Checked, ModelStores};
use crate::entity::{CommandState, GpuHealth, Limits, NodeState};
use crate::id::TimeOrderedIds;
use crate::plane::{NewNode, NewUser, NodeSession};
use crate::ports::PortRanges;
use crate::time::{Clock as _, ManualClock};

/// How many nodes there are; the last one has no agent yet.
const NODES: usize = 3;
/// How many ports each offers.
const PORTS: u16 = 8;

impl<'s> Run<'s> {
    /// Two accounts and some nodes, whose agents have reported.
    pub(super) async fn new(stores: &'s dyn ModelStores) -> Result<Self, String> {
        let clock = Arc::new(ManualClock::new(BEGIN));
        let ids = Arc::new(TimeOrderedIds::seeded(Arc::<ManualClock>::clone(&clock), 7));
        let store = stores.fresh(Arc::clone(&clock)).await;
        let model = Model {
            now: clock.now(),
            users: Vec::new(),
            nodes: Vec::new(),
            instances: Vec::new(),
            commands: Vec::new(),
            given: std::collections::BTreeMap::new(),
        };
        let mut run = Run { stores, clock, cloud: None, ids, model };
        run.open(store);
        for user in 0..2 {
            run.add_user(user).await.map_err(|error| error.to_string())?;
        }
        for node in 0..NODES {
            run.add_node(node).await.map_err(|error| error.to_string())?;
            if node + 1 < NODES {
                run.join(node).await?;
                run.compare().await?;
                run.report(node).await?;
            }
            run.compare().await?;
        }
        Ok(run)
    }

    async fn add_user(&mut self, at: usize) -> crate::error::Result<()> {
        let limits = Limits { instance_limit: 8, node_limit: 9, ..Limits::default() };
        let new = NewUser::new(format!("user-{at}@example.org"), "Ada").limits(limits);
        let mut user = self.cloud().create_user(new).await?;
        user.value.activated = true;
        let id = self.cloud().repositories().users().update(user).await?.id;
        self.model.users.push(User { id, limits });
        Ok(())
    }

    async fn add_node(&mut self, at: usize) -> crate::error::Result<()> {
        let capacity = uses([8; 3]);
        let ports = PortRanges::tcp(FIRST_PORT, FIRST_PORT + PORTS - 1).unwrap();
        let owner = self.model.users[0].id;
        let new = NewNode::new(owner, format!("node-{at}")).gpus(2, "H100").ipv4_ports(ports);
        let new = new.cpu(capacity.0).memory(capacity.1).storage(capacity.2);
        let id = self.cloud().register_node(new).await?.id;
        let total = amounts(capacity.0, capacity.1, capacity.2);
        let gpu = Gpu { id: None, key: None, health: GpuHealth::Healthy };
        let machine = Machine {
            owner,
            node: id,
            session: NodeSession(0),
            containers: std::collections::BTreeMap::new(),
            gpus: vec![format!("GPU-{at}-0"), format!("GPU-{at}-1")],
            images: Vec::new(),
            capacity,
        };
        self.model.nodes.push(Node {
            id,
            state: NodeState::Active,
            heard: None,
            total,
            most: total,
            gpu_total: 2000,
            gpus: [(0, gpu.clone()), (1, gpu)].into(),
            ports: PORTS,
            most_ports: PORTS,
            foreign: std::collections::BTreeMap::new(),
            machine,
            real_ports: PORTS,
            agent: None,
            replaced: None,
        });
        Ok(())
    }

    /// Every agent is there and does what it is told, and everything is deleted: then nothing is left of any instance, neither in what
    /// is stored nor on the machines.
    pub(super) async fn settle(&mut self) -> Checked {
        for node in 0..NODES {
            self.agents_step(|node| Step::Join { node }, node).await?;
            self.agents_step(|node| Step::Report { node }, node).await?;
        }
        self.work_out().await?;
        for instance in 0..self.model.instances.len() {
            if self.model.instances[instance].is_live() {
                self.clock.advance(Duration::from_secs(1));
                self.model.now = self.clock.now();
                self.delete_at(instance).await?;
                self.compare().await?;
            }
        }
        self.work_out().await?;
        for round in 0..2 {
            for node in 0..NODES {
                self.agents_step(|node| Step::Report { node }, node).await?;
            }
            if round == 0 {
                self.work_out().await?;
            }
        }
        self.nothing_is_left()
    }

    async fn agents_step(&mut self, step: impl Fn(u8) -> Step, node: usize) -> Checked {
        self.step(step(u8::try_from(node).unwrap_or(0))).await
    }

    /// Agents work until there is nothing more for them to do.
    async fn work_out(&mut self) -> Checked {
        for node in 0..NODES {
            let mut rounds = 0;
            while self
                .model
                .commands
                .iter()
                .any(|it| it.node == node && matches!(it.state, CommandState::Queued | CommandState::Leased))
            {
                rounds += 1;
                if rounds > 50 {
                    return Err(format!("the agent of node {node} comes to no end"));
                }
                // What was leased before is taken over when its lease has ended.
                self.step(Step::Wait { seconds: 90 }).await?;
                let fates = [Fate::Answered; 3];
                self.agents_step(|node| Step::Work { node, most: 100, fates }, node).await?;
            }
        }
        Ok(())
    }

    fn nothing_is_left(&self) -> Checked {
        let model = &self.model;
        if let Some(at) = model.instances.iter().position(super::state::Instance::is_live) {
            return Err(format!("instance {at} was deleted and is still there: {:?}", model.instances[at]));
        }
        for (at, node) in model.nodes.iter().enumerate() {
            for (key, container) in &node.machine.containers {
                // What an agent could not remove is told, and waits for somebody to look at it.
                let given_up =
                    node.foreign.get(key).and_then(|foreign| foreign.command).is_some_and(|command| {
                        matches!(model.commands[command].state, CommandState::Failed | CommandState::Parked)
                    });
                if container.mark.is_some() && !given_up {
                    return Err(format!("{key} is still on node {at}, and nobody is asked to remove it"));
                }
            }
        }
        Ok(())
    }
}
