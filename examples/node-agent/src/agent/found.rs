//! What the agent finds on its machine, as the control plane is told it.

use std::sync::Arc;

use apportion::entity::InstanceId;
use apportion::machine::{FoundGpu, FoundImage, FoundInstance, FoundState, Inventory};
use apportion::time::Timestamp;

use super::Agent;
use crate::driver;
use crate::machine::{GpuFound, Machine};

impl Agent {
    /// Looks at everything. What cannot be seen is not told, since to tell nothing would be to say that it is gone.
    pub(super) async fn look(&self, at: Timestamp) -> Inventory {
        let source = Arc::clone(&self.machine);
        let machine = tokio::task::spawn_blocking(move || source.read()).await;
        let mut inventory = match machine {
            Ok(Ok(machine)) => told(Inventory::taken_at(at), machine),
            Ok(Err(error)) => unseen(at, &error),
            Err(error) => unseen(at, &error),
        };
        inventory.manipulator_driver = Some(self.driver.name().to_owned());
        inventory.ipv4_ports.clone_from(&self.settings.ports);
        match self.driver.list().await {
            Ok(found) => inventory.instances = Some(found.into_iter().map(instance).collect()),
            Err(error) => eprintln!("the instances cannot be seen: {error}"),
        }
        match self.driver.images().await {
            Ok(found) => inventory.images = Some(found.into_iter().map(image).collect()),
            Err(error) => eprintln!("the images cannot be seen: {error}"),
        }
        inventory
    }
}

fn unseen(at: Timestamp, error: &dyn std::error::Error) -> Inventory {
    eprintln!("the machine cannot be seen: {error}");
    Inventory::taken_at(at)
}

fn told(mut inventory: Inventory, machine: Machine) -> Inventory {
    inventory.arch = Some(cut(machine.arch, 32));
    inventory.platform = machine.platform.map(|text| cut(text, 32));
    inventory.cpu_info = machine.cpu_info.map(|text| cut(text, 256));
    inventory.gpu_info = machine.gpu_info.map(|text| cut(text, 4096));
    inventory.gpu_driver = machine.gpu_driver;
    (inventory.ipv4, inventory.ipv6) = (machine.ipv4, machine.ipv6);
    (inventory.cpu_milli, inventory.memory_mib) = (Some(machine.cpu_milli), Some(machine.memory_mib));
    (inventory.storage_mib, inventory.free_storage_mib) =
        (machine.storage_total_mib, machine.storage_free_mib);
    inventory.gpus = Some(machine.gpus.into_iter().map(gpu).collect());
    inventory
}

/// A GPU; one that has no name of its own goes by its number.
fn gpu(found: GpuFound) -> FoundGpu {
    let key = found.uuid.unwrap_or_else(|| format!("index-{}", found.index));
    let model = found.model.unwrap_or_else(|| "unknown".to_owned());
    let mut gpu = FoundGpu::new(cut(key, 128), cut(model, 64));
    gpu.memory_mib = found.memory_mib;
    gpu
}

fn instance(found: driver::Found) -> FoundInstance {
    let (state, text) = match found.state {
        driver::FoundState::Running => (FoundState::Running, "running".to_owned()),
        driver::FoundState::Stopped => (FoundState::Stopped, "stopped".to_owned()),
        driver::FoundState::Other(text) => (FoundState::Unclear, text),
    };
    let mut told = FoundInstance::new(found.key, state).name(found.name).status_info(text).uses(
        found.cpu_milli,
        found.memory_mib,
        found.storage_mib,
    );
    told.instance = found.instance.map(InstanceId::new);
    told
}

fn image(found: driver::ImageFound) -> FoundImage {
    let mut told = FoundImage::new(found.key);
    told.url = found.url;
    told.size_mib = u32::try_from(found.size_mib.get()).ok();
    told
}

/// A text, at most so many bytes of it.
pub(super) fn cut(mut text: String, bytes: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes));
    text.replace('\0', " ")
}
