//! What was stored before a socket came, read at the pace at which its client takes it.

use axum::extract::ws::Utf8Bytes;
use ports::log::Pages;
use ports::{EventLog, Record};
use readmodel::history::{History, Moment, READ_RECORDS, Shown, shown};
use readmodel::index::ConversationState;
use types::Seq;

use super::wire::{Stop, Wire};
use crate::feeds::{Ending, Protocol};

/// Which stored events a client asks for.
#[derive(Clone, Copy, Debug)]
pub(super) enum From {
    Nothing,
    Start,
    /// Events with an index above this one.
    AfterIndex(u64),
    /// Events at this time or later.
    Time(Moment),
}

/// Where in the log to begin; `None` when nothing stored is asked for.
pub(super) async fn begin(
    history: &History,
    entry: &ConversationState,
    from: From,
) -> Result<Option<Seq>, Stop> {
    let now = entry.seq();
    let found = match from {
        From::Nothing => return Ok(None),
        From::Start => Ok(Some(Seq::ZERO)),
        From::AfterIndex(n) => history.position(entry, n).await,
        From::Time(moment) => history.before_time(entry, moment).await,
    };
    found.map(|at| Some(at.unwrap_or(now))).map_err(|error| unreadable(entry, &error))
}

fn unreadable(entry: &ConversationState, error: &ports::Error) -> Stop {
    tracing::warn!(conversation.id = %entry.id, %error, "history cannot be sent");
    Stop::Ending(Ending { code: 1011, reason: "The history cannot be read" })
}

/// Sends the events after `at`, up to `until` or, without it, to where the log ended when it was read last.
/// Answers the position reached.
pub(super) async fn send(
    events: &dyn EventLog,
    entry: &ConversationState,
    protocol: Protocol,
    wire: &mut Wire<'_>,
    mut at: Seq,
    until: Option<Seq>,
) -> Result<Seq, Stop> {
    let mut pages = Pages::new(events, &entry.log, at, READ_RECORDS);
    while until.is_none_or(|until| at < until) {
        let page = pages.next().await.map_err(|error| unreadable(entry, &error))?;
        let Some(page) = page else { return Ok(at) };
        let wanted = page.iter().take_while(|record| until.is_none_or(|until| record.seq <= until));
        let Some(last) = wanted.clone().last() else { return Ok(at) };
        at = last.seq;
        let frames: Vec<_> = wanted.filter_map(|record| frame(protocol, record)).collect();
        wire.send(frames).await?;
    }
    Ok(at)
}

fn frame(protocol: Protocol, record: &Record) -> Option<Utf8Bytes> {
    match shown(&record.payload) {
        Shown::Event { n, text } => protocol.stored(n, &text),
        Shown::RunEnded | Shown::HeadMoved | Shown::Nothing => None,
    }
}
