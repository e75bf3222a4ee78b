//! A worker of a training service: `trainer work` takes runs for a control plane, `trainer train` is what it runs where nothing else is
//! said, and `trainer demo` shows it all in one terminal.

mod demo;

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use trainer::control::Remote;
use trainer::train::{self, Config, INVALID};
use trainer::worker::{Settings, Worker};

/// What something comes to, where it is only told.
type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A worker of a training service.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take runs on this machine, and carry them out.
    Work(WorkArguments),
    /// Train a small layer, as a job says.
    Train(TrainArguments),
    /// Show two users and four GPUs, and a worker that is killed.
    Demo,
}

#[derive(Debug, Args)]
struct WorkArguments {
    /// Where the control plane listens, such as control.example.org:7443.
    #[arg(long, value_name = "HOST:PORT")]
    control: String,
    /// The file with the API key of the node's agent.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The folder that is this worker's alone.
    #[arg(long, value_name = "FOLDER")]
    state: PathBuf,
    /// The folder in which what was trained is put.
    #[arg(long, value_name = "FOLDER")]
    storage: PathBuf,
    /// What the worker is called.
    #[arg(long, default_value = "worker")]
    name: String,
    /// For how many milliseconds a run is the worker's without being renewed.
    #[arg(long, default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(100..=3_600_000))]
    lease_ms: u64,
    /// Milliseconds between two questions what is to be done.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    poll_ms: u64,
    /// For how many milliseconds a program that is to end may go on before it is killed: at most a quarter of the lease.
    #[arg(long, default_value_t = 10_000)]
    grace_ms: u64,
    /// The program that trains, with its arguments; the training of this template where none is named.
    #[arg(last = true)]
    program: Vec<String>,
}

#[derive(Debug, Args)]
struct TrainArguments {
    /// The file with the job, where TRAINER_JOB does not name it.
    #[arg(long, value_name = "FILE")]
    job: Option<PathBuf>,
    /// Where what is learned is written, where TRAINER_OUTPUT does not say it.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Work(arguments) => asynchronously(work(arguments)),
        Command::Demo => asynchronously(demo::run()),
        Command::Train(arguments) => return train(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&*error);
            ExitCode::FAILURE
        }
    }
}

fn asynchronously(work: impl Future<Output = Outcome<()>>) -> Outcome<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

fn complain(error: &(dyn std::error::Error + 'static)) {
    let mut cause = Some(error);
    while let Some(error) = cause {
        eprintln!("{error}");
        cause = error.source();
    }
}

async fn work(arguments: WorkArguments) -> Outcome<()> {
    let key = std::fs::read_to_string(&arguments.key)
        .map_err(|error| format!("the key {} cannot be read: {error}", arguments.key.display()))?;
    let program = if arguments.program.is_empty() { own_training()? } else { arguments.program };
    let [state, storage] = [arguments.state, arguments.storage].map(std::path::absolute);
    let mut settings = Settings::new(arguments.name, state?, storage?, program);
    settings.lease = Duration::from_millis(arguments.lease_ms);
    settings.poll = Duration::from_millis(arguments.poll_ms);
    settings.grace = Duration::from_millis(arguments.grace_ms);
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let until = async move {
        tokio::select! { _ = terminate.recv() => (), _ = interrupt.recv() => () }
    };
    let worker = Worker::open(Remote::new(arguments.control, key.trim()), settings)?;
    Ok(worker.run(until).await?)
}

/// The training of this template, as a program of its own.
fn own_training() -> Outcome<Vec<String>> {
    let program = std::env::current_exe()?;
    let program = program.to_str().ok_or("the path of this program is no text")?;
    Ok(vec![program.to_owned(), "train".to_owned()])
}

fn train(arguments: &TrainArguments) -> ExitCode {
    if std::env::var_os("TRAINER_RUN").is_some() {
        // The worker holds the other end: where that is gone, nobody wants this any more.
        std::thread::spawn(|| {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            std::process::exit(1);
        });
    }
    let path = |argument: &Option<PathBuf>, name| {
        argument.clone().or_else(|| std::env::var_os(name).map(PathBuf::from)).unwrap_or_default()
    };
    let [job, output] = [path(&arguments.job, "TRAINER_JOB"), path(&arguments.output, "TRAINER_OUTPUT")];
    let trained =
        Config::of_job(&job).and_then(|config| train::train(&config, &output, |progress| tell(&progress)));
    match trained {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            if matches!(error, train::Error::Invalid { .. }) { INVALID.into() } else { ExitCode::FAILURE }
        }
    }
}

/// Prints a line of progress, at once.
fn tell(progress: &train::Progress) -> Result<(), train::Error> {
    let mut out = std::io::stdout().lock();
    let written = serde_json::to_vec(progress).map_err(std::io::Error::from);
    written
        .and_then(|line| out.write_all(&[line.as_slice(), b"\n"].concat()))
        .and_then(|()| out.flush())
        .map_err(|source| train::Error::Io { what: "nobody listens".to_owned(), source })
}
