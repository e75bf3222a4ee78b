//! NVIDIA GPUs, as the driver's management library tells them.

use std::ffi::OsStr;

use apportion::amount::MemoryMib;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Nvml, cuda_driver_version_major, cuda_driver_version_minor};

use super::GpuFound;

/// What the library tells.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Its versions.
    pub(super) info: Option<String>,
    /// The GPUs. One in MIG mode is told whole: its slices are none of these.
    pub(super) gpus: Vec<GpuFound>,
}

/// Asks the library, at its usual place or another one. `None` where it is not there: no driver, no GPUs.
pub(super) fn find(library: Option<&OsStr>) -> Option<Found> {
    let nvml = match library {
        Some(path) => Nvml::builder().lib_path(path).init(),
        None => Nvml::init(),
    };
    let nvml = nvml.ok()?;
    let count = nvml.device_count().unwrap_or(0);
    Some(Found { info: versions(&nvml), gpus: (0..count).map(|index| gpu(&nvml, index)).collect() })
}

fn versions(nvml: &Nvml) -> Option<String> {
    let driver = nvml.sys_driver_version().ok()?;
    let Ok(cuda) = nvml.sys_cuda_driver_version() else { return Some(format!("driver {driver}")) };
    let (major, minor) = (cuda_driver_version_major(cuda), cuda_driver_version_minor(cuda));
    Some(format!("driver {driver}, CUDA {major}.{minor}"))
}

/// A GPU that tells nothing (it fell off the bus, say) is still one, so that somebody sees it.
fn gpu(nvml: &Nvml, index: u32) -> GpuFound {
    let device = nvml.device_by_index(index);
    let ask = |question: &dyn Fn(&nvml_wrapper::Device<'_>) -> Result<String, NvmlError>| {
        device.as_ref().ok().and_then(|device| question(device).ok())
    };
    let memory = device.as_ref().ok().and_then(|device| device.memory_info().ok());
    GpuFound {
        uuid: ask(&|device| device.uuid()),
        index,
        model: ask(&|device| device.name()),
        memory_mib: memory
            .and_then(|memory| i64::try_from(memory.total >> 20).ok())
            .and_then(|mib| MemoryMib::new(mib).ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_driver_is_no_gpus() {
        assert_eq!(find(Some(OsStr::new("libnvidia-ml-that-is-not-there.so"))), None);
    }
}
