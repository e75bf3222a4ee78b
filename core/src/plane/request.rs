//! What can be asked of the control plane.

use serde::{Deserialize, Serialize};

use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use crate::entity::{DisplayName, GpuId, ImageId, InstanceId, Limits, NetworkMode, NodeId, UserId};
use crate::error::{Error, Result};
use crate::identity::SshPublicKey;
use crate::ports::{Family, PortRanges, Protocol};
use crate::sched::{Demand, GpuDemand};
use crate::store::Fingerprint;

/// The largest number of ports of one instance.
pub const MAX_PORTS: u32 = 64;

/// A user to be created.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NewUser {
    /// The id, where the caller chooses it so that the request can be repeated.
    pub id: Option<UserId>,
    /// The login address; it is kept in lower case.
    pub email: String,
    /// The display name.
    pub name: String,
    /// What the user may have at most.
    pub limits: Limits,
    /// Whether the user administers the whole cloud.
    pub administrator: bool,
}

impl NewUser {
    /// A user with the default limits.
    pub fn new(email: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            id: None,
            email: email.into(),
            name: name.into(),
            limits: Limits::default(),
            administrator: false,
        }
    }

    /// Chooses the id.
    pub fn id(mut self, id: UserId) -> Self {
        self.id = Some(id);
        self
    }

    /// Sets the limits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Makes the user an administrator.
    pub fn administrator(mut self) -> Self {
        self.administrator = true;
        self
    }
}

/// A node to be registered, with its inventory.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewNode {
    /// The id, where the caller chooses it so that the request can be repeated.
    pub id: Option<NodeId>,
    /// Whose node it is, and whose node limit it counts against.
    pub owner: UserId,
    /// The name, unique among the owner's nodes.
    pub name: String,
    /// All processor time that instances may have.
    pub cpu: CpuMilli,
    /// All memory that instances may have.
    pub memory: MemoryMib,
    /// All disk space that instances may have.
    pub storage: StorageMib,
    /// The model of its GPUs; they are all of one.
    pub gpu_model: Option<String>,
    /// How many GPUs it has; each becomes a row.
    pub gpus: u32,
    /// The memory of each GPU.
    pub gpu_memory: Option<MemoryMib>,
    /// The IPv4 ports that instances may have.
    pub ipv4_ports: PortRanges,
    /// The IPv6 ports that instances may have.
    pub ipv6_ports: PortRanges,
}

impl NewNode {
    /// A node without any capacity yet.
    pub fn new(owner: UserId, name: impl Into<String>) -> Self {
        Self {
            id: None,
            owner,
            name: name.into(),
            cpu: CpuMilli::ZERO,
            memory: MemoryMib::ZERO,
            storage: StorageMib::ZERO,
            gpu_model: None,
            gpus: 0,
            gpu_memory: None,
            ipv4_ports: PortRanges::none(),
            ipv6_ports: PortRanges::none(),
        }
    }

    /// Chooses the id.
    pub fn id(mut self, id: NodeId) -> Self {
        self.id = Some(id);
        self
    }

    /// Sets the processor time.
    pub fn cpu(mut self, cpu: CpuMilli) -> Self {
        self.cpu = cpu;
        self
    }

    /// Sets the memory.
    pub fn memory(mut self, memory: MemoryMib) -> Self {
        self.memory = memory;
        self
    }

    /// Sets the disk space.
    pub fn storage(mut self, storage: StorageMib) -> Self {
        self.storage = storage;
        self
    }

    /// Gives it `count` GPUs of one model.
    pub fn gpus(mut self, count: u32, model: impl Into<String>) -> Self {
        self.gpus = count;
        self.gpu_model = Some(model.into());
        self
    }

    /// Sets the memory of each GPU.
    pub fn gpu_memory(mut self, memory: MemoryMib) -> Self {
        self.gpu_memory = Some(memory);
        self
    }

    /// Offers IPv4 ports.
    pub fn ipv4_ports(mut self, ranges: PortRanges) -> Self {
        self.ipv4_ports = ranges;
        self
    }

    /// Offers IPv6 ports.
    pub fn ipv6_ports(mut self, ranges: PortRanges) -> Self {
        self.ipv6_ports = ranges;
        self
    }
}

/// Ports that an instance needs; which ones is the control plane's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PortRequest {
    /// The address family.
    pub family: Family,
    /// The protocol.
    pub protocol: Protocol,
    /// How many.
    pub count: u32,
}

/// One port of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortKey {
    /// The address family.
    pub family: Family,
    /// The protocol.
    pub protocol: Protocol,
    /// The number.
    pub port: u16,
}

/// An instance to be launched.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LaunchRequest {
    /// The id, where the caller chooses it so that the request can be repeated.
    pub id: Option<InstanceId>,
    /// Whose instance it is, and whose limits it counts against.
    pub owner: UserId,
    /// The name, unique among the owner's live instances.
    pub name: String,
    /// Processor time.
    pub cpu: CpuMilli,
    /// Memory.
    pub memory: MemoryMib,
    /// Disk space.
    pub storage: StorageMib,
    /// How many GPUs, or which part of one.
    pub gpus: u32,
    /// How much of each GPU: 1000 where there are several.
    pub gpu_milli: GpuMilli,
    /// The GPU models that will do; any where there is none.
    pub gpu_models: Vec<String>,
    /// The ports that it needs.
    pub ports: Vec<PortRequest>,
    /// The node, where it must be this one.
    pub node: Option<NodeId>,
    /// The image, which binds the instance to the image's node.
    pub image: Option<ImageId>,
    /// The name of the image to start from.
    pub base_image: Option<String>,
    /// How it is attached to the network.
    pub network_mode: NetworkMode,
    /// A description for people.
    pub description: Option<String>,
    /// Ports that it needs by their numbers, beside those of `ports`. Only a node will do that offers them and has them free.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given_ports: Vec<PortKey>,
    /// The GPUs, where it must be these: as many as it asks for, all of one node, and of `node` where that is said. So a plan
    /// that was made elsewhere is carried out, as that of [`defragment`](crate::sched::defragment()).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given_gpus: Vec<GpuId>,
    /// What the agent of its node is to know beyond, as the application writes it; at most 4,096 bytes. It is told with the
    /// command that makes the instance, and not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// The name and text of the SSH key that it lets in; the text as [`SshPublicKey`](crate::identity::SshPublicKey) takes it.
    pub ssh_key: Option<(String, String)>,
}

impl LaunchRequest {
    /// An instance that asks for nothing yet.
    pub fn new(owner: UserId, name: impl Into<String>) -> Self {
        Self {
            id: None,
            owner,
            name: name.into(),
            cpu: CpuMilli::ZERO,
            memory: MemoryMib::ZERO,
            storage: StorageMib::ZERO,
            gpus: 0,
            gpu_milli: GpuMilli::ZERO,
            gpu_models: Vec::new(),
            ports: Vec::new(),
            node: None,
            image: None,
            base_image: None,
            network_mode: NetworkMode::Bridge,
            description: None,
            given_ports: Vec::new(),
            given_gpus: Vec::new(),
            payload: None,
            ssh_key: None,
        }
    }

    /// Chooses the id.
    pub fn id(mut self, id: InstanceId) -> Self {
        self.id = Some(id);
        self
    }

    /// Asks for processor time.
    pub fn cpu(mut self, cpu: CpuMilli) -> Self {
        self.cpu = cpu;
        self
    }

    /// Asks for memory.
    pub fn memory(mut self, memory: MemoryMib) -> Self {
        self.memory = memory;
        self
    }

    /// Asks for disk space.
    pub fn storage(mut self, storage: StorageMib) -> Self {
        self.storage = storage;
        self
    }

    /// Asks for whole GPUs.
    pub fn gpus(mut self, count: u32) -> Self {
        self.gpus = count;
        self.gpu_milli = if count == 0 { GpuMilli::ZERO } else { GpuMilli::WHOLE };
        self
    }

    /// Asks for a part of one GPU.
    pub fn gpu_share(mut self, milli: GpuMilli) -> Self {
        self.gpus = 1;
        self.gpu_milli = milli;
        self
    }

    /// Lets it run on this GPU model, beside those named before.
    pub fn gpu_model(mut self, model: impl Into<String>) -> Self {
        self.gpu_models.push(model.into());
        self
    }

    /// Asks for ports.
    pub fn ports(mut self, family: Family, protocol: Protocol, count: u32) -> Self {
        self.ports.push(PortRequest { family, protocol, count });
        self
    }

    /// Asks for a port by its number.
    pub fn port(mut self, family: Family, protocol: Protocol, port: u16) -> Self {
        self.given_ports.push(PortKey { family, protocol, port });
        self
    }

    /// How many ports it asks for.
    pub(super) fn port_count(&self) -> u32 {
        let given = u32::try_from(self.given_ports.len()).unwrap_or(u32::MAX);
        self.ports.iter().fold(given, |count, ports| count.saturating_add(ports.count))
    }

    /// Requires this node.
    pub fn on_node(mut self, node: NodeId) -> Self {
        self.node = Some(node);
        self
    }

    /// Requires this GPU, beside those named before.
    pub fn on_gpu(mut self, gpu: GpuId) -> Self {
        self.given_gpus.push(gpu);
        self
    }

    /// Starts from this image, on the image's node.
    pub fn image(mut self, image: ImageId) -> Self {
        self.image = Some(image);
        self
    }

    /// Lets in who has this SSH key: its name, and a line as it stands in a `.pub` file.
    pub fn ssh_key(mut self, name: impl Into<String>, line: impl Into<String>) -> Self {
        self.ssh_key = Some((name.into(), line.into()));
        self
    }

    /// Says what the agent of its node is to know beyond.
    pub fn payload(mut self, payload: impl Into<String>) -> Self {
        self.payload = Some(payload.into());
        self
    }

    /// What it demands of one node, checked.
    pub fn demand(&self) -> Result<Demand> {
        let invalid = |reason: &str| Error::invalid("gpus", reason);
        let gpu = match (self.gpus, self.gpu_milli) {
            (0, milli) if milli.is_zero() => GpuDemand::None,
            (0, _) => return Err(invalid("a part of no gpu is asked")),
            (count, GpuMilli::WHOLE) => GpuDemand::Whole(count),
            (1, milli) => GpuDemand::Share(milli),
            _ => {
                return Err(invalid("only one gpu can be shared: ask for whole ones, or for one"));
            }
        };
        let models = self.gpu_models.clone();
        Demand::new(self.cpu, self.memory, self.storage, gpu, models)
            .map_err(|error| Error::invalid("demand", error.to_string()))
    }

    /// Checks everything but the demand.
    pub(super) fn check(&self) -> Result<()> {
        for (field, text, most) in [
            ("description", &self.description, 4096),
            ("base_image", &self.base_image, 1024),
            ("payload", &self.payload, 4096),
        ] {
            let text = text.as_deref().unwrap_or_default();
            if text.len() > most || text.contains('\0') {
                return Err(Error::invalid(field, format!("at most {most} bytes without NUL are expected")));
            }
        }
        if !self.given_gpus.is_empty() && u32::try_from(self.given_gpus.len()) != Ok(self.gpus) {
            return Err(Error::invalid("given_gpus", "as many are expected as are asked for, or none"));
        }
        for (at, gpu) in self.given_gpus.iter().enumerate() {
            // More than a node has are refused as a demand; so this list is short.
            if self.given_gpus.iter().take(at).any(|other| other == gpu) {
                return Err(Error::invalid(format!("given_gpus[{at}]"), "it is asked for twice"));
            }
        }
        let mut total = u32::try_from(self.given_ports.len()).unwrap_or(u32::MAX);
        if total > MAX_PORTS {
            return Err(Error::invalid(
                "given_ports",
                format!("at most {MAX_PORTS} ports can be asked in all"),
            ));
        }
        for (at, port) in self.given_ports.iter().enumerate() {
            if port.port == 0 || self.given_ports.iter().take(at).any(|other| other == port) {
                let reason = if port.port == 0 { "there is no port 0" } else { "it is asked for twice" };
                return Err(Error::invalid(format!("given_ports[{at}]"), reason));
            }
        }
        for (at, ports) in self.ports.iter().enumerate() {
            total = total.saturating_add(ports.count);
            if ports.count == 0 || total > MAX_PORTS {
                return Err(Error::invalid(
                    format!("ports[{at}]"),
                    format!("1 to {MAX_PORTS} ports can be asked in all"),
                ));
            }
            if self
                .ports
                .iter()
                .take(at)
                .any(|other| (other.family, other.protocol) == (ports.family, ports.protocol))
            {
                return Err(Error::invalid(
                    format!("ports[{at}]"),
                    "this family and protocol is asked for twice",
                ));
            }
        }
        Ok(())
    }

    /// The name and text of its SSH key, in the form in which it is kept.
    pub(super) fn checked_ssh_key(&self) -> Result<Option<(String, String)>> {
        let Some((name, line)) = &self.ssh_key else { return Ok(None) };
        let key = SshPublicKey::parse(line).map_err(|error| match error {
            Error::Invalid { reason, .. } => Error::invalid("ssh_key", reason),
            other => other,
        })?;
        Ok(Some((DisplayName::new(name)?.into(), key.text)))
    }

    /// What tells this request from another under the same id.
    pub(super) fn fingerprint(&self) -> Result<Fingerprint> {
        let content = Self { id: None, ..self.clone() };
        let bytes =
            serde_json::to_vec(&content).map_err(|error| Error::invalid("request", error.to_string()))?;
        Ok(Fingerprint::of(&bytes))
    }
}
