//! What agents do, and what happens on their machines.

use super::super::machine::{Container, LEASE};
use super::run::{Run, answered};
use super::state::{Agent, FIRST_PORT, Given, Look};
use super::step::{Fate, Says, Step};
use super::{Checked, of};
use crate::amount::{CpuMilli, MemoryMib, StorageMib};
use crate::entity::CommandKind;
use crate::machine::Inventory;
use crate::plane::{CommandLease, CommandOutcome, Heartbeat, NodeSession, PortKey};
use crate::ports::{Family, PortRanges, Protocol};
use crate::time::Clock as _;

impl Run<'_> {
    pub(super) async fn machine_step(&mut self, step: Step) -> Checked {
        let count = self.model.nodes.len();
        let at = |node: u8| usize::from(node) % count;
        match step {
            Step::Work { node, most, fates } => self.work(at(node), most, fates).await,
            Step::Struggle { node } => self.struggle(at(node)).await,
            Step::Answer { node, lease } => self.answer(at(node), false, lease).await,
            Step::Extend { node, lease } => self.extend(at(node), false, lease).await,
            Step::Join { node } => self.join(at(node)).await,
            Step::Late { node, says } => self.late(at(node), says).await,
            Step::Beat { node } => self.beat(at(node), false).await,
            Step::Look { node } => self.look(at(node), false).await,
            Step::Tell { node } => self.tell(at(node), false).await,
            Step::Report { node } => self.report(at(node)).await,
            step => {
                self.happen(step);
                Ok(())
            }
        }
    }

    fn agent(&mut self, node: usize, late: bool) -> Option<&mut Agent> {
        let node = &mut self.model.nodes[node];
        if late { node.replaced.as_mut() } else { node.agent.as_mut() }
    }

    async fn late(&mut self, node: usize, says: Says) -> Checked {
        match says {
            Says::Beat => self.beat(node, true).await,
            Says::Take => self.take(node, true, 5).await.map(drop),
            Says::Answer(lease) => self.answer(node, true, lease).await,
            Says::Extend(lease) => self.extend(node, true, lease).await,
            Says::Look => self.look(node, true).await,
            Says::Tell => self.tell(node, true).await,
        }
    }

    pub(super) async fn join(&mut self, node: usize) -> Checked {
        let got = self.cloud().join_node(self.model.nodes[node].id).await;
        let session = self.model.join(node);
        answered("join", &got, Ok(()))?;
        if !matches!(got, Ok(NodeSession(got)) if got == session) {
            return Err(format!("join: session {session} was expected, and {got:?} is answered"));
        }
        let agent = Agent { session, leases: Vec::new(), look: None };
        let node = &mut self.model.nodes[node];
        node.replaced = node.agent.replace(agent).or(node.replaced.take());
        Ok(())
    }

    async fn beat(&mut self, node: usize, late: bool) -> Checked {
        let Some(session) = self.agent(node, late).map(|agent| agent.session) else { return Ok(()) };
        let beat = Heartbeat::new(self.model.nodes[node].id, NodeSession(session));
        let Some(got) = self.cloud().heartbeats(&[beat]).await.pop() else { return Err("no answer".into()) };
        answered("heartbeat", &got, self.model.hear(node, session))
    }

    async fn take(&mut self, node: usize, late: bool, most: u8) -> Result<Vec<CommandLease>, String> {
        let Some(session) = self.agent(node, late).map(|agent| agent.session) else { return Ok(Vec::new()) };
        let id = self.model.nodes[node].id;
        let got = self.cloud().take_commands(id, NodeSession(session), most.into(), LEASE).await;
        let until = self.model.now.plus(LEASE);
        let expected = self.model.take(node, session, most.into(), until);
        answered("take commands", &got, expected.as_ref().map(drop).map_err(|code| *code))?;
        let (taken, expected) = (got.unwrap_or_default(), expected.unwrap_or_default());
        let as_expected = expected.iter().map(|at| self.model.commands[*at].id);
        if !taken.iter().map(|lease| Some(lease.command.id)).eq(as_expected) {
            return Err(format!("commands {expected:?} were expected, and taken were {taken:?}"));
        }
        self.compare().await?;
        Ok(taken)
    }

    /// The agent takes commands and carries them out, one after the other.
    async fn work(&mut self, node: usize, most: u8, fates: [Fate; 3]) -> Checked {
        let taken = self.take(node, false, most).await?;
        for (lease, fate) in taken.into_iter().zip(fates.into_iter().cycle()) {
            if fate == Fate::Forgotten {
                self.remember(node, lease, None);
                continue;
            }
            let outcome = self.execute(node, &lease, fate);
            if fate != Fate::Unanswered {
                self.complete(&lease, &outcome).await?;
                self.compare().await?;
            }
            if fate == Fate::AnsweredTwice {
                self.complete(&lease, &outcome).await?;
            }
            self.remember(node, lease, Some(outcome));
        }
        Ok(())
    }

    /// The agent dies behind every command that it takes, more often than they are tried.
    async fn struggle(&mut self, node: usize) -> Checked {
        for _ in 0..6 {
            self.clock.advance(LEASE);
            self.model.now = self.clock.now();
            self.work(node, 5, [Fate::Forgotten; 3]).await?;
        }
        Ok(())
    }

    fn remember(&mut self, node: usize, lease: CommandLease, outcome: Option<CommandOutcome>) {
        if let Some(agent) = self.agent(node, false) {
            agent.leases.push((lease, outcome));
        }
    }

    /// Does what a command says, on the machine.
    fn execute(&mut self, node: usize, lease: &CommandLease, fate: Fate) -> CommandOutcome {
        let subject = lease.command.subject_id;
        let machine = &mut self.model.nodes[node].machine;
        match fate {
            Fate::Failed => {
                // That it cannot be made says that there is nothing of it.
                if lease.command.kind == CommandKind::CreateInstance {
                    machine.containers.retain(|_, it| it.mark.map(crate::id::Id::uuid) != subject);
                }
                return CommandOutcome::Failed("it cannot be done".into());
            }
            Fate::Again => return CommandOutcome::Again("not now".into()),
            _ => {}
        }
        let outcome = machine.execute(&lease.command);
        self.note_given(node);
        outcome
    }

    /// Notes what new containers were given, which they have for as long as they are there.
    fn note_given(&mut self, node: usize) {
        let model = &mut self.model;
        for (key, container) in &model.nodes[node].machine.containers {
            let marked = container.mark.and_then(|mark| model.instances.iter().position(|it| it.id == mark));
            if let Some(at) = marked {
                let it = &model.instances[at];
                model.given.entry(key.clone()).or_insert_with(|| Given {
                    instance: at,
                    gpus: it.gpus.clone(),
                    milli: it.milli,
                });
            }
        }
    }

    async fn complete(&mut self, lease: &CommandLease, outcome: &CommandOutcome) -> Checked {
        let Some(at) = self.model.commands.iter().position(|it| it.id == Some(lease.command.id)) else {
            return Err(format!("an unknown command: {lease:?}"));
        };
        let got = self.cloud().complete_command(lease, outcome).await;
        let token = (lease.session.0, lease.attempt);
        answered(&format!("answer command {at}"), &got, self.model.complete(at, token, outcome))
    }

    async fn answer(&mut self, node: usize, late: bool, place: u8) -> Checked {
        let Some(agent) = self.agent(node, late) else { return Ok(()) };
        let Some(at) = of(place, agent.leases.len()) else { return Ok(()) };
        let (lease, outcome) = agent.leases[at].clone();
        match outcome {
            Some(outcome) => self.complete(&lease, &outcome).await,
            // It was forgotten before it was done: to give it back is all that can be said of it.
            None => self.complete(&lease, &CommandOutcome::Again("it was forgotten".into())).await,
        }
    }

    async fn extend(&mut self, node: usize, late: bool, place: u8) -> Checked {
        let Some(agent) = self.agent(node, late) else { return Ok(()) };
        let Some(at) = of(place, agent.leases.len()) else { return Ok(()) };
        let (lease, _) = agent.leases[at].clone();
        let Some(at) = self.model.commands.iter().position(|it| it.id == Some(lease.command.id)) else {
            return Err(format!("an unknown command: {lease:?}"));
        };
        let got = self.cloud().extend_command(&lease, LEASE).await;
        let until = self.model.now.plus(LEASE);
        let token = (lease.session.0, lease.attempt);
        answered(&format!("extend command {at}"), &got, self.model.extend(at, token, until))
    }

    async fn look(&mut self, node: usize, late: bool) -> Checked {
        let Some(session) = self.agent(node, late).map(|agent| agent.session) else { return Ok(()) };
        let got = self.cloud().begin_report(self.model.nodes[node].id, NodeSession(session)).await;
        answered("begin a report", &got, self.model.hear(node, session))?;
        let of = &self.model.nodes[node];
        let look = got.ok().map(|at| Look { at, machine: of.machine.clone(), ports: of.real_ports });
        if let Some(agent) = self.agent(node, late).filter(|_| look.is_some()) {
            agent.look = look;
        }
        Ok(())
    }

    async fn tell(&mut self, node: usize, late: bool) -> Checked {
        let Some(agent) = self.agent(node, late) else { return Ok(()) };
        let (session, Some(look)) = (agent.session, agent.look.take()) else { return Ok(()) };
        let mut inventory: Inventory = look.machine.found(look.at);
        inventory.ipv4_ports = PortRanges::tcp(FIRST_PORT, FIRST_PORT + look.ports - 1).ok();
        let got = self.cloud().report(self.model.nodes[node].id, NodeSession(session), &inventory).await;
        let speaks = self.model.nodes[node].heard.is_some_and(|(last, _)| last == session);
        answered("report", &got, if speaks { Ok(()) } else { Err("wrong_state") })?;
        let Ok(told) = got else { return Ok(()) };
        let before = super::facts::known(&self.model);
        let comes = self.model.report(node, &look);
        let changed = before != super::facts::known(&self.model);
        if changed {
            self.model.hear(node, session).unwrap();
        }
        let ids = |places: &[usize]| places.iter().map(|at| self.model.instances[*at].id).collect::<Vec<_>>();
        let sorted = |mut ids: Vec<crate::entity::InstanceId>| {
            ids.sort_unstable();
            ids
        };
        let expected =
            (sorted(ids(&comes.lost)), sorted(ids(&comes.deleted)), comes.foreign, comes.gone.len(), changed);
        let (lost, deleted) = (sorted(told.lost.clone()), sorted(told.deleted.clone()));
        if (lost, deleted, told.foreign, told.gpus_gone.len(), told.changed > 0) != expected {
            return Err(format!(
                "report: {comes:?} was expected, changed {changed}, and {told:?} is answered"
            ));
        }
        Ok(())
    }

    pub(super) async fn report(&mut self, node: usize) -> Checked {
        self.look(node, false).await?;
        self.tell(node, false).await
    }

    /// Something happens on a machine, of which nobody knows yet.
    fn happen(&mut self, step: Step) {
        let count = self.model.nodes.len();
        let at = |node: u8| usize::from(node) % count;
        match step {
            Step::Vanish { node, container } => {
                if let Some(key) = self.container(at(node), container) {
                    self.model.nodes[at(node)].machine.containers.remove(&key);
                }
            }
            Step::Halt { node, container } => {
                let Some(key) = self.container(at(node), container) else { return };
                if let Some(container) = self.model.nodes[at(node)].machine.containers.get_mut(&key) {
                    container.runs = false;
                }
            }
            Step::Appear { node, eighths, port } => self.appear(at(node), eighths, port),
            Step::Grow { node, container, eighths } => {
                let Some(key) = self.container(at(node), container) else { return };
                if let Some(container) = self.model.nodes[at(node)].machine.containers.get_mut(&key) {
                    container.uses = uses([eighths; 3]);
                }
            }
            Step::Unplug { node, gpu } => {
                let gpus = &mut self.model.nodes[at(node)].machine.gpus;
                if let Some(place) = of(gpu, gpus.len()) {
                    gpus.remove(place);
                }
            }
            Step::Plug { node, gpu } => {
                let key = format!("GPU-{}-{}", at(node), gpu % 3);
                let gpus = &mut self.model.nodes[at(node)].machine.gpus;
                if !gpus.contains(&key) {
                    gpus.push(key);
                    gpus.sort_unstable();
                }
            }
            Step::Resize { node, eighths, ports } => {
                let node = &mut self.model.nodes[at(node)];
                (node.machine.capacity, node.real_ports) = (uses(eighths), ports.into());
            }
            _ => {}
        }
    }

    fn container(&self, node: usize, place: u8) -> Option<String> {
        let containers = &self.model.nodes[node].machine.containers;
        containers.keys().nth(of(place, containers.len())?).cloned()
    }

    /// A container appears that nobody launched here.
    fn appear(&mut self, node: usize, eighths: u8, port: Option<u8>) {
        let key = format!("foreign-{}", self.model.now.since(crate::time::Timestamp::EPOCH).as_secs());
        let port = port.map(|port| PortKey {
            family: Family::Ipv4,
            protocol: Protocol::Tcp,
            port: FIRST_PORT + u16::from(port),
        });
        let container =
            Container { mark: None, runs: true, uses: uses([eighths; 3]), ports: port.into_iter().collect() };
        self.model.nodes[node].machine.containers.insert(key, container);
    }
}

/// So many thousands of everything.
pub(super) fn uses(eighths: [u8; 3]) -> (CpuMilli, MemoryMib, StorageMib) {
    let [cpu, memory, storage] = eighths.map(|count| u32::from(count) * 1000);
    (CpuMilli::from_u32(cpu), MemoryMib::from_u32(memory), StorageMib::from_u32(storage))
}
