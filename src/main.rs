//! `manyhands`: the one binary. Each subcommand has a file of its own.

mod banner;
mod catalogue;
mod doctor;
mod environment;
mod in_process;
#[cfg(feature = "cluster")]
mod init;
mod observe;
mod serve;
mod settings;

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
    /// Makes the keys of a cluster, once.
    #[cfg(feature = "cluster")]
    Init(init::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let settings = environment::take().and_then(settings::Settings::load);
    let settings = match settings {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("manyhands: {error:#}");
            return ExitCode::from(BAD_SETTINGS);
        }
    };
    let outcome = match arguments.command.unwrap_or(Command::Serve(arguments.serve)) {
        Command::Serve(arguments) => serve::run(arguments, settings),
        Command::Doctor(arguments) => doctor::run(arguments, settings),
        #[cfg(feature = "cluster")]
        Command::Init(arguments) => init::run(&arguments, &settings),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("manyhands: {error:#}");
        ExitCode::FAILURE
    })
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
