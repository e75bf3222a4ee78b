//! `node-agent inventory` prints what the machine is.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use node_agent::machine::{InventorySource, Machine, RealInventory, StaticInventory};

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
        /// A file that tells the machine, in place of the machine.
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
        /// The folder in which instances are kept: its disk is the one that is told.
        #[arg(long, value_name = "FOLDER", default_value = "/")]
        state: PathBuf,
        /// Print JSON, as `--from` reads it.
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
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

fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let Command::Inventory { from, state, json } = arguments.command;
    let source: Box<dyn InventorySource> = match from {
        Some(file) => Box::new(StaticInventory::from_file(&file)?),
        None => Box::new(RealInventory::new(state)),
    };
    let machine = source.read()?;
    let text = if json { serde_json::to_string_pretty(&machine)? + "\n" } else { table(&machine) };
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

fn table(machine: &Machine) -> String {
    let rows = machine.table();
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}
