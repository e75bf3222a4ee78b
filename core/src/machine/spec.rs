//! What an agent is told of an instance, and what it answers.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use crate::entity::{GpuId, ImageId, Instance, InstanceId, NetworkMode};
use crate::error::{Error, Result};
use crate::plane::{CommandOutcome, PortKey};

/// What an instance is to be made of: the payload of [`CommandKind::CreateInstance`](crate::entity::CommandKind::CreateInstance).
///
/// An agent marks what it makes with the instance's id, so that it is known again, and makes nothing twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InstanceSpec {
    /// The instance.
    pub instance: InstanceId,
    /// What it is called.
    pub name: String,
    /// The image of the node that it is made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageSpec>,
    /// The name of the image that it is made from, where it is none of the node's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_image: Option<String>,
    /// Processor time.
    pub cpu_milli: CpuMilli,
    /// Memory.
    pub memory_mib: MemoryMib,
    /// Disk space.
    pub storage_mib: StorageMib,
    /// Its GPUs, in the order of their slots.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<SpecGpu>,
    /// Its ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortKey>,
    /// How it is connected.
    pub network_mode: NetworkMode,
    /// The SSH key that it lets in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_key: Option<String>,
    /// What the application wants the agent to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
}

/// The image that an instance is made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ImageSpec {
    /// The image.
    pub id: ImageId,
    /// The container runtime's id for it.
    pub key: Option<String>,
    /// Where it was pulled from.
    pub url: Option<String>,
}

/// A GPU that an instance is given, or part of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SpecGpu {
    /// The GPU.
    pub id: GpuId,
    /// Its number in the node, from 0.
    pub slot: u32,
    /// The name that its driver gives it, where the node has reported that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// How much of it.
    pub milli: GpuMilli,
}

/// Which instance is to be started, stopped or deleted: the payload of those commands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InstanceRef {
    /// The instance.
    pub instance: InstanceId,
    /// The container runtime's id for it; `None` where it is not known to be made.
    pub key: Option<String>,
    /// What it holds, where it is to be started: it may have been resized since it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<InstanceSize>,
}

/// Which instance an image is saved of: the payload of [`CommandKind::SaveImage`](crate::entity::CommandKind::SaveImage).
///
/// An agent that is told so twice saves one image: it knows what it has saved by the image's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ImageToSave {
    /// The image that it becomes.
    pub image: ImageId,
    /// The instance.
    pub instance: InstanceId,
    /// The container runtime's id for the instance.
    pub key: String,
    /// The image's name and tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What an instance holds of its node, GPUs and ports aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceSize {
    /// Processor time.
    pub cpu_milli: CpuMilli,
    /// Memory.
    pub memory_mib: MemoryMib,
    /// Disk space.
    pub storage_mib: StorageMib,
}

impl InstanceSize {
    /// What an instance holds.
    pub const fn of(instance: &Instance) -> Self {
        Self {
            cpu_milli: instance.cpu_milli,
            memory_mib: instance.memory_mib,
            storage_mib: instance.storage_mib,
        }
    }
}

/// What an agent says of an instance that it has made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct MadeInstance {
    /// The container runtime's id for it, 1 to 128 bytes.
    pub key: String,
    /// The address under which it is reached from outside.
    #[serde(default)]
    pub ipv4: Option<Ipv4Addr>,
    /// The address under which it is reached from outside.
    #[serde(default)]
    pub ipv6: Option<Ipv6Addr>,
    /// Its address in the node's own network.
    #[serde(default)]
    pub local_ipv4: Option<Ipv4Addr>,
    /// Its address in the node's own network.
    #[serde(default)]
    pub local_ipv6: Option<Ipv6Addr>,
}

impl InstanceSpec {
    /// Reads the payload of a command.
    ///
    /// # Errors
    /// `Invalid` for one that is something else.
    pub fn parse(payload: &str) -> Result<Self> {
        parse("payload", payload)
    }

    pub(crate) fn to_payload(&self) -> Result<String> {
        written("payload", self)
    }
}

impl InstanceRef {
    pub(crate) const fn new(instance: InstanceId, key: Option<String>) -> Self {
        Self { instance, key, size: None }
    }

    /// Reads the payload of a command.
    ///
    /// # Errors
    /// `Invalid` for one that is something else.
    pub fn parse(payload: &str) -> Result<Self> {
        parse("payload", payload)
    }

    pub(crate) fn to_payload(&self) -> Result<String> {
        written("payload", self)
    }
}

impl ImageToSave {
    /// Reads the payload of a command.
    ///
    /// # Errors
    /// `Invalid` for one that is something else.
    pub fn parse(payload: &str) -> Result<Self> {
        parse("payload", payload)
    }

    pub(crate) fn to_payload(&self) -> Result<String> {
        written("payload", self)
    }
}

impl MadeInstance {
    /// An instance that the container runtime calls so.
    pub fn new(key: impl Into<String>) -> Self {
        Self { key: key.into(), ..Self::default() }
    }

    pub(crate) fn parse(result: &str) -> Result<Self> {
        let made: Self = parse("result", result)?;
        check_key("result.key", &made.key)?;
        Ok(made)
    }
}

impl CommandOutcome {
    /// That an instance was made and runs: the answer to [`CommandKind::CreateInstance`](crate::entity::CommandKind::CreateInstance).
    ///
    /// # Errors
    /// `Invalid` where it cannot be written down.
    pub fn made(instance: &MadeInstance) -> Result<Self> {
        written("result", instance).map(Self::Done)
    }
}

/// Refuses a name that a machine gives to something and that cannot be one.
pub(crate) fn check_key(field: impl Into<String>, key: &str) -> Result<()> {
    if key.is_empty() || key.len() > 128 || key.contains('\0') {
        return Err(Error::invalid(field, "1 to 128 bytes without NUL are expected"));
    }
    Ok(())
}

fn parse<T: DeserializeOwned>(field: &'static str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| Error::invalid(field, error.to_string()))
}

fn written<T: Serialize>(field: &'static str, value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::invalid(field, error.to_string()))
}
