//! `manyhands conversations`: which there are, what was said in one, and what is done with it.

mod list;

use std::process::ExitCode;

use serde_json::{Value, json};

use super::api::Api;
use super::place::{Connected, Place};
use super::resolve::resolve;
use super::seen::Seen;
use super::start::start;
use super::stops::Stops;
use super::stream::{Heard, Since, Stream};
use super::told::{Manner, Screen, Shows, notice};
use super::values::list as items;
use super::{Told, Usage};
use list::Status;

const EXAMPLES: &str = "Examples:
  manyhands conversations --status error
  manyhands conversations show 3f2a --full | less
  manyhands conversations follow 3f2a --server http://127.0.0.1:8000
  manyhands conversations --json | jq -r .id

The beginning of an id is enough where no other has it.";

const HOW_TO_SEND: &str = "the agent works only as long as its server does, which is this process: \
     say it with manyhands run --continue ID \"…\", or name a server with --server URL";

/// Lists, shows, follows and removes conversations
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    place: Place,
    /// Print lines of JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    listed: Listed,
}

#[derive(clap::Args)]
struct Listed {
    /// List those that are like this; `waiting` is short for waiting_for_confirmation
    #[arg(long)]
    status: Option<Status>,
}

#[derive(clap::Subcommand)]
enum What {
    /// Lists the conversations, what was changed last first (what happens without a word)
    List(Listed),
    /// Shows what was said and done
    Show(Shown),
    /// Shows what was said and done, and goes on with what happens
    Follow(Shown),
    /// Says something to the agent, which works on it; `run --continue` shows what comes of it
    Send {
        /// The beginning of the conversation's id
        id: String,
        /// What is said
        text: String,
    },
    /// Lets the agent finish its step and rest
    Pause {
        /// The beginning of the conversation's id
        id: String,
    },
    /// Removes conversations; what their agents have made stays
    #[command(visible_alias = "rm")]
    Remove {
        /// The beginnings of their ids
        #[arg(required = true)]
        ids: Vec<String>,
    },
}

#[derive(clap::Args)]
struct Shown {
    /// The beginning of the conversation's id
    id: String,
    /// Show long outputs and changes whole, and what the agent thinks
    #[arg(long)]
    full: bool,
}

/// # Errors
/// What kept it from being done.
pub async fn run(options: Options, told: Told) -> anyhow::Result<ExitCode> {
    let connected = options.place.connect(told).await?;
    let done = done(&options, &connected).await;
    let closed = connected.close().await;
    done?;
    closed?;
    Ok(ExitCode::SUCCESS)
}

async fn done(options: &Options, connected: &Connected) -> anyhow::Result<()> {
    let api = &connected.api;
    match &options.what {
        None => list::list(api, options.listed.status, options.json).await,
        Some(What::List(listed)) => list::list(api, listed.status, options.json).await,
        Some(What::Show(shown)) => show(api, shown, options.json).await,
        // This process alone has it: nothing happens there.
        Some(What::Follow(shown)) if connected.is_own() => show(api, shown, options.json).await,
        Some(What::Follow(shown)) => follow(api, shown, options.json).await,
        Some(What::Send { .. }) if connected.is_own() => Err(Usage(HOW_TO_SEND.to_owned()).into()),
        Some(What::Send { id, text }) => {
            let id = resolve(api, id).await?;
            start(api, &id, Some(json!([{"type": "text", "text": text}]))).await
        }
        Some(What::Pause { id }) => {
            let id = resolve(api, id).await?;
            api.post(&format!("/api/conversations/{id}/pause"), &json!({})).await?;
            Ok(())
        }
        Some(What::Remove { ids }) => remove(api, ids).await,
    }
}

impl Shown {
    fn screen(&self, json: bool) -> Screen {
        let manner = if json { Manner::Json } else { Manner::Readable };
        Screen::new(manner, Shows { users: true, all: self.full })
    }
}

async fn show(api: &Api, shown: &Shown, json: bool) -> anyhow::Result<()> {
    let id = resolve(api, &shown.id).await?;
    let mut screen = shown.screen(json);
    let mut from = String::new();
    loop {
        let page = api.get(&format!("/api/conversations/{id}/events/search?limit=100{from}")).await?;
        for event in items(&page, "/items") {
            screen.event(event, &Seen::of(event))?;
        }
        match page.get("next_page_id").and_then(Value::as_str) {
            Some(next) => from = format!("&page_id={next}"),
            None => return Ok(()),
        }
    }
}

async fn follow(api: &Api, shown: &Shown, json: bool) -> anyhow::Result<()> {
    let id = resolve(api, &shown.id).await?;
    let (mut screen, mut stops) = (shown.screen(json), Stops::listen()?);
    let mut stream = Stream::open(api, &id, Since::Start).await?;
    loop {
        let heard = tokio::select! {
            heard = stream.next() => heard?,
            () = stops.next() => return Ok(()),
        };
        match heard {
            Heard::Event(event) => screen.event(&event, &Seen::of(&event))?,
            Heard::Piece(piece) => screen.piece(&piece)?,
            Heard::State(_) | Heard::Synced => {}
            Heard::Lost(why) => notice(&format!("{why}; trying again")),
            Heard::Back => notice("connected again"),
        }
    }
}

/// All are found before the first is removed: a beginning that fits several was meant otherwise.
async fn remove(api: &Api, ids: &[String]) -> anyhow::Result<()> {
    let mut found = Vec::new();
    for id in ids {
        found.push(resolve(api, id).await?);
    }
    for id in found {
        api.delete(&format!("/api/conversations/{id}")).await?;
        notice(&format!("removed {id}"));
    }
    Ok(())
}
