//! Killed at any moment and resumed, a replay ends as if nothing had happened.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use apportion_throwaway_postgres::ThrowawayPostgres;
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use serde_json::Value;

/// Kills in all; each round ends with a run that is left alone.
const KILLS: usize = 12;
const KILLS_A_ROUND: usize = 4;

/// What is killed: replays on stores of one kind, each on one of its own.
struct Killed<'a> {
    folder: &'a Path,
    kind: Kind,
}

enum Kind {
    /// Files, of this scheme.
    Files(&'static str),
    /// Schemas of a server's database.
    Schemas(ThrowawayPostgres),
}

impl Killed<'_> {
    /// The arguments that name a store, and whether there is something to continue.
    fn store(&self, name: &str) -> (Vec<String>, bool) {
        match &self.kind {
            Kind::Files(scheme) => {
                let there = self.folder.join(name).exists();
                (vec!["--store".into(), format!("{scheme}:{name}")], there)
            }
            Kind::Schemas(server) => {
                let tells = |question: &str| server.psql(question).unwrap() == "t";
                let there = tells(&format!("SELECT to_regclass('{name}.replay_inputs') IS NOT NULL"))
                    && tells(&format!("SELECT EXISTS (SELECT FROM {name}.replay_inputs)"));
                (vec!["--store".into(), server.url(), "--schema".into(), name.into()], there)
            }
        }
    }

    fn start(&self, name: &str) -> Child {
        let (store, there) = self.store(name);
        let size = "--nodes-count 40 --pods-count 700 --users 5 --concurrency 8 --json figures.json";
        let mut command = Command::new(env!("CARGO_BIN_EXE_replay"));
        command.current_dir(self.folder).args(size.split(' ')).args(store);
        command.args(there.then_some("--resume")).stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Runs to the end, and answers what depends on the state.
    fn finish(&self, name: &str) -> Value {
        let output = self.start(name).wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut figures: Value =
            serde_json::from_slice(&std::fs::read(self.folder.join("figures.json")).unwrap()).unwrap();
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
}

#[expect(
    clippy::disallowed_methods,
    reason = "the moments of the kills are spread over the time that a run takes"
)]
fn ends_in_the_state_of_one_that_was_not_killed(kind: Kind) {
    let folder = tempfile::tempdir().unwrap();
    let killed = Killed { folder: folder.path(), kind };
    let began = Instant::now();
    let whole = killed.finish("whole");
    let took = began.elapsed();
    assert!(
        whole
            .get("refused")
            .and_then(Value::as_object)
            .unwrap()
            .values()
            .filter_map(Value::as_u64)
            .sum::<u64>()
            > 0
    );
    let seed = std::process::id().into();
    let mut random = Pcg64::seed_from_u64(seed);
    let mut kills = 0;
    for round in 0.. {
        let name = format!("killed_{round}");
        for _ in 0..KILLS_A_ROUND {
            let mut child = killed.start(&name);
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
        assert_eq!(killed.finish(&name), whole, "seed {seed}, after {kills} kills");
        if kills >= KILLS {
            break;
        }
    }
}

#[test]
fn killed_again_and_again_on_redb_a_replay_ends_in_the_state_of_one_that_was_not() {
    ends_in_the_state_of_one_that_was_not_killed(Kind::Files("redb"));
}

#[test]
fn killed_again_and_again_on_sqlite_a_replay_ends_in_the_state_of_one_that_was_not() {
    ends_in_the_state_of_one_that_was_not_killed(Kind::Files("sqlite"));
}

#[test]
fn killed_again_and_again_on_postgres_a_replay_ends_in_the_state_of_one_that_was_not() {
    ends_in_the_state_of_one_that_was_not_killed(Kind::Schemas(ThrowawayPostgres::start().unwrap()));
}
