//! The process that keeps a server, and that outlives the process that wanted it for as long as cleaning up takes.
//!
//! A destructor does not run for a static, nor in a process that is killed. What always happens is that the
//! operating system closes the pipes of a process that ended, so a small shell waits for that.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::Error;

const SCRIPT: &str = include_str!("supervisor.sh");
/// The name of a socket in the folder has at most about 100 bytes.
const LONGEST_PARENT: usize = 60;

#[derive(Debug)]
pub(crate) struct Supervisor {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Supervisor {
    /// Starts it, and says which folder it made.
    pub(crate) fn start(binaries: &Path) -> Result<(Self, PathBuf), Error> {
        let parents = parents();
        let mut command = Command::new("sh");
        command.arg("-c").arg(SCRIPT).arg("throwaway-postgres").arg(binaries).args(&parents);
        // A group of its own, so that an interrupt from the keyboard ends the test and leaves this one to clean up.
        command.current_dir("/").process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        clean_environment(&mut command);
        if let Some((user, group)) = other_user()? {
            // The standard library drops the supplementary groups, too, when it drops root.
            command.uid(user).gid(group);
        }
        let mut child = command.spawn().map_err(Error::io("start a shell for the server"))?;
        let commands = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().ok_or(Error::Gone)?);
        let mut supervisor = Self { child, commands, answers };
        let folder = supervisor.answer()?;
        if folder == "failed" {
            let tried =
                parents.iter().map(|parent| parent.display().to_string()).collect::<Vec<_>>().join(", ");
            return Err(Error::NoFolder { tried });
        }
        Ok((supervisor, PathBuf::from(folder)))
    }

    /// Whether the command succeeded. It waits until it has ended.
    pub(crate) fn ask(&mut self, command: &str) -> Result<bool, Error> {
        let pipe = self.commands.as_mut().ok_or(Error::Gone)?;
        pipe.write_all(format!("{command}\n").as_bytes()).map_err(|_| Error::Gone)?;
        Ok(self.answer()? == "ok")
    }

    fn answer(&mut self) -> Result<String, Error> {
        let mut line = String::new();
        match self.answers.read_line(&mut line) {
            Ok(0) | Err(_) => Err(Error::Gone),
            Ok(_) => Ok(line.trim_end_matches('\n').to_owned()),
        }
    }

    /// Stops the server, removes its folder and waits until both are done.
    pub(crate) fn end(&mut self) -> Result<(), Error> {
        self.commands = None;
        self.child.wait().map(|_| ()).map_err(Error::io("wait for the process that keeps the server"))
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        // Nobody is left to be told.
        let _ = self.end();
    }
}

/// What the environment says of some other server must not reach this one, nor its clients.
pub(crate) fn clean_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("PG")) {
            command.env_remove(name);
        }
    }
    command.env("LC_ALL", "C");
}

fn parents() -> Vec<PathBuf> {
    let mut parents = vec![std::env::temp_dir(), "/tmp".into(), "/var/tmp".into(), "/dev/shm".into()];
    parents.retain(|parent| parent.is_absolute() && parent.as_os_str().len() <= LONGEST_PARENT);
    parents
}

/// The user and group to become, or none if this process is not root's.
fn other_user() -> Result<Option<(u32, u32)>, Error> {
    if id(&["-u"]) != Some(0) {
        return Ok(None);
    }
    ["postgres", "nobody"]
        .iter()
        .find_map(|name| Some((id(&["-u", name])?, id(&["-g", name])?)))
        .map(Some)
        .ok_or(Error::NoUser)
}

fn id(arguments: &[&str]) -> Option<u32> {
    let output =
        Command::new("id").args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
