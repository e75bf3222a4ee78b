//! `replay`: a GPU cluster's workload through the whole durable control plane, with a report.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use replay::cli::{Cli, Command};
use replay::error::AppError;
use replay::{inflate_cli, input};

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to tell where even this cannot be written.
            let _ = writeln!(std::io::stderr(), "error: {}", error.report());
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(cli: &Cli) -> Result<(), AppError> {
    let table = match &cli.command {
        Some(Command::Inflate(args)) => inflate_cli::run(args)?,
        None => {
            let _input = input::prepare(&cli.replay)?;
            return Err(AppError::NotBuilt);
        }
    };
    std::io::stdout().write_all(table.as_bytes())?;
    Ok(())
}
