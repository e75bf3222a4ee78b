//! What a machine reports of itself: [`Inventory`].
//!
//! What is not told is left as it is known: that a list is absent says nothing, that it is empty says that there is nothing.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::spec::check_key;
use crate::amount::{CpuMilli, MemoryMib, StorageMib};
use crate::entity::{GpuDriver, InstanceId, port_ranges_json};
use crate::error::{Error, Result};
use crate::plane::{MAX_PORTS, PortKey};
use crate::ports::PortRanges;
use crate::sched::MAX_GPUS;
use crate::time::Timestamp;

/// What a machine has, as its agent has found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Inventory {
    /// When the agent began to look, by the clock of the store: what
    /// [`ControlPlane::begin_report`](crate::ControlPlane::begin_report) answered. What changed since is not judged by it.
    pub taken_at: Timestamp,
    /// The processor architecture, such as `x64`; at most 32 bytes.
    pub arch: Option<String>,
    /// The operating system, such as `linux`; at most 32 bytes.
    pub platform: Option<String>,
    /// The processor's model, at most 256 bytes.
    pub cpu_info: Option<String>,
    /// What runs its containers, such as `docker`; at most 32 bytes.
    pub manipulator_driver: Option<String>,
    /// What drives its GPUs.
    pub gpu_driver: Option<GpuDriver>,
    /// What the driver tells of its GPUs, at most 4,096 bytes.
    pub gpu_info: Option<String>,
    /// Its public IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// Its public IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// The IPv4 ports that instances may have.
    #[serde(with = "port_ranges_json", default)]
    pub ipv4_ports: Option<PortRanges>,
    /// The IPv6 ports that instances may have.
    #[serde(with = "port_ranges_json", default)]
    pub ipv6_ports: Option<PortRanges>,
    /// All processor time.
    pub cpu_milli: Option<CpuMilli>,
    /// All memory.
    pub memory_mib: Option<MemoryMib>,
    /// All disk space for instances.
    pub storage_mib: Option<StorageMib>,
    /// Free disk space as it was measured. Nothing is decided by it.
    pub free_storage_mib: Option<StorageMib>,
    /// Its GPUs.
    pub gpus: Option<Vec<FoundGpu>>,
    /// Its images.
    pub images: Option<Vec<FoundImage>>,
    /// All its containers, whoever made them.
    pub instances: Option<Vec<FoundInstance>>,
}

/// A GPU that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FoundGpu {
    /// The name that its driver gives it, such as a UUID: 1 to 128 bytes, not twice in a report.
    pub key: String,
    /// Its model, 1 to 64 bytes.
    pub model: String,
    /// Its own memory.
    pub memory_mib: Option<MemoryMib>,
}

/// An image that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FoundImage {
    /// The container runtime's id for it: 1 to 128 bytes, not twice in a report.
    pub key: String,
    /// Where it was pulled from, at most 1,024 bytes.
    pub url: Option<String>,
    /// Its name and tag, at most 256 bytes.
    pub name: Option<String>,
    /// Its size in MiB.
    pub size_mib: Option<u32>,
}

/// A container that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FoundInstance {
    /// The container runtime's id for it: 1 to 128 bytes, not twice in a report.
    pub key: String,
    /// The instance that it is marked as, by whoever made it.
    pub instance: Option<InstanceId>,
    /// What it is called; what is longer than 256 bytes is cut.
    pub name: Option<String>,
    /// What it does.
    pub state: FoundState,
    /// What its runtime says of it, as it says it; what is longer than 1,024 bytes is cut.
    pub status_info: Option<String>,
    /// Processor time that it may use. Counted for what nobody launched here.
    pub cpu_milli: CpuMilli,
    /// Memory that it may use. Counted for what nobody launched here.
    pub memory_mib: MemoryMib,
    /// Disk space that it uses. Counted for what nobody launched here.
    pub storage_mib: StorageMib,
    /// The ports of the node that it has, at most as many as an instance may have.
    pub ports: Vec<PortKey>,
}

/// What a container does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FoundState {
    /// It runs.
    Running,
    /// It is there and does not run.
    Stopped,
    /// It is there, and nobody can say what it does.
    Unclear,
}

impl Inventory {
    /// A report that says nothing yet, by an agent that began to look then.
    pub const fn taken_at(at: Timestamp) -> Self {
        Self {
            taken_at: at,
            arch: None,
            platform: None,
            cpu_info: None,
            manipulator_driver: None,
            gpu_driver: None,
            gpu_info: None,
            ipv4: None,
            ipv6: None,
            ipv4_ports: None,
            ipv6_ports: None,
            cpu_milli: None,
            memory_mib: None,
            storage_mib: None,
            free_storage_mib: None,
            gpus: None,
            images: None,
            instances: None,
        }
    }

    /// Says what the machine has in all.
    pub const fn capacity(mut self, cpu: CpuMilli, memory: MemoryMib, storage: StorageMib) -> Self {
        (self.cpu_milli, self.memory_mib, self.storage_mib) = (Some(cpu), Some(memory), Some(storage));
        self
    }

    /// Says which GPUs there are: these and no others.
    pub fn gpus(mut self, gpus: Vec<FoundGpu>) -> Self {
        self.gpus = Some(gpus);
        self
    }

    /// Says which images there are: these and no others.
    pub fn images(mut self, images: Vec<FoundImage>) -> Self {
        self.images = Some(images);
        self
    }

    /// Says which containers there are: these and no others.
    pub fn instances(mut self, instances: Vec<FoundInstance>) -> Self {
        self.instances = Some(instances);
        self
    }

    /// Refuses what cannot be a report, before anything of it is taken in.
    ///
    /// # Errors
    /// `Invalid`, with the field and its place in its list.
    pub fn check(&self) -> Result<()> {
        for (field, text, most) in [
            ("arch", &self.arch, 32),
            ("platform", &self.platform, 32),
            ("cpu_info", &self.cpu_info, 256),
            ("manipulator_driver", &self.manipulator_driver, 32),
            ("gpu_info", &self.gpu_info, 4096),
        ] {
            check_text(field, text.as_deref(), most)?;
        }
        let gpus = self.gpus.as_deref().unwrap_or_default();
        if gpus.len() > MAX_GPUS as usize {
            return Err(Error::invalid("gpus", format!("a node has at most {MAX_GPUS}, got {}", gpus.len())));
        }
        check_keys("gpus", gpus.iter().map(|gpu| gpu.key.as_str()))?;
        for (at, gpu) in gpus.iter().enumerate() {
            let field = format!("gpus[{at}].model");
            if gpu.model.is_empty() {
                return Err(Error::invalid(field, "it is empty"));
            }
            check_text(field, Some(&gpu.model), 64)?;
        }
        let images = self.images.as_deref().unwrap_or_default();
        check_keys("images", images.iter().map(|image| image.key.as_str()))?;
        for (at, image) in images.iter().enumerate() {
            check_text(format!("images[{at}].url"), image.url.as_deref(), 1024)?;
            check_text(format!("images[{at}].name"), image.name.as_deref(), 256)?;
        }
        let instances = self.instances.as_deref().unwrap_or_default();
        check_keys("instances", instances.iter().map(|instance| instance.key.as_str()))?;
        for (at, instance) in instances.iter().enumerate() {
            check_ports(at, &instance.ports)?;
        }
        Ok(())
    }
}

impl FoundGpu {
    /// A GPU of this name and model.
    pub fn new(key: impl Into<String>, model: impl Into<String>) -> Self {
        Self { key: key.into(), model: model.into(), memory_mib: None }
    }

    /// Says how much memory it has.
    pub const fn memory(mut self, memory: MemoryMib) -> Self {
        self.memory_mib = Some(memory);
        self
    }
}

impl FoundImage {
    /// An image that the container runtime calls so.
    pub fn new(key: impl Into<String>) -> Self {
        Self { key: key.into(), url: None, name: None, size_mib: None }
    }

    /// Says where it was pulled from.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// Says what it is called.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }
}

impl FoundInstance {
    /// A container that the runtime calls so, and that does this.
    pub fn new(key: impl Into<String>, state: FoundState) -> Self {
        Self {
            key: key.into(),
            instance: None,
            name: None,
            state,
            status_info: None,
            cpu_milli: CpuMilli::ZERO,
            memory_mib: MemoryMib::ZERO,
            storage_mib: StorageMib::ZERO,
            ports: Vec::new(),
        }
    }

    /// Says which instance it is marked as.
    pub const fn of(mut self, instance: InstanceId) -> Self {
        self.instance = Some(instance);
        self
    }

    /// Says what it is called.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Says what its runtime says of it.
    pub fn status_info(mut self, text: impl Into<String>) -> Self {
        self.status_info = Some(text.into());
        self
    }

    /// Says what it may use.
    pub const fn uses(mut self, cpu: CpuMilli, memory: MemoryMib, storage: StorageMib) -> Self {
        (self.cpu_milli, self.memory_mib, self.storage_mib) = (cpu, memory, storage);
        self
    }

    /// Says that it has a port of the node.
    pub fn port(mut self, port: PortKey) -> Self {
        self.ports.push(port);
        self
    }
}

fn check_text(field: impl Into<String>, text: Option<&str>, most: usize) -> Result<()> {
    let text = text.unwrap_or_default();
    if text.len() > most {
        return Err(Error::invalid(field, format!("at most {most} bytes are allowed, got {}", text.len())));
    }
    if text.contains('\0') {
        return Err(Error::invalid(field, "it contains NUL"));
    }
    Ok(())
}

fn check_keys<'k>(list: &str, keys: impl Iterator<Item = &'k str>) -> Result<()> {
    let mut seen = BTreeSet::new();
    for (at, key) in keys.enumerate() {
        let field = || format!("{list}[{at}].key");
        check_key(field(), key)?;
        if !seen.insert(key) {
            return Err(Error::invalid(field(), "it is reported twice"));
        }
    }
    Ok(())
}

fn check_ports(at: usize, ports: &[PortKey]) -> Result<()> {
    let field = || format!("instances[{at}].ports");
    if ports.len() > MAX_PORTS as usize {
        return Err(Error::invalid(field(), format!("at most {MAX_PORTS} are allowed, got {}", ports.len())));
    }
    if ports.iter().any(|port| port.port == 0) {
        return Err(Error::invalid(field(), "there is no port 0"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::{Family, Protocol};

    #[test]
    fn a_report_that_cannot_be_one_is_told_where() {
        let report = || Inventory::taken_at(Timestamp::EPOCH);
        let running = |key: &str| FoundInstance::new(key, FoundState::Running);
        let port = |port| PortKey { family: Family::Ipv4, protocol: Protocol::Tcp, port };
        let many = (0..=MAX_GPUS).map(|at| FoundGpu::new(at.to_string(), "H100")).collect();
        let long = |bytes: usize| "x".repeat(bytes);
        let cases = [
            (Inventory { arch: Some(long(33)), ..report() }, "arch"),
            (Inventory { cpu_info: Some("a\0b".into()), ..report() }, "cpu_info"),
            (Inventory { gpu_info: Some(long(10_000_000)), ..report() }, "gpu_info"),
            (report().gpus(vec![FoundGpu::new("", "H100")]), "gpus[0].key"),
            (report().gpus(vec![FoundGpu::new("a", "")]), "gpus[0].model"),
            (report().gpus(vec![FoundGpu::new("a", long(65))]), "gpus[0].model"),
            (report().gpus(vec![FoundGpu::new("a", "H100"), FoundGpu::new("a", "H100")]), "gpus[1].key"),
            (report().gpus(many), "gpus"),
            (report().images(vec![FoundImage::new(long(129))]), "images[0].key"),
            (report().images(vec![FoundImage::new("a").url(long(1025))]), "images[0].url"),
            (report().images(vec![FoundImage::new("a"), FoundImage::new("a")]), "images[1].key"),
            (report().instances(vec![running("a\0")]), "instances[0].key"),
            (report().instances(vec![running("a"), running("b"), running("a")]), "instances[2].key"),
            (report().instances(vec![running("a").port(port(0))]), "instances[0].ports"),
        ];
        for (inventory, expected) in cases {
            let Err(Error::Invalid { field, .. }) = inventory.check() else { panic!("{expected} was taken") };
            assert_eq!(field, expected);
        }
        let nameless = running("a").name(long(10_000)).status_info(long(10_000)).port(port(80));
        report().instances(vec![nameless]).check().unwrap();
    }
}
