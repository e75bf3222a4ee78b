//! The processes of the machine, as far as a kill needs them.

use std::process::{Command, Stdio};

use crate::Error;

struct Process {
    pid: u32,
    parent: u32,
    /// Ended, though nobody has asked for its exit status yet.
    zombie: bool,
}

pub(crate) fn children_of(pid: u32) -> Result<Vec<u32>, Error> {
    Ok(table()?.into_iter().filter(|process| process.parent == pid).map(|process| process.pid).collect())
}

pub(crate) fn all_ended(pids: &[u32]) -> Result<bool, Error> {
    Ok(!table()?.iter().any(|process| !process.zombie && pids.contains(&process.pid)))
}

/// Read from `/proc` where there is one, because small images come without `ps`.
fn table() -> Result<Vec<Process>, Error> {
    if let Ok(entries) = std::fs::read_dir("/proc") {
        let known: Vec<Process> = entries
            .flatten()
            .filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok())
            .filter_map(|line| of_stat(&line))
            .collect();
        if !known.is_empty() {
            return Ok(known);
        }
    }
    let output = Command::new("ps").args(["-A", "-o", "pid=,ppid=,stat="]).stdin(Stdio::null()).output();
    let output = output.map_err(Error::io("list the processes"))?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(of_ps).collect())
}

/// `pid (name) state parent …`: the name may hold anything, so what follows begins after its last bracket.
fn of_stat(line: &str) -> Option<Process> {
    let (before, after) = line.rsplit_once(')')?;
    let mut words = after.split_whitespace();
    let state = words.next()?;
    let parent = words.next()?.parse().ok()?;
    Some(Process {
        pid: before.split_once(' ')?.0.parse().ok()?,
        parent,
        zombie: state == "Z" || state == "X",
    })
}

fn of_ps(line: &str) -> Option<Process> {
    let mut words = line.split_whitespace();
    let pid = words.next()?.parse().ok()?;
    let parent = words.next()?.parse().ok()?;
    Some(Process { pid, parent, zombie: words.next()?.starts_with('Z') })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_columns() {
        let process = of_stat("42 (a) b (c) S 7 42 42 0").unwrap();
        assert_eq!((process.pid, process.parent, process.zombie), (42, 7, false));
        assert!(of_stat("42 (gone) Z 7 42").unwrap().zombie);
        let process = of_ps("  42     7 Z+").unwrap();
        assert_eq!((process.pid, process.parent, process.zombie), (42, 7, true));
    }

    #[test]
    fn this_process_is_a_child_of_its_parent() {
        let parent = std::os::unix::process::parent_id();
        assert!(children_of(parent).unwrap().contains(&std::process::id()));
        assert!(!all_ended(&[std::process::id()]).unwrap());
        assert!(all_ended(&[]).unwrap());
    }
}
