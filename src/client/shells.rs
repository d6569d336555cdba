//! What shells and readers of manuals want to know of the command line.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Command;
pub use clap_complete::Shell;

/// Prints the completions for a shell.
///
/// # Errors
/// Where nobody reads them.
pub fn completions(shell: Shell, mut command: Command) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "manyhands", &mut script);
    io::stdout().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the manual page: the program, then each of its subcommands.
///
/// # Errors
/// Where nobody reads it.
pub fn manual(mut command: Command) -> anyhow::Result<ExitCode> {
    command.build();
    let mut page = Vec::new();
    let manual = clap_mangen::Man::new(command.clone());
    manual.render(&mut page)?;
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        let name = format!("manyhands {}", subcommand.get_name());
        let manual = clap_mangen::Man::new(subcommand.clone());
        writeln!(page, ".SH {}", name.to_uppercase())?;
        manual.render_description_section(&mut page)?;
        manual.render_options_section(&mut page)?;
        if subcommand.has_subcommands() {
            manual.render_subcommands_section(&mut page)?;
        }
        if subcommand.get_after_help().is_some() || subcommand.get_after_long_help().is_some() {
            manual.render_extra_section(&mut page)?;
        }
    }
    io::stdout().write_all(&page)?;
    Ok(ExitCode::SUCCESS)
}
