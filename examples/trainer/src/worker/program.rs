//! The program of a run, as a process: [`Program`].

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use apportion::plane::ClaimedRun;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::process::{Child, ChildStdout, Command};

use super::Error;

/// How long after it was killed a process may take to be gone.
const KILLED: Duration = Duration::from_secs(10);
/// How much of what a program has complained is told.
const COMPLAINT: usize = 1000;

/// A process, with all that it has started: they are a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pid: u32,
    /// When it was started, as Linux counts: another process of the same number was started at another time.
    started: Option<String>,
}

impl Process {
    fn of(pid: u32) -> Self {
        Self { pid, started: started(pid) }
    }

    /// Asks it to end, kills it where it does not, and answers when nothing of it is left.
    pub(super) async fn end(&self, grace: Duration) -> Result<(), Error> {
        for (signal, patience) in [(Signal::TERM, grace), (Signal::KILL, KILLED)] {
            let begun = tokio::time::Instant::now();
            while let Some(group) = self.group() {
                if begun.elapsed() >= patience {
                    break;
                }
                // Again and again: what was being started when it was asked has not heard it.
                let _ = kill_process_group(group, signal);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            if self.group().is_none() {
                return Ok(());
            }
        }
        Err(Error::DoesNotEnd { pid: self.pid })
    }

    /// Its group, while anything of it runs. A number that another process has by now is not it.
    fn group(&self) -> Option<Pid> {
        let group = Pid::from_raw(i32::try_from(self.pid).ok()?)?;
        if started(self.pid).is_some_and(|now| self.started.as_ref() != Some(&now)) {
            return None;
        }
        let runs = runs(self.pid).unwrap_or_else(|| test_kill_process_group(group).is_ok());
        runs.then_some(group)
    }
}

/// When a process was started, in ticks since the machine was; nothing where that is not known.
fn started(pid: u32) -> Option<String> {
    stat(&pid.to_string())?.split_whitespace().nth(19).map(str::to_owned)
}

/// Whether anything of a group runs, where the machine says so. What has ended and is only not waited for does not.
fn runs(group: u32) -> Option<bool> {
    let group = group.to_string();
    let of_group = |process: std::fs::DirEntry| {
        let stat = stat(process.file_name().to_str()?)?;
        let mut fields = stat.split_whitespace();
        let (state, of) = (fields.next()?, fields.nth(1)?);
        Some(of == group && state != "Z" && state != "X")
    };
    let mut processes = std::fs::read_dir("/proc").ok()?.flatten().peekable();
    processes.peek()?;
    Some(processes.any(|process| of_group(process).unwrap_or(false)))
}

/// What Linux says of a process, after its name, in which anything may be.
fn stat(pid: &str) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')').map(|(_, fields)| fields.to_owned())
}

/// A program that was started for a run.
#[derive(Debug)]
pub(super) struct Program {
    child: Child,
    pub(super) process: Process,
    pub(super) output: PathBuf,
    complaints: PathBuf,
}

impl Program {
    /// Starts the program in a folder of its own, with the GPUs of the run.
    pub(super) fn start(
        program: &[String],
        folder: &Path,
        claimed: &ClaimedRun,
    ) -> Result<(Self, ChildStdout), Error> {
        std::fs::create_dir_all(folder).map_err(Error::file(folder))?;
        let [job, output, complaints] =
            ["job.json", "artifact", "complaints.log"].map(|name| folder.join(name));
        let written = serde_json::to_vec_pretty(&job_of(claimed)).map_err(std::io::Error::from);
        written.and_then(|text| std::fs::write(&job, text)).map_err(Error::file(&job))?;
        let (name, arguments) = program.split_first().ok_or_else(|| Error::CannotStart {
            program: String::new(),
            source: std::io::ErrorKind::NotFound.into(),
        })?;
        let cannot = |source| Error::CannotStart { program: name.clone(), source };
        let mut command = Command::new(name);
        command.args(arguments).current_dir(folder);
        // Nothing of the worker's own environment is the run's business; its key may be in it.
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path))).env("HOME", folder);
        command.env("TRAINER_JOB", &job).env("TRAINER_OUTPUT", &output);
        command.env("TRAINER_RUN", claimed.lease.run.to_string());
        command.env("TRAINER_ATTEMPT", claimed.lease.attempt.to_string());
        command.env("CUDA_VISIBLE_DEVICES", devices(claimed));
        // Its input stays open for as long as the worker lives, so that a program can see when it is killed.
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(File::create(&complaints).map_err(Error::file(&complaints))?);
        let mut child = command.process_group(0).kill_on_drop(true).spawn().map_err(cannot)?;
        let (pid, told) = (child.id(), child.stdout.take());
        let gone = || cannot(std::io::ErrorKind::NotFound.into());
        let (pid, told) = pid.zip(told).ok_or_else(gone)?;
        Ok((Self { child, process: Process::of(pid), output, complaints }, told))
    }

    /// Waits until it ends: with which code, or none where it was killed.
    pub(super) async fn ends(&mut self) -> std::io::Result<Option<i32>> {
        // `wait` would close its input first.
        let input = self.child.stdin.take();
        let ended = self.child.wait().await;
        self.child.stdin = input;
        Ok(ended?.code())
    }

    /// Ends it and all that it has started.
    pub(super) async fn end(&mut self, grace: Duration) -> Result<(), Error> {
        // Whoever ended is there until it is waited for.
        let (ended, _) = tokio::join!(self.process.end(grace), self.child.wait());
        ended
    }

    /// The end of what it has complained.
    pub(super) fn complaint(&self) -> String {
        let text = std::fs::read(&self.complaints).unwrap_or_default();
        let text =
            String::from_utf8_lossy(text.get(text.len().saturating_sub(COMPLAINT)..).unwrap_or_default());
        text.trim().replace('\0', " ")
    }
}

/// What a run is told of itself.
fn job_of(claimed: &ClaimedRun) -> serde_json::Value {
    let run = &claimed.run;
    json!({
        "run": claimed.lease.run,
        "attempt": claimed.lease.attempt,
        "trigger_word": run.trigger_word,
        "base_model": run.base_model,
        "config": run.config.to_value(),
        "images": claimed.images,
    })
}

/// The GPUs as CUDA is told them: by what their driver calls them where that is known, otherwise by their numbers.
fn devices(claimed: &ClaimedRun) -> String {
    let name = |gpu: &apportion::plane::LeasedGpu| gpu.key.clone().unwrap_or_else(|| gpu.slot.to_string());
    claimed.gpus.iter().map(name).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;

    use super::*;

    #[tokio::test]
    async fn a_process_that_only_has_the_same_number_is_left_alone() {
        let mut sleep = std::process::Command::new("sleep").arg("1000").process_group(0).spawn().unwrap();
        let process = Process::of(sleep.id());
        let another = Process { started: Some("1".to_owned()), ..process.clone() };
        another.end(Duration::ZERO).await.unwrap();
        assert!(sleep.try_wait().unwrap().is_none());
        process.end(Duration::from_secs(10)).await.unwrap();
        assert_eq!(sleep.wait().unwrap().code(), None);
    }

    #[tokio::test]
    async fn what_does_not_end_when_it_is_asked_is_killed_with_all_that_it_has_started() {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", "trap '' TERM; sleep 1000 & sleep 1000"]).process_group(0);
        let mut shell = shell.spawn().unwrap();
        let process = Process::of(shell.id());
        process.end(Duration::from_millis(100)).await.unwrap();
        assert_eq!((shell.wait().unwrap().code(), runs(process.pid)), (None, Some(false)));
    }
}
