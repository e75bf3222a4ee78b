//! What a machine is: [`Machine`], and where it is read: [`InventorySource`].

mod fixed;
mod network;
#[cfg(feature = "nvml")]
mod nvidia;
mod real;

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use apportion::amount::{CpuMilli, MemoryMib, StorageMib};
use apportion::entity::GpuDriver;
use serde::{Deserialize, Serialize};

pub use fixed::StaticInventory;
pub use real::RealInventory;

/// What a machine is and has. What it does not tell is `None`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// The name that it has for itself.
    #[serde(default)]
    pub hostname: Option<String>,
    /// The architecture of its processors, such as `x86_64`.
    pub arch: String,
    /// The operating system and its version, such as `Debian GNU/Linux 12`.
    #[serde(default)]
    pub platform: Option<String>,
    /// What its processors call themselves.
    #[serde(default)]
    pub cpu_info: Option<String>,
    /// The processor time that the agent may use.
    pub cpu_milli: CpuMilli,
    /// The memory that the agent may use.
    pub memory_mib: MemoryMib,
    /// The size of the disk on which instances are kept.
    #[serde(default)]
    pub storage_total_mib: Option<StorageMib>,
    /// What is free on it.
    #[serde(default)]
    pub storage_free_mib: Option<StorageMib>,
    /// The address by which it is reached, where it has one.
    #[serde(default)]
    pub ipv4: Option<Ipv4Addr>,
    /// The same of IPv6.
    #[serde(default)]
    pub ipv6: Option<Ipv6Addr>,
    /// What drives its GPUs.
    #[serde(default)]
    pub gpu_driver: Option<GpuDriver>,
    /// What the driver tells of itself, such as its version.
    #[serde(default)]
    pub gpu_info: Option<String>,
    /// Its GPUs, in the order of their numbers.
    #[serde(default)]
    pub gpus: Vec<GpuFound>,
}

/// A GPU of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuFound {
    /// The id that its driver gives it, which stays when others are added or taken out.
    #[serde(default)]
    pub uuid: Option<String>,
    /// Its number in the machine, from 0. It may be another one after a restart.
    pub index: u32,
    /// Its model.
    #[serde(default)]
    pub model: Option<String>,
    /// Its own memory.
    #[serde(default)]
    pub memory_mib: Option<MemoryMib>,
}

/// Where it is read what a machine is.
///
/// Reading may take a second, where the driver of the GPUs has to wake up: call it where blocking is allowed.
pub trait InventorySource: fmt::Debug + Send + Sync {
    /// Reads it anew.
    fn read(&self) -> Result<Machine, InventoryError>;
}

/// Why it is not known what a machine is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InventoryError {
    /// The file could not be read.
    #[error("inventory file {path} cannot be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The text is no inventory. The source says what is wrong with it, at which line and column.
    #[error("inventory {origin} is not valid at line {}, column {}", source.line(), source.column())]
    Invalid {
        /// Where the text comes from.
        origin: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The machine does not tell something without which nothing can be placed on it.
    #[error("this machine does not tell its {what}")]
    Untold {
        /// What it does not tell.
        what: &'static str,
    },
}

impl Machine {
    /// The machine as lines of a name and a value, for people.
    pub fn table(&self) -> Vec<(String, String)> {
        let told =
            |value: Option<&dyn fmt::Display>| value.map_or_else(|| "-".to_owned(), ToString::to_string);
        let row = |name: &str, value: String| (name.to_owned(), value);
        let mut rows = vec![
            row("hostname", told(self.hostname.as_ref().map(|v| v as _))),
            row("arch", self.arch.clone()),
            row("platform", told(self.platform.as_ref().map(|v| v as _))),
            row("cpu", told(self.cpu_info.as_ref().map(|v| v as _))),
            row("cpu milli", self.cpu_milli.get().to_string()),
            row("memory", mib(self.memory_mib.get())),
            row("storage", self.storage_total_mib.map_or_else(|| "-".into(), |size| mib(size.get()))),
            row("storage free", self.storage_free_mib.map_or_else(|| "-".into(), |size| mib(size.get()))),
            row("ipv4", told(self.ipv4.as_ref().map(|v| v as _))),
            row("ipv6", told(self.ipv6.as_ref().map(|v| v as _))),
            row("gpu driver", told(self.gpu_driver.as_ref().map(|v| v as _))),
            row("gpu info", told(self.gpu_info.as_ref().map(|v| v as _))),
            row("gpus", self.gpus.len().to_string()),
        ];
        rows.extend(self.gpus.iter().map(|gpu| row(&format!("gpu {}", gpu.index), gpu.to_string())));
        rows
    }
}

impl fmt::Display for GpuFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.model.as_deref().unwrap_or("a model that is not told"))?;
        if let Some(memory) = self.memory_mib {
            write!(f, ", {}", mib(memory.get()))?;
        }
        write!(f, ", {}", self.uuid.as_deref().unwrap_or("no uuid"))
    }
}

fn mib(count: i64) -> String {
    format!("{count} MiB")
}
