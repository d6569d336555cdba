//! `manyhands run`: an agent works on a task, and what it does is shown.

mod ask;
mod begin;
mod end;
mod input;
mod summary;
mod work;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tokio::time::Instant;

use super::agent::{AgentOptions, Model};
use super::place::{Connected, Place};
use super::stops::Stops;
use super::stream::{Since, Stream};
use super::told::notice;
use super::{Told, Usage};
use begin::Begun;
pub use end::{End, STATUSES};
use work::Work;

/// What a server that is left behind in a hurry gets to end, and to be asked how it ended.
const LEAVING: Duration = Duration::from_secs(2);

const EXAMPLES: &str = "Examples:
  manyhands run \"Write three facts about this folder into FACTS.md\"
  manyhands run --confirm \"Update the dependencies\"
  git diff | manyhands run - --quiet --timeout 300
  manyhands run --json \"Fix the failing test\" | jq -r .kind
  manyhands run --continue 3f2a \"Now write a test for it\"
  MANYHANDS_KEY=… manyhands run --server https://agents.example \"Look around\"";

/// Runs an agent on a task, here or on a server, and shows what it does
#[derive(clap::Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{STATUSES}"))]
pub struct Options {
    /// What the agent is to do; `-` reads it from standard input
    task: Option<String>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    agent: AgentOptions,
    /// The folder that the agent works in, as the server sees it [default: this one; of another server, its own default].
    /// Without another server it has to be there
    #[arg(short = 'C', long, value_name = "DIR")]
    workspace: Option<PathBuf>,
    /// Go on with a conversation; the beginning of its id is enough
    #[arg(long = "continue", value_name = "ID", conflicts_with_all = ["workspace", "model", "profile", "max_iterations"])]
    go_on: Option<String>,
    /// What the conversation is called [default: the beginning of the task]
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// Let everything run that would have to be confirmed
    #[arg(long)]
    yes: bool,
    /// Seconds after which the run is stopped
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=604_800))]
    timeout: Option<u64>,
    /// Print each event as a line of JSON, and all else on standard error
    #[arg(long, conflicts_with = "quiet")]
    json: bool,
    /// Print the last answer alone
    #[arg(long, short)]
    quiet: bool,
    /// Show long outputs and changes whole, and what the agent thinks
    #[arg(long)]
    full: bool,
}

/// # Errors
/// What kept the agent from being started, or its work from being followed.
pub async fn run(options: Options, told: Told) -> anyhow::Result<ExitCode> {
    let deadline = options.timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let task = options.task.as_deref().map(input::task).transpose()?;
    if task.is_none() && options.go_on.is_none() {
        return Err(Usage("what is the agent to do? Say it: manyhands run \"…\"".to_owned()).into());
    }
    let model = Model::of(&told.source);
    let connected = options.place.connect(told).await?;
    let mut stops = Stops::listen()?;
    let ended = work(&options, &connected, &model, task.as_deref(), deadline, &mut stops).await;
    let is_hurried = matches!(ended, Ok(Ended { is_left: true, .. }));
    let closed = tokio::select! {
        closed = connected.close() => closed,
        () = stops.next() => Ok(()),
        () = tokio::time::sleep(LEAVING), if is_hurried => Ok(()),
    };
    let end = ended?.end;
    closed?;
    Ok(end.status())
}

struct Ended {
    end: End,
    /// Nobody waits for its rest any more.
    is_left: bool,
}

async fn work(
    options: &Options,
    connected: &Connected,
    model: &Model,
    task: Option<&str>,
    deadline: Option<Instant>,
    stops: &mut Stops,
) -> anyhow::Result<Ended> {
    let opened = tokio::select! {
        opened = open(options, connected, model, task) => opened?,
        () = stops.next() => return Ok(Ended { end: End::Interrupted, is_left: true }),
        () = until(deadline) => {
            notice("the time is over: nothing was begun");
            return Ok(Ended { end: End::Limit, is_left: true });
        }
    };
    let (api, id) = (&connected.api, opened.begun.id.clone());
    notice(&format!("conversation {id}"));
    let mut work = Work::new(options, api, &id, opened.stream, deadline, stops);
    let end = work.whole(&opened.begun.status, task).await?;
    let (is_left, place) = (work.is_left(), options.place.again());
    if is_left && connected.is_own() {
        // The server ends with this process, and with it what runs.
        notice(&summary::go_on(&id, &place));
    } else if is_left {
        notice("it may still run");
    } else {
        let told = summary::tell(api, &id, end, &place, options.json || options.quiet);
        tokio::select! {
            _ = tokio::time::timeout(LEAVING, told) => {}
            () = stops.next() => {}
        }
    }
    Ok(Ended { end, is_left })
}

struct Opened {
    begun: Begun,
    stream: Stream,
}

/// Nothing runs yet, and nothing of what will is missed.
async fn open(
    options: &Options,
    connected: &Connected,
    model: &Model,
    task: Option<&str>,
) -> anyhow::Result<Opened> {
    let begun = begin::conversation(options, connected, model, task).await?;
    let since = if options.go_on.is_some() { Since::Now } else { Since::Start };
    let stream = Stream::open(&connected.api, &begun.id, since).await?;
    Ok(Opened { begun, stream })
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Whether standard error is looked at.
fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}
