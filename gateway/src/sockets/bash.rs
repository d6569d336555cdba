//! The socket of the bash events: what the commands of the API print, and a way to start them.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::{Utf8Bytes, WebSocket};
use axum::response::Response;
use control::placement::Workers;
use futures_util::StreamExt;
use http::Uri;
use ports::Error;
use ports::rpc::Code;
use readmodel::bashlog::Listener;
use serde_json::{Value, json};
use types::bash::ExecuteBashRequest;
use types::calls::{BashCall, BashStarted};
use types::log::LogRecord;
use types::time;

use super::conversation::close;
use super::inbound::{Act, Complaint, listen};
use super::wire::{Heard, Stop, Wire};
use super::{Upgrade, refused, upgrade};
use crate::auth::SocketCredentials;
use crate::error::ApiResult;
use crate::extract::{query_values, truth};
use crate::feeds::{Ending, Item, Outbox, text_of};
use crate::handles::Sockets;
use crate::scope::Target;
use crate::words;

const UNREADABLE: Ending = Ending { code: 1011, reason: "The events cannot be read" };

pub(super) async fn events(
    State(sockets): State<Sockets>,
    State(workers): State<Workers>,
    State(tails): State<control::commands::Commands>,
    credentials: SocketCredentials,
    uri: Uri,
    request: Upgrade,
) -> ApiResult<Response> {
    let value = |name: &str| query_values(&uri, name).pop();
    let resend_all = match value("resend_all").map(|text| truth(&text)) {
        None => false,
        Some(Some(said)) => said,
        Some(None) => return Err(refused()),
    };
    let replay = match value("resend_mode").as_deref() {
        None => resend_all,
        Some("all") => true,
        Some("since") => false,
        Some(_) => return Err(refused()),
    };
    Ok(upgrade(&sockets.clone(), request, move |socket| async move {
        serve(&sockets, &workers, &tails, credentials, socket, replay).await
    }))
}

async fn serve(
    sockets: &Sockets,
    workers: &Workers,
    tails: &control::commands::Commands,
    credentials: SocketCredentials,
    mut socket: WebSocket,
    replay: bool,
) {
    let Some(caller) = credentials.check(&sockets.tasks.drain, &mut socket).await else { return };
    let target = match Target::of_path(workers, &caller.tenant, "").await {
        Ok(target) => target,
        Err(error) => {
            tracing::warn!(%error, "the bash events have no sandbox");
            return close(socket, UNREADABLE).await;
        }
    };
    let (sink, mut stream) = socket.split();
    let (heard, outbox) = (Heard::default(), Arc::new(Outbox::default()));
    let (drain, ping_every) = (&sockets.tasks.drain, sockets.ping_every);
    let mut wire = Wire { sink, outbox: &outbox, heard: &heard, drain, ping_every };
    let speaking = async {
        let events = match Listener::new(tails.tail(&target.sandbox, &target.scope), replay).await {
            Ok(events) => events,
            Err(error) => return broken(&error),
        };
        tokio::select! {
            stop = wire.pump(Utf8Bytes::default) => stop,
            error = follow(events, &outbox) => broken(&error),
        }
    };
    let commands = Commands { workers, target: &target };
    let listening = listen(&mut stream, &heard, &outbox, &caller, &commands);
    let stop = tokio::select! {
        stop = speaking => stop,
        () = listening => Stop::Gone,
        () = caller.expired() => Stop::Ending(Ending::EXPIRED),
    };
    wire.close(stop, &mut stream).await;
}

fn broken(error: &Error) -> Stop {
    tracing::warn!(%error, "the bash events cannot be followed");
    Stop::Ending(UNREADABLE)
}

/// Puts events into `outbox` as fast as they are taken out of it; ends only with an error.
async fn follow(mut events: Listener, outbox: &Outbox) -> Error {
    loop {
        let records = match events.next().await {
            Ok(records) => records,
            Err(error) => return error,
        };
        for record in records.into_iter().filter(|record| !LogRecord::is_control(&record.payload)) {
            let Ok(text) = Utf8Bytes::try_from(record.payload) else { continue };
            outbox.has_room().await;
            outbox.push(Item::Frame(text));
        }
    }
}

/// Frames that start commands; their events come with all others.
struct Commands<'a> {
    workers: &'a Workers,
    target: &'a Target,
}

impl Act for Commands<'_> {
    async fn act(&self, text: &str) -> Result<(), Complaint> {
        let fields: Value = serde_json::from_str(text).map_err(|error| Complaint::not_json(&error))?;
        let request: ExecuteBashRequest = serde_json::from_value(fields)
            .map_err(|_| Complaint::new("ValidationError", "a command is {command, cwd?, timeout?}"))?;
        let start = BashCall::Start { scope: self.target.scope.clone(), request };
        let started = self.workers.call::<_, BashStarted>(&self.target.sandbox, &start).await;
        match started {
            Ok(_) => Ok(()),
            Err(fault) if fault.code == Code::Internal => {
                tracing::error!(error = %fault, "a command was not started");
                Err(Complaint::new("InternalServerError", "The command could not be started"))
            }
            Err(fault) => {
                tracing::debug!(error = %fault, "a command was not started");
                Err(Complaint::new("ValueError", words::of(&fault)))
            }
        }
    }

    fn complain(&self, complaint: &Complaint) -> Utf8Bytes {
        text_of(&json!({
            "id": uuid::Uuid::new_v4().simple().to_string(),
            "timestamp": time::utc_now(),
            "code": complaint.code,
            "detail": complaint.detail,
            "kind": "BashError",
        }))
    }
}
