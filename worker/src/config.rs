//! What a worker is told at its start.

use std::path::PathBuf;
use std::time::Duration;

use outbound::Outbound;
use ports::rpc::{Watch, unwatched};
use telemetry::metrics::{Metrics, Work};
use tokio_util::sync::CancellationToken;
use tools::Catalogue;
use types::placement::CommandUser;
use types::{Epoch, SandboxId};

use crate::activity::Activity;
use crate::services::{EditorConfig, ExtensionConfig, KEPT_FOR};

/// What a worker is told at its start.
#[derive(Clone)]
pub struct Config {
    pub sandbox: SandboxId,
    /// The fencing token of this incarnation.
    pub epoch: Epoch,
    /// Conversations that may run at the same time; more are told to come back later.
    pub max_concurrent_runs: usize,
    /// Commands over the API that may run at the same time; more are refused.
    pub most_commands: usize,
    /// Shells of conversations out of memory that stay alive, whether a program runs in them or not; beyond that those
    /// in which nothing runs are closed first, and of the others those that nobody has touched for longest.
    pub most_shells: usize,
    /// Holds a folder for each conversation, named by its id in hex, for those whose record names none.
    pub observations_root: PathBuf,
    /// A folder for files that live no longer than the worker. Nobody else's.
    pub scratch: PathBuf,
    /// Where commands without a working directory run.
    pub project_dir: PathBuf,
    /// How long bash events are kept; none: for ever.
    pub bash_retention: Option<Duration>,
    /// How long an actor waits for something to do before it leaves, and only a memory of the conversation stays.
    pub idle_after: Duration,
    /// How long that stays.
    pub remembered_for: Duration,
    /// About how many bytes all memories may take.
    pub remembered_bytes: usize,
    /// Conversations with fewer events are not remembered, but for those of many bytes: their logs are read again at once.
    pub remembered_from: u64,
    /// Events after which a snapshot of a conversation is kept in the store.
    pub snapshot_every: u64,
    /// How long the shell of a conversation out of memory stays alive.
    pub shell_idle: Duration,
    /// How long it is waited to be told how a deletion has ended, before the record is asked.
    pub deleting: Duration,
    /// What a question or a title waits for its model at most, with all attempts: not as long as clients wait for the answer.
    pub aside_patience: Duration,
    /// How long a step may go on after shutdown was asked for, before it is interrupted.
    pub drain: Duration,
    /// Whom commands run as, chosen once for the process; none: the worker's own user.
    pub command_user: Option<CommandUser>,
    /// Whether the worker must hold the sandbox's lease, because there may be other incarnations.
    pub leased: bool,
    /// A folder for programs of extensions of the user interface and what they write. It outlives the worker.
    pub apps: PathBuf,
    /// A folder for notes of the working trees that conversations have. It outlives the worker. Nobody else's.
    pub worktrees: PathBuf,
    /// Whether the folder of a new conversation becomes a repository where it is in none, so that changes can be shown.
    pub makes_repositories: bool,
    /// An editor in the browser, where there may be one.
    pub editor: Option<EditorConfig>,
    /// Where skills and plugins are.
    pub extensions: ExtensionConfig,
    /// The tools that agents may have.
    pub catalogue: Catalogue,
    /// Calls the servers of secrets, and fetches what extensions name.
    pub outbound: Outbound,
    /// Cancelled by the worker once it answers calls.
    pub answers: CancellationToken,
    /// What is counted of its work.
    pub work: Work,
    /// Told of the calls it answers.
    pub watch: Watch,
    /// Told of all that is under way.
    pub activity: Activity,
}

impl Config {
    /// How many conversations run at the same time where nobody says.
    pub const CONCURRENT_RUNS: usize = 10;

    /// With the defaults for everything that is not a place or a name.
    #[must_use]
    pub fn new(sandbox: SandboxId, epoch: Epoch, observations_root: PathBuf, project_dir: PathBuf) -> Self {
        Self {
            sandbox,
            epoch,
            max_concurrent_runs: Self::CONCURRENT_RUNS,
            scratch: observations_root.join(".scratch"),
            apps: observations_root.join(".apps"),
            worktrees: observations_root.join(".worktrees"),
            makes_repositories: true,
            most_commands: 1_000,
            most_shells: 1_000,
            observations_root,
            project_dir,
            bash_retention: None,
            idle_after: Duration::from_millis(50),
            remembered_for: Duration::from_secs(10 * 60),
            remembered_bytes: 64 << 20,
            remembered_from: 200,
            snapshot_every: 500,
            shell_idle: Duration::from_secs(20 * 60),
            deleting: KEPT_FOR,
            aside_patience: Duration::from_secs(550),
            drain: Duration::from_secs(2),
            command_user: None,
            leased: false,
            editor: None,
            extensions: ExtensionConfig::default(),
            catalogue: Catalogue::standard(),
            outbound: Outbound::default(),
            answers: CancellationToken::new(),
            work: Metrics::default().work,
            watch: unwatched(),
            activity: Activity::default(),
        }
    }

    /// Which of several incarnations this is; `None` where there is only one.
    pub(crate) fn incarnation(&self) -> Option<Epoch> {
        self.leased.then_some(self.epoch)
    }
}
