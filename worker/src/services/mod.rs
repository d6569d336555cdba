//! What a sandbox offers beside conversations: commands, files, git. Each answers calls on its own subject.

mod bash;
mod fault;
mod file;
mod git;
mod open;
mod place;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ports::Ports;
use ports::rpc::{Address, Call, Limits, Server, Watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::{Epoch, SandboxId};

use crate::{Activity, Kin, rest};

/// Commands bound themselves; a call is over when its command has begun.
const BASH: Limits = Limits::new(2_048, 64 << 20);
/// Pieces of a few files each, or archives.
const FILES: Limits = Limits::new(512, 256 << 20);
/// Each is a program or several.
const GIT: Limits = Limits::new(128, 16 << 20);

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
    /// Where calls and commands under way are counted.
    pub activity: Activity,
    /// By which commands are known as those of a conversation.
    pub kin: Kin,
    /// Told of the calls that are answered.
    pub watch: Watch,
}

/// Subscribes, then answers calls on the tracker until `shutdown`, which also ends every running command.
///
/// # Errors
/// `Unavailable` when a subscription cannot be made.
pub async fn serve(
    config: ServicesConfig,
    ports: Ports,
    tracker: TaskTracker,
    shutdown: CancellationToken,
) -> ports::Result<()> {
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

    let git = Arc::new(git::Service::new(config.default_cwd.clone()));
    let activity = config.activity.clone();
    let answer = move |call: Call<_>| {
        let (git, busy) = (Arc::clone(&git), activity.call());
        async move {
            let _busy = busy?;
            git.answer(call.body).await.map(|answer| (answer, Bytes::new()))
        }
    };
    server.serve(&Address::of_worker(sandbox, incarnation), group, GIT, answer).await?;

    tracker.spawn(shutdown.clone().run_until_cancelled_owned(Arc::clone(&bash).close_what_was_cut_off()));
    if let Some(retention) = config.bash_retention {
        tracker.spawn(shutdown.clone().run_until_cancelled_owned(bash.forget_old(retention, shutdown)));
    }
    Ok(())
}
