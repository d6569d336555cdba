//! The connection as the adapters use it: nothing waits for a server that is gone, and whatever may have been
//! missed is known.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_nats::client::{PublishErrorKind, Request, RequestErrorKind};
use async_nats::{Client, HeaderMap, Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use ports::{Error, Result};
use tokio::sync::watch;
use types::subjects;

use crate::arrivals::{Arrivals, Following};
use crate::leaders::Leaders;

/// How long a server that is connected may take to answer.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// What is known of the connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Status {
    pub connected: bool,
    /// For good: drained.
    pub closed: bool,
    /// How often it was lost: what was asked before is not answered any more.
    pub losses: u64,
    /// How often messages for this client may have been dropped.
    pub gaps: u64,
    /// How often a stream got another leader: what the one before has stored last it may have told nobody.
    pub elections: u64,
    /// How often something did not arrive that a stream has published.
    pub holes: u64,
}

#[derive(Clone)]
pub struct Link {
    pub client: Client,
    pub status: watch::Receiver<Status>,
    /// A subject this client may publish to and nobody listens on: see [`Link::round_trip`].
    pub nobody: String,
    pub leaders: Arc<Leaders>,
    pub arrivals: Arc<Arrivals>,
}

/// Messages, and the news of the connection since before the first of them.
pub struct Subscribed {
    pub link: Link,
    pub messages: Subscriber,
    pub status: watch::Receiver<Status>,
    /// Whether it is what streams publish.
    pub is_of_streams: bool,
    /// Where it is all that they do.
    pub whole: Option<Following>,
    /// Whether others get what this one does not.
    pub is_shared: bool,
    /// [`Subscribed::missed`] at the beginning.
    pub known: u64,
}

impl Subscribed {
    /// How often something may have been missed.
    pub fn missed(status: &Status, is_of_streams: bool) -> u64 {
        if is_of_streams { status.gaps + status.elections + status.holes } else { status.gaps }
    }
}

impl Link {
    pub async fn send(&self, subject: &str, headers: Option<HeaderMap>, payload: Bytes) -> Result<()> {
        self.in_time(PATIENCE, self.publish(subject, None, headers, payload)).await?
    }

    async fn publish(
        &self,
        subject: &str,
        reply: Option<String>,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<()> {
        let (size, to) = (payload.len(), subject.to_owned());
        let published = match (reply, headers) {
            (None, None) => self.client.publish(to, payload).await,
            (None, Some(headers)) => self.client.publish_with_headers(to, headers, payload).await,
            (Some(reply), None) => self.client.publish_with_reply(to, reply, payload).await,
            (Some(reply), Some(headers)) => {
                self.client.publish_with_reply_and_headers(to, reply, headers, payload).await
            }
        };
        published.map_err(|error| match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => self.too_large(subject, size),
            PublishErrorKind::InvalidSubject => not_a_subject(subject),
            PublishErrorKind::Send => Error::Unavailable(error.to_string()),
        })
    }

    /// `NotFound` at once where nobody subscribes. For those who answer sooner or later: until then the client keeps a
    /// place for the answer, whether anybody waits for it or not.
    pub async fn ask(
        &self,
        subject: &str,
        headers: Option<HeaderMap>,
        payload: Bytes,
        deadline: Duration,
    ) -> Result<Message> {
        let size = payload.len();
        let mut request = Request::new().payload(payload).timeout(None);
        if let Some(headers) = headers {
            request = request.headers(headers);
        }
        let answer = self.in_time(deadline, self.client.send_request(subject.to_owned(), request));
        answer.await?.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => Error::NotFound,
            RequestErrorKind::MaxPayloadExceeded => self.too_large(subject, size),
            RequestErrorKind::InvalidSubject => not_a_subject(subject),
            RequestErrorKind::TimedOut | RequestErrorKind::Other => Error::Unavailable(error.to_string()),
        })
    }

    /// The same for workers, which answer in an `inbox` that they have a right to, if they do. It takes a subscription, which
    /// goes with whoever waits, and lets one message through: a worker may send as many as it likes, and those that a full
    /// queue drops make every other subscriber of this client read anew.
    pub async fn ask_worker(
        &self,
        subject: &str,
        inbox: String,
        headers: Option<HeaderMap>,
        payload: Bytes,
        deadline: Duration,
    ) -> Result<Message> {
        let asking = self.in_time(deadline, async {
            let mut answers = self.client.subscribe(inbox.clone()).await.map_err(gone)?;
            answers.unsubscribe_after(1).await.map_err(gone)?;
            self.publish(subject, Some(inbox), headers, payload).await?;
            answers.next().await.ok_or_else(not_connected)
        });
        let answer = asking.await??;
        if answer.status == Some(StatusCode::NO_RESPONDERS) {
            return Err(Error::NotFound);
        }
        Ok(answer)
    }

    /// What is published anywhere after this returns is seen.
    pub async fn listen(&self, pattern: &str, group: Option<&str>) -> Result<Subscribed> {
        let status = self.status.clone();
        let is_of_streams = pattern.starts_with(subjects::PUBLISHED);
        let known = Subscribed::missed(&status.borrow(), is_of_streams);
        let subscribed = self.in_time(PATIENCE, async {
            match group {
                Some(group) => self.client.queue_subscribe(pattern.to_owned(), group.to_owned()).await,
                None => self.client.subscribe(pattern.to_owned()).await,
            }
        });
        let messages = subscribed.await?.map_err(|error| Error::Internal(format!("{pattern:?}: {error}")))?;
        self.round_trip().await?;
        let (is_shared, whole) = (group.is_some(), self.arrivals.follow(pattern));
        Ok(Subscribed { link: self.clone(), messages, status, is_of_streams, whole, is_shared, known })
    }

    /// Returns when the server has seen everything sent before: it answers requests to nobody by itself.
    pub async fn round_trip(&self) -> Result<()> {
        match self.ask(&self.nobody, None, Bytes::new(), PATIENCE).await {
            Ok(_) | Err(Error::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Does `work` as long as the connection holds, and for `deadline` at most.
    pub async fn in_time<T>(&self, deadline: Duration, work: impl Future<Output = T>) -> Result<T> {
        let before = *self.status.borrow();
        if !before.connected {
            return Err(not_connected());
        }
        let mut status = self.status.clone();
        let lost = async move {
            // An error means that the client has ended.
            let _ = status.wait_for(|now| now.losses != before.losses).await;
        };
        tokio::select! {
            done = work => Ok(done),
            () = lost => Err(not_connected()),
            () = tokio::time::sleep(deadline) => {
                Err(Error::Unavailable(format!("NATS gave no answer within {deadline:?}")))
            }
        }
    }

    fn too_large(&self, subject: &str, size: usize) -> Error {
        let limit = self.client.max_payload();
        Error::TooLarge(format!(
            "{size} bytes for {subject} are more than the NATS server's max_payload of {limit}"
        ))
    }
}

fn not_connected() -> Error {
    Error::Unavailable("not connected to NATS".to_owned())
}

/// The client has ended.
fn gone(error: impl std::fmt::Display) -> Error {
    Error::Unavailable(error.to_string())
}

fn not_a_subject(subject: &str) -> Error {
    Error::Internal(format!("not a subject: {subject:?}"))
}
