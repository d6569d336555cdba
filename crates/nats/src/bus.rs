//! The port of the bus, on core NATS. A message that a stream of logs republished becomes one delivery a record.
//!
//! All that is published on a pattern comes through one queue, whatever logs it is of, so that no log may hold it up or
//! fill it: nothing is fetched here, and a message that is not to be had as a few records becomes a gap of its log, which
//! those who follow that log read.

use std::time::Duration;

use async_nats::Message as Incoming;
use async_trait::async_trait;
use bytes::Bytes;
use ports::{Bus, Delivery, Message, Parcel, Result, Stored, Subscription};
use types::subjects;
use uuid::Uuid;

use crate::link::{Link, PATIENCE};
use crate::message::{self, LogMessage};
use crate::parcel;
use crate::stored::{BEFORE, number};
use crate::subscription::follow;

/// Records of one message that are delivered one by one: a small part of what a subscriber's queue holds, and as many as
/// a worker appends of the output of commands at once.
const MOST_RECORDS: usize = 64;

#[async_trait]
impl Bus for Link {
    async fn publish(&self, subject: &str, parcel: Parcel) -> Result<()> {
        ports::fits(parcel.bytes())?;
        let (headers, payload) = parcel::pack(parcel);
        self.send(subject, headers, payload).await
    }

    /// A dead connection takes what is sent for as long as nobody misses its server.
    async fn publish_surely(&self, subject: &str, parcel: Parcel) -> Result<()> {
        let arrive = async {
            self.publish(subject, parcel).await?;
            self.round_trip().await
        };
        self.in_time(2 * PATIENCE, arrive).await?
    }

    async fn request(&self, subject: &str, parcel: Parcel, deadline: Duration) -> Result<Parcel> {
        ports::fits(parcel.bytes())?;
        let (headers, payload) = parcel::pack(parcel);
        let answer = match subjects::answer(subject, &Uuid::new_v4().simple().to_string()) {
            Some(inbox) => self.ask_worker(subject, inbox, headers, payload, deadline).await?,
            None => self.ask(subject, headers, payload, deadline).await?,
        };
        Ok(parcel::unpack(answer.headers.as_ref(), answer.payload))
    }

    async fn subscribe(&self, pattern: &str, group: Option<&str>) -> Result<Subscription> {
        let subscribed = self.listen(pattern, group).await?;
        Ok(Box::pin(follow(subscribed, deliver)))
    }
}

fn deliver(message: Incoming) -> Vec<Delivery> {
    let log = subjects::log_of(&message.subject);
    if log.as_ref().is_some_and(|log| !log.is_published()) {
        return Vec::new();
    }
    if log.is_some()
        && let Some(headers) = &message.headers
        && let Some(number) = number(headers, "Nats-Sequence")
    {
        let prev = self::number(headers, BEFORE).unwrap_or_default();
        let stored = LogMessage::from_parts(number, headers, message.payload);
        return deliver_records(&message.subject, prev, stored);
    }
    vec![plain(message)]
}

fn plain(message: Incoming) -> Delivery {
    let subject = message.subject.to_string();
    let reply = message.reply.map(|reply| reply.to_string());
    Delivery::Message(Message {
        parcel: parcel::unpack(message.headers.as_ref(), message.payload),
        // A worker may name any subject; who answers may publish where the worker may not.
        reply: reply.filter(|reply| subjects::may_answer(&subject, reply)),
        subject,
    })
}

/// `prev` is the number of the log's message before this one.
pub fn deliver_records(subject: &str, prev: u64, stored: LogMessage) -> Vec<Delivery> {
    let number = stored.number;
    let entries = match stored.body {
        None => stored.records(stored.payload.clone()),
        Some(_) => Vec::new(),
    };
    if entries.is_empty() || entries.len() > MOST_RECORDS {
        return vec![gap(subject, number)];
    }
    let mut prev = message::end_of(prev);
    let deliveries = entries.into_iter().map(|entry| {
        let stored = Stored { seq: entry.seq, prev: std::mem::replace(&mut prev, entry.seq) };
        record(subject, stored, entry.payload)
    });
    deliveries.collect()
}

/// What tells those who follow the log of message `number`, and nobody else, that they have to read it. Whatever they
/// know that ends before it, it does not come after that.
fn gap(subject: &str, number: u64) -> Delivery {
    let seq = message::end_of(number);
    record(subject, Stored { seq, prev: seq }, Bytes::new())
}

/// The JSON is written by hand: two numbers cannot fail to be JSON.
fn record(subject: &str, stored: Stored, blob: Bytes) -> Delivery {
    let json = format!(r#"{{"seq":{},"prev":{}}}"#, stored.seq.0, stored.prev.0);
    let parcel = Parcel { json: json.into(), blob };
    Delivery::Message(Message { subject: subject.to_owned(), parcel, reply: None })
}
