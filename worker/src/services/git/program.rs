//! Running the git program, in a process group of its own: what it has started ends with it, and both before who gives it up
//! goes on.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use ports::rpc::{Code, Fault};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use tools::hands;

use super::super::fault::bad_request;

const PATIENCE: Duration = Duration::from_secs(30);
/// No answer can hold more.
pub(crate) const LONGEST_OUTPUT: u64 = 8 * 1024 * 1024;
const LONGEST_COMPLAINT: u64 = 8 * 1024;
/// Programs that were killed are over at once, unless the kernel keeps them.
const DEATH: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(5);

const KILLED: &str = "git was ended before it was done, perhaps for want of memory. Try again later.";

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
    #[error("Git command was ended before it was done: {0}")]
    Killed(String),
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
            Failure::Killed(_) => Self::new(Code::Unavailable, KILLED).caused_by(failure),
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
            .kill_on_drop(true)
            .process_group(0);
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
    pub(crate) async fn output(mut self) -> Result<Vec<u8>, Failure> {
        let (patience, shown) = (self.patience, self.shown.clone());
        let mut group = Group(self.command.spawn()?);
        let done = timeout(patience, self.run(&mut group.0)).await.unwrap_or(Err(Failure::TimedOut(shown)));
        group.end().await;
        done
    }

    /// The only line that it printed; `None` if it said no without a complaint.
    pub(crate) async fn line(self) -> Result<Option<String>, Failure> {
        match self.output().await {
            Ok(output) => Ok(Some(String::from_utf8_lossy(&output).trim_end_matches('\n').to_owned())),
            Err(Failure::Refused { complaint, .. }) if complaint.is_empty() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    async fn run(self, child: &mut Child) -> Result<Vec<u8>, Failure> {
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
        let ended = child.wait().await?;
        if ended.success() {
            return Ok(output);
        }
        // One that complains on when nobody listens any more has said no.
        if ended.signal().is_some_and(|signal| signal != Signal::PIPE.as_raw()) {
            return Err(Failure::Killed(self.shown));
        }
        let complaint = String::from_utf8_lossy(&complaint).trim().to_owned();
        Err(Failure::Refused { command: self.shown, complaint })
    }
}

/// Git and what it has started. Killed when it is dropped.
struct Group(Child);

impl Group {
    /// Its number is nobody else's until git is reaped: `None` then.
    fn id(&self) -> Option<Pid> {
        self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
    }

    /// Kills what is left of a git that has not ended by itself. It is over when this returns.
    async fn end(mut self) {
        let Some(group) = self.id() else { return };
        let _ = kill_process_group(group, Signal::KILL);
        let over = async {
            let _ = self.0.wait().await;
            while test_kill_process_group(group).is_ok() {
                sleep(STEP).await;
            }
        };
        let _ = timeout(DEATH, over).await;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.id() {
            let _ = kill_process_group(group, Signal::KILL);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Else a repository would be taken for none, or for one without a commit.
    #[tokio::test]
    async fn a_git_that_is_killed_has_not_said_no() {
        let folder = tempfile::tempdir().unwrap();
        let dies = |how: &str| {
            let alias = format!("alias.dies=!{how}");
            Git::as_user(folder.path()).args(["-c", &alias, "dies"]).line()
        };
        assert!(matches!(dies("kill -9 $PPID; sleep 1").await, Err(Failure::Killed(_))));
        assert!(matches!(dies("exit 1").await, Ok(None)));
        let complains = "yes complaint >&2; kill -PIPE $PPID; sleep 1";
        assert!(matches!(dies(complains).await, Err(Failure::Refused { .. })));
    }

    #[tokio::test]
    async fn what_git_has_started_is_over_before_who_gives_it_up_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let alias = "alias.slow=!echo $$ > started; exec sleep 1000";
        let git = Git::as_user(folder.path()).args(["-c", alias, "slow"]).patience(Duration::from_secs(2));
        assert!(matches!(git.output().await, Err(Failure::TimedOut(_))));
        let started = std::fs::read_to_string(folder.path().join("started")).unwrap();
        // One that nobody has reaped yet has ended, too.
        let status = std::fs::read_to_string(format!("/proc/{}/stat", started.trim())).unwrap_or_default();
        assert!(status.is_empty() || status.contains(") Z "), "{status}");
    }
}
