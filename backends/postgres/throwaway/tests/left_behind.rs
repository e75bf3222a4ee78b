//! However the process of a test ends, its server and the server's folder go.
//!
//! The parent starts this program again as a child that has a server and says where it is.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use apportion_throwaway_postgres::ThrowawayPostgres;

const CHILD: &str = "THROWAWAY_POSTGRES_CHILD";

fn main() {
    match std::env::var(CHILD) {
        Ok(ending) => be_a_child(&ending),
        Err(_) => ["killed", "panic", "exit"].into_iter().for_each(nothing_is_left_after),
    }
}

fn be_a_child(ending: &str) {
    let server = ThrowawayPostgres::shared().unwrap();
    println!("{} {}", server.pid().unwrap(), server.folder().display());
    match ending {
        // Until the parent kills it: nobody writes to this pipe.
        "killed" => drop(std::io::stdin().lines().next()),
        "panic" => assert!(server.pid().is_none(), "a panic on purpose"),
        _ => std::process::exit(0),
    }
}

fn nothing_is_left_after(ending: &str) {
    let (mut child, pid, folder) = start(ending);
    if ending == "killed" {
        assert!(folder.join("data/PG_VERSION").exists() && is_running(pid));
        child.kill().unwrap();
    }
    child.wait().unwrap();
    for _ in 0..600 {
        if !folder.exists() && !is_running(pid) {
            println!("nothing is left after: {ending}");
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(!folder.exists(), "{ending}: {} is still there", folder.display());
    assert!(!is_running(pid), "{ending}: process {pid} still runs");
}

fn start(ending: &str) -> (Child, u32, PathBuf) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(CHILD, ending).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let line = BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    let (pid, folder) = line.split_once(' ').unwrap();
    (child, pid.parse().unwrap(), folder.into())
}

/// A signal of number zero only asks whether there is such a process.
fn is_running(pid: u32) -> bool {
    let asked = Command::new("sh").arg("-c").arg(format!("kill -0 {pid}")).stderr(Stdio::null()).status();
    asked.unwrap().success()
}
