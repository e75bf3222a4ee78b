//! How the process of an instance is started.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::seen::AGENT;
use crate::driver::{Error, Result, Spec};

/// Where programs are looked for when the agent itself does not know.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Starts the process of an instance, first of a group of its own, in the folder `work` beside its output in `log`.
pub(super) fn launch(spec: &Spec, image: Option<&str>, agent: &Path, folder: &Path) -> Result<Child> {
    let Some((program, arguments)) = spec.command.split_first() else {
        return Err(Error::InvalidSpec { reason: "a process needs a command".to_owned() });
    };
    let work = folder.join("work");
    match fs::create_dir(&work) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(Error::file(&work)(error)),
        _ => {}
    }
    let log = folder.join("log");
    let output =
        OpenOptions::new().create(true).append(true).mode(0o600).open(&log).map_err(Error::file(&log))?;
    let errors = output.try_clone().map_err(Error::file(&log))?;
    Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into()))
        .env("HOME", &work)
        .envs(image.map(|image| ("IMAGE", image)))
        .envs(spec.environment())
        // One without GPUs gets an empty list, which hides them all; without the variable it would see each.
        .env("CUDA_VISIBLE_DEVICES", spec.gpus.join(","))
        .env(AGENT, agent)
        .current_dir(&work)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .process_group(0)
        .spawn()
        .map_err(|source| Error::CannotStart { program: program.clone(), source })
}
