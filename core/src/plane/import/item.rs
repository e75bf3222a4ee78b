//! What is said of an instance that is brought in.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::answer::not_in_the_future;
use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use crate::entity::{
    DesiredState, GpuId, ImageId, Instance, InstanceId, InstanceName, InstanceState, NetworkMode, NodeId,
    PortMap, PortMapId, UserId,
};
use crate::error::{Error, Result};
use crate::plane::MAX_PORTS;
use crate::ports::{Family, Protocol};
use crate::sched::MAX_GPUS;
use crate::store::Fingerprint;
use crate::time::Timestamp;

/// An instance that exists elsewhere, or existed: one in a terminal state is kept as history and holds nothing.
///
/// What tells it from another one under its id is all that is said here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ImportedInstance {
    /// Its own id.
    pub id: InstanceId,
    /// Whose it is. They get the grant that a launch gives.
    pub owner: UserId,
    /// The node that it is on. The node of one that has ended may be gone.
    pub node: NodeId,
    /// Its name.
    pub name: InstanceName,
    /// The image that it was made from, on the same node; none for one that has ended.
    pub image: Option<ImageId>,
    /// The container runtime's id for it, at most 128 bytes. With one, the node's agent speaks for it from its next report on.
    pub key: Option<String>,
    /// Its state.
    pub state: InstanceState,
    /// What is wanted of it.
    pub desired: DesiredState,
    /// What its machine says of it; at most 1,024 bytes.
    pub status_info: Option<String>,
    /// The address under which it is reached from outside.
    pub ipv4: Option<Ipv4Addr>,
    /// The address under which it is reached from outside.
    pub ipv6: Option<Ipv6Addr>,
    /// Its address in the node's own network.
    pub local_ipv4: Option<Ipv4Addr>,
    /// Its address in the node's own network.
    pub local_ipv6: Option<Ipv6Addr>,
    /// Processor time that it holds.
    pub cpu: CpuMilli,
    /// Memory that it holds.
    pub memory: MemoryMib,
    /// Disk space that it holds.
    pub storage: StorageMib,
    /// The size of the disk that it sees.
    pub total_storage: Option<StorageMib>,
    /// The GPUs of its node that it holds, or held; at most 16.
    pub gpus: Vec<GpuId>,
    /// Thousandths of each of them, from 1 to 1000; nothing where it has none.
    pub gpu_milli: GpuMilli,
    /// The GPU models that were acceptable; any where there is none.
    pub gpu_models: Vec<String>,
    /// Its ports, at most 64; none for one that has ended.
    pub ports: Vec<ImportedPort>,
    /// How it is connected.
    pub network_mode: NetworkMode,
    /// The name and text of the SSH key that opens it, as they were when it was made: 256 and 4,096 bytes at most.
    pub ssh_key: Option<(String, String)>,
    /// The name of the image that it was made from, at most 1,024 bytes.
    pub base_image: Option<String>,
    /// At most 4,096 bytes.
    pub description: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A port of an instance that is brought in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ImportedPort {
    /// Its own id; where it has none it gets one that is the same each time.
    pub id: Option<PortMapId>,
    /// Over IPv4 or IPv6.
    pub family: Family,
    /// Over TCP or UDP.
    pub protocol: Protocol,
    /// From 1 to 65,535.
    pub port: u16,
    /// What it is for, at most 64 bytes.
    pub name: Option<String>,
    /// When it was taken.
    pub created_at: Timestamp,
}

impl ImportedPort {
    /// A port without an id of its own.
    pub const fn new(family: Family, protocol: Protocol, port: u16, created_at: Timestamp) -> Self {
        Self { id: None, family, protocol, port, name: None, created_at }
    }

    /// Gives it its own id.
    pub const fn id(mut self, id: PortMapId) -> Self {
        self.id = Some(id);
        self
    }
}

impl ImportedInstance {
    /// One that runs and holds nothing.
    pub fn new(
        id: InstanceId,
        owner: UserId,
        node: NodeId,
        name: InstanceName,
        created_at: Timestamp,
    ) -> Self {
        Self {
            id,
            owner,
            node,
            name,
            image: None,
            key: None,
            state: InstanceState::Running,
            desired: DesiredState::Running,
            status_info: None,
            ipv4: None,
            ipv6: None,
            local_ipv4: None,
            local_ipv6: None,
            cpu: CpuMilli::ZERO,
            memory: MemoryMib::ZERO,
            storage: StorageMib::ZERO,
            total_storage: None,
            gpus: Vec::new(),
            gpu_milli: GpuMilli::ZERO,
            gpu_models: Vec::new(),
            ports: Vec::new(),
            network_mode: NetworkMode::Bridge,
            ssh_key: None,
            base_image: None,
            description: None,
            created_at,
            updated_at: created_at,
        }
    }

    /// Says what it holds beside GPUs.
    pub fn holds(mut self, cpu: CpuMilli, memory: MemoryMib, storage: StorageMib) -> Self {
        (self.cpu, self.memory, self.storage) = (cpu, memory, storage);
        self
    }

    /// Says which GPUs it holds, and how much of each.
    pub fn gpus(mut self, gpus: impl IntoIterator<Item = GpuId>, milli: GpuMilli) -> Self {
        self.gpus = gpus.into_iter().collect();
        self.gpu_milli = milli;
        self
    }

    /// Gives it another port.
    pub fn port(mut self, port: ImportedPort) -> Self {
        self.ports.push(port);
        self
    }

    /// Gives it the key by which its node's agent knows it.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Gives it a state, and what is wanted of it.
    pub fn state(mut self, state: InstanceState, desired: DesiredState) -> Self {
        (self.state, self.desired) = (state, desired);
        self
    }

    /// What tells it from another one. A field that is added here is left out of it where it says nothing.
    pub(in crate::plane) fn fingerprint(&self) -> Result<Fingerprint> {
        let bytes =
            serde_json::to_vec(self).map_err(|error| Error::invalid("instance", error.to_string()))?;
        Ok(Fingerprint::of(&bytes))
    }

    pub(super) fn check(&self, now: Timestamp) -> Result<()> {
        not_in_the_future("created_at", self.created_at, now)?;
        not_in_the_future("updated_at", self.updated_at, now)?;
        self.check_gpus()?;
        self.check_ports(now)?;
        let has_ended = self.state.is_terminal();
        if has_ended && (self.image.is_some() || !self.ports.is_empty()) {
            let field = if self.image.is_some() { "image" } else { "ports" };
            return Err(Error::invalid(field, "one that has ended has none"));
        }
        if self.key.as_ref().is_some_and(String::is_empty) {
            return Err(Error::invalid("key", "it is empty"));
        }
        // A line break would make several lines of a file of keys of it.
        if self.ssh_key.iter().any(|(name, text)| (name.chars().chain(text.chars())).any(char::is_control)) {
            return Err(Error::invalid("ssh_key", "it contains a control character"));
        }
        Ok(())
    }

    fn check_gpus(&self) -> Result<()> {
        let most = MAX_GPUS as usize;
        if self.gpus.len() > most || self.gpus.iter().collect::<BTreeSet<_>>().len() < self.gpus.len() {
            return Err(Error::invalid("gpus", format!("at most {most} are allowed, each once")));
        }
        if self.gpus.is_empty() != self.gpu_milli.is_zero() || self.gpu_milli > GpuMilli::WHOLE {
            return Err(Error::invalid("gpu_milli", "of each gpu 1 to 1000 are held, and of none nothing"));
        }
        Ok(())
    }

    fn check_ports(&self, now: Timestamp) -> Result<()> {
        if self.ports.len() > MAX_PORTS as usize {
            return Err(Error::invalid("ports", format!("at most {MAX_PORTS} are allowed")));
        }
        let mut taken = BTreeSet::new();
        for (at, port) in self.ports.iter().enumerate() {
            if port.port == 0 || !taken.insert((port.family, port.protocol, port.port)) {
                let reason = if port.port == 0 { "there is no port 0" } else { "it is there twice" };
                return Err(Error::invalid(format!("ports[{at}]"), reason));
            }
            not_in_the_future(&format!("ports[{at}].created_at"), port.created_at, now)?;
        }
        Ok(())
    }

    /// As it is kept. Whether an agent speaks for it is to be said yet.
    pub(in crate::plane) fn described(&self, request_fingerprint: Fingerprint) -> Instance {
        let is_live = self.state.is_live();
        let (ssh_key_name, ssh_key) = self.ssh_key.clone().unzip();
        Instance {
            id: self.id,
            owner_id: self.owner,
            name: self.name.clone(),
            live_name: is_live.then(|| self.name.clone()),
            node_id: is_live.then_some(self.node),
            last_node_id: self.node,
            image_id: self.image,
            key: self.key.clone(),
            state: self.state,
            desired: self.desired,
            by_agent: false,
            command_id: None,
            status_info: self.status_info.clone(),
            ipv4: self.ipv4,
            ipv6: self.ipv6,
            local_ipv4: self.local_ipv4,
            local_ipv6: self.local_ipv6,
            cpu_milli: self.cpu,
            memory_mib: self.memory,
            storage_mib: self.storage,
            total_storage_mib: self.total_storage,
            gpu_count: u32::try_from(self.gpus.len()).unwrap_or(u32::MAX),
            gpu_milli: self.gpu_milli,
            gpu_models: (!self.gpu_models.is_empty()).then(|| self.gpu_models.clone()),
            description: self.description.clone(),
            network_mode: self.network_mode,
            ssh_key_name,
            ssh_key,
            base_image: self.base_image.clone(),
            request_fingerprint,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }

    /// The id of a port: its own, or one that follows from whose it is and which.
    pub(in crate::plane) fn port_id(&self, port: &ImportedPort) -> PortMapId {
        port.id.unwrap_or_else(|| {
            let said = format!("{} {} {} {}", self.id, port.family, port.protocol, port.port);
            let [.., a, b, c, d, e, f, g, h, i, j] = Fingerprint::of(said.as_bytes()).0;
            let millis = u64::try_from(port.created_at.as_micros() / 1000).unwrap_or(0);
            uuid::Builder::from_unix_timestamp_millis(millis, &[a, b, c, d, e, f, g, h, i, j])
                .into_uuid()
                .into()
        })
    }

    pub(in crate::plane) fn port_map(&self, port: &ImportedPort) -> PortMap {
        PortMap {
            id: self.port_id(port),
            node_id: self.node,
            instance_id: Some(self.id),
            family: port.family,
            protocol: port.protocol,
            port: port.port,
            managed: true,
            name: port.name.clone(),
            foreign_id: None,
            created_at: port.created_at,
        }
    }
}
