//! `manyhands worker`: one incarnation of one sandbox. What it is told comes as a line of JSON on standard
//! input, so that credentials are in no argument, variable or file.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ports::Bus;
use ports::rpc::{Address, Call, Limits, Server};
use rustix::process::{DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::placement::{Credentials, Renewal, WorkerSpec, for_clients};
use types::subjects;
use worker::Activity;

use super::{door, trial};
use crate::descriptors::Descriptors;
use crate::observe;
use crate::signals::stop_on_signal;

/// From a supervisor, and perhaps from the one after it.
const RENEWALS: Limits = Limits::new(16, 64 << 10);
/// How long the connection is left alone while something is under way: an hour less than the old credentials are good for.
const UNTIL_AT_REST: Duration = Duration::from_secs(11 * 3_600);
const MOMENT: Duration = Duration::from_secs(1);
/// Of what a worker is told, certificates and all.
const LONGEST_SPEC: u64 = 1 << 20;

#[derive(clap::Args)]
pub struct Options {
    /// Only try what a worker needs here, and say what is missing
    #[arg(long = "try")]
    only_try: bool,
    /// A file that holds the line, where it does not come on standard input
    #[arg(long)]
    spec: Option<PathBuf>,
}

/// Serves the sandbox until SIGTERM, or until a newer incarnation has it.
///
/// # Errors
/// An unreadable specification, NATS out of reach, or another worker in this one's place.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    protect()?;
    let spec = read_spec(options.spec.as_deref())?;
    find_bash()?;
    if options.only_try {
        return trial::run(&spec);
    }
    let inherited =
        child_environment::Rule::new(&spec.pass_env).context("the specification cannot be used")?;
    child_environment::choose(&inherited, std::env::vars_os());
    let runtime = crate::runtime::start_in_a_sandbox()?;
    let ports = door::Ports::default();
    let collector =
        runtime.block_on(door::spans(&spec.nats_urls, &ports))?.or_else(|| spec.collector.clone());
    // Ends before the runtime, through which the last spans go.
    let _traces = observe::start_with(&telemetry::Config {
        level: spec.log_level.clone(),
        json: true,
        service: "manyhands-worker",
        collector,
        collector_headers: None,
        hears_environment: false,
    })?;
    runtime.block_on(serve(spec, &ports)).map(|()| ExitCode::SUCCESS)
}

fn protect() -> anyhow::Result<()> {
    // Commands of the same user may neither read the memory nor attach.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("cannot protect the process")?;
    // As a child of its supervisor it ends with it, however that ends; in a container its parent is the init.
    set_parent_process_death_signal(Some(Signal::KILL)).context("cannot end with the parent")
}

fn read_spec(file: Option<&Path>) -> anyhow::Result<WorkerSpec> {
    let mut line = String::new();
    let read = match file {
        Some(path) => {
            File::open(path).and_then(|file| BufReader::new(file.take(LONGEST_SPEC)).read_line(&mut line))
        }
        None => std::io::stdin().lock().take(LONGEST_SPEC).read_line(&mut line),
    };
    read.context("cannot read the specification")?;
    // The parser's words could show a part of the credentials.
    serde_json::from_str(&line)
        .map_err(|_| anyhow::anyhow!("there must be one line: the worker's specification"))
}

/// Before anything is promised.
fn find_bash() -> anyhow::Result<()> {
    const MISSING: &str = "The sandbox's image has no bash, which agents need for their terminal.";
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&path).any(|folder| folder.join("bash").is_file());
    if !is_there {
        eprintln!("{}", for_clients(MISSING));
        anyhow::bail!(MISSING);
    }
    Ok(())
}

async fn serve(spec: WorkerSpec, ways_out: &door::Ports) -> anyhow::Result<()> {
    let stop = stop_on_signal()?;
    let mut urls = Vec::new();
    for url in &spec.nats_urls {
        urls.push(door::reachable(url, &spec.servers, ways_out).await?);
    }
    // Behind a door servers are not called what is dialled.
    let servers = if urls == spec.nats_urls { Vec::new() } else { spec.servers.clone() };
    let options = nats::Options {
        urls,
        credentials: spec.credentials.clone(),
        ca: spec.ca.clone(),
        servers,
        name: format!("manyhands worker {} {}", spec.sandbox, spec.epoch.0),
        inbox: Some(subjects::inbox(&spec.sandbox, spec.epoch)),
    };
    let connecting = super::ready(&stop, async || nats::connect(options.clone()).await);
    let Some(connection) = connecting.await? else { return Ok(()) };
    let asking = super::ready(&stop, async || connection.worker(&spec.sandbox, spec.epoch).await);
    let Some(ports) = asking.await? else { return Ok(()) };
    let state = PathBuf::from(&spec.state_dir);
    std::fs::create_dir_all(&state).with_context(|| format!("cannot make {}", state.display()))?;
    let broker = worker::Broker::new(ports.bus.clone(), spec.sandbox.clone(), spec.epoch);
    let models = llm::Client::new(Arc::new(llm::Brokered::new(Arc::new(broker))));
    let (files, processes) = (Descriptors::raise(), most_processes().unwrap_or(usize::MAX) / 4);
    let config = worker::Config {
        max_concurrent_runs: spec.max_concurrent_runs,
        most_commands: files.commands().min(processes),
        most_shells: files.shells().min(processes),
        leased: true,
        command_user: spec.command_user,
        scratch: state.join("scratch"),
        worktrees: state.join("worktrees"),
        bash_retention: spec.bash_retention.map(Duration::from_secs),
        ..worker::Config::new(
            spec.sandbox.clone(),
            spec.epoch,
            state.join("observations"),
            PathBuf::from(&spec.project_dir),
        )
    };
    let renewing = renew(&connection, ports.bus.clone(), &spec, config.activity.clone());
    tokio::select! {
        served = worker::run(config, ports.clone(), models, stop) => served?,
        renewed = renewing => renewed?,
    }
    connection.drain().await;
    Ok(())
}

/// How many processes the container may have; `None` where nothing says so.
fn most_processes() -> Option<usize> {
    let files = ["/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max"];
    files.iter().find_map(|path| std::fs::read_to_string(path).ok()?.trim().parse().ok())
}

/// Takes the credentials that the supervisor sends while the worker runs, and signs in with them before NATS ends the
/// connection that was made with the old ones. Returns only with an error.
async fn renew(
    connection: &nats::Connection,
    bus: Arc<dyn Bus>,
    spec: &WorkerSpec,
    activity: Activity,
) -> anyhow::Result<()> {
    let Some(first) = &spec.credentials else { return std::future::pending().await };
    let (stop, renewed) = (CancellationToken::new(), Arc::new(Notify::new()));
    let _stops = stop.clone().drop_guard();
    let take = {
        let (connection, inbox, renewed) = (connection.clone(), first.inbox_prefix.clone(), renewed.clone());
        move |call: Call<Renewal>| {
            let Renewal { jwt, seed } = call.body;
            connection.renew(Credentials { jwt, seed, inbox_prefix: inbox.clone() });
            renewed.notify_one();
            std::future::ready(Ok(((), Default::default())))
        }
    };
    let address = Address::of_worker(&spec.sandbox, Some(spec.epoch));
    Server::new(bus, TaskTracker::new(), stop).serve(&address, None, RENEWALS, take).await?;
    loop {
        renewed.notified().await;
        // Late is better than never: the calls under way are answered over the next connection.
        let _ = timeout(UNTIL_AT_REST, at_rest(&activity)).await;
        connection.sign_in_anew().await;
    }
}

/// Returns when nothing is under way, and was not for a moment.
async fn at_rest(activity: &Activity) {
    loop {
        tokio::time::sleep(MOMENT).await;
        if activity.idle_for() >= MOMENT {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[tokio::test]
    async fn a_worker_signs_in_anew_when_nothing_is_under_way_and_was_not_for_a_moment() {
        let activity = Activity::default();
        let busy = activity.begin();
        let mut resting = pin!(at_rest(&activity));
        assert!(timeout(3 * MOMENT, &mut resting).await.is_err());
        drop(busy);
        let began = std::time::Instant::now();
        timeout(testing::PATIENCE, resting).await.unwrap();
        assert!(began.elapsed() >= MOMENT, "whoever had asked last is answered before");
    }
}
