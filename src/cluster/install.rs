//! `manyhands install`: puts the running program where another container starts it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

/// What a worker is started as.
const NAME: &str = "worker";
/// As long as it is not whole.
const PART: &str = ".worker.part";

#[derive(clap::Args)]
pub struct Options {
    /// A folder that is there
    #[arg(long)]
    to: PathBuf,
}

/// Copies this program; one that is there already is replaced as a whole.
///
/// # Errors
/// When it cannot be read, or not be written there.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let program = std::env::current_exe().context("cannot find the own program")?;
    let (part, whole) = (options.to.join(PART), options.to.join(NAME));
    let written = || format!("cannot write {}", whole.display());
    // One that a worker runs cannot be written to, and one that is being written cannot be run.
    fs::copy(&program, &part).with_context(written)?;
    fs::set_permissions(&part, fs::Permissions::from_mode(0o555)).with_context(written)?;
    fs::rename(&part, &whole).with_context(written)?;
    Ok(ExitCode::SUCCESS)
}
