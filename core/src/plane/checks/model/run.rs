//! Steps carried out, by the control plane and by the model; then the two are compared.

use std::sync::Arc;
use std::time::Duration;

use super::super::compared::difference;
use super::facts::{Rows, known, learn, stored};
use super::rules::Expected;
use super::state::{FIRST_PORT, Instance, Model};
use super::step::{Gpus, Step};
use super::{Checked, ModelStores, law, of};
use crate::ControlPlane;
use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use crate::entity::{CommandKind, DesiredState, Entry, GpuHealth, InstanceState, Limits, NodeState};
use crate::error::{Error, Result};
use crate::id::{IdSource as _, TimeOrderedIds};
use crate::identity::IdentityOptions;
use crate::plane::{LaunchRequest, Options};
use crate::ports::{Family, Protocol};
use crate::store::Store;
use crate::time::{Clock as _, ManualClock};

/// After so long a silence a node is unknown.
const SILENCE: Duration = Duration::from_mins(1);

pub(super) struct Run<'s> {
    pub(super) stores: &'s dyn ModelStores,
    pub(super) clock: Arc<ManualClock>,
    pub(super) cloud: Option<ControlPlane>,
    pub(super) ids: Arc<TimeOrderedIds>,
    pub(super) model: Model,
}

/// Whether it was answered as it was expected.
pub(super) fn answered<T: std::fmt::Debug>(what: &str, got: &Result<T>, expected: Expected) -> Checked {
    let code = got.as_ref().map(drop).map_err(Error::code);
    if code == expected {
        Ok(())
    } else {
        Err(format!("{what}: {expected:?} was expected, and {got:?} is answered"))
    }
}

impl Run<'_> {
    pub(super) fn cloud(&self) -> &ControlPlane {
        self.cloud.as_ref().unwrap()
    }

    pub(super) fn open(&mut self, store: Arc<dyn Store>) {
        let options = Options::default().identity(IdentityOptions::default());
        self.cloud = Some(ControlPlane::with(store, options.ids(Arc::<TimeOrderedIds>::clone(&self.ids))));
    }

    /// Compares what is stored with what the model knows.
    pub(super) async fn compare(&mut self) -> Checked {
        let rows = Rows::read(&**self.cloud().store()).await?;
        learn(&mut self.model, &rows);
        if let Some(lines) = difference(&stored(&self.model, &rows), &known(&self.model)) {
            return Err(format!("what is stored is not what is expected:{lines}"));
        }
        law::check(self.cloud(), &self.model, &rows).await
    }

    pub(super) async fn audit(&self) -> Checked {
        let report = self.cloud().audit().await.map_err(|error| error.to_string())?;
        if report.is_clean() { Ok(()) } else { Err(format!("{report:?}")) }
    }

    /// Carries out a step, a second after the one before.
    pub(super) async fn step(&mut self, step: Step) -> Checked {
        self.clock.advance(Duration::from_secs(1));
        self.model.now = self.clock.now();
        let nodes = self.model.nodes.len();
        let at = |node: u8| usize::from(node) % nodes;
        match step {
            Step::Launch { .. } => self.launch(step).await?,
            Step::Repeat { instance } => self.repeat(instance).await?,
            Step::Stop { instance } => self.turn(instance, DesiredState::Stopped).await?,
            Step::Start { instance } => self.turn(instance, DesiredState::Running).await?,
            Step::Delete { instance } => self.delete(instance).await?,
            Step::Abandon { instance } => self.abandon(instance).await?,
            Step::Wait { seconds } => self.clock.advance(Duration::from_secs(seconds.into())),
            Step::Sweep => self.sweep().await?,
            Step::Cordon { node } | Step::Uncordon { node } | Step::Drain { node } => {
                self.turn_node(step, at(node)).await?;
            }
            Step::Dead { node } => self.dead(at(node)).await?,
            Step::Retry { command } => self.retry(command).await?,
            Step::Limit { user, instances, gpus, eighths } => {
                self.limit(usize::from(user) % self.model.users.len(), instances, gpus, eighths).await?;
            }
            Step::Quarantine { node, gpu, healthy } => self.quarantine(at(node), gpu, healthy).await?,
            Step::Crash => self.crash().await,
            step => self.machine_step(step).await?,
        }
        self.compare().await
    }

    async fn launch(&mut self, step: Step) -> Checked {
        let Step::Launch { user, node, amounts: [cpu, memory, storage], gpus, ports, port } = step else {
            return Ok(());
        };
        let user = usize::from(user) % self.model.users.len();
        let on = node.map(|node| usize::from(node) % self.model.nodes.len());
        let thousand = |count: u8| u32::from(count) * 1000;
        let name = format!("i-{}", self.model.instances.len());
        let mut request = LaunchRequest::new(self.model.users[user].id, name)
            .id(self.ids.next_id().into())
            .cpu(CpuMilli::from_u32(thousand(cpu)))
            .memory(MemoryMib::from_u32(thousand(memory)))
            .storage(StorageMib::from_u32(thousand(storage)));
        request = match gpus {
            Gpus::None => request,
            Gpus::Share(milli) => request.gpu_share(GpuMilli::from_u32(milli.into())),
            Gpus::Whole(count) => request.gpus(count.into()),
        };
        if ports > 0 {
            request = request.ports(Family::Ipv4, Protocol::Tcp, ports.into());
        }
        if let Some(port) = port {
            request = request.port(Family::Ipv4, Protocol::Tcp, FIRST_PORT + u16::from(port));
        }
        request.node = on.map(|on| self.model.nodes[on].id);
        let expected = self.model.launch(user, on, &request);
        let got = self.cloud().launch(request.clone()).await;
        answered("launch", &got, expected.as_ref().map(drop).map_err(|code| *code))?;
        match (got, expected) {
            (Ok(entry), Ok(nodes)) => self.launched(user, request, &entry, &nodes).await,
            _ => Ok(()),
        }
    }

    /// Learns where an instance was placed, and checks that there was room for it.
    async fn launched(
        &mut self,
        user: usize,
        request: LaunchRequest,
        entry: &Entry<crate::entity::Instance>,
        allowed: &[usize],
    ) -> Checked {
        let rows = Rows::read(&**self.cloud().store()).await?;
        let place = allowed.iter().find(|at| entry.node_id == Some(self.model.nodes[**at].id));
        let Some(&node) = place else {
            return Err(format!("it was placed where it does not fit: {entry:?}"));
        };
        let bound = rows.bindings.iter().filter(|row| row.instance_id == Some(entry.id));
        let slots = bound.filter_map(|row| rows.gpus.iter().find(|gpu| Some(gpu.id) == row.gpu_id));
        let mut gpus: Vec<u32> = slots.map(|gpu| gpu.slot).collect();
        gpus.sort_unstable();
        gpus.dedup();
        let milli = request.gpu_milli.get();
        let model = &self.model;
        let usable = |slot: &u32| {
            let gpu = model.nodes[node].gpus.get(slot);
            gpu.is_some_and(|gpu| {
                gpu.health == GpuHealth::Healthy && 1000 - model.gpu_held(node, *slot) >= milli
            })
        };
        let as_many = u32::try_from(gpus.len()) == Ok(request.gpus);
        let taken = model.taken(node);
        let ports: Vec<u16> =
            rows.ports.iter().filter(|row| row.instance_id == Some(entry.id)).map(|row| row.port).collect();
        let free = |port: &u16| model.range(node).contains(port) && !taken.contains_key(port);
        let given = request.given_ports.iter().all(|given| ports.contains(&given.port));
        let all = u32::try_from(ports.len()) == Ok(request.port_count());
        if !(as_many && gpus.iter().all(usable) && given && all && ports.iter().all(free)) {
            return Err(format!("it was given what is not free: gpus {gpus:?}, ports {ports:?}"));
        }
        let by_agent = model.nodes[node].heard.is_some();
        let at = model.instances.len();
        self.model.instances.push(Instance {
            id: entry.id,
            user,
            node,
            uses: super::state::amounts(request.cpu, request.memory, request.storage),
            request,
            milli,
            gpus,
            ports,
            state: if by_agent { InstanceState::Requested } else { InstanceState::Running },
            desired: DesiredState::Running,
            by_agent,
            command: None,
            key: None,
            status: None,
            changed: self.model.now,
            overridden: false,
        });
        if by_agent {
            self.model.instances[at].command = Some(self.model.send(CommandKind::CreateInstance, at));
        }
        Ok(())
    }

    /// One of the instances, most of the time one that is live.
    fn instance(&self, place: u8) -> Option<usize> {
        self.place_in(place, Instance::is_live).or_else(|| of(place / 4, self.model.instances.len()))
    }

    /// Most of the time one that is as it should be.
    fn place_in(&self, place: u8, fits: impl Fn(&Instance) -> bool) -> Option<usize> {
        let all = self.model.instances.iter().enumerate();
        let fit: Vec<usize> = all.filter(|(_, it)| fits(it)).map(|(at, _)| at).collect();
        let at = of(place / 4, fit.len())?;
        (!place.is_multiple_of(4)).then_some(fit[at])
    }

    async fn repeat(&mut self, instance: u8) -> Checked {
        let Some(at) = self.instance(instance) else { return Ok(()) };
        let request = self.model.instances[at].request.clone();
        let got = self.cloud().launch(request).await;
        answered("the same launch again", &got, Ok(()))
    }

    async fn turn(&mut self, instance: u8, goal: DesiredState) -> Checked {
        let from = match goal {
            DesiredState::Running => InstanceState::Stopped,
            _ => InstanceState::Running,
        };
        let fit = self.place_in(instance, |it| it.state == from);
        let Some(at) = fit.or_else(|| self.instance(instance)) else { return Ok(()) };
        let id = self.model.instances[at].id;
        let got = match goal {
            DesiredState::Running => self.cloud().start(id).await,
            _ => self.cloud().stop(id).await,
        };
        answered(&format!("to be {goal}, instance {at}"), &got, self.model.turn(at, goal))
    }

    async fn delete(&mut self, instance: u8) -> Checked {
        let Some(at) = self.instance(instance) else { return Ok(()) };
        self.delete_at(at).await
    }

    pub(super) async fn delete_at(&mut self, at: usize) -> Checked {
        let got = self.cloud().delete(self.model.instances[at].id).await;
        answered(&format!("delete instance {at}"), &got, self.model.delete(at))
    }

    async fn abandon(&mut self, instance: u8) -> Checked {
        let Some(at) = self.instance(instance) else { return Ok(()) };
        let got = self.cloud().abandon_instance(self.model.instances[at].id, "it was seen to be gone").await;
        answered(&format!("abandon instance {at}"), &got, self.model.abandon(at))
    }

    async fn sweep(&mut self) -> Checked {
        let got = self.cloud().sweep_nodes(SILENCE).await;
        let expected = self.model.sweep(self.model.now.minus(SILENCE));
        match got {
            Ok(swept) if (swept.silent, swept.revived) == expected => Ok(()),
            other => Err(format!("sweep: {expected:?} was expected, and {other:?} is answered")),
        }
    }

    async fn turn_node(&mut self, step: Step, at: usize) -> Checked {
        use NodeState::{Active, Cordoned, Draining};
        let id = self.model.nodes[at].id;
        let (got, from, to) = match step {
            Step::Cordon { .. } => (self.cloud().cordon_node(id).await, [Active, Draining], Cordoned),
            Step::Drain { .. } => (self.cloud().drain_node(id).await, [Active, Cordoned], Draining),
            _ => (self.cloud().uncordon_node(id).await, [Cordoned, Draining], Active),
        };
        answered(&format!("{step:?}"), &got, self.model.turn_node(at, &from, to))
    }

    async fn dead(&mut self, at: usize) -> Checked {
        let got = self.cloud().mark_node_dead(self.model.nodes[at].id, "it burnt").await;
        let lost = self.model.dead(at);
        match got {
            Ok(abandoned) if abandoned.instances == lost => Ok(()),
            other => Err(format!("a dead node: {lost} instances were to be lost, and {other:?} is answered")),
        }
    }

    /// Has the parked commands tried again, or now and then another one.
    async fn retry(&mut self, command: u8) -> Checked {
        let parked: Vec<usize> = (0..self.model.commands.len())
            .filter(|at| self.model.commands[*at].state == crate::entity::CommandState::Parked)
            .collect();
        let any = of(command, self.model.commands.len());
        let Some(at) = of(command, parked.len()).map(|at| parked[at]).or(any) else { return Ok(()) };
        let Some(id) = self.model.commands[at].id else { return Ok(()) };
        let got = self.cloud().retry_command(id).await;
        answered(&format!("retry command {at}"), &got, self.model.retry(at))
    }

    async fn limit(
        &mut self,
        user: usize,
        instances: u8,
        gpus: Option<u8>,
        eighths: [Option<u8>; 3],
    ) -> Checked {
        let [cpu, memory, storage] = eighths.map(|count| count.map(|count| u32::from(count) * 1000));
        let limits = Limits {
            instance_limit: instances.into(),
            gpu_milli_limit: gpus.map(|count| GpuMilli::from_u32(u32::from(count) * 1000)),
            cpu_milli_limit: cpu.map(CpuMilli::from_u32),
            memory_mib_limit: memory.map(MemoryMib::from_u32),
            storage_mib_limit: storage.map(StorageMib::from_u32),
            ..self.model.users[user].limits
        };
        let got = self.cloud().set_limits(self.model.users[user].id, limits).await;
        self.model.users[user].limits = limits;
        answered("other limits", &got, Ok(()))
    }

    /// An operator takes a GPU out of use, or lets it be used again.
    async fn quarantine(&mut self, node: usize, gpu: u8, healthy: bool) -> Checked {
        let health = if healthy { GpuHealth::Healthy } else { GpuHealth::Quarantined };
        let gpus = &mut self.model.nodes[node].gpus;
        let there = gpus.values_mut().filter(|gpu| gpu.health != GpuHealth::Gone).collect::<Vec<_>>();
        let Some(place) = of(gpu, there.len()) else { return Ok(()) };
        let Some(gpu) = there.into_iter().nth(place) else { return Ok(()) };
        let Some(id) = gpu.id else { return Ok(()) };
        gpu.health = health;
        let gpus = self.cloud().repositories().gpus();
        let row = gpus.require(id).await.map_err(|error| error.to_string())?;
        let got = gpus.set_health(id, health, self.model.now, row.revision).await;
        answered("the health of a gpu", &got, Ok(()))
    }

    async fn crash(&mut self) {
        let store = Arc::clone(self.cloud().store());
        self.cloud = None;
        let store = self.stores.reopened(store, Arc::clone(&self.clock)).await;
        self.open(store);
    }
}
