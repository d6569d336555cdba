//! `manyhands`: the one binary. Each subcommand has a file of its own.

mod banner;
mod catalogue;
#[cfg(feature = "cluster")]
mod cluster;
mod doctor;
mod edge;
mod environment;
mod in_process;
mod observe;
mod probe;
mod serve;
mod settings;
mod signals;

use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

use settings::Settings;

/// Exit status for unusable settings, of sysexits.h.
const EX_USAGE: u8 = 64;

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
    /// Asks a server whether it is well, for health checks.
    Probe(probe::Options),
    /// Runs a cluster's edge; any number of them serve the same conversations.
    #[cfg(feature = "cluster")]
    Gateway(serve::Options),
    /// Starts and stops a cluster's workers.
    #[cfg(feature = "cluster")]
    Supervisor,
    /// Lets workers without a network reach NATS.
    #[cfg(feature = "cluster")]
    Door(cluster::door::Options),
    /// Runs one sandbox's worker; the supervisor starts it.
    #[cfg(feature = "cluster")]
    Worker,
    /// Makes the keys of a cluster, once.
    #[cfg(feature = "cluster")]
    Init(cluster::init::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let command = arguments.command.unwrap_or(Command::Serve(arguments.serve));
    let outcome = match command {
        #[cfg(feature = "cluster")]
        Command::Worker => cluster::worker::run(),
        Command::Probe(options) => probe::run(&options),
        command => configured(command),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("manyhands: {error:#}");
        if error.is::<BadSettings>() { ExitCode::from(EX_USAGE) } else { ExitCode::FAILURE }
    })
}

/// Runs a command that is told what to do by the environment.
fn configured(command: Command) -> anyhow::Result<ExitCode> {
    let source = environment::take().and_then(settings::load).context(BadSettings)?;
    let settings = Settings::from_source(&source).context(BadSettings)?;
    #[cfg(feature = "cluster")]
    let in_cluster = |role| cluster::settings::Cluster::from_source(&source, role).context(BadSettings);
    match command {
        Command::Serve(options) => serve::run(options, settings),
        #[cfg(feature = "cluster")]
        Command::Doctor(_) if cluster::settings::is_set(&source) => {
            doctor::run_in_cluster(&settings, &source)
        }
        Command::Doctor(options) => doctor::run(&options, &settings),
        #[cfg(feature = "cluster")]
        Command::Gateway(options) => cluster::gateway::run(&options, settings, &in_cluster("gateway")?),
        #[cfg(feature = "cluster")]
        Command::Supervisor => cluster::supervisor::run(&settings, &in_cluster("supervisor")?),
        #[cfg(feature = "cluster")]
        Command::Init(options) => cluster::init::run(&options, &settings),
        #[cfg(feature = "cluster")]
        Command::Door(options) => cluster::door::run(&options, &settings, &in_cluster("door")?),
        #[cfg(feature = "cluster")]
        Command::Worker => cluster::worker::run(),
        Command::Probe(options) => probe::run(&options),
    }
}

#[derive(Debug)]
struct BadSettings;

impl std::fmt::Display for BadSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the settings cannot be used")
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
