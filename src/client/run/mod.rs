//! `manyhands run`: an agent works on a task, and what it does is shown.

mod ask;
mod begin;
mod end;
mod input;
mod summary;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::agent::{AgentOptions, Model};
use super::api::Api;
use super::pending::Pending;
use super::place::{Connected, Place};
use super::progress::{Progress, Rest, Step};
use super::seen::Seen;
use super::start::start;
use super::stops::Stops;
use super::stream::{Since, Stream};
use super::told::{Manner, Screen, Shows, notice};
use super::values::list;
use super::{Told, Usage};
use ask::Answer;
use begin::Begun;
pub use end::{End, STATUSES};
use input::Lines;

const WAITING: &str = "waiting_for_confirmation";

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
    /// The folder that the agent works in, as the server sees it [default: this one; of another server, its own default]
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
    let task = options.task.as_deref().map(input::task).transpose()?;
    if task.is_none() && options.go_on.is_none() {
        return Err(Usage("what is the agent to do? Say it: manyhands run \"…\"".to_owned()).into());
    }
    let model = Model::of(&told.source);
    let connected = options.place.connect(told).await?;
    let ended = work(&options, &connected, &model, task.as_deref()).await;
    let closed = connected.close().await;
    let end = ended?;
    closed?;
    Ok(end.status())
}

async fn work(
    options: &Options,
    connected: &Connected,
    model: &Model,
    task: Option<&str>,
) -> anyhow::Result<End> {
    let mut stops = Stops::listen()?;
    let opened = tokio::select! {
        opened = open(options, connected, model, task) => opened?,
        () = stops.next() => return Ok(End::Interrupted),
    };
    let (begun, stream, api) = (opened.begun, opened.stream, &connected.api);
    notice(&format!("conversation {}", begun.id));
    let mut work = Work::new(options, api, &begun.id, stream, stops);
    let first = match begun.status == WAITING {
        true => work.rested(&Rest { status: begun.status }).await?,
        false => work.start(task).await?,
    };
    let end = match first {
        Some(end) => end,
        None => work.follow().await?,
    };
    work.screen.end()?;
    summary::tell(api, &begun.id, end, options.json || options.quiet).await;
    Ok(end)
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

/// Work that is being followed.
struct Work<'a> {
    options: &'a Options,
    api: &'a Api,
    id: &'a str,
    progress: Progress,
    pending: Pending,
    screen: Screen,
    stops: Stops,
    lines: Lines,
    deadline: Option<Instant>,
    /// How it will end, since it was asked to stop.
    stopping: Option<End>,
    /// Of the error that was told last.
    code: Option<String>,
}

impl<'a> Work<'a> {
    fn new(options: &'a Options, api: &'a Api, id: &'a str, stream: Stream, stops: Stops) -> Self {
        let manner = match (options.json, options.quiet) {
            (true, _) => Manner::Json,
            (_, true) => Manner::Quiet,
            _ => Manner::Readable,
        };
        let shows = Shows { users: false, all: options.full };
        Self {
            options,
            api,
            id,
            progress: Progress::new(api, id, stream),
            pending: Pending::default(),
            screen: Screen::new(manner, shows),
            stops,
            lines: Lines::default(),
            deadline: options.timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds)),
            stopping: None,
            code: None,
        }
    }

    /// How it ends, if it was interrupted before it has begun.
    async fn start(&mut self, task: Option<&str>) -> anyhow::Result<Option<End>> {
        let content = task.map(|task| json!([{"type": "text", "text": task}]));
        tokio::select! {
            started = start(self.api, self.id, content) => started.map(|()| None),
            () = self.stops.next() => Ok(Some(End::Interrupted)),
        }
    }

    async fn follow(&mut self) -> anyhow::Result<End> {
        loop {
            let step = tokio::select! {
                step = self.progress.next() => step?,
                () = self.stops.next() => {
                    if let Some(end) = self.stop(End::Interrupted) {
                        return Ok(end);
                    }
                    continue;
                }
                () = until(self.deadline) => {
                    self.deadline = None;
                    notice("the time is over: the run is stopped");
                    self.stop(End::Limit);
                    continue;
                }
            };
            match step {
                Step::Event(event) => {
                    let seen = Seen::of(&event);
                    self.pending.note(&seen);
                    if let Seen::Failed { code, .. } = &seen {
                        self.code = Some(code.clone());
                    }
                    self.screen.event(&event, &seen)?;
                }
                Step::Piece(piece) => self.screen.piece(&piece)?,
                Step::Lost(why) => notice(&format!("{why}; trying again")),
                Step::Back => notice("connected again"),
                Step::Rest(rest) => {
                    if let Some(end) = self.rested(&rest).await? {
                        return Ok(end);
                    }
                }
            }
        }
    }

    /// Asks the run to stop; the second time there is no more waiting for it.
    fn stop(&mut self, end: End) -> Option<End> {
        if self.stopping.is_some() {
            return Some(End::Interrupted);
        }
        self.stopping = Some(end);
        if end == End::Interrupted {
            notice("stopping; once more ends at once");
        }
        let (api, path) = (self.api.clone(), format!("/api/conversations/{}/interrupt", self.id));
        // Not waited for: whoever is in a hurry must be heard meanwhile. The run's end tells whether it came.
        tokio::spawn(async move {
            if let Err(error) = api.post(&path, &json!({})).await {
                notice(&format!("the run cannot be stopped: {error}"));
            }
        });
        None
    }

    /// How it ends, unless it goes on.
    async fn rested(&mut self, rest: &Rest) -> anyhow::Result<Option<End>> {
        if rest.status == WAITING && self.stopping.is_none() {
            return self.confirm().await;
        }
        let end = End::of(&rest.status, self.code.as_deref());
        Ok(Some(match self.stopping {
            Some(stopping) if end != End::Finished => stopping,
            _ => end,
        }))
    }

    async fn confirm(&mut self) -> anyhow::Result<Option<End>> {
        if self.options.yes {
            return self.respond(true, None).await.map(|()| None);
        }
        if !Lines::can_be_typed() {
            notice("rejected: nobody can be asked here; --yes lets everything run");
            self.respond(false, Some("Nobody could be asked.")).await?;
            return Ok(Some(End::Waiting));
        }
        if self.pending.actions().is_empty() {
            let newest =
                format!("/api/conversations/{}/events/search?limit=100&sort_order=TIMESTAMP_DESC", self.id);
            self.pending = Pending::of_newest(list(&self.api.get(&newest).await?, "/items"));
        }
        let answer = tokio::select! {
            answer = ask::ask(&mut self.lines, self.pending.actions()) => answer,
            () = self.stops.next() => Answer::Nobody,
            () = until(self.deadline) => return Ok(Some(End::Limit)),
        };
        match answer {
            Answer::Yes => self.respond(true, None).await?,
            Answer::No(reason) => {
                self.respond(false, reason.as_deref()).await?;
                start(self.api, self.id, None).await?;
            }
            Answer::Nobody => {
                notice("the actions wait");
                return Ok(Some(End::Waiting));
            }
        }
        Ok(None)
    }

    async fn respond(&mut self, accept: bool, reason: Option<&str>) -> anyhow::Result<()> {
        self.progress.expect_another();
        let path = format!("/api/conversations/{}/events/respond_to_confirmation", self.id);
        let mut body = json!({"accept": accept});
        if let (Some(reason), Some(fields)) = (reason, body.as_object_mut()) {
            fields.insert("reason".to_owned(), reason.into());
        }
        self.api.post(&path, &body).await?;
        Ok(())
    }
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
