//! Running the git program.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use ports::rpc::Fault;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process::Command;
use tokio::time::timeout;
use tools::hands;

use super::super::fault::bad_request;

const PATIENCE: Duration = Duration::from_secs(30);
/// No answer can hold more.
pub(crate) const LONGEST_OUTPUT: u64 = 8 * 1024 * 1024;
const LONGEST_COMPLAINT: u64 = 8 * 1024;

/// Git is an ordinary program for the user's settings, and reads none of them for a repository.
const WITHOUT_SETTINGS: [(&str, &str); 5] = [
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_ATTR_NOSYSTEM", "1"),
    // An object that is missing is not fetched: that would take programs that a remote names.
    ("GIT_NO_LAZY_FETCH", "1"),
    ("GIT_ALLOW_PROTOCOL", "none"),
];

/// One call of git: no pager, no prompt, no locks, no hooks.
pub(crate) struct Git {
    command: Command,
    shown: String,
    input: Vec<u8>,
    patience: Duration,
    longest: u64,
    file: Option<std::fs::File>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("Git command failed: {command}: {complaint}")]
    Refused { command: String, complaint: String },
    #[error("Git command took too long: {0}")]
    TimedOut(String),
    #[error("Git command printed too much: {0}")]
    TooLong(String),
    #[error("git cannot be run: {0}")]
    Unusable(#[from] io::Error),
    #[error("the repository cannot be read: {0}")]
    Unreadable(io::Error),
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        match &failure {
            Failure::Unusable(error) if !is_callers(error) => Self::internal(failure),
            Failure::Unusable(_)
            | Failure::Unreadable(_)
            | Failure::Refused { .. }
            | Failure::TimedOut(_)
            | Failure::TooLong(_) => bad_request(failure.to_string()),
        }
    }
}

/// Whether git was not started because of what it was asked: a text with NUL, a folder that may not be entered.
fn is_callers(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ArgumentListTooLong, InvalidFilename, InvalidInput, NotADirectory, PermissionDenied,
    };
    matches!(
        error.kind(),
        ArgumentListTooLong | InvalidFilename | InvalidInput | NotADirectory | PermissionDenied
    )
}

impl Git {
    /// With no settings but those of the repository that is named by variables.
    pub(super) fn reading(folder: &Path) -> Self {
        WITHOUT_SETTINGS.into_iter().fold(Self::as_user(folder), |git, (name, value)| git.env(name, value))
    }

    /// To fetch from a repository that somebody has named: without settings, and without credentials but those in its address.
    pub(in super::super) fn fetching(folder: &Path) -> Self {
        Self::reading(folder)
            .env("GIT_ALLOW_PROTOCOL", "https:http:ssh:git:file")
            .env("GIT_ASKPASS", "true")
            .env("SSH_ASKPASS", "true")
            .args(["-c", "credential.helper=", "-c", "core.askPass=", "-c", "http.followRedirects=initial"])
    }

    /// With the user's settings, for what the user would do by hand. Not in a repository that others fill.
    pub(super) fn as_user(folder: &Path) -> Self {
        let mut command = Command::new("git");
        command
            .args([
                "--no-pager",
                "--literal-pathspecs",
                "-c",
                "core.fsmonitor=false",
                "-c",
                "core.quotePath=false",
            ])
            .args(["-c", "core.hooksPath=/dev/null"])
            .current_dir(folder)
            .env_clear()
            .envs(child_environment::inherited().filter(|(name, _)| !is_of_git(name)))
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        hands::lend(command.as_std_mut());
        Self {
            command,
            shown: "git".into(),
            input: Vec::new(),
            patience: PATIENCE,
            longest: LONGEST_OUTPUT,
            file: None,
        }
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        for arg in args {
            self.shown.push(' ');
            self.shown.push_str(&arg.as_ref().to_string_lossy());
            self.command.arg(arg);
        }
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.command.env(name, value.into());
        self
    }

    pub(crate) fn input(mut self, input: Vec<u8>) -> Self {
        self.command.stdin(Stdio::piped());
        self.input = input;
        self
    }

    pub(crate) fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Output of more bytes is a failure.
    pub(crate) fn longest(mut self, longest: u64) -> Self {
        self.longest = longest;
        self
    }

    /// What it prints goes there.
    pub(crate) fn into_file(mut self, file: std::fs::File) -> Self {
        self.file = Some(file);
        self
    }

    /// What it printed.
    pub(crate) async fn output(self) -> Result<Vec<u8>, Failure> {
        let (patience, shown) = (self.patience, self.shown.clone());
        timeout(patience, self.run()).await.unwrap_or(Err(Failure::TimedOut(shown)))
    }

    /// The only line that it printed; `None` if it said no without a complaint.
    pub(crate) async fn line(self) -> Result<Option<String>, Failure> {
        match self.output().await {
            Ok(output) => Ok(Some(String::from_utf8_lossy(&output).trim_end_matches('\n').to_owned())),
            Err(Failure::Refused { complaint, .. }) if complaint.is_empty() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    async fn run(mut self) -> Result<Vec<u8>, Failure> {
        let mut child = self.command.spawn()?;
        let stdin = child.stdin.take();
        let input = self.input;
        let fed = async {
            if let Some(mut stdin) = stdin {
                // A git that does not read on has said why on the other stream.
                let _ = stdin.write_all(&input).await;
            }
        };
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let mut output = Vec::new();
        let copying = async {
            match self.file {
                Some(file) => up_to(stdout, self.longest + 1, &mut tokio::fs::File::from_std(file)).await,
                None => up_to(stdout, self.longest + 1, &mut output).await,
            }
        };
        let mut complaint = Vec::new();
        let complaining = up_to(stderr, LONGEST_COMPLAINT, &mut complaint);
        let ((), length, complained) = tokio::join!(fed, copying, complaining);
        complained?;
        if length? > self.longest {
            return Err(Failure::TooLong(self.shown));
        }
        if child.wait().await?.success() {
            return Ok(output);
        }
        let complaint = String::from_utf8_lossy(&complaint).trim().to_owned();
        Err(Failure::Refused { command: self.shown, complaint })
    }
}

/// Copies at most `most` bytes; for a longer output the pipe is closed.
async fn up_to(
    pipe: Option<impl AsyncRead + Unpin>,
    most: u64,
    to: &mut (impl AsyncWrite + Unpin),
) -> io::Result<u64> {
    let Some(pipe) = pipe else { return Ok(0) };
    let length = tokio::io::copy(&mut pipe.take(most), to).await?;
    to.flush().await?;
    Ok(length)
}

/// The parts of an output with `-z`.
pub(crate) fn parts(output: &[u8]) -> Vec<String> {
    let output = output.strip_suffix(b"\0").unwrap_or(output);
    if output.is_empty() {
        return Vec::new();
    }
    output.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned()).collect()
}

/// Such a variable would lead git elsewhere, or change what it prints.
fn is_of_git(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b"GIT_")
}
