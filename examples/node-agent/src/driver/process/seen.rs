//! What is seen of the machine's processes: [`Seen`].

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::driver::spec::INSTANCE;
use crate::driver::{Error, Result};

/// The variable that says which agent started a process: its folder.
pub(super) const AGENT: &str = "APPORTION_AGENT";

/// A process, told from every other one that has or will have its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pid: u32,
    /// In ticks since the boot. Not as the time of day: what the clock is set to would change that.
    started: u64,
    boot: String,
}

/// A process that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pid: u32,
    started: u64,
    group: u32,
    /// The instance that it belongs to, as its environment says.
    instance: Option<Uuid>,
}

/// Looks at processes, for one agent.
#[derive(Debug)]
pub(super) struct Watch {
    folder: PathBuf,
    boot: String,
}

impl Watch {
    /// For the agent of a folder.
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let file = Path::new("/proc/sys/kernel/random/boot_id");
        let boot = fs::read_to_string(file).map_err(Error::file(file))?.trim().to_owned();
        Ok(Self { folder: folder.to_owned(), boot })
    }

    /// Every process of the machine that has not ended.
    pub(super) fn all(&self) -> Result<Vec<Seen>> {
        let proc = Path::new("/proc");
        let entries = fs::read_dir(proc).map_err(Error::file(proc))?.filter_map(|entry| entry.ok());
        let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Ok(numbers.filter_map(|pid| self.one(pid)).collect())
    }

    /// One process; `None` where it has ended, and waits for its parent to hear of it at most.
    pub(super) fn one(&self, pid: u32) -> Option<Seen> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (group, started) = parse_stat(&stat)?;
        // Those of other users cannot be read, and are none of ours.
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        Some(Seen { pid, started, group, instance: self.instance(&environment) })
    }

    fn instance(&self, environment: &[u8]) -> Option<Uuid> {
        let value = |name: &str| {
            let of_name = |variable: &'_ [u8]| {
                variable.strip_prefix(name.as_bytes())?.strip_prefix(b"=").map(<[u8]>::to_vec)
            };
            environment.split(|byte| *byte == 0).find_map(of_name)
        };
        let agent = value(AGENT)?;
        if agent != self.folder.as_os_str().as_encoded_bytes() {
            return None;
        }
        Uuid::parse_str(std::str::from_utf8(&value(INSTANCE)?).ok()?).ok()
    }

    /// What to write about a process.
    pub(super) fn identity(&self, process: &Seen) -> Identity {
        Identity { pid: process.pid, started: process.started, boot: self.boot.clone() }
    }

    /// A process that was written down, if it has not ended.
    pub(super) fn find(&self, identity: &Identity) -> Option<Seen> {
        self.one(identity.pid).filter(|seen| self.identity(seen) == *identity)
    }

    /// Those of the processes that belong to an instance: whatever says so, the first one, those that were known to, and all of the
    /// group of the first one while one of these is in it, since until then nobody else gets its number.
    pub(super) fn of(
        &self,
        instance: Uuid,
        first: Option<&Identity>,
        known: &[Seen],
        all: &[Seen],
    ) -> Vec<Seen> {
        let belongs = |seen: &Seen| {
            seen.instance == Some(instance)
                || first.is_some_and(|first| self.identity(seen) == *first)
                || known.iter().any(|one| one.same(seen))
        };
        let group = first.map(|first| first.pid);
        let grouped = all.iter().any(|seen| Some(seen.group) == group && belongs(seen));
        all.iter().filter(|seen| belongs(seen) || grouped && Some(seen.group) == group).copied().collect()
    }

    /// Sends a signal to processes, as far as they are still the same ones: once to each, with its group where the first of that
    /// is among them.
    pub(super) fn signal(&self, processes: &[Seen], signal: Signal) {
        let led = |group: u32| processes.iter().any(|seen| seen.pid == group && seen.leads());
        for process in processes.iter().filter(|seen| seen.leads() || !led(seen.group)) {
            let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) else { continue };
            if self.one(process.pid).is_none_or(|now| now.started != process.started) {
                continue;
            }
            // What cannot be signalled has ended, or is seen to run on by whoever waits for it.
            let _ = if process.leads() { kill_process_group(pid, signal) } else { kill_process(pid, signal) };
        }
    }
}

impl Seen {
    /// Whether it is the same process, whatever became of its group.
    pub(super) const fn same(&self, other: &Self) -> bool {
        self.pid == other.pid && self.started == other.started
    }

    /// Which instance it says that it belongs to.
    pub(super) const fn instance(&self) -> Option<Uuid> {
        self.instance
    }

    /// Its number.
    pub(super) const fn pid(&self) -> u32 {
        self.pid
    }

    /// When it was started, in ticks since the boot.
    pub(super) const fn started(&self) -> u64 {
        self.started
    }

    /// Whether it is the first of its group.
    pub(super) const fn leads(&self) -> bool {
        self.group == self.pid
    }
}

/// The group and the start of a process that has not ended, from its line in `/proc/<pid>/stat` (proc(5)).
fn parse_stat(stat: &str) -> Option<(u32, u64)> {
    // The second field is the program's name in brackets, with whatever that has in it.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    let group = fields.nth(1)?.parse().ok()?;
    let started = fields.nth(16)?.parse().ok()?;
    Some((group, started))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_blanks_does_not_confuse_the_line() {
        let line = |state: &str| {
            format!("77 (a) b (c) {state} 1 76 76 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 9 10")
        };
        assert_eq!(parse_stat(&line("S")), Some((76, 123_456)));
        assert_eq!(parse_stat(&line("Z")), None);
        assert_eq!(parse_stat("77 (sh"), None);
        assert_eq!(parse_stat("77 (sh) S 1"), None);
    }

    #[test]
    fn a_number_that_another_process_has_now_is_not_the_same_process() {
        let watch = Watch::new(Path::new("/somewhere")).unwrap();
        let this = watch.one(std::process::id()).unwrap();
        let identity = watch.identity(&this);
        assert_eq!(watch.find(&identity), Some(this));
        let earlier = Identity { started: identity.started - 1, ..identity.clone() };
        assert_eq!(watch.find(&earlier), None);
        let before_the_boot = Identity { boot: "another".to_owned(), ..identity };
        assert_eq!(watch.find(&before_the_boot), None);
    }

    #[test]
    fn a_process_of_another_agent_is_none_of_ours() {
        let id = "018f3f6e-0000-7000-8000-000000000001";
        let environment = format!("PATH=/bin\0APPORTION_AGENT=/a\0APPORTION_INSTANCE={id}\0");
        let instance = |folder: &str| Watch::new(Path::new(folder)).unwrap().instance(environment.as_bytes());
        assert_eq!(instance("/a"), Some(id.parse().unwrap()));
        assert_eq!(instance("/b"), None);
    }
}
