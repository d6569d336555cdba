//! How a request reaches a provider: straight from this process, or through a broker that adds the key.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use http::{HeaderMap, StatusCode};
use reqwest::Url;

/// Sends one POST and hands the answer back as soon as its head is there. No redirects are followed.
#[async_trait]
pub trait Transport: Send + Sync {
    /// # Errors
    /// Only what happened below HTTP; an answer of any status is an answer.
    ///
    /// # Cancel safety
    /// Dropping the future, or the answer, ends the exchange.
    async fn send(&self, call: HttpCall) -> Result<HttpAnswer, TransportError>;
}

/// A complete POST request. Headers that hold secrets are marked sensitive.
#[derive(Clone)]
pub struct HttpCall {
    /// http or https; may hold user info.
    pub url: Url,
    pub headers: HeaderMap,
    /// JSON.
    pub body: Bytes,
    /// Of the configuration that it follows, for who makes the call in another's place.
    pub usage_id: String,
}

impl fmt::Debug for HttpCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCall")
            .field("host", &self.url.host_str())
            .field("path", &self.url.path())
            .field("headers", &self.headers)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

/// The body's pieces as they arrive.
pub type AnswerBody = BoxStream<'static, Result<Bytes, TransportError>>;

pub struct HttpAnswer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: AnswerBody,
}

/// Texts name neither URL nor headers.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TransportError {
    /// No connection, or it broke before the head or within the body: trying again may help.
    #[error("connection error: {0}")]
    Connection(String),
    /// No client can be built, or the request cannot be sent at all: trying again does not help.
    #[error("{0}")]
    Setup(String),
}
