//! Eight processes with one database, each with a store of its own, that race round after round for what there is not
//! enough of. Included by the tests of the backends.
//!
//! The test starts its own program again as the children. They speak in lines: the parent names the contest and its
//! rows, a child says that it has its batches ready, all are let go at once, and each tells what its callers were
//! answered. A child whose parent has gone reads the end of its input, and ends.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod contest;
mod referee;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use apportion::id::{IdSource, TimeOrderedIds};
use apportion::store::Store;
use apportion::time::{Clock, SystemClock};
use tokio::runtime::Runtime;

pub(crate) use contest::TABLES;
use contest::{Contest, Told, callers, run};
use referee::Referee;

/// How many processes race.
const PROCESSES: usize = 8;
/// How many rounds each contest has.
const ROUNDS: usize = 100;
const CHILD: &str = "APPORTION_RACE_CHILD";

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

fn ids() -> Arc<dyn IdSource> {
    Arc::new(TimeOrderedIds::new(clock()))
}

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Where this process is one of the children: what the parent gave it to open.
pub(crate) fn address() -> Option<String> {
    std::env::var(CHILD).ok().and_then(|told| Some(told.split_once(' ')?.1.to_owned()))
}

/// Races as one of the children.
pub(crate) fn be_a_child(runtime: &Runtime, store: &Arc<dyn Store>) {
    let number = std::env::var(CHILD).unwrap().split_once(' ').unwrap().0.parse().unwrap();
    let ids = ids();
    say("open");
    let mut lines = std::io::stdin().lines().map(Result::unwrap);
    while let Some(line) = lines.next() {
        let mut words = line.split(' ');
        let contest = Contest::named(words.next().unwrap());
        let rows: Vec<_> = words.map(|word| word.parse().unwrap()).collect();
        let callers = callers(contest, number, &rows, &*ids);
        say("ready");
        if lines.next().as_deref() != Some("go") {
            return;
        }
        let told = runtime.block_on(run(store, callers));
        let told: Vec<String> = told.iter().map(ToString::to_string).collect();
        say(&told.join(";"));
    }
    runtime.block_on(store.close()).unwrap();
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

/// One of the children, as the parent sees it.
struct Racer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Racer {
    fn start(number: usize, address: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(CHILD, format!("{number} {address}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, output: BufReader::new(output) }
    }

    fn tell(&mut self, line: &str) {
        self.input.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "a process ended in the middle of a race");
        line.trim_end().to_owned()
    }
}

/// Has the children race for everything, and checks each round. `name` is for the figures.
pub(crate) fn race(runtime: &Runtime, name: &str, address: &str, store: &Arc<dyn Store>) {
    let mut racers: Vec<_> = (0..PROCESSES).map(|number| Racer::start(number, address)).collect();
    for racer in &mut racers {
        assert_eq!(racer.hear(), "open");
    }
    let mut referee = Referee::new(Arc::clone(store), ids());
    for contest in Contest::ALL {
        let (clock, mut won, mut lost) = (clock(), 0, 0);
        let began = clock.monotonic();
        for _ in 0..ROUNDS {
            let rows = runtime.block_on(referee.prepare(contest));
            let named: Vec<String> = rows.iter().map(ToString::to_string).collect();
            for racer in &mut racers {
                racer.tell(&format!("{} {}", contest.name(), named.join(" ")));
            }
            for racer in &mut racers {
                assert_eq!(racer.hear(), "ready");
            }
            for racer in &mut racers {
                racer.tell("go");
            }
            let told: Vec<Vec<Told>> =
                racers.iter_mut().map(|racer| racer.hear().split(';').map(Told::read).collect()).collect();
            let winners = runtime.block_on(referee.judge(contest, &rows, &told));
            won += winners;
            lost += told.iter().flatten().flat_map(|told| &told.refusals).count();
        }
        let took = clock.monotonic().saturating_sub(began);
        println!("{name}, {}: {ROUNDS} rounds, {won} won, {lost} refusals, {took:?}", contest.name());
    }
    for mut racer in racers {
        drop(racer.input);
        assert!(racer.child.wait().unwrap().success());
    }
    runtime.block_on(referee.recount());
}
