//! The agents of the demonstration: processes that are really killed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use node_agent::driver::Driver as _;
use node_agent::driver::process::ProcessDriver;
use serde_json::json;
use tokio::process::{Child, Command};

use super::cloud::{Cloud, Machine};
use crate::Outcome;

/// The agents that run, by the names of their machines.
#[derive(Debug)]
pub(super) struct Agents {
    folder: PathBuf,
    address: String,
    running: BTreeMap<&'static str, Child>,
}

impl Agents {
    pub(super) fn new(folder: &Path, cloud: &Cloud) -> Self {
        Self { folder: folder.to_owned(), address: cloud.address.clone(), running: BTreeMap::new() }
    }

    /// Starts the agent of a machine with two GPUs that are only pretended.
    pub(super) fn start(&mut self, machine: &Machine) -> Outcome<()> {
        let folder = self.folder.join(machine.name);
        std::fs::create_dir_all(&folder)?;
        let gpu = |index: u32| {
            let uuid = format!("GPU-{}-{index}", machine.name);
            json!({ "uuid": uuid, "index": index, "model": "Pretended 80GB", "memory_mib": 81_920 })
        };
        let pretended = json!({
            "arch": "x86_64", "platform": "demonstration", "cpu_milli": 8_000, "memory_mib": 16_384,
            "storage_total_mib": 100_000, "gpus": [gpu(0), gpu(1)],
        });
        std::fs::write(folder.join("machine.json"), pretended.to_string())?;
        std::fs::write(folder.join("key"), machine.key.expose())?;
        let agent = Command::new(std::env::current_exe()?)
            .args(["run", "--control", &self.address, "--heartbeat-ms", "300"])
            .args(["--report-ms", "700", "--poll-ms", "150"])
            .arg("--key")
            .arg(folder.join("key"))
            .arg("--from")
            .arg(folder.join("machine.json"))
            .arg("--state")
            .arg(folder.join("state"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        self.running.insert(machine.name, agent);
        Ok(())
    }

    /// Kills the agent of a machine, as a power cut would.
    pub(super) fn kill(&mut self, machine: &Machine) -> Outcome<()> {
        let mut agent = self.running.remove(machine.name).ok_or("its agent does not run")?;
        Ok(agent.start_kill()?)
    }

    /// Kills all agents, and ends whatever instances are left.
    pub(super) async fn clear_away(&mut self) -> Outcome<()> {
        for (_, mut agent) in std::mem::take(&mut self.running) {
            agent.kill().await?;
        }
        for machine in std::fs::read_dir(&self.folder)? {
            let state = machine?.path().join("state");
            if state.is_dir() {
                let driver = ProcessDriver::open(state).await?;
                for found in driver.list().await? {
                    driver.delete(&found.key).await?;
                }
            }
        }
        Ok(())
    }
}
