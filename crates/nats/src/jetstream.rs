//! The calls of JetStream that are needed: store, read, purge, and manage streams.

use std::time::Duration;

use async_nats::{HeaderMap, StatusCode};
use bytes::Bytes;
use futures_util::StreamExt;
use ports::{Error, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use types::subjects::store;

use crate::link::{Link, PATIENCE};
use crate::stored::Raw;

pub const STREAM_NOT_FOUND: u16 = 10_059;
const NO_MESSAGE: u16 = 10_037;
const EXPECTED_LAST: &str = "Nats-Expected-Last-Subject-Sequence";
/// How long a purge or a change of a stream may take.
const ADMINISTRATION: Duration = Duration::from_secs(20);

/// What is asked of the leader one by one where a follower has ended a page.
const MISSED: usize = 16;

#[derive(Clone)]
pub struct JetStream {
    pub link: Link,
}

/// Why a message is not stored.
#[derive(Debug)]
pub enum Unstored {
    /// The server has said so, or never had it.
    Surely(Error),
    /// Nobody has said anything: perhaps it is.
    Perhaps(Error),
}

/// Where to read: a stream and a subject of it, which may be a pattern.
#[derive(Clone, Copy, Debug)]
pub struct StreamFilter<'a> {
    pub stream: &'a str,
    pub subject: &'a str,
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
    /// Stores a message and answers its position. `after`: only if the subject's last message is that one; 0,
    /// if there is none.
    ///
    /// # Errors
    /// `Conflict` when `after` does not hold; `Unavailable` perhaps stored.
    pub async fn store(
        &self,
        subject: &str,
        after: Option<u64>,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<u64> {
        Ok(self.try_to_store(subject, after, headers, payload).await?)
    }

    /// As [`JetStream::store`], for who has to know whether it may be stored all the same.
    pub async fn try_to_store(
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

    /// The last message of a subject, as the stream's leader knows it: what is written next may rely on it.
    pub async fn last(&self, filter: StreamFilter<'_>) -> Result<Option<Raw>> {
        self.of_leader(filter.stream, json!({ "last_by_subj": filter.subject })).await
    }

    /// The message of a subject that never changes once it is there.
    pub async fn constant(&self, filter: StreamFilter<'_>) -> Result<Option<Raw>> {
        let body = json!({ "last_by_subj": filter.subject });
        let answer = self.link.ask(&direct(filter.stream), None, bytes(&body), PATIENCE).await;
        match Raw::of(answer.map_err(no_stream)?)? {
            Some(raw) => Ok(Some(raw)),
            None => self.of_leader(filter.stream, body).await,
        }
    }

    /// Up to `limit` messages at or after the position `from`, and about `max_bytes` of them, but at least one
    /// if there is one. A replica may be asked that lags behind, so a page may end early; and it may still have what has been
    /// removed: with what a page begins, if with anything, the leader says.
    pub async fn page(
        &self,
        filter: StreamFilter<'_>,
        from: u64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<Raw>> {
        let page = self.page_of_any(filter, from, limit, max_bytes);
        if !self.link.has_several_servers() {
            let page = page.await?;
            return if page.is_empty() {
                self.next(filter, from).await.map(Vec::from_iter)
            } else {
                Ok(page)
            };
        }
        let (mut page, first) = tokio::try_join!(page, self.next(filter, from))?;
        let Some(first) = first else { return Ok(Vec::new()) };
        page.retain(|raw| raw.seq >= first.seq);
        if page.first().is_none_or(|raw| raw.seq != first.seq) {
            page = vec![first];
        }
        self.complete(filter, &mut page, limit, max_bytes).await?;
        Ok(page)
    }

    /// Adds what a follower did not have yet, if that is not much.
    async fn complete(
        &self,
        filter: StreamFilter<'_>,
        page: &mut Vec<Raw>,
        limit: usize,
        max_bytes: usize,
    ) -> Result<()> {
        for _ in 0..MISSED {
            let bytes: usize = page.iter().map(|raw| raw.payload.len()).sum();
            let last = page.last().filter(|_| page.len() < limit && bytes < max_bytes / 2);
            let Some(last) = last else { break };
            let Some(next) = self.next(filter, last.seq + 1).await? else { break };
            page.push(next);
        }
        Ok(())
    }

    /// The same as any replica knows it: it may be empty because that one lags behind.
    pub async fn page_of_any(
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

    /// The first message at or after the position `from`, as the stream's leader knows it.
    pub async fn next(&self, filter: StreamFilter<'_>, from: u64) -> Result<Option<Raw>> {
        self.of_leader(filter.stream, json!({ "seq": from, "next_by_subj": filter.subject })).await
    }

    async fn of_leader(&self, stream: &str, body: Value) -> Result<Option<Raw>> {
        self.told(stream, &body).await?.map_err(Error::from)
    }

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
        let mut page = Vec::new();
        while let Some(answer) = answers.next().await {
            if answer.status == Some(StatusCode::NO_RESPONDERS) {
                return Err(no_stream(Error::NotFound));
            }
            let Some(raw) = Raw::of(answer)? else { return Ok(page) };
            page.push(raw);
        }
        Err(Error::Unavailable("the connection to NATS has ended".to_owned()))
    }

    /// Removes every message of a subject; answers how many this call has removed.
    pub async fn purge(&self, filter: StreamFilter<'_>) -> Result<u64> {
        self.purged(filter, json!({ "filter": filter.subject })).await
    }

    /// Removes the messages of a subject before the position `first`; answers how many this call has removed.
    pub async fn purge_before(&self, filter: StreamFilter<'_>, first: u64) -> Result<u64> {
        self.purged(filter, json!({ "filter": filter.subject, "seq": first })).await
    }

    async fn purged(&self, filter: StreamFilter<'_>, body: Value) -> Result<u64> {
        let answer = self.api(&format!("STREAM.PURGE.{}", filter.stream), &body).await??;
        Ok(answer.get("purged").and_then(Value::as_u64).unwrap_or_default())
    }

    /// The subjects that have messages, of those a pattern names.
    pub async fn subjects(&self, filter: StreamFilter<'_>) -> Result<Vec<String>> {
        let mut all = Vec::new();
        loop {
            let body = json!({ "subjects_filter": filter.subject, "offset": all.len() });
            let info = self.api(&store::stream_info(filter.stream), &body).await??;
            let page = info.pointer("/state/subjects").and_then(Value::as_object);
            let Some(page) = page.filter(|page| !page.is_empty()) else { return Ok(all) };
            all.extend(page.keys().cloned());
            let total = info.get("total").and_then(Value::as_u64).unwrap_or_default();
            if all.len() as u64 >= total {
                return Ok(all);
            }
        }
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

impl From<Unstored> for Error {
    fn from(unstored: Unstored) -> Self {
        match unstored {
            Unstored::Surely(error) | Unstored::Perhaps(error) => error,
        }
    }
}

impl From<ApiError> for Error {
    fn from(error: ApiError) -> Self {
        const WRONG_LAST_SEQUENCE: [u16; 2] = [10_071, 10_164];
        if WRONG_LAST_SEQUENCE.contains(&error.err_code) {
            return Self::Conflict { tail: None };
        }
        let text = format!("JetStream: {} ({})", error.description, error.err_code);
        match error.code {
            _ if error.err_code == STREAM_NOT_FOUND => no_stream(Self::NotFound),
            500.. => Self::Unavailable(text),
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
