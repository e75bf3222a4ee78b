//! The workers of the demonstration: processes that are really killed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use apportion::plane::RunLease;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use trainer::worker::Record;

use super::cloud::{Cloud, LEASE, Machine};
use crate::Outcome;

/// How long workers may take to stop.
const PATIENCE: Duration = Duration::from_secs(20);

/// The workers that run, by the names of their machines.
#[derive(Debug)]
pub(super) struct Workers {
    folder: PathBuf,
    address: String,
    running: BTreeMap<&'static str, Child>,
}

impl Workers {
    pub(super) fn new(folder: &Path, cloud: &Cloud) -> Self {
        Self { folder: folder.to_owned(), address: cloud.address.clone(), running: BTreeMap::new() }
    }

    /// Starts the worker of a machine.
    pub(super) fn start(&mut self, machine: &Machine) -> Outcome<()> {
        let state = self.folder.join(machine.name);
        std::fs::create_dir_all(&state)?;
        std::fs::write(state.join("key"), machine.key.expose())?;
        let worker = Command::new(std::env::current_exe()?)
            .args(["work", "--control", &self.address, "--name", machine.name])
            .args(["--lease-ms", &LEASE.as_millis().to_string(), "--poll-ms", "150", "--grace-ms", "500"])
            .arg("--key")
            .arg(state.join("key"))
            .arg("--storage")
            .arg(self.folder.join("storage"))
            .arg("--state")
            .arg(state)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        self.running.insert(machine.name, worker);
        Ok(())
    }

    /// Kills the worker of a machine, as a power cut would.
    pub(super) async fn kill(&mut self, machine: &Machine) -> Outcome<()> {
        let mut worker = self.running.remove(machine.name).ok_or("its worker does not run")?;
        Ok(worker.kill().await?)
    }

    /// The leases of what the worker of a machine runs, as it has written them down.
    pub(super) fn held(&self, machine: &Machine) -> Outcome<Vec<RunLease>> {
        let mut held = Vec::new();
        for file in std::fs::read_dir(self.folder.join(machine.name).join("running"))? {
            let record: Record = serde_json::from_slice(&std::fs::read(file?.path())?)?;
            held.push(record.lease);
        }
        Ok(held)
    }

    /// Asks all workers to stop, which ends what they run, and kills those that do not.
    pub(super) async fn stop(&mut self) -> Outcome<()> {
        for (_, mut worker) in std::mem::take(&mut self.running) {
            if let Some(pid) = worker.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
                kill_process(pid, Signal::TERM)?;
            }
            if tokio::time::timeout(PATIENCE, worker.wait()).await.is_err() {
                worker.kill().await?;
            }
        }
        Ok(())
    }
}
