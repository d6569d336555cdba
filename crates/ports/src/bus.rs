//! Messages on named subjects.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::{Error, Result, feed};

/// The most bytes of a parcel on any bus, and of a value in a bucket: the 8 MiB of a NATS message, less what its
/// headers may take.
pub const LARGEST: usize = (8 << 20) - (16 << 10);

/// # Errors
/// `TooLarge` for more than [`LARGEST`].
pub fn fits(bytes: usize) -> Result<()> {
    match bytes <= LARGEST {
        true => Ok(()),
        false => Err(Error::TooLarge(format!("{bytes} bytes, where {LARGEST} are the most"))),
    }
}

/// What travels: JSON, and raw bytes beside it (file contents are never put into JSON).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parcel {
    pub json: Bytes,
    pub blob: Bytes,
}

impl Parcel {
    #[must_use]
    pub fn json(json: impl Into<Bytes>) -> Self {
        Self { json: json.into(), blob: Bytes::new() }
    }

    #[must_use]
    pub fn bytes(&self) -> usize {
        self.json.len().saturating_add(self.blob.len())
    }
}

#[derive(Clone, Debug)]
pub struct Message {
    pub subject: String,
    pub parcel: Parcel,
    /// Where an answer is published, if one is wanted.
    pub reply: Option<String>,
}

#[derive(Clone, Debug)]
pub enum Delivery {
    Message(Message),
    /// This subscriber was too slow and messages were dropped: read the log again.
    Lagged,
}

impl feed::Item for Delivery {
    fn bytes(&self) -> usize {
        match self {
            Self::Message(message) => message.subject.len() + message.parcel.bytes(),
            Self::Lagged => 0,
        }
    }

    fn reply(&self) -> Option<&str> {
        match self {
            Self::Message(message) => message.reply.as_deref(),
            Self::Lagged => None,
        }
    }

    fn lagged() -> Self {
        Self::Lagged
    }
}

pub type Subscription = BoxStream<'static, Delivery>;

/// Subject-based messages, as NATS has them. Subjects are tokens parted by dots; in patterns `*` matches one
/// token and a final `>` one or more.
///
/// Delivery is at most once. Messages one publisher sends on one subject arrive in order. A slow subscriber
/// never holds up a publisher: its queue is bounded and overflow shows as [`Delivery::Lagged`]. A request that is
/// dropped by it is refused at once, as far as it can be known: with `Unavailable`, or with [`crate::rpc::overloaded`].
#[async_trait]
pub trait Bus: Send + Sync {
    /// # Errors
    /// `TooLarge` beyond [`LARGEST`]; `Unavailable` without a connection. No subscriber is not an error.
    async fn publish(&self, subject: &str, parcel: Parcel) -> Result<()>;

    /// Publishes, and returns once it is certain that the bus has it: what lies in a connection is lost with that.
    ///
    /// # Errors
    /// As [`Bus::publish`]; `Unavailable` also where it may have been published or not.
    async fn publish_surely(&self, subject: &str, parcel: Parcel) -> Result<()> {
        self.publish(subject, parcel).await
    }

    /// Publishes and waits for one answer.
    ///
    /// # Errors
    /// `TooLarge` beyond [`LARGEST`]; `NotFound` at once when nobody subscribes; `Unavailable` when `deadline` passes.
    async fn request(&self, subject: &str, parcel: Parcel, deadline: Duration) -> Result<Parcel>;

    /// Messages from now on: what is published after this returns is seen. Of the subscribers of one
    /// `group` each message reaches one. Dropping the stream ends the subscription.
    ///
    /// # Errors
    /// `Unavailable` without a connection.
    async fn subscribe(&self, pattern: &str, group: Option<&str>) -> Result<Subscription>;
}
