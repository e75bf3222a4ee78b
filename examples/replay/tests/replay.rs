//! The replay end to end: the same state however it is carried out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// A cluster that is soon full, and pods that come and go.
const SMALL: &str = "--nodes-count 40 --pods-count 500 --users 5";

fn replay(folder: &Path, arguments: &str) -> Output {
    let arguments = arguments.split_whitespace();
    Command::new(env!("CARGO_BIN_EXE_replay")).current_dir(folder).args(arguments).output().unwrap()
}

/// The figures of a replay that ended well.
#[track_caller]
fn figures(folder: &Path, arguments: &str) -> Value {
    let output = replay(folder, &format!("{arguments} --json figures.json"));
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&std::fs::read(folder.join("figures.json")).unwrap()).unwrap()
}

/// What must not depend on how a replay was carried out.
fn of_state(figures: &Value) -> Value {
    let mut figures = figures.clone();
    for timing in
        ["decisions_per_s", "operations_per_s", "commit_ms_p50", "commit_ms_p99", "syncs", "store_bytes"]
    {
        assert!(figures.as_object_mut().unwrap().remove(timing).is_some(), "{timing}");
    }
    figures
}

#[test]
fn the_final_state_depends_neither_on_the_store_nor_on_the_window() {
    let folder = tempfile::tempdir().unwrap();
    let at = |rest: &str| of_state(&figures(folder.path(), &format!("{SMALL} {rest}")));
    let first = at("--store memory: --concurrency 1");
    assert_eq!(first["digest"].as_str().unwrap().len(), 64);
    assert_eq!(first["audit_drift"], 0);
    let refused: u64 = first["refused"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    assert!(refused > 0 && first["launched"].as_u64().unwrap() + refused == 500, "{first}");
    for rest in [
        "--store memory: --concurrency 16",
        "--store memory: --concurrency 64",
        "--concurrency 64",
        "--store a.redb --concurrency 7 --durability process-crash",
    ] {
        assert_eq!(at(rest), first, "{rest}");
    }
    assert!(folder.path().join("a.redb").exists());
}

#[test]
fn another_policy_or_seed_is_another_state() {
    let folder = tempfile::tempdir().unwrap();
    let digest = |rest: &str| {
        let figures = figures(folder.path(), &format!("{SMALL} --store memory: {rest}"));
        figures["digest"].as_str().unwrap().to_owned()
    };
    let digests = [digest(""), digest("--policy random"), digest("--policy packing"), digest("--seed 43")];
    for (at, one) in digests.iter().enumerate() {
        assert!(digests.iter().skip(at + 1).all(|other| other != one), "{digests:?}");
    }
}

#[test]
fn limits_refuse_by_their_name() {
    let folder = tempfile::tempdir().unwrap();
    for (limit, reason) in [("--instance-limit 8", "instance_limit"), ("--gpu-limit 12", "gpu_milli_limit")] {
        let figures = figures(folder.path(), &format!("{SMALL} --store memory: {limit}"));
        let refused = figures["refused"].as_object().unwrap();
        assert!(refused.get(reason).and_then(Value::as_u64) > Some(10), "{refused:?}");
    }
}

#[test]
fn a_finished_replay_is_continued_to_the_same_figures_and_never_with_other_inputs() {
    let folder = tempfile::tempdir().unwrap();
    let first = figures(folder.path(), &format!("{SMALL} --store a.redb"));
    let again = figures(folder.path(), &format!("{SMALL} --store a.redb --resume --concurrency 9"));
    assert_eq!(of_state(&first), of_state(&again));
    assert_eq!(again["operations_per_s"], 0.0, "nothing was left to do");
    for (changed, message) in [
        ("--policy packing", "policy fgd, and now packing"),
        ("--seed 1", "pods "),
        ("--instance-limit 5", "instance limit 1000000, and now 5"),
        ("--gpu-limit 5", "gpu limit none, and now 5"),
    ] {
        let output = replay(folder.path(), &format!("{SMALL} --store a.redb --resume {changed}"));
        let said = String::from_utf8(output.stderr).unwrap();
        let message = format!("error: the replay was begun with other inputs: {message}");
        assert!(output.status.code() == Some(2) && said.contains(&message), "{said}");
    }
    let again = figures(folder.path(), &format!("{SMALL} --store a.redb --resume"));
    assert_eq!(of_state(&first), of_state(&again));
}

#[test]
fn an_unexpected_digest_and_a_foreign_file_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let output = replay(folder.path(), &format!("{SMALL} --store memory: --expect 00"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("error: the digest is "), "{said}");
    assert!(
        String::from_utf8(output.stdout).unwrap().contains("\naudit "),
        "the table is printed all the same"
    );

    std::fs::write(folder.path().join("foreign"), "something else, long enough to be looked at").unwrap();
    let output = replay(folder.path(), &format!("{SMALL} --store foreign --resume"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("error: foreign cannot be opened: "), "{said}");
}

#[test]
fn the_report_and_the_table_tell_what_the_figures_say() {
    let folder = tempfile::tempdir().unwrap();
    let output = replay(folder.path(), &format!("{SMALL} --store memory: --json figures.json"));
    let table = String::from_utf8(output.stdout).unwrap();
    let figures: Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("figures.json")).unwrap()).unwrap();
    let page = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    let digest = figures["digest"].as_str().unwrap();
    assert!(table.contains(digest) && page.contains(digest));
    let peak = format!("{:.1} %", figures["allocation_pct_peak"].as_f64().unwrap());
    assert!(page.contains(&format!("GPU allocation. allocated: at most {peak}")), "{peak}");
    assert!(table.contains("A generated workload, seed 42: 500 pods of 5 users on 40 nodes"), "{table}");
}
