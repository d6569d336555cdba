//! Reads the body of an answer, which is plain or streamed by how it begins: servers stream where nobody asked for it, answer a
//! wish for a stream with one object, and send pages of their own, whatever their headers say.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use crate::answer::Answer;
use crate::exchange::{ANSWER_LIMIT, within};
use crate::problem::Problem;
use crate::provider::Dialect;
use crate::sse::{SseEvent, SseReader};
use crate::stream::{Announcer, Progress};
use crate::transport::AnswerBody;
use crate::{anthropic, chat, json, responses};

/// What a stream may take from its head to its end, however much it says.
const LONGEST_STREAM: Duration = Duration::from_secs(60 * 60);
/// How long the costs of a whole answer are waited for, and the end of its stream.
const LINGER: Duration = Duration::from_secs(5);

/// With which a text may begin.
const MARK: &[u8] = b"\xEF\xBB\xBF";
/// Bytes from which events are taken at once: many fit into a large piece.
const SLICE: usize = 64 << 10;

/// How long an answer may take.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    /// Of one that comes in one piece; of a stream, until it begins.
    pub whole: Duration,
    /// Between two events.
    pub idle: Duration,
}

/// What an answer is, by its first byte that is no white space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Plain,
    Page,
    Streamed,
}

impl Form {
    /// `None`: these bytes do not say.
    pub(crate) fn of(begin: &[u8]) -> Option<Self> {
        if !begin.is_empty() && begin.len() < MARK.len() && MARK.starts_with(begin) {
            return None;
        }
        let begin = begin.strip_prefix(MARK).unwrap_or(begin);
        match begin.trim_ascii_start().first()? {
            b'<' => Some(Self::Page),
            // `data`, `event`, `id`, `retry`, or a comment.
            b'd' | b'e' | b'i' | b'r' | b':' => Some(Self::Streamed),
            _ => Some(Self::Plain),
        }
    }
}

pub(crate) async fn read(
    mut body: AnswerBody,
    dialect: Dialect,
    patience: Patience,
    out: &mut Announcer<'_>,
) -> Result<Answer, Problem> {
    let begin = within(patience.whole, begin_of(&mut body)).await?;
    let form = Form::of(&begin);
    let body = stream::once(async { Ok(Bytes::from(begin)) }).chain(body).boxed();
    match form {
        Some(Form::Streamed) => streamed(body, dialect, patience.idle, out).await,
        Some(Form::Plain) => {
            let body = within(patience.whole, whole(body)).await?;
            plain(&body, dialect, out)
        }
        Some(Form::Page) => Err(Problem::page(&within(patience.whole, whole(body)).await?)),
        None => Err(Problem::cut_stream()),
    }
}

/// As much as says what it is; nothing, if nothing comes. The blanks before it, which some servers send for as long as they
/// think, are not kept.
async fn begin_of(body: &mut AnswerBody) -> Result<Vec<u8>, Problem> {
    let (mut begin, mut received) = (Vec::new(), 0_usize);
    while Form::of(&begin).is_none() {
        let Some(piece) = body.next().await else { break };
        let piece = piece.map_err(|error| Problem::transport(&error))?;
        received += piece.len();
        if received > ANSWER_LIMIT {
            return Err(too_long());
        }
        begin.extend_from_slice(&piece);
        let said = begin.strip_prefix(MARK).unwrap_or(&begin).trim_ascii_start().len();
        begin.drain(..begin.len() - said);
    }
    Ok(begin)
}

/// What breaks behind a whole answer takes nothing from it.
async fn whole(mut body: AnswerBody) -> Result<Vec<u8>, Problem> {
    let mut whole = Vec::new();
    while let Some(piece) = body.next().await {
        let piece = match piece {
            Ok(piece) => piece,
            Err(_) if json::piece(&whole).is_some() => break,
            Err(error) => return Err(Problem::transport(&error)),
        };
        if whole.len() + piece.len() > ANSWER_LIMIT {
            return Err(too_long());
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole)
}

fn too_long() -> Problem {
    Problem::garbled("the answer is too long")
}

/// One object; or the pieces of a stream, a line each, where a server leaves out the form of events.
fn plain(body: &[u8], dialect: Dialect, out: &mut Announcer<'_>) -> Result<Answer, Problem> {
    if json::piece(body).is_none() && body.contains(&b'\n') {
        let event = SseEvent { name: String::new(), data: String::from_utf8_lossy(body).into_owned() };
        let parts = event.parts();
        if parts.len() > 1 {
            let mut assembly = Assembly::of(dialect);
            for part in &parts {
                assembly.take(part, out)?;
            }
            return assembly.finish();
        }
    }
    match dialect {
        Dialect::Chat => chat::read(body),
        Dialect::Responses => responses::read(body),
        Dialect::Anthropic => anthropic::read(body),
    }
}

async fn streamed(
    body: AnswerBody,
    dialect: Dialect,
    idle: Duration,
    out: &mut Announcer<'_>,
) -> Result<Answer, Problem> {
    let mut assembly = Assembly::of(dialect);
    follow(body, idle, |event| assembly.take(event, out)).await?;
    assembly.finish()
}

#[expect(clippy::large_enum_variant, reason = "one for each call, and never moved")]
enum Assembly {
    Chat(chat::Assembly),
    Responses(responses::Assembly),
    Anthropic(anthropic::Assembly),
}

impl Assembly {
    fn of(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Chat => Self::Chat(chat::Assembly::default()),
            Dialect::Responses => Self::Responses(responses::Assembly::default()),
            Dialect::Anthropic => Self::Anthropic(anthropic::Assembly::default()),
        }
    }

    fn take(&mut self, event: &SseEvent, out: &mut Announcer<'_>) -> Result<Progress, Problem> {
        match self {
            Self::Chat(assembly) => assembly.take(event, out),
            Self::Responses(assembly) => assembly.take(event, out),
            Self::Anthropic(assembly) => assembly.take(event, out),
        }
    }

    fn finish(self) -> Result<Answer, Problem> {
        match self {
            Self::Chat(assembly) => assembly.finish(),
            Self::Responses(assembly) => assembly.finish(),
            Self::Anthropic(assembly) => assembly.finish(),
        }
    }
}

/// Hands every event to `take` until it says that was all, or the stream ends. A broken connection is an
/// end like any other: whether the answer was complete, only the assembly knows. `idle` is between two events:
/// comments, which some servers send for ever, are no sign of an answer. A whole answer whose stream stays open is whole.
async fn follow(
    mut body: AnswerBody,
    idle: Duration,
    mut take: impl FnMut(&SseEvent) -> Result<Progress, Problem>,
) -> Result<(), Problem> {
    let (mut reader, mut received) = (SseReader::default(), 0_usize);
    let latest = Instant::now() + idle.max(LONGEST_STREAM);
    let (mut heard, mut progress) = (Instant::now(), Progress::More);
    loop {
        let has_ended = progress == Progress::Ended;
        let patience = if has_ended { idle.min(LINGER) } else { idle };
        let Ok(next) = tokio::time::timeout_at(latest.min(heard + patience), body.next()).await else {
            let silent = if Instant::now() < latest { idle } else { LONGEST_STREAM };
            return if has_ended { Ok(()) } else { Err(Problem::timeout(silent)) };
        };
        let Some(Ok(piece)) = next else { break };
        received += piece.len();
        if received > ANSWER_LIMIT {
            return Err(too_long());
        }
        for slice in piece.chunks(SLICE) {
            let mut events = Vec::new();
            reader.feed(slice, |event| events.push(event)).map_err(|_| too_long())?;
            if !events.is_empty() {
                heard = Instant::now();
            }
            for event in events.into_iter().flat_map(SseEvent::parts) {
                progress = take(&event)?;
                if progress == Progress::Over {
                    return Ok(());
                }
            }
        }
    }
    let mut last = Vec::new();
    reader.finish(|event| last.push(event));
    for event in last.into_iter().flat_map(SseEvent::parts).filter(SseEvent::is_whole) {
        if take(&event)? == Progress::Over {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_says_what_it_is() {
        for (begin, form) in [
            ("{\"id\"", Some(Form::Plain)),
            ("\u{feff} \n {", Some(Form::Plain)),
            ("[", Some(Form::Plain)),
            ("\n<!doctype html>", Some(Form::Page)),
            ("data: {}", Some(Form::Streamed)),
            ("\r\nevent: x", Some(Form::Streamed)),
            (": PROCESSING", Some(Form::Streamed)),
            (" \n", None),
            ("", None),
        ] {
            assert_eq!(Form::of(begin.as_bytes()), form, "{begin:?}");
        }
    }
}
