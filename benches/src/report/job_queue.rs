//! A well-known job queue on the same databases, to compare with: apalis, in a process of its own.
//!
//! It is a package outside of the workspace, `benches/apalis`, and is built when it is needed. Where that cannot be done (its
//! dependencies have to be fetched the first time), the report says so and has all the rest.

use std::ffi::OsString;
use std::process::{Child, Command, Output, Stdio};

use benches::server::Server;
use benches::stores::Failed;

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/apalis/Cargo.toml");

/// The comparison, while it is being built.
#[derive(Debug)]
pub(super) struct Building(std::io::Result<Child>);

/// The comparison, built: what runs it.
#[derive(Debug)]
pub(super) struct JobQueue(Command);

/// What it does in a second with one setting.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Jobs {
    /// The database.
    pub(super) store: String,
    /// How many workers it has.
    pub(super) workers: u32,
    /// How many jobs a worker takes at once.
    pub(super) batch: u32,
    /// Jobs that are taken and acknowledged.
    pub(super) per_second: f64,
}

impl JobQueue {
    /// Begins to build it.
    pub(super) fn build() -> Building {
        let mut command = cargo("build");
        Building(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn())
    }

    /// Measures it on a new SQLite file and on a new database of the server.
    pub(super) fn measure(mut self, server: &Server, quick: bool) -> Result<Vec<Jobs>, Failed> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("jobs.sqlite");
        let (jobs, rounds) = if quick { ("200", "1") } else { ("2000", "3") };
        println!("\njobs of apalis, taken and acknowledged, {jobs} in a round\n");
        self.0.arg("--").arg(file).arg(server.fresh_database()?).args([jobs, rounds]);
        let output = self.0.output()?;
        let told = told(&output)?;
        println!("{told}");
        told.lines().map(Jobs::read).collect()
    }
}

impl Building {
    /// Waits until it is built.
    pub(super) fn built(self) -> Result<JobQueue, Failed> {
        told(&self.0?.wait_with_output()?)?;
        Ok(JobQueue(cargo("run")))
    }
}

impl Jobs {
    fn read(line: &str) -> Result<Self, Failed> {
        let fields: Vec<&str> = line.split('\t').collect();
        let &[store, workers, batch, per_second] = fields.as_slice() else {
            return Err(format!("no measurement: {line:?}").into());
        };
        Ok(Self {
            store: store.to_owned(),
            workers: workers.parse()?,
            batch: batch.parse()?,
            per_second: per_second.parse()?,
        })
    }
}

fn cargo(what: &str) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.args([what, "--release", "--locked", "--quiet", "--manifest-path", MANIFEST]);
    command
}

/// What a process said, or why it failed.
fn told(output: &Output) -> Result<String, Failed> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(said.lines().find(|line| !line.trim().is_empty()).unwrap_or("it failed and said nothing").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_setting_and_what_it_does_in_a_second() {
        let read = Jobs::read("SQLite\t4\t100\t1234.5").unwrap();
        assert_eq!(read, Jobs { store: "SQLite".into(), workers: 4, batch: 100, per_second: 1234.5 });
        assert!(Jobs::read("SQLite\t4").is_err());
    }
}
