//! Programs of servers, started where commands run and with what they inherit.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tools::offspring::Mark;
use types::mcp::McpProgram;

use crate::services::program::Program;

/// The variable by which what a server has started is found.
const MARK: &str = "MANYHANDS_MCP";

#[derive(Clone)]
pub(super) struct Starter {
    /// Where programs start that are not told.
    default_cwd: PathBuf,
    kin: (String, String),
}

impl Starter {
    /// `kin`: the variable by which a later worker finds what this one could not end.
    pub fn new(default_cwd: PathBuf, kin: (String, String)) -> Self {
        Self { default_cwd, kin }
    }

    /// # Errors
    /// When the system does not start it.
    pub fn start(&self, program: &McpProgram, complaints: Stdio) -> io::Result<Program> {
        let mut command = Command::new(&program.command);
        command
            .args(&program.args)
            .current_dir(program.cwd.as_deref().map_or(self.default_cwd.as_path(), Path::new))
            .env_clear()
            .envs(child_environment::inherited())
            .envs(&program.env)
            .env(&self.kin.0, &self.kin.1);
        Program::start(command, Mark::unique(MARK), complaints)
    }
}

/// The system's own words may hold what was to be started.
pub(super) fn why_not(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "The program or its folder was not found.",
        io::ErrorKind::PermissionDenied => "The program may not be started.",
        _ => "The program cannot be started.",
    }
}
