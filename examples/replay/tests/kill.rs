//! Killed at any moment and resumed, a replay ends as if nothing had happened.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use serde_json::Value;

/// Kills in all; each round ends with a run that is left alone.
const KILLS: usize = 12;
const KILLS_A_ROUND: usize = 4;

fn start(folder: &Path, store: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_replay"));
    command.current_dir(folder).args([
        "--nodes-count",
        "40",
        "--pods-count",
        "700",
        "--users",
        "5",
        "--concurrency",
        "8",
    ]);
    command.args(["--store", store, "--json", "figures.json"]).stdout(Stdio::null()).stderr(Stdio::piped());
    if folder.join(store).exists() {
        command.arg("--resume");
    }
    command.spawn().unwrap()
}

/// Runs to the end, and answers what depends on the state.
fn finish(folder: &Path, store: &str) -> Value {
    let output = start(folder, store).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut figures: Value =
        serde_json::from_slice(&std::fs::read(folder.join("figures.json")).unwrap()).unwrap();
    let names = [
        "pods",
        "launched",
        "refused",
        "audit_drift",
        "digest",
        "allocation_pct_mean",
        "allocation_pct_peak",
    ];
    figures.as_object_mut().unwrap().retain(|name, _| names.contains(&name.as_str()));
    assert_eq!(figures.as_object().unwrap().len(), names.len());
    figures
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the moments of the kills are spread over the time that a run takes"
)]
fn a_replay_that_is_killed_again_and_again_ends_in_the_state_of_one_that_was_not() {
    let folder = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let whole = finish(folder.path(), "whole.redb");
    let took = began.elapsed();
    assert!(whole["refused"].as_object().unwrap().values().filter_map(Value::as_u64).sum::<u64>() > 0);
    let seed = std::process::id().into();
    let mut random = Pcg64::seed_from_u64(seed);
    let mut kills = 0;
    for round in 0.. {
        let store = format!("killed-{round}.redb");
        for _ in 0..KILLS_A_ROUND {
            let mut child = start(folder.path(), &store);
            std::thread::sleep(Duration::from_secs_f64(random.random_range(0.0..took.as_secs_f64() / 2.0)));
            if child.try_wait().unwrap().is_some_and(|ended| ended.success()) {
                break;
            }
            child.kill().unwrap();
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!said.contains("error"), "seed {seed}, after {kills} kills: {said}");
            kills += usize::from(!output.status.success());
        }
        assert_eq!(finish(folder.path(), &store), whole, "seed {seed}, after {kills} kills");
        if kills >= KILLS {
            break;
        }
    }
}
