//! What a sandbox offers beside conversations: commands, files, git, an editor, skills and plugins, programs of extensions, MCP
//! servers and agents on trial. Each answers calls on its own subject.

mod acp;
mod app;
mod aside;
mod bash;
mod editor;
mod extension;
mod fault;
mod file;
mod git;
mod gone;
mod mcp;
mod place;
mod program;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use outbound::Outbound;
use ports::Ports;
use ports::rpc::{Address, Call, Limits, Server, Watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::{BashScope, ConversationId, Epoch, SandboxId};

use crate::{Activity, rest};
use aside::Aside;
pub use editor::EditorConfig;
pub use extension::{CATALOGUE, ExtensionConfig, PublicSource, carry as extensions};
pub(crate) use gone::{Gone, KEPT_FOR};
pub(crate) use mcp::Lease;
pub use mcp::Servers;

/// Commands bound themselves; a call is over when its command has begun.
const BASH: Limits = Limits::new(2_048, 64 << 20);
/// Pieces of a few files each, or archives.
const FILES: Limits = Limits::new(512, 256 << 20);
/// Each is a program or several.
const GIT: Limits = Limits::new(GIT_CALLS, 16 << 20);
const GIT_CALLS: usize = 128;
/// They wait for each other.
const EDITOR: Limits = Limits::new(64, 1 << 20);
/// Some wait for a repository.
const EXTENSIONS: Limits = Limits::new(EXTENSION_CALLS, 16 << 20);
const EXTENSION_CALLS: usize = 64;
/// Each is a program.
const MCP: Limits = Limits::new(16, 4 << 20);
const ACP: Limits = Limits::new(8, 4 << 20);
const APPS: Limits = Limits::new(64, 4 << 20);

#[derive(Clone)]
pub struct ServicesConfig {
    pub sandbox: SandboxId,
    /// Whose calls are answered, where there may be others of the same sandbox.
    pub incarnation: Option<Epoch>,
    /// With which logs are fenced off against older incarnations.
    pub epoch: Epoch,
    /// Where commands without a folder run, and what relative git paths start from.
    pub default_cwd: PathBuf,
    /// A folder for files that live no longer than the worker. Nobody else's.
    pub scratch: PathBuf,
    /// Commands at one time; more are refused, before the system runs out of processes and files.
    pub most_commands: usize,
    /// Bash events older than this are forgotten; `None` keeps them.
    pub bash_retention: Option<Duration>,
    /// The editor in the browser; `None`: there is none.
    pub editor: Option<EditorConfig>,
    /// A folder for programs of extensions and what they write. It outlives the worker.
    pub apps: PathBuf,
    /// A folder for notes of the working trees that are made here. It outlives the worker. Nobody else's.
    pub worktrees: PathBuf,
    /// Whether the folder of a new conversation becomes a repository where it is in none.
    pub makes_repositories: bool,
    /// Where skills and plugins are.
    pub extensions: ExtensionConfig,
    /// Says which addresses may be called, and calls them.
    pub outbound: Outbound,
    /// Where calls and commands under way are counted.
    pub activity: Activity,
    /// Told of the calls that are answered.
    pub watch: Watch,
}

/// The commands of the API, for whoever ends what they have started. Cheap to clone.
#[derive(Clone)]
pub struct Commands(Arc<bash::Service>);

impl Commands {
    /// The variable by which a later worker finds what this one could not end.
    pub(crate) fn mark(&self, conversation: ConversationId) -> (String, String) {
        self.0.mark(BashScope::Conversation(conversation))
    }

    /// The conversations for which no call is taken any more.
    pub(crate) fn gone(&self) -> &Gone {
        self.0.gone()
    }

    /// Ends a conversation's commands and what they have started. Once this returns, their log is not written any more.
    pub(crate) async fn forget(&self, conversation: ConversationId) {
        self.0.forget(conversation).await;
    }

    /// Ends what is left of all commands.
    pub(crate) async fn end_all(&self) {
        self.0.end_all().await;
    }
}

/// Subscribes, then answers calls on the tracker until `shutdown`, which also ends every running command, and every server that
/// agents have tools from.
///
/// # Errors
/// `Unavailable` when a subscription cannot be made.
pub async fn serve(
    config: ServicesConfig,
    ports: Ports,
    tracker: TaskTracker,
    shutdown: CancellationToken,
) -> ports::Result<(Commands, Servers)> {
    let (sandbox, incarnation, group) = (&config.sandbox, config.incarnation, Some("worker"));
    let server = Server::new(ports.bus.clone(), tracker.clone(), shutdown.clone());
    let server = server.watched(config.watch.clone());

    rest::serve(&server, sandbox, incarnation, &config.activity, &tracker, &shutdown).await?;

    let bash = Arc::new(bash::Service::new(&config, &ports, &tracker, &shutdown));
    let answer = {
        let (bash, activity) = (Arc::clone(&bash), config.activity.clone());
        move |call: Call<_>| {
            let (bash, busy) = (Arc::clone(&bash), activity.call());
            async move {
                let _busy = busy?;
                bash.answer(call.body).await.map(|answer| (answer, Bytes::new()))
            }
        }
    };
    server.serve(&Address::of_worker(sandbox, incarnation), group, BASH, answer).await?;

    let files = Arc::new(file::Service::new(config.scratch.clone()));
    let answer = {
        let (files, activity) = (Arc::clone(&files), config.activity.clone());
        move |call: Call<_>| {
            let (files, busy) = (Arc::clone(&files), activity.call());
            async move {
                let _busy = busy?;
                files.answer(call.body, call.blob).await
            }
        }
    };
    server.serve(&Address::of_worker(sandbox, incarnation), group, FILES, answer).await?;
    tracker.spawn(files.sweep(shutdown.clone()));

    let template = git::Template::new(config.makes_repositories);
    let git = Arc::new(git::Service::new(config.default_cwd.clone(), config.worktrees.clone(), template));
    let (activity, aside) = (config.activity.clone(), Aside::new(GIT_CALLS));
    let answer = move |call: Call<_>| {
        let (git, aside, busy) = (Arc::clone(&git), aside.clone(), activity.call());
        async move {
            let _busy = busy?;
            let answering = async move { git.answer(call.body).await };
            aside.run(answering).await.map(|answer| (answer, Bytes::new()))
        }
    };
    server.serve(&Address::of_worker(sandbox, incarnation), group, GIT, answer).await?;

    let extensions = extension::Service::new(
        config.extensions.clone(),
        config.default_cwd.clone(),
        &config.scratch,
        config.outbound.clone(),
    );
    let extensions = Arc::new(extensions);
    let (activity, aside) = (config.activity.clone(), Aside::new(EXTENSION_CALLS));
    let answer = move |call: Call<_>| {
        let (extensions, aside, busy) = (Arc::clone(&extensions), aside.clone(), activity.call());
        async move {
            let _busy = busy?;
            aside.run(async move { extensions.answer(call.body).await }).await
        }
    };
    server.serve(&Address::of_worker(sandbox, incarnation), group, EXTENSIONS, answer).await?;

    let kin = bash.mark(BashScope::Sandbox);
    let editor = Arc::new(editor::Service::new(config.editor.clone(), kin.clone()));
    let answer = {
        let (editor, activity) = (Arc::clone(&editor), config.activity.clone());
        move |call: Call<_>| {
            let (editor, busy) = (Arc::clone(&editor), activity.call());
            async move {
                let _busy = busy?;
                editor.answer(call.body).await.map(|answer| (answer, Bytes::new()))
            }
        }
    };
    server.serve(&Address::of_worker(sandbox, incarnation), group, EDITOR, answer).await?;
    let stopping = shutdown.clone();
    tracker.spawn(async move {
        stopping.cancelled().await;
        editor.end().await;
    });

    let mcp = Arc::new(mcp::Service::new(config.default_cwd.clone(), kin.clone(), shutdown.clone()));
    let servers = mcp.servers(tracker.clone());
    let answer = {
        let activity = config.activity.clone();
        move |call: Call<_>| {
            let (mcp, busy) = (Arc::clone(&mcp), activity.call());
            async move {
                let _busy = busy?;
                mcp.answer(call.body).await.map(|answer| (answer, Bytes::new()))
            }
        }
    };
    server.serve(&Address::of_worker(sandbox, incarnation), group, MCP, answer).await?;

    let acp = Arc::new(acp::Service::new(&config.scratch, kin, shutdown.clone()));
    tracker.spawn_blocking(acp.sweep());
    let answer = {
        let activity = config.activity.clone();
        move |call: Call<_>| {
            let (acp, busy) = (Arc::clone(&acp), activity.call());
            async move {
                let _busy = busy?;
                acp.answer(call.body).await.map(|answer| (answer, Bytes::new()))
            }
        }
    };
    server.serve(&Address::of_worker(sandbox, incarnation), group, ACP, answer).await?;

    let apps = Arc::new(app::Service::new(config.apps.clone(), config.outbound.clone()));
    let answer = {
        let (apps, activity) = (Arc::clone(&apps), config.activity.clone());
        move |call: Call<_>| {
            let (apps, busy) = (Arc::clone(&apps), activity.call());
            async move {
                let _busy = busy?;
                apps.answer(call.body).await.map(|answer| (answer, Bytes::new()))
            }
        }
    };
    server.serve(&Address::of_worker(sandbox, incarnation), group, APPS, answer).await?;
    let (cleaning, stopping) = (Arc::clone(&apps), shutdown.clone());
    tracker.spawn(async move { cleaning.clean().await });
    tracker.spawn(async move {
        stopping.cancelled().await;
        apps.end().await;
    });

    tracker.spawn(shutdown.clone().run_until_cancelled_owned(Arc::clone(&bash).close_what_was_cut_off()));
    if let Some(retention) = config.bash_retention {
        let forgetting = Arc::clone(&bash).forget_old(retention, shutdown.clone());
        tracker.spawn(shutdown.run_until_cancelled_owned(forgetting));
    }
    Ok((Commands(bash), servers))
}
