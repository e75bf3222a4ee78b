//! A machine that is pretended: containers, GPUs and images in memory, and an agent over them that can be killed at any step.

use std::collections::BTreeMap;
use std::time::Duration;

use super::World;
use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use crate::entity::{Command, CommandKind, GPUS, Gpu, Instance, InstanceId, NodeId, UserId};
use crate::entity::{Entity as _, Entry, InstanceState};
use crate::error::Result;
use crate::machine::{
    FoundGpu, FoundImage, FoundInstance, FoundState, ImageToSave, InstanceRef, InstanceSpec, Inventory,
    MadeInstance,
};
use crate::plane::{
    CommandLease, CommandOutcome, LaunchRequest, LoadedImage, NewNode, NodeSession, PortKey, Reconciled,
};
use crate::ports::{Family, PortRanges, Protocol};
use crate::store::{Scan, StoreExt as _};

pub(super) const LEASE: Duration = Duration::from_mins(1);

/// A container of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Container {
    pub(super) mark: Option<InstanceId>,
    pub(super) runs: bool,
    pub(super) uses: (CpuMilli, MemoryMib, StorageMib),
    pub(super) ports: Vec<PortKey>,
}

/// A machine with its agent.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) owner: UserId,
    pub(super) node: NodeId,
    pub(super) session: NodeSession,
    pub(super) containers: BTreeMap<String, Container>,
    pub(super) gpus: Vec<String>,
    pub(super) images: Vec<String>,
    pub(super) capacity: (CpuMilli, MemoryMib, StorageMib),
}

impl Machine {
    /// A machine of a new user, with room, two GPUs and ports, whose agent has joined and reported.
    pub(super) async fn new(world: &World) -> Self {
        let owner = world.user().await;
        let ports = PortRanges::tcp(63_000, 63_099).unwrap();
        let new = NewNode::new(owner, format!("machine-{}", world.fresh()));
        let node = world.cloud.register_node(new.ipv4_ports(ports)).await.unwrap().id;
        let session = world.cloud.join_node(node).await.unwrap();
        let number = world.fresh();
        let mut machine = Self {
            owner,
            node,
            session,
            containers: BTreeMap::new(),
            gpus: vec![format!("GPU-{number}-0"), format!("GPU-{number}-1")],
            images: Vec::new(),
            capacity: (
                CpuMilli::from_u32(64_000),
                MemoryMib::from_u32(65_536),
                StorageMib::from_u32(1_000_000),
            ),
        };
        assert!(machine.report(world).await.unwrap().changed > 0);
        machine
    }

    /// What it asks of the machine unless a check wants something else.
    pub(super) fn request(&self, world: &World) -> LaunchRequest {
        LaunchRequest::new(self.owner, format!("i-{}", world.fresh()))
            .cpu(CpuMilli::from_u32(1500))
            .memory(MemoryMib::from_u32(1024))
            .storage(StorageMib::from_u32(100))
            .gpu_share(GpuMilli::from_u32(500))
            .ports(Family::Ipv4, Protocol::Tcp, 2)
            .on_node(self.node)
    }

    pub(super) async fn launch(&self, world: &World) -> Entry<Instance> {
        world.cloud.launch(self.request(world)).await.unwrap()
    }

    /// An instance that its agent has made.
    pub(super) async fn running(&mut self, world: &World) -> InstanceId {
        let id = self.launch(world).await.id;
        self.work(world).await;
        assert_eq!(instance(world, id).await.state, InstanceState::Running);
        id
    }

    /// What the agent finds on its machine.
    pub(super) fn found(&self, at: crate::time::Timestamp) -> Inventory {
        let (cpu, memory, storage) = self.capacity;
        let instances = self.containers.iter().map(|(key, container)| {
            let state = if container.runs { FoundState::Running } else { FoundState::Stopped };
            let (cpu, memory, storage) = container.uses;
            let mut found = FoundInstance::new(key, state).uses(cpu, memory, storage);
            found.instance = container.mark;
            found.ports.clone_from(&container.ports);
            found.status_info(if container.runs { "Up 3 hours" } else { "Exited (0)" })
        });
        Inventory::taken_at(at)
            .capacity(cpu, memory, storage)
            .gpus(self.gpus.iter().map(|key| FoundGpu::new(key, "H100")).collect())
            .images(self.images.iter().map(FoundImage::new).collect())
            .instances(instances.collect())
    }

    /// The agent reports what it finds.
    pub(super) async fn report(&mut self, world: &World) -> Result<Reconciled> {
        // What changed in the very moment in which the agent begins to look is not judged.
        world.clock.advance(Duration::from_millis(1));
        let at = world.cloud.begin_report(self.node, self.session).await?;
        world.cloud.report(self.node, self.session, &self.found(at)).await
    }

    /// The agent dies and another one takes its place: it joins, and reports.
    pub(super) async fn restart(&mut self, world: &World) -> Reconciled {
        self.session = world.cloud.join_node(self.node).await.unwrap();
        self.report(world).await.unwrap()
    }

    pub(super) async fn take(&self, world: &World) -> Vec<CommandLease> {
        world.cloud.take_commands(self.node, self.session, 100, LEASE).await.unwrap()
    }

    /// The agent does what it is told until there is nothing left.
    pub(super) async fn work(&mut self, world: &World) {
        loop {
            let taken = self.take(world).await;
            if taken.is_empty() {
                return;
            }
            for held in taken {
                let outcome = self.execute(&held.command);
                world.cloud.complete_command(&held, &outcome).await.unwrap();
            }
        }
    }

    /// Does what a command says. Done before, it is done.
    pub(super) fn execute(&mut self, command: &Command) -> CommandOutcome {
        let payload = command.payload.as_deref().unwrap_or("");
        match command.kind {
            CommandKind::CreateInstance => {
                let key = self.make(&InstanceSpec::parse(payload).unwrap());
                if let Some(container) = self.containers.get_mut(&key) {
                    container.runs = true;
                }
                CommandOutcome::made(&MadeInstance::new(key)).unwrap()
            }
            CommandKind::LoadImage => {
                let key = format!("image-{}", command.id);
                self.images.push(key.clone());
                CommandOutcome::loaded(&LoadedImage::new(key)).unwrap()
            }
            CommandKind::SaveImage => self.save(&ImageToSave::parse(payload).unwrap()),
            CommandKind::DeleteImage | CommandKind::Ping => CommandOutcome::Done(String::new()),
            CommandKind::StartInstance | CommandKind::StopInstance | CommandKind::DeleteInstance => {
                self.turn(command.kind, &InstanceRef::parse(payload).unwrap())
            }
        }
    }

    /// Makes a container, which does not run yet; the one that is there where it was made before.
    pub(super) fn make(&mut self, spec: &InstanceSpec) -> String {
        if let Some(key) = self.key_of(spec.instance) {
            return key;
        }
        let key = format!("c-{}", spec.instance);
        let uses = (spec.cpu_milli, spec.memory_mib, spec.storage_mib);
        let container = Container { mark: Some(spec.instance), runs: false, uses, ports: spec.ports.clone() };
        self.containers.insert(key.clone(), container);
        key
    }

    /// Saves an image of a container; the one that is there where it was saved before.
    fn save(&mut self, what: &ImageToSave) -> CommandOutcome {
        let key = format!("saved-{}", what.image);
        if !self.images.contains(&key) {
            if !self.containers.contains_key(&what.key) {
                return CommandOutcome::Failed("no such container".into());
            }
            self.images.push(key.clone());
        }
        CommandOutcome::loaded(&LoadedImage::new(key).size_mib(5)).unwrap()
    }

    fn turn(&mut self, kind: CommandKind, what: &InstanceRef) -> CommandOutcome {
        let key = what.key.clone().or_else(|| self.key_of(what.instance));
        if kind == CommandKind::DeleteInstance {
            if let Some(key) = key {
                self.containers.remove(&key);
            }
            return CommandOutcome::Done(String::new());
        }
        match key.and_then(|key| self.containers.get_mut(&key)) {
            Some(container) => {
                container.runs = kind == CommandKind::StartInstance;
                CommandOutcome::Done(String::new())
            }
            None => CommandOutcome::Failed("no such container".into()),
        }
    }

    fn key_of(&self, instance: InstanceId) -> Option<String> {
        self.containers
            .iter()
            .find(|(_, container)| container.mark == Some(instance))
            .map(|(key, _)| key.clone())
    }

    /// Checks that nothing of instances is left anywhere: of the node, its GPUs, ports, and the account.
    pub(super) async fn is_empty(&self, world: &World, why: &str) {
        let repositories = world.cloud.repositories();
        let ledger = repositories.node_ledgers().require(self.node).await.unwrap();
        let held =
            (ledger.instances, ledger.cpu_milli, ledger.memory_mib, ledger.storage_mib, ledger.gpu_milli);
        let none = (0, CpuMilli::ZERO, MemoryMib::ZERO, StorageMib::ZERO, GpuMilli::ZERO);
        assert_eq!(held, none, "{why}");
        let quota = repositories.quotas().require(self.owner).await.unwrap();
        assert_eq!((quota.instances, quota.gpu_milli), (0, GpuMilli::ZERO), "{why}");
        assert!(gpus(world, self.node).await.iter().all(|gpu| gpu.used_milli.is_zero()), "{why}");
        let of_node = Scan::of(&crate::entity::PORT_MAPS).by("port_maps_node").with(self.node);
        assert_eq!(world.cloud.store().scan_all(of_node).await.unwrap().len(), 0, "{why}");
        assert_eq!(self.containers, BTreeMap::new(), "{why}");
    }
}

pub(super) async fn instance(world: &World, id: InstanceId) -> Entry<Instance> {
    world.cloud.repositories().instances().require(id).await.unwrap()
}

pub(super) async fn gpus(world: &World, node: NodeId) -> Vec<Gpu> {
    let of_node = Scan::of(&GPUS).by("gpus_node_slot").with(node);
    let rows = world.cloud.store().scan_all(of_node).await.unwrap();
    rows.iter().map(|row| Gpu::from_row(row).unwrap()).collect()
}
