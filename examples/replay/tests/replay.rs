//! The replay end to end: the same state however it is carried out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::process::{Command, Output};

use apportion_throwaway_postgres::{Options, ThrowawayPostgres};
use serde_json::Value;
use sqlx_core::connection::{ConnectOptions as _, Connection as _};
use sqlx_core::executor::Executor as _;
use sqlx_sqlite::SqliteConnectOptions;

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
        "--store sqlite:a.sqlite --concurrency 64",
        "--store sqlite:b.sqlite --concurrency 7 --durability process-crash",
    ] {
        assert_eq!(at(rest), first, "{rest}");
    }
    assert!(folder.path().join("a.redb").exists());
}

/// A server for this test, or what it says that it lacks.
fn server() -> ThrowawayPostgres {
    ThrowawayPostgres::start_with(&Options::new().password("a-very-secret-word")).unwrap()
}

#[test]
fn on_postgres_a_replay_ends_as_on_every_store_and_is_continued_on_demand() {
    let (folder, server) = (tempfile::tempdir().unwrap(), server());
    let at = |rest: &str| of_state(&figures(folder.path(), &format!("{SMALL} {rest}")));
    let first = at("--store memory:");
    let store = format!("--store {}", server.url());
    let on_postgres = figures(folder.path(), &format!("{SMALL} {store} --concurrency 32"));
    assert_eq!(of_state(&on_postgres), first);
    assert!(on_postgres["store_bytes"].as_u64() > Some(100_000), "{on_postgres}");
    assert!(on_postgres["syncs"].as_u64() > Some(0), "{on_postgres}");
    assert_eq!(at(&format!("{store} --schema other --concurrency 1")), first);

    let again = figures(folder.path(), &format!("{SMALL} {store} --resume"));
    assert_eq!((of_state(&again), &again["operations_per_s"]), (first, &0.0.into()));
    for (line, message) in [
        (SMALL, "error: schema replay holds a replay already: continue it with --resume, or name another"),
        (&format!("{SMALL} --schema none --resume"), "error: schema none holds no replay: there is nothing"),
        (&format!("{SMALL} --seed 1 --resume"), "error: the replay was begun with other inputs: pods "),
    ] {
        let output = replay(folder.path(), &format!("{line} {store}"));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && said.contains(message), "{said}");
    }
    let there = server.psql("SELECT to_regnamespace('none') IS NULL").unwrap();
    assert_eq!(there, "t", "where there was nothing to continue, nothing was made");
    let page = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(page.contains("kept in Postgres") && !page.contains("a-very-secret-word"));
}

#[test]
fn a_password_is_never_printed() {
    let (folder, secret) = (tempfile::tempdir().unwrap(), "a-very-secret-word");
    let server = ThrowawayPostgres::start_with(&Options::new().password("another")).unwrap();
    let port = server.port();
    for (store, code) in [
        (format!("postgres://postgres:{secret}@127.0.0.1:{port}/postgres"), 1),
        (format!("postgres://postgres@127.0.0.1:{port}/postgres?password={secret}"), 1),
        (format!("POSTGRES://postgres:{secret}@127.0.0.1:1/postgres"), 1),
        (format!("postgres://postgres:{secret}@127.0.0.1:port/postgres"), 1),
        (format!("postgres:postgres:{secret}"), 1),
        (format!("mysql://postgres:{secret}@127.0.0.1/postgres"), 2),
        (format!("postgres://postgres:{secret}@127.0.0.1/postgres --durability full"), 2),
        (format!("postgres://postgres:{secret}@127.0.0.1/postgres --schema ?"), 2),
    ] {
        let output = replay(folder.path(), &format!("{SMALL} --store {store}"));
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap()).concat();
        assert!(output.status.code() == Some(code) && !said.contains(secret), "{store}: {said}");
        assert!(said.starts_with("error: "), "{store}: {said}");
    }
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
        ("--policy packing", "policy opportunity-cost, and now packing"),
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

/// A file of another program's, made by these statements.
fn foreign_sqlite(path: &Path, sql: &'static str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let mut connection = options.connect().await.unwrap();
        connection.execute(sql).await.unwrap();
        connection.close().await.unwrap();
    });
}

#[test]
fn the_sqlite_file_of_another_program_is_not_continued_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    for (name, sql) in [
        ("plain", "CREATE TABLE songs (name TEXT); INSERT INTO songs VALUES ('a')"),
        (
            "logged",
            "PRAGMA journal_mode = WAL; CREATE TABLE songs (name TEXT); INSERT INTO songs VALUES ('a')",
        ),
    ] {
        let path = folder.path().join(name);
        foreign_sqlite(&path, sql);
        let before = std::fs::read(&path).unwrap();
        let output = replay(folder.path(), &format!("{SMALL} --store sqlite:{name} --resume"));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("error: the store holds something else than a replay"), "{said}");
        assert!(std::fs::read(&path).unwrap() == before, "{name} was changed");
    }
}

#[test]
fn a_replay_that_was_killed_before_it_had_made_a_table_is_begun() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("empty"), "").unwrap();
    let begun = figures(folder.path(), &format!("{SMALL} --store sqlite:empty --resume"));
    assert_eq!(begun["audit_drift"], 0);
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

const NODES: &str =
    "sn,cpu_milli,memory_mib,gpu,model\nn1,96000,393216,8,G2\nn2,104000,524288,2,T4\nn3,32000,65536,0,\n";
const PODS: &str = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,creation_time,deletion_time
p1,4000,8192,1,500,,10,90
p2,8000,8192,1,1000,T4,20,
a b,1000,1024,0,0,,30,80
p3,8000,8192,4,1000,,40,
p4,1000,600000,0,0,,50,70
p5,1000,1024,8,1000,G2,60,95
p6,1000,1024,8,1000,,97,
";

#[test]
fn files_are_replayed_with_every_pod_accounted_for_and_resumed_by_the_same_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("nodes.csv"), NODES).unwrap();
    std::fs::write(folder.path().join("pods.csv"), PODS).unwrap();
    let line = "--nodes nodes.csv --pods pods.csv --users 2";
    let first = figures(folder.path(), line);
    let refused = serde_json::json!({"gpu": 2, "invalid": 1, "memory": 1});
    assert_eq!((&first["pods"], &first["launched"], &first["refused"]), (&7.into(), &3.into(), &refused));
    // 5.5 of 10 GPUs while p1, p2 and p3 run; p1 ends at second 90, and the last thing that happens is at 97.
    assert_eq!(first["allocation_pct_peak"], 55.0);
    let mean = (5.0 * 10.0 + 15.0 * 20.0 + 55.0 * 50.0 + 50.0 * 7.0) / 87.0;
    assert!((first["allocation_pct_mean"].as_f64().unwrap() - mean).abs() < 1e-9, "{first}");
    assert_eq!(of_state(&figures(folder.path(), &format!("{line} --resume"))), of_state(&first));
    let page = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    for part in [
        "<span>too little memory free</span><b>1</b>",
        "n2: 1.5 of 2 GPUs",
        "n1: 4 of 8 GPUs",
        "n2: 1 of 2 GPUs",
    ] {
        assert!(page.contains(part), "{part}");
    }
}
