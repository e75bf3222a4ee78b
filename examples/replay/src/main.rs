//! `replay`: a GPU cluster's workload through the whole durable control plane, with a report.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use replay::cli::{Cli, Command};
use replay::error::AppError;
use replay::{inflate_cli, queue_cli, run};

fn main() -> ExitCode {
    match carry_out(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to tell where even this cannot be written.
            let _ = writeln!(std::io::stderr(), "error: {}", error.report());
            ExitCode::from(error.exit_code())
        }
    }
}

fn carry_out(cli: &Cli) -> Result<(), AppError> {
    let mut out = std::io::stdout();
    match &cli.command {
        Some(Command::Inflate(args)) => out.write_all(inflate_cli::run(args)?.as_bytes())?,
        Some(Command::Queue(args)) => out.write_all(queue_cli::run(args)?.as_bytes())?,
        None => {
            let finished = run::run(&cli.replay)?;
            out.write_all(finished.table.as_bytes())?;
            finished.verdict?;
        }
    }
    Ok(())
}
