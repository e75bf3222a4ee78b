//! [`RealInventory`]: the machine that the agent runs on.

use std::path::PathBuf;

use apportion::amount::{CpuMilli, MemoryMib, StorageMib};
use apportion::entity::GpuDriver;
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

use super::{GpuFound, InventoryError, InventorySource, Machine, network};

/// Reads the machine that this runs on.
#[derive(Clone, Debug)]
pub struct RealInventory {
    storage: PathBuf,
}

impl RealInventory {
    /// The storage that is told is that of the disk on which this folder lies.
    pub fn new(storage: impl Into<PathBuf>) -> Self {
        Self { storage: storage.into() }
    }

    fn storage(&self) -> (Option<StorageMib>, Option<StorageMib>) {
        let Ok(disk) = rustix::fs::statvfs(&self.storage) else { return (None, None) };
        let size = |blocks: u64| {
            let mib = (u128::from(blocks) * u128::from(disk.f_frsize)) >> 20;
            i64::try_from(mib).ok().and_then(|mib| StorageMib::new(mib).ok())
        };
        // Available, and not free: a part of what is free is kept for the system.
        (size(disk.f_blocks), size(disk.f_bavail))
    }
}

impl InventorySource for RealInventory {
    fn read(&self) -> Result<Machine, InventoryError> {
        let kinds = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing())
            .with_memory(MemoryRefreshKind::nothing().with_ram());
        let system =
            System::new_with_specifics(kinds).map_err(|_| InventoryError::Untold { what: "resources" })?;
        let (storage_total_mib, storage_free_mib) = self.storage();
        let (ipv4, ipv6) = network::addresses();
        let (gpu_driver, gpu_info, gpus) = gpus();
        Ok(Machine {
            hostname: System::host_name().ok(),
            arch: System::cpu_arch(),
            platform: platform(),
            cpu_info: system
                .cpus()
                .first()
                .map(|cpu| cpu.brand().trim().to_owned())
                .filter(|v| !v.is_empty()),
            cpu_milli: cpu_milli()?,
            memory_mib: memory_mib(&system)?,
            storage_total_mib,
            storage_free_mib,
            ipv4,
            ipv6,
            gpu_driver,
            gpu_info,
            gpus,
        })
    }
}

fn platform() -> Option<String> {
    let name = System::name().ok()?;
    Some(System::os_version().map_or_else(|_| name.clone(), |version| format!("{name} {version}")))
}

/// What this process may use: in a container that is less than the machine has.
fn cpu_milli() -> Result<CpuMilli, InventoryError> {
    let untold = InventoryError::Untold { what: "processors" };
    let Ok(cores) = std::thread::available_parallelism() else { return Err(untold) };
    let cores = u32::try_from(cores.get()).ok();
    cores.and_then(|cores| CpuMilli::from_u32(1000).checked_mul(cores)).ok_or(untold)
}

fn memory_mib(system: &System) -> Result<MemoryMib, InventoryError> {
    let limit = system.cgroup_limits().map(|limits| limits.total_memory).filter(|limit| *limit > 0);
    let bytes = limit.map_or(system.total_memory(), |limit| limit.min(system.total_memory()));
    let mib = i64::try_from(bytes >> 20).ok().and_then(|mib| MemoryMib::new(mib).ok());
    mib.filter(|mib| !mib.is_zero()).ok_or(InventoryError::Untold { what: "memory" })
}

#[cfg(feature = "nvml")]
fn gpus() -> (Option<GpuDriver>, Option<String>, Vec<GpuFound>) {
    match super::nvidia::find(None) {
        Some(found) => (Some(GpuDriver::Cuda), found.info, found.gpus),
        None => (None, None, Vec::new()),
    }
}

#[cfg(not(feature = "nvml"))]
fn gpus() -> (Option<GpuDriver>, Option<String>, Vec<GpuFound>) {
    (None, None, Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_plausible() {
        let machine = RealInventory::new("/").read().unwrap();
        assert!(machine.cpu_milli.get() >= 1000, "{machine:?}");
        assert!(machine.memory_mib.get() >= 64, "{machine:?}");
        assert!(!machine.arch.is_empty());
        let (total, free) = (machine.storage_total_mib.unwrap(), machine.storage_free_mib.unwrap());
        assert!(!total.is_zero() && free <= total, "{machine:?}");
        assert!(machine.table().iter().any(|(name, value)| name == "cpu milli" && value != "-"));
    }

    #[test]
    fn a_folder_that_is_not_there_has_no_storage() {
        let machine = RealInventory::new("/not/there").read().unwrap();
        assert_eq!((machine.storage_total_mib, machine.storage_free_mib), (None, None));
    }
}
