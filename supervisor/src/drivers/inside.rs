//! What a worker finds in a container, whoever makes it.

/// Where the volume with the worker's program is.
pub const PROGRAM_FOLDER: &str = "/manyhands";
/// The program, in a container.
pub const PROGRAM: &str = "/manyhands/worker";

/// What a worker needs to run commands as another user, to end them, and to make files theirs.
pub const CAPABILITIES: [&str; 6] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID"];

/// Absolute, inside the container.
#[derive(Clone, Debug)]
pub struct Paths {
    /// Where the sandbox's volume is.
    pub workspace: String,
    /// In the volume: where commands without a working directory run.
    pub project: String,
    /// In the volume: the worker's own files.
    pub state: String,
    /// The commands' home, in memory.
    pub home: String,
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            workspace: "/workspace".to_owned(),
            project: "/workspace/project".to_owned(),
            state: "/workspace/.manyhands".to_owned(),
            home: "/home/agent".to_owned(),
        }
    }
}
