//! The transport of a process that holds no keys: a broker makes the calls for it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use types::ConversationId;
use types::brokering::{ModelPiece, Part};

use crate::route::SESSION_HEADER;
use crate::transport::{HttpAnswer, HttpCall, Transport, TransportError};

/// A broker that sends nothing for this long has gone: while it waits itself, it says so more often.
const SILENCE: Duration = Duration::from_secs(10);

/// The parts of an answer as they arrive, each with its bytes. Dropping it cancels the call.
pub type Pieces = BoxStream<'static, (ModelPiece, Bytes)>;

/// The way to a broker, for [`Brokered`].
#[async_trait]
pub trait Broker: Send + Sync {
    /// Hands a call over, of the conversation's model that has this URL and name, and this `usage` where several have them. No
    /// piece of its answer is lost from then on, or the loss shows in their numbers.
    ///
    /// # Errors
    /// `Connection` when no broker takes it, `Setup` when the broker refuses it.
    async fn open(
        &self,
        conversation: ConversationId,
        usage: String,
        url: String,
        body: Bytes,
    ) -> Result<Pieces, TransportError>;
}

/// Sends URL and body to a broker, which knows the headers itself.
pub struct Brokered {
    broker: Arc<dyn Broker>,
}

impl Brokered {
    #[must_use]
    pub fn new(broker: Arc<dyn Broker>) -> Self {
        Self { broker }
    }
}

#[async_trait]
impl Transport for Brokered {
    async fn send(&self, call: HttpCall) -> Result<HttpAnswer, TransportError> {
        let session = call.headers.get(SESSION_HEADER).and_then(|value| value.to_str().ok());
        let conversation = session.and_then(|session| session.parse().ok());
        let conversation =
            conversation.ok_or_else(|| TransportError::Setup("the call names no conversation".to_owned()))?;
        let HttpCall { url, body, usage_id, .. } = call;
        let pieces = self.broker.open(conversation, usage_id, url.into(), body).await?;
        let mut answer = InOrder { pieces, next: 0 };
        loop {
            match answer.next().await? {
                (Part::Alive {}, _) => {}
                (Part::Head { status, headers }, _) => return head(status, headers, answer),
                (Part::Body {} | Part::End {}, _) => return Err(broken("it began without a head")),
                (Part::Failed { message, lasting }, _) => return Err(failed(message, lasting)),
            }
        }
    }
}

fn head(status: u16, headers: Vec<(String, String)>, answer: InOrder) -> Result<HttpAnswer, TransportError> {
    let status = StatusCode::from_u16(status).map_err(|_| broken("its status is none"))?;
    let header = |(name, value): (String, String)| {
        Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?))
    };
    let headers: HeaderMap = headers.into_iter().filter_map(header).collect();
    let body = stream::try_unfold(answer, async |mut answer: InOrder| {
        loop {
            match answer.next().await? {
                (Part::Alive {}, _) => {}
                (Part::Body {}, bytes) => return Ok(Some((bytes, answer))),
                (Part::End {}, _) => return Ok(None),
                (Part::Head { .. }, _) => return Err(broken("it began twice")),
                (Part::Failed { message, lasting }, _) => return Err(failed(message, lasting)),
            }
        }
    });
    Ok(HttpAnswer { status, headers, body: body.boxed() })
}

/// The pieces of one answer, of which none is missing.
struct InOrder {
    pieces: Pieces,
    next: u64,
}

impl InOrder {
    async fn next(&mut self) -> Result<(Part, Bytes), TransportError> {
        let piece = tokio::time::timeout(SILENCE, self.pieces.next()).await;
        let piece = piece.map_err(|_| broken("the broker fell silent"))?;
        let (piece, bytes) = piece.ok_or_else(|| broken("the connection to the broker ended"))?;
        if piece.n != self.next {
            return Err(broken("a piece of it was lost"));
        }
        self.next += 1;
        Ok((piece.part, bytes))
    }
}

fn broken(why: &str) -> TransportError {
    TransportError::Connection(format!("the answer broke off: {why}"))
}

fn failed(message: String, lasting: bool) -> TransportError {
    if lasting { TransportError::Setup(message) } else { TransportError::Connection(message) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::Url;

    /// Answers with its pieces and then stays silent.
    struct Scripted(Vec<(u64, Part)>);

    #[async_trait]
    impl Broker for Scripted {
        async fn open(
            &self,
            _: ConversationId,
            _: String,
            _: String,
            _: Bytes,
        ) -> Result<Pieces, TransportError> {
            let pieces = self.0.clone().into_iter();
            let pieces = pieces.map(|(n, part)| (ModelPiece { n, part }, Bytes::from_static(b"x")));
            Ok(stream::iter(pieces).chain(stream::pending()).boxed())
        }
    }

    fn ok() -> Part {
        Part::Head { status: 200, headers: vec![("retry-after".to_owned(), "3".to_owned())] }
    }

    async fn answer_to(pieces: Vec<(u64, Part)>) -> Result<Vec<Bytes>, TransportError> {
        let brokered = Brokered::new(Arc::new(Scripted(pieces)));
        let session = ConversationId::random().to_string();
        let headers = HeaderMap::from_iter([(SESSION_HEADER, HeaderValue::try_from(session).unwrap())]);
        let url = Url::parse("https://models.example/v1").unwrap();
        let answer =
            brokered.send(HttpCall { url, headers, body: Bytes::new(), usage_id: String::new() }).await?;
        assert_eq!((answer.status, &answer.headers["retry-after"]), (StatusCode::OK, &"3".parse().unwrap()));
        answer.body.collect::<Vec<_>>().await.into_iter().collect()
    }

    #[tokio::test]
    async fn an_answer_in_pieces_arrives_whole() {
        let pieces =
            [Part::Alive {}, ok(), Part::Body {}, Part::Alive {}, Part::Body {}, Part::End {}].into_iter();
        let whole = answer_to((0..).zip(pieces).collect()).await.unwrap();
        assert_eq!(whole.concat(), b"xx");
    }

    #[tokio::test]
    async fn an_answer_with_a_piece_lost_is_a_broken_connection() {
        for pieces in [
            vec![(0, ok()), (2, Part::End {})],
            vec![(1, ok())],
            vec![(0, ok()), (1, Part::Failed { message: "no".to_owned(), lasting: false })],
        ] {
            let outcome = answer_to(pieces).await;
            assert!(matches!(outcome, Err(TransportError::Connection(_))), "{outcome:?}");
        }
    }

    #[tokio::test]
    async fn a_refused_call_is_not_tried_again() {
        let refused = Part::Failed { message: "no".to_owned(), lasting: true };
        assert!(matches!(answer_to(vec![(0, refused)]).await, Err(TransportError::Setup(_))));
    }
}
