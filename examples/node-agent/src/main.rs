//! The agent of a machine: `node-agent run` works for a control plane, `node-agent inventory` says what the machine is, and
//! `node-agent demo` shows both sides in one terminal.

mod demo;
mod hello;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use apportion::ports::PortRanges;
use clap::{Args, Parser, Subcommand};
use node_agent::agent::{Agent, Settings};
use node_agent::control::Remote;
use node_agent::driver::Driver;
use node_agent::driver::process::ProcessDriver;
use node_agent::machine::{InventorySource, Machine, RealInventory, StaticInventory};

/// What something comes to, where it is only told.
type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The agent of a machine of the cloud.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print what this machine is.
    Inventory {
        #[command(flatten)]
        machine: MachineArguments,
        /// Print JSON, as `--from` reads it.
        #[arg(long)]
        json: bool,
    },
    /// Work for a control plane.
    Run(Box<RunArguments>),
    /// Show a control plane and three machines with their agents, one of which is killed.
    Demo,
    /// Be an instance of the demonstration: answer whoever connects to the port in `PORT`.
    #[command(hide = true)]
    Hello,
}

#[derive(Debug, Args)]
struct MachineArguments {
    /// A file that tells the machine, in place of the machine.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// The folder in which instances are kept: its disk is the one that is told.
    #[arg(long, value_name = "FOLDER", default_value = "/")]
    state: PathBuf,
}

#[derive(Debug, Args)]
struct RunArguments {
    #[command(flatten)]
    machine: MachineArguments,
    /// Where the control plane listens, such as control.example.org:7443.
    #[arg(long, value_name = "HOST:PORT")]
    control: String,
    /// The file with the API key of the node's agent.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// How instances are made: process or docker.
    #[arg(long, default_value = "process")]
    driver: String,
    /// The TCP ports that instances may have, such as 63000-63030.
    #[arg(long, value_name = "LOW-HIGH", value_parser = ports)]
    ports: Option<PortRanges>,
    /// Milliseconds between two heartbeats.
    #[arg(long, default_value_t = 10_000)]
    heartbeat_ms: u64,
    /// Milliseconds between two reports.
    #[arg(long, default_value_t = 60_000)]
    report_ms: u64,
    /// Milliseconds between two questions what is to be done.
    #[arg(long, default_value_t = 1_000)]
    poll_ms: u64,
}

fn ports(text: &str) -> Result<PortRanges, String> {
    let (low, high) = text.split_once('-').ok_or("expected LOW-HIGH")?;
    let port = |text: &str| text.parse::<u16>().map_err(|error| format!("{text:?} is no port: {error}"));
    PortRanges::tcp(port(low)?, port(high)?).map_err(|error| error.to_string())
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Inventory { machine, json } => inventory(&machine, json),
        Command::Run(arguments) => run(*arguments).await,
        Command::Demo => demo::run().await,
        Command::Hello => hello::run().await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut cause = Some(&*error as &dyn std::error::Error);
            while let Some(error) = cause {
                eprintln!("{error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn source(machine: &MachineArguments) -> Outcome<Arc<dyn InventorySource>> {
    Ok(match &machine.from {
        Some(file) => Arc::new(StaticInventory::from_file(file)?),
        None => Arc::new(RealInventory::new(machine.state.clone())),
    })
}

fn inventory(machine: &MachineArguments, json: bool) -> Outcome<()> {
    let machine = source(machine)?.read()?;
    let text = if json { serde_json::to_string_pretty(&machine)? + "\n" } else { table(&machine) };
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

fn table(machine: &Machine) -> String {
    let rows = machine.table();
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}

async fn run(arguments: RunArguments) -> Outcome<()> {
    let key = std::fs::read_to_string(&arguments.key)
        .map_err(|error| format!("the key {} cannot be read: {error}", arguments.key.display()))?;
    let driver = driver(&arguments).await?;
    let control = Arc::new(Remote::new(&arguments.control, key.trim()));
    let settings = Settings {
        heartbeat: Duration::from_millis(arguments.heartbeat_ms),
        report: Duration::from_millis(arguments.report_ms),
        poll: Duration::from_millis(arguments.poll_ms),
        ports: arguments.ports.clone(),
        ..Settings::default()
    };
    let agent = Agent::new(control, driver, source(&arguments.machine)?, settings);
    Err(agent.run().await.into())
}

async fn driver(arguments: &RunArguments) -> Outcome<Arc<dyn Driver>> {
    match arguments.driver.as_str() {
        "process" => Ok(Arc::new(ProcessDriver::open(&arguments.machine.state).await?)),
        #[cfg(feature = "docker")]
        "docker" => Ok(Arc::new(node_agent::driver::docker::DockerDriver::connect().await?)),
        other => Err(format!("there is no driver {other:?} in this build").into()),
    }
}
