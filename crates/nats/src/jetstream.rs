//! The streams of a server: the calls of JetStream that are needed to store, read and purge, and to manage streams.

use std::time::Duration;

use async_nats::{HeaderMap, Message, StatusCode};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use ports::{Changes, Error, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use types::subjects::store;

use crate::kv;
use crate::link::{Link, PATIENCE};
use crate::stored::{BEFORE, Raw, number};
use crate::streams::{StreamFilter, Streams, Unstored, Wanted};
use crate::subscription::follow;

pub const STREAM_NOT_FOUND: u16 = 10_059;
const NO_MESSAGE: u16 = 10_037;
const EXPECTED_LAST: &str = "Nats-Expected-Last-Subject-Sequence";
/// How long a purge or a change of a stream may take.
const ADMINISTRATION: Duration = Duration::from_secs(20);

#[derive(Clone)]
pub struct JetStream {
    pub link: Link,
}

#[derive(Deserialize)]
struct Ack {
    #[serde(default)]
    seq: u64,
    error: Option<ApiError>,
}

/// JetStream's own error.
#[derive(Debug, Deserialize)]
pub struct ApiError {
    pub code: u16,
    #[serde(default)]
    pub err_code: u16,
    #[serde(default)]
    description: String,
}

impl JetStream {
    /// What the leader of a stream says of a message.
    pub async fn told(
        &self,
        stream: &str,
        body: &Value,
    ) -> Result<std::result::Result<Option<Raw>, ApiError>> {
        let call = store::message_get(stream);
        let ask = || self.api(&call, body);
        match self.link.ask_leader(ask).await? {
            Ok(mut answer) => {
                let message = answer.get_mut("message").map(Value::take).unwrap_or_default();
                Raw::told(serde_json::from_value(message).map_err(not_understood)?).map(|raw| Ok(Some(raw)))
            }
            Err(error) if error.err_code == NO_MESSAGE => Ok(Ok(None)),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn read_batch(&self, stream: &str, body: Bytes) -> Result<Vec<Raw>> {
        let client = &self.link.client;
        let unavailable = |error: &dyn std::fmt::Display| Error::Unavailable(error.to_string());
        let inbox = client.new_inbox();
        let mut answers = client.subscribe(inbox.clone()).await.map_err(|error| unavailable(&error))?;
        let asked = client.publish_with_reply(direct(stream), inbox, body).await;
        asked.map_err(|error| unavailable(&error))?;
        page_of(&mut answers).await
    }

    /// A call of the management API.
    pub async fn api(&self, call: &str, body: &Value) -> Result<std::result::Result<Value, ApiError>> {
        let answer = self.link.ask(&store::api(call), None, bytes(body), ADMINISTRATION).await;
        let mut answer: Value = parse(&answer?.payload)?;
        match answer.get_mut("error").map(Value::take) {
            None => Ok(Ok(answer)),
            Some(error) => Ok(Err(serde_json::from_value(error).map_err(not_understood)?)),
        }
    }
}

#[async_trait]
impl Streams for JetStream {
    async fn try_to_store(
        &self,
        subject: &str,
        after: Option<u64>,
        mut headers: HeaderMap,
        payload: Bytes,
    ) -> std::result::Result<u64, Unstored> {
        if let Some(after) = after {
            headers.insert(EXPECTED_LAST, after.to_string());
        }
        let headers = (!headers.is_empty()).then_some(headers);
        let answer =
            self.link.ask(subject, headers, payload, PATIENCE).await.map_err(|error| match error {
                error @ Error::Unavailable(_) => Unstored::Perhaps(error),
                error => Unstored::Surely(no_stream(error)),
            })?;
        let ack: Ack = parse(&answer.payload).map_err(Unstored::Perhaps)?;
        match ack.error {
            None => Ok(ack.seq),
            Some(error) => Err(Unstored::Surely(error.into())),
        }
    }

    async fn of_leader(&self, filter: StreamFilter<'_>, wanted: Wanted) -> Result<Option<Raw>> {
        self.told(filter.stream, &one(filter, wanted)).await?.map_err(Error::from)
    }

    async fn of_any(&self, filter: StreamFilter<'_>, wanted: Wanted) -> Result<Option<Raw>> {
        let body = bytes(&one(filter, wanted));
        let answer = self.link.ask(&direct(filter.stream), None, body, PATIENCE).await;
        Raw::of(answer.map_err(no_stream)?)
    }

    async fn page_of_any(
        &self,
        filter: StreamFilter<'_>,
        from: u64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<Raw>> {
        let body =
            json!({ "seq": from, "next_by_subj": filter.subject, "batch": limit, "max_bytes": max_bytes });
        self.link.in_time(PATIENCE, self.read_batch(filter.stream, bytes(&body))).await?
    }

    fn has_replicas(&self) -> bool {
        self.link.has_several_servers()
    }

    async fn clear(&self, filter: StreamFilter<'_>, before: Option<u64>) -> Result<u64> {
        let body = match before {
            Some(first) => json!({ "filter": filter.subject, "seq": first }),
            None => json!({ "filter": filter.subject }),
        };
        let answer = self.api(&format!("STREAM.PURGE.{}", filter.stream), &body).await??;
        Ok(answer.get("purged").and_then(Value::as_u64).unwrap_or_default())
    }

    async fn subjects(&self, filter: StreamFilter<'_>) -> Result<Vec<String>> {
        let mut all = Vec::new();
        loop {
            let body = json!({ "subjects_filter": filter.subject, "offset": all.len() });
            let call = store::stream_info(filter.stream);
            let info = self.link.ask_leader(|| self.api(&call, &body)).await??;
            let page = info.pointer("/state/subjects").and_then(Value::as_object);
            let Some(page) = page.filter(|page| !page.is_empty()) else { return Ok(all) };
            all.extend(page.keys().cloned());
            let total = info.get("total").and_then(Value::as_u64).unwrap_or_default();
            if all.len() as u64 >= total {
                return Ok(all);
            }
        }
    }

    async fn changes(&self, bucket: &str) -> Result<Changes> {
        let bucket = bucket.to_owned();
        let subscribed = self.link.listen(&store::changes(&bucket), None).await?;
        Ok(Box::pin(follow(subscribed, move |message| kv::change(&bucket, message).into_iter().collect())))
    }
}

/// The messages of a batch, each of which names the one before it, as its end names the last: where a server stands between here and
/// who answers, some may be lost on the way, and the end arrives all the same.
async fn page_of(answers: &mut (impl Stream<Item = Message> + Unpin)) -> Result<Vec<Raw>> {
    let mut page: Vec<Raw> = Vec::new();
    while let Some(answer) = answers.next().await {
        if answer.status == Some(StatusCode::NO_RESPONDERS) {
            return Err(no_stream(Error::NotFound));
        }
        let before = answer.headers.as_ref().and_then(|headers| number(headers, BEFORE));
        if before.is_some_and(|before| page.last().map_or(0, |last| last.seq) != before) {
            return Err(Error::Unavailable("a part of a page was lost on its way".to_owned()));
        }
        let Some(raw) = Raw::of(answer)? else { return Ok(page) };
        page.push(raw);
    }
    Err(Error::Unavailable("the connection to NATS has ended".to_owned()))
}

fn one(filter: StreamFilter<'_>, wanted: Wanted) -> Value {
    match wanted {
        Wanted::Last => json!({ "last_by_subj": filter.subject }),
        Wanted::Next(from) => json!({ "seq": from, "next_by_subj": filter.subject }),
    }
}

impl From<ApiError> for Error {
    fn from(error: ApiError) -> Self {
        const WRONG_LAST_SEQUENCE: [u16; 2] = [10_071, 10_164];
        const TOO_MANY: u16 = 429;
        if WRONG_LAST_SEQUENCE.contains(&error.err_code) {
            return Self::Conflict { tail: None };
        }
        let text = format!("JetStream: {} ({})", error.description, error.err_code);
        match error.code {
            _ if error.err_code == STREAM_NOT_FOUND => no_stream(Self::NotFound),
            // A stream that is sent more than it stores says so before it has looked at what it refuses.
            TOO_MANY | 500.. => Self::Unavailable(text),
            _ => Self::Internal(text),
        }
    }
}

fn direct(stream: &str) -> String {
    store::api(&store::direct_get(stream))
}

/// Where a stream should answer, silence means that it is not there (yet).
fn no_stream(error: Error) -> Error {
    match error {
        Error::NotFound => Error::Unavailable("JetStream does not answer".to_owned()),
        other => other,
    }
}

fn bytes(body: &Value) -> Bytes {
    match body {
        Value::Null => Bytes::new(),
        body => body.to_string().into(),
    }
}

fn parse<T: for<'a> Deserialize<'a>>(payload: &[u8]) -> Result<T> {
    serde_json::from_slice(payload).map_err(not_understood)
}

fn not_understood(error: serde_json::Error) -> Error {
    Error::Internal(format!("an answer of JetStream is not understood: {error}"))
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn answer(status: Option<u16>, headers: &[(&'static str, &str)]) -> Message {
        let mut all = HeaderMap::new();
        headers.iter().for_each(|(name, value)| all.insert(*name, *value));
        Message {
            subject: "inbox".into(),
            reply: None,
            payload: Bytes::new(),
            headers: Some(all),
            status: status.map(|status| StatusCode::from_u16(status).unwrap()),
            description: None,
            length: 0,
        }
    }

    fn message(seq: &str, before: &str) -> Message {
        answer(None, &[("Nats-Subject", "s"), ("Nats-Sequence", seq), (BEFORE, before)])
    }

    async fn read(answers: Vec<Message>) -> Result<Vec<u64>> {
        let page = page_of(&mut stream::iter(answers)).await?;
        Ok(page.into_iter().map(|raw| raw.seq).collect())
    }

    #[tokio::test]
    async fn a_page_of_which_a_part_was_lost_on_its_way_is_none() {
        let end = |last| answer(Some(204), &[(BEFORE, last)]);
        assert_eq!(read(vec![message("3", "0"), message("7", "3"), end("7")]).await, Ok(vec![3, 7]));
        assert_eq!(read(vec![answer(Some(404), &[])]).await, Ok(Vec::new()));
        for lossy in [
            vec![message("3", "0"), message("9", "7"), end("9")],
            vec![message("7", "3"), end("7")],
            vec![message("3", "0"), end("7")],
            vec![end("7")],
            vec![message("3", "0")],
        ] {
            let read = read(lossy).await;
            assert!(matches!(read, Err(Error::Unavailable(_))), "{read:?}");
        }
    }

    #[test]
    fn what_a_stream_refuses_because_it_is_sent_too_much_may_be_sent_again() {
        let ack = br#"{"stream":"S","seq":0,"error":{"code":429,"err_code":10167,"description":"too many requests"}}"#;
        let refusal = Error::from(parse::<Ack>(ack).unwrap().error.unwrap());
        assert!(matches!(refusal, Error::Unavailable(_)), "{refusal:?}");
    }
}
