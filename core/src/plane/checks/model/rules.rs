//! What the model expects of what users, operators and time do. Each answers how it is answered: nothing, or the code of the refusal.

use super::state::{Command, FIRST_PORT, Model};
use crate::entity::{CommandKind, CommandState, DesiredState, GpuHealth, InstanceState, NodeState};
use crate::plane::LaunchRequest;
use crate::time::Timestamp;

/// The code of a refusal, where there is one.
pub(super) type Expected = Result<(), &'static str>;

impl Model {
    /// Whether a launch is allowed, and on which nodes.
    pub(super) fn launch(
        &self,
        user: usize,
        on: Option<usize>,
        request: &LaunchRequest,
    ) -> Result<Vec<usize>, &'static str> {
        let milli = request.gpu_milli.get();
        let asked = [
            1,
            milli * i64::from(request.gpus),
            request.cpu.get(),
            request.memory.get(),
            request.storage.get(),
        ];
        for ((limit, used), asked) in self.limits(user).into_iter().zip(asked) {
            if limit.is_some_and(|limit| asked > 0 && used + asked > limit) {
                return Err("quota_exceeded");
            }
        }
        let nodes = (0..self.nodes.len()).filter(|node| on.is_none_or(|on| on == *node));
        let fit: Vec<usize> = nodes.filter(|node| self.fits(*node, request)).collect();
        if fit.is_empty() {
            return Err("no_capacity");
        }
        let fit: Vec<usize> = fit.into_iter().filter(|node| self.has_ports(*node, request)).collect();
        if fit.is_empty() { Err("no_free_port") } else { Ok(fit) }
    }

    fn fits(&self, at: usize, request: &LaunchRequest) -> bool {
        let node = &self.nodes[at];
        let asked = [request.cpu.get(), request.memory.get(), request.storage.get()];
        let room = node.total.into_iter().zip(self.held(at)).zip(asked);
        let milli = request.gpu_milli.get();
        let gpus = node.gpus.iter().filter(|(slot, gpu)| {
            gpu.health == GpuHealth::Healthy && 1000 - self.gpu_held(at, **slot) >= milli
        });
        node.state == NodeState::Active
            && room.into_iter().all(|((total, held), asked)| total - held >= asked)
            && (request.gpus == 0 || gpus.count() >= usize::try_from(request.gpus).unwrap_or(usize::MAX))
    }

    fn has_ports(&self, at: usize, request: &LaunchRequest) -> bool {
        let taken = self.taken(at);
        let mut free: Vec<u16> = self.range(at).filter(|port| !taken.contains_key(port)).collect();
        let given = request.given_ports.iter().all(|given| free.contains(&given.port));
        free.retain(|port| request.given_ports.iter().all(|given| given.port != *port));
        let asked: u32 = request.ports.iter().map(|ports| ports.count).sum();
        given && free.len() >= usize::try_from(asked).unwrap_or(usize::MAX)
    }

    pub(super) fn turn(&mut self, at: usize, goal: DesiredState) -> Expected {
        use InstanceState::{Running, Stopped};
        let now = self.now;
        let instance = &mut self.instances[at];
        if !matches!(instance.state, Running | Stopped) {
            return Err("wrong_state");
        }
        let is = if instance.state == Running { DesiredState::Running } else { DesiredState::Stopped };
        if instance.desired == goal && (is == goal || instance.command.is_some()) {
            return Ok(());
        }
        (instance.desired, instance.changed) = (goal, now);
        if !instance.by_agent {
            instance.state = if goal == DesiredState::Running { Running } else { Stopped };
        }
        self.ask(at);
        Ok(())
    }

    pub(super) fn delete(&mut self, at: usize) -> Expected {
        let now = self.now;
        let instance = &mut self.instances[at];
        match instance.state {
            InstanceState::Deleted => return Ok(()),
            InstanceState::Deleting if instance.command.is_some() => return Ok(()),
            InstanceState::Failed | InstanceState::Lost => return Err("wrong_state"),
            _ => {}
        }
        let never_begun = instance.state == InstanceState::Requested;
        (instance.desired, instance.changed) = (DesiredState::Deleted, now);
        if instance.by_agent && !never_begun {
            instance.state = InstanceState::Deleting;
            self.ask(at);
            return Ok(());
        }
        if let Some(command) = instance.command {
            self.commands[command].state = CommandState::Failed;
        }
        self.end(at, InstanceState::Deleted);
        Ok(())
    }

    /// It has ended, and everything comes back.
    pub(super) fn end(&mut self, at: usize, state: InstanceState) {
        let now = self.now;
        let instance = &mut self.instances[at];
        (instance.state, instance.command, instance.changed) = (state, None, now);
        (instance.gpus, instance.ports) = (Vec::new(), Vec::new());
    }

    /// Asks the agent for what is wanted, unless it is busy with something else for it.
    pub(super) fn ask(&mut self, at: usize) {
        let instance = &self.instances[at];
        let kind = match (instance.state, instance.desired) {
            (InstanceState::Deleting, _) => CommandKind::DeleteInstance,
            (InstanceState::Running, DesiredState::Stopped) => CommandKind::StopInstance,
            (InstanceState::Stopped, DesiredState::Running) => CommandKind::StartInstance,
            _ => return,
        };
        if instance.by_agent && instance.command.is_none() {
            self.instances[at].command = Some(self.send(kind, at));
        }
    }

    pub(super) fn send(&mut self, kind: CommandKind, instance: usize) -> usize {
        self.commands.push(Command {
            id: None,
            node: self.instances[instance].node,
            kind,
            instance,
            state: CommandState::Queued,
            attempt: 0,
            most: 5,
            session: None,
            until: None,
            outcome: None,
        });
        self.commands.len() - 1
    }

    pub(super) fn abandon(&mut self, at: usize) -> Expected {
        self.give_up(at)?;
        if let Some((session, _)) = &mut self.nodes[self.instances[at].node].heard {
            *session += 1;
        }
        Ok(())
    }

    fn give_up(&mut self, at: usize) -> Expected {
        if !self.instances[at].is_live() {
            return Err("wrong_state");
        }
        if let Some(command) = self.instances[at].command {
            let command = &mut self.commands[command];
            (command.state, command.until, command.outcome) = (CommandState::Failed, None, None);
        }
        self.instances[at].overridden = true;
        self.end(at, InstanceState::Lost);
        Ok(())
    }

    /// A node is dead: how many instances went with it.
    pub(super) fn dead(&mut self, node: usize) -> usize {
        if self.nodes[node].state != NodeState::Dead {
            self.nodes[node].state = NodeState::Dead;
            if let Some((session, _)) = &mut self.nodes[node].heard {
                *session += 1;
            }
        }
        let lost: Vec<usize> = (0..self.instances.len())
            .filter(|at| self.instances[*at].node == node && self.instances[*at].is_live())
            .collect();
        lost.iter().filter(|at| self.give_up(**at).is_ok()).count()
    }

    pub(super) fn join(&mut self, node: usize) -> u32 {
        let now = self.now;
        let node = &mut self.nodes[node];
        let session = node.heard.map_or(1, |(session, _)| session + 1);
        node.heard = Some((session, now));
        if matches!(node.state, NodeState::Unknown | NodeState::Dead) {
            node.state = NodeState::Active;
        }
        session
    }

    /// An agent says something: it is heard while its session is the last one.
    pub(super) fn hear(&mut self, node: usize, session: u32) -> Expected {
        let now = self.now;
        match &mut self.nodes[node].heard {
            Some((last, seen)) if *last == session => {
                *seen = now;
                Ok(())
            }
            _ => Err("wrong_state"),
        }
    }

    /// What was heard before `limit` is silent: how many became unknown, and how many were heard again.
    pub(super) fn sweep(&mut self, limit: Timestamp) -> (u64, u64) {
        let (mut silent, mut revived) = (0, 0);
        for node in &mut self.nodes {
            let Some((_, seen)) = node.heard else { continue };
            match node.state {
                NodeState::Active if seen < limit => {
                    (node.state, silent) = (NodeState::Unknown, silent + 1);
                }
                NodeState::Unknown if seen >= limit => {
                    (node.state, revived) = (NodeState::Active, revived + 1);
                }
                _ => {}
            }
        }
        (silent, revived)
    }

    /// Turns a node, where its state is one of these.
    pub(super) fn turn_node(&mut self, node: usize, from: &[NodeState], to: NodeState) -> Expected {
        let state = &mut self.nodes[node].state;
        if !from.contains(state) {
            return Err("wrong_state");
        }
        *state = to;
        Ok(())
    }

    /// The ports that a node offers.
    pub(super) fn range(&self, node: usize) -> std::ops::Range<u16> {
        FIRST_PORT..FIRST_PORT + self.nodes[node].ports
    }
}
