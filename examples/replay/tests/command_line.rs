//! The program as a user meets it: what it prints, what it writes, and how it ends.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::process::{Command, Output};

const NODES: &str =
    "sn,cpu_milli,memory_mib,gpu,model\nn1,96000,393216,8,G2\nn2,104000,524288,2,T4\nn3,32000,65536,0,\n";
const PODS: &str = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\np1,4000,8192,1,500,\np2,8000,8192,1,1000,T4\np3,8000,8192,4,1000,\np4,1000,1024,0,0,\n";

fn replay(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_replay")).current_dir(folder).args(arguments).output().unwrap()
}

/// A folder with a cluster and a workload.
fn folder(nodes: &str, pods: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("nodes.csv"), nodes).unwrap();
    std::fs::write(folder.path().join("openb_pod_list_mine.csv"), pods).unwrap();
    folder
}

const FILES: [&str; 4] = ["--nodes", "nodes.csv", "--pods", "openb_pod_list_mine.csv"];

#[track_caller]
fn refuses(folder: &Path, arguments: &[&str], message: &str) {
    let before = std::fs::read_dir(folder).unwrap().count();
    let output = replay(folder, arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(message), "{said}");
    assert!(output.stdout.is_empty());
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), before, "something was written");
}

#[test]
fn bad_input_ends_with_2_a_message_and_nothing_written() {
    let cases = [
        (NODES, "name,cpu_milli\n", "error: openb_pod_list_mine.csv: line 1: column memory_mib is missing"),
        (
            "sn,cpu_milli,memory_mib,gpu,model\nn,-1,1,0,\n",
            PODS,
            "error: nodes.csv: line 2: column cpu_milli: `-1` is negative",
        ),
        (
            "sn,cpu_milli,memory_mib,gpu,model\nn,1,1,1,G2\n",
            PODS,
            "error: openb_pod_list_mine.csv: line 3: column gpu_spec: no node has a GPU of model `T4`; known are G2",
        ),
    ];
    for (nodes, pods, message) in cases {
        let folder = folder(nodes, pods);
        refuses(folder.path(), &FILES, message);
        refuses(folder.path(), &[&["inflate"], &FILES[..], &["--json", "out.json"]].concat(), message);
    }
}

#[test]
fn a_file_that_is_not_there_ends_with_2() {
    let folder = folder(NODES, PODS);
    refuses(
        folder.path(),
        &["--nodes", "none.csv", "--pods", "none.csv"],
        "error: none.csv: cannot be read: ",
    );
    let published = [&["inflate"], &FILES[..], &["--published", "none.csv"]].concat();
    refuses(folder.path(), &published, "error: none.csv: cannot be read: ");
}

#[test]
fn a_store_that_is_there_is_not_replayed_over() {
    let folder = folder(NODES, PODS);
    std::fs::write(folder.path().join("replay.redb"), "precious").unwrap();
    refuses(folder.path(), &FILES, "error: replay.redb is there already: continue it with --resume");
    assert_eq!(std::fs::read_to_string(folder.path().join("replay.redb")).unwrap(), "precious");
}

#[test]
fn the_experiment_needs_a_gpu_to_fill() {
    let folder = folder(
        "sn,cpu_milli,memory_mib,gpu,model\nn,1,1,0,\n",
        "name,cpu_milli,memory_mib,num_gpu,gpu_milli\np,1,1,0,0\n",
    );
    refuses(folder.path(), &[&["inflate"], &FILES[..]].concat(), "error: no node has a GPU");
}

#[test]
fn the_experiment_prints_a_table_and_writes_its_runs() {
    let folder = folder(NODES, PODS);
    let published = "metric,trace,policy,arrived_pct,mean\nalloc_pct,mine,06-FGD,100,80\n";
    std::fs::write(folder.path().join("published.csv"), published).unwrap();
    let rest = [
        "--seeds",
        "3",
        "--policy",
        "fgd",
        "--policy",
        "random",
        "--json",
        "runs.json",
        "--published",
        "published.csv",
    ];
    let output = replay(folder.path(), &[&["inflate"], &FILES[..], &rest].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("\nmine   random  ") && table.contains("\nmine   fgd  "), "{table}");
    assert!(table.contains("\nallocation at 100 %: "), "{table}");
    let runs: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("runs.json")).unwrap()).unwrap();
    assert_eq!(runs.as_array().unwrap().len(), 6);
    assert_eq!(
        (&runs[5]["trace"], &runs[5]["policy"], &runs[5]["seed"]),
        (&"mine".into(), &"fgd".into(), &44.into())
    );
    for name in ["alloc_pct_100", "alloc_pct_130", "frag_ratio_pct_50", "unplaced", "decisions_per_s"] {
        assert!(runs[5][name].is_number(), "{name}");
    }
}

const JOBS: &str =
    "job_id,arrival_s,duration_s,num_gpus,mode,model\na,0,100,1,static,m\nb,10,50,2,gns,m\nc,20,30,1,gns,m\n";

#[test]
fn the_queue_prints_a_table_of_its_policies_and_writes_their_figures() {
    let folder = folder(NODES, PODS);
    std::fs::write(folder.path().join("jobs.csv"), JOBS).unwrap();
    let cluster = ["queue", "--jobs", "jobs.csv", "--gpus", "2", "--per-node", "2", "--gangs", "one-node"];
    let rest = ["--policy", "fifo", "--policy", "balanced", "--json", "queue.json"];
    let output = replay(folder.path(), &[&cluster[..], &rest].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("\nfifo  ") && table.contains("\nbalanced (default)  "), "{table}");
    assert!(table.contains("\ntrace jobs: 3 jobs on 2 GPUs, 2 a node"), "{table}");
    let figures: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("queue.json")).unwrap()).unwrap();
    assert_eq!((&figures["least_makespan_s"], &figures["trace"]), (&115.into(), &"trace jobs".into()));
    let fifo = &figures["policies"][0];
    assert_eq!((&fifo["policy"], &fifo["makespan_s"]), (&"fifo".into(), &180.into()));
    for name in ["completion_mean_s", "completion_p99_s", "worst_rho", "utilisation_pct", "preemptions"] {
        assert!(fifo[name].is_number(), "{name}");
    }
}

#[test]
fn jobs_that_cannot_be_replayed_end_with_2_and_nothing_written() {
    let folder = folder(NODES, PODS);
    std::fs::write(folder.path().join("jobs.csv"), JOBS).unwrap();
    let small = ["queue", "--jobs", "jobs.csv", "--gpus", "1", "--json", "queue.json"];
    refuses(folder.path(), &small, "error: job b needs 2 GPUs, and can have at most 1");
    std::fs::write(folder.path().join("jobs.csv"), "job_id,arrival_s\n").unwrap();
    refuses(folder.path(), &["queue", "--jobs", "jobs.csv"], "line 1: column duration_s is missing");
}
