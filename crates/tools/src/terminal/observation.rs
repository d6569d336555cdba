//! The terminal's answers, in the form clients know.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Map, Value, json};

use crate::observation::Observation;
use crate::open::{self, Symlink};

const HOW_TO_GO_ON: &str = "The command is still running. Send an empty `command` to wait for more output; with \
`is_input` true, send text to it, or C-c to stop it, C-d to end its input, C-z to suspend it. With `timeout` the \
call waits longer.";

const PREVIOUS: &str = "[Below is the output of the previous command.]\n";

/// Bytes of a table of users.
const LONGEST_TABLE: u64 = 1 << 20;

/// How a call ended.
pub enum Outcome {
    Completed { exit_code: i32, place: Option<Whereabouts> },
    Silent { seconds: f64 },
    TimedOut { seconds: f64 },
    Busy,
}

/// Where the shell stands afterwards.
pub struct Whereabouts {
    pub directory: String,
    pub python: String,
}

/// What every answer of a terminal has in common.
pub struct Frame {
    pub command: String,
    pub observations: PathBuf,
    /// Whether the text belongs to a command begun by an earlier call.
    pub continues: bool,
    /// Said before the text.
    pub prefix: String,
    /// Said with the exit code.
    pub note: String,
}

impl Frame {
    pub fn new(command: String, observations: &Path) -> Self {
        Self {
            command,
            observations: observations.to_owned(),
            continues: false,
            prefix: String::new(),
            note: String::new(),
        }
    }

    pub fn answer(&self, outcome: Outcome, text: String) -> Observation {
        let mut prefix = self.prefix.clone();
        let unfinished = !matches!(outcome, Outcome::Completed { .. });
        if self.continues && unfinished {
            prefix.push_str(PREVIOUS);
        }
        let is_error = matches!(outcome, Outcome::Busy);
        let (exit_code, place, suffix) = match outcome {
            Outcome::Completed { exit_code, place } => (
                exit_code,
                place,
                format!("\n[The command completed with exit code {exit_code}.{}]", self.note),
            ),
            Outcome::Silent { seconds } => (
                -1,
                None,
                format!("\n[The command has no new output after {seconds} seconds. {HOW_TO_GO_ON}]"),
            ),
            Outcome::TimedOut { seconds } => {
                (-1, None, format!("\n[The command timed out after {seconds:?} seconds. {HOW_TO_GO_ON}]"))
            }
            Outcome::Busy => (-1, None, self.refusal()),
        };
        let metadata = metadata(exit_code, place, &prefix, &suffix);
        self.observation(text, is_error, Some(exit_code), metadata)
    }

    pub fn error(&self, text: &str) -> Observation {
        self.observation(text.to_owned(), true, None, metadata(-1, None, "", ""))
    }

    pub fn reset_done(&self) -> Observation {
        let text = "The terminal has been reset: a new shell starts in the working directory, without the \
            variables, functions and jobs of the old one.";
        self.observation(text.to_owned(), false, Some(0), metadata(-1, None, "", ""))
    }

    fn refusal(&self) -> String {
        format!(
            "\n[Your command \"{}\" is NOT executed. The previous command has not ended yet, and the terminal \
             runs one command at a time. {HOW_TO_GO_ON}]",
            self.command
        )
    }

    fn observation(
        &self,
        text: String,
        is_error: bool,
        exit_code: Option<i32>,
        metadata: Value,
    ) -> Observation {
        // Where there is no output there is none to save: the peer leaves the field out then.
        let saves = (!text.is_empty()).then(|| self.observations.to_string_lossy());
        Observation { is_error, ..Observation::text(text) }
            .with("command", Some(&self.command))
            .with("exit_code", exit_code)
            .with("timeout", Some(false))
            .with("metadata", Some(metadata))
            .with("full_output_save_dir", saves)
    }
}

fn metadata(exit_code: i32, place: Option<Whereabouts>, prefix: &str, suffix: &str) -> Value {
    let mut fields = Map::new();
    fields.insert("exit_code".to_owned(), json!(exit_code));
    fields.insert("pid".to_owned(), json!(-1));
    if let Some(place) = place {
        let (user, host) = identity();
        fields.insert("username".to_owned(), json!(user));
        fields.insert("hostname".to_owned(), json!(host));
        fields.insert("working_dir".to_owned(), json!(place.directory));
        fields.insert("py_interpreter_path".to_owned(), json!(place.python));
    }
    fields.insert("prefix".to_owned(), json!(prefix));
    fields.insert("suffix".to_owned(), json!(suffix));
    Value::Object(fields)
}

/// User and host, as they were at the first use.
fn identity() -> &'static (String, String) {
    static IDENTITY: OnceLock<(String, String)> = OnceLock::new();
    IDENTITY.get_or_init(|| {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        (user_name(), host.trim().to_owned())
    })
}

/// By a table that belongs to the agent, where it is a container's.
fn user_name() -> String {
    let id = rustix::process::geteuid().as_raw().to_string();
    let users = open::content(Path::new("/etc/passwd"), Symlink::Follow, LONGEST_TABLE).unwrap_or_default();
    let users = String::from_utf8_lossy(&users);
    let mut users = users.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id).then(|| name.to_owned())
    });
    users.next().unwrap_or(id)
}
