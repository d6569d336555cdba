//! `manyhands`: the one binary. Each subcommand has a file of its own.

mod banner;
mod catalogue;
#[cfg(feature = "cluster")]
mod cluster;
mod doctor;
mod edge;
mod environment;
mod in_process;
mod serve;
mod settings;
mod signals;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Exit status for unusable settings (sysexits.h: EX_USAGE).
const BAD_SETTINGS: u8 = 64;

/// A server for coding agents: conversations, their events, and the workspaces they work in.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Options,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the whole server in this process (what happens without a subcommand).
    Serve(serve::Options),
    /// Checks what the server needs here and says what to do.
    Doctor(serve::Options),
    /// Runs a cluster's edge; any number of them serve the same conversations.
    #[cfg(feature = "cluster")]
    Gateway(serve::Options),
    /// Starts and stops a cluster's workers.
    #[cfg(feature = "cluster")]
    Supervisor,
    /// Runs one sandbox's worker; the supervisor starts it.
    #[cfg(feature = "cluster")]
    Worker,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("manyhands: {error:#}");
            if error.is::<settings::Invalid>() { ExitCode::from(BAD_SETTINGS) } else { ExitCode::FAILURE }
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let command = arguments.command.unwrap_or(Command::Serve(arguments.serve));
    #[cfg(feature = "cluster")]
    if matches!(command, Command::Worker) {
        return cluster::worker::run();
    }
    let source = settings::load(environment::take()?)?;
    let settings = settings::Settings::from_source(&source)?;
    match command {
        Command::Serve(options) => serve::run(options, settings),
        Command::Doctor(options) => doctor::run(options, settings),
        #[cfg(feature = "cluster")]
        Command::Gateway(options) => {
            cluster::gateway::run(&options, &settings, &cluster::settings::Cluster::from_source(&source)?)
        }
        #[cfg(feature = "cluster")]
        Command::Supervisor => {
            cluster::supervisor::run(&settings, &cluster::settings::Cluster::from_source(&source)?)
        }
        #[cfg(feature = "cluster")]
        Command::Worker => cluster::worker::run(),
    }
}

#[cfg(test)]
mod tests {
    use super::Arguments;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_defined() {
        Arguments::command().debug_assert();
    }
}
