//! The port of the bus, on core NATS.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Message as Incoming;
use async_trait::async_trait;
use bytes::Bytes;
use ports::{Bus, Delivery, Message, Parcel, Result, Stored, Subscription};
use types::{LogId, Seq, subjects};

use crate::archive::{self, Archive};
use crate::link::Link;
use crate::message::{self, LogMessage};
use crate::parcel;
use crate::stored::number;
use crate::subscription::follow;

/// Core NATS.
#[async_trait]
impl Bus for Link {
    async fn publish(&self, subject: &str, parcel: Parcel) -> Result<()> {
        ports::fits(parcel.bytes())?;
        let (headers, payload) = parcel::pack(parcel);
        self.send(subject, headers, payload).await
    }

    async fn request(&self, subject: &str, parcel: Parcel, deadline: Duration) -> Result<Parcel> {
        ports::fits(parcel.bytes())?;
        let (headers, payload) = parcel::pack(parcel);
        let answer = self.ask(subject, headers, payload, deadline).await?;
        Ok(parcel::unpack(answer.headers.as_ref(), answer.payload))
    }

    async fn subscribe(&self, pattern: &str, group: Option<&str>) -> Result<Subscription> {
        let subscribed = self.listen(pattern, group).await?;
        Ok(Box::pin(follow(subscribed, |message| std::future::ready(vec![plain(message)]))))
    }
}

/// The same, where a message that a stream of logs republished becomes one delivery a record.
pub struct LogBus {
    pub link: Link,
    pub archive: Arc<dyn Archive>,
}

#[async_trait]
impl Bus for LogBus {
    async fn publish(&self, subject: &str, parcel: Parcel) -> Result<()> {
        self.link.publish(subject, parcel).await
    }

    async fn request(&self, subject: &str, parcel: Parcel, deadline: Duration) -> Result<Parcel> {
        self.link.request(subject, parcel, deadline).await
    }

    async fn subscribe(&self, pattern: &str, group: Option<&str>) -> Result<Subscription> {
        let subscribed = self.link.listen(pattern, group).await?;
        let archive = self.archive.clone();
        Ok(Box::pin(follow(subscribed, move |message| deliver(archive.clone(), message))))
    }
}

async fn deliver(archive: Arc<dyn Archive>, message: Incoming) -> Vec<Delivery> {
    let log = subjects::log_of(&message.subject);
    if log.as_ref().is_some_and(|log| !log.is_published()) {
        return Vec::new();
    }
    if let Some(log) = log
        && let Some(headers) = &message.headers
        && let Some(number) = number(headers, "Nats-Sequence")
    {
        let prev = self::number(headers, "Nats-Last-Sequence").unwrap_or_default();
        let stored = LogMessage::from_parts(number, headers, message.payload);
        return deliver_records(&*archive, &log, &message.subject, prev, stored).await;
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
async fn deliver_records(
    archive: &dyn Archive,
    log: &LogId,
    subject: &str,
    prev: u64,
    stored: LogMessage,
) -> Vec<Delivery> {
    let number = stored.number;
    let entries = match archive::open(archive, log, stored).await {
        Ok(entries) => entries,
        Err(error) => {
            tracing::warn!(%log, %error, "a stored record cannot be delivered");
            return vec![missed(subject, number)];
        }
    };
    let mut prev = message::end_of(prev);
    let deliveries = entries.into_iter().map(|entry| {
        let stored = Stored { seq: entry.seq, prev: std::mem::replace(&mut prev, entry.seq) };
        let parcel = Parcel { json: stored_json(&stored).into(), blob: entry.payload };
        Delivery::Message(Message { subject: subject.to_owned(), parcel, reply: None })
    });
    deliveries.collect()
}

/// What tells those who follow the log of message `number`, and nobody else, that they have missed it: it names a
/// position before it at which nothing ends.
fn missed(subject: &str, number: u64) -> Delivery {
    let seq = message::end_of(number);
    let stored = Stored { seq, prev: Seq(seq.0.saturating_sub(1)) };
    let parcel = Parcel { json: stored_json(&stored).into(), blob: Bytes::new() };
    Delivery::Message(Message { subject: subject.to_owned(), parcel, reply: None })
}

/// Written by hand: two numbers cannot fail to be JSON.
fn stored_json(stored: &Stored) -> String {
    format!(r#"{{"seq":{},"prev":{}}}"#, stored.seq.0, stored.prev.0)
}
