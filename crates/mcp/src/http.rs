//! Streamable HTTP: each message is a POST, and what comes back is a message, a stream of them, or nothing.

use std::collections::VecDeque;

use jsonrpc::Wire;
use outbound::Outbound;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, Response, StatusCode, Url};
use serde_json::Value;

use crate::challenge::Challenge;
use crate::events::Events;
use crate::{Error, Transport};

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const PROTOCOL: HeaderName = HeaderName::from_static("mcp-protocol-version");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const BOTH: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");

/// Bytes of one answer.
pub(crate) const MOST: usize = 1 << 20;
const MOST_REDIRECTS: usize = 5;

/// A server that is reached by streamable HTTP.
pub struct Http {
    outbound: Outbound,
    url: Url,
    headers: HeaderMap,
    session: Option<HeaderValue>,
    version: Option<HeaderValue>,
    ready: VecDeque<Value>,
    stream: Option<Events>,
}

impl Http {
    #[must_use]
    pub fn new(outbound: Outbound, url: Url, headers: HeaderMap) -> Self {
        Self { outbound, url, headers, session: None, version: None, ready: VecDeque::new(), stream: None }
    }

    /// Follows where the server leads, as long as it is itself: the headers are not for others.
    async fn ask(&mut self, method: Method, body: Option<&Value>) -> Result<Response, Error> {
        for _ in 0..=MOST_REDIRECTS {
            let client = self.outbound.client(&self.url)?;
            let mut request = client.request(method.clone(), self.url.clone()).headers(self.headers.clone());
            for (name, value) in [(SESSION, &self.session), (PROTOCOL, &self.version)] {
                if let Some(value) = value {
                    request = request.header(name, value.clone());
                }
            }
            if let Some(body) = body {
                let body = body.to_string();
                request = request.header(ACCEPT, BOTH).header(CONTENT_TYPE, JSON).body(body);
            }
            let response = request.send().await?;
            match next_url(&self.url, &response) {
                Some(next) => self.url = next,
                None => return Ok(response),
            }
        }
        Err(Error::Strange)
    }

    async fn take(&mut self, response: Response, is_question: bool) -> Result<(), Error> {
        check(&response)?;
        if let Some(session) = response.headers().get(SESSION) {
            self.session = Some(session.clone());
        }
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
        let kind = kind.to_ascii_lowercase();
        match kind.as_str() {
            _ if !is_question => Ok(()),
            "text/event-stream" => {
                self.stream = Some(Events::new(response, MOST));
                Ok(())
            }
            "application/json" => {
                match serde_json::from_slice(&read(response, MOST).await?) {
                    Ok(Value::Array(messages)) => self.ready.extend(messages),
                    Ok(message) => self.ready.push_back(message),
                    Err(_) => return Err(Error::Strange),
                }
                Ok(())
            }
            _ => Err(Error::Strange),
        }
    }
}

impl Wire for Http {
    type Error = Error;

    async fn send(&mut self, message: &Value) -> Result<(), Error> {
        let is_question = message.get("method").is_some() && message.get("id").is_some();
        let response = self.ask(Method::POST, Some(message)).await?;
        self.take(response, is_question).await
    }

    async fn next(&mut self) -> Result<Value, Error> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Ok(message);
            }
            let stream = self.stream.as_mut().ok_or(Error::Ended)?;
            match stream.next().await? {
                Some(event) if event.name == "message" => {
                    // What keeps a stream alive may hold anything.
                    self.ready.extend(serde_json::from_str::<Value>(&event.data));
                }
                Some(_) => {}
                None => self.stream = None,
            }
        }
    }
}

impl Transport for Http {
    fn agreed(&mut self, version: &str) {
        self.version = HeaderValue::from_str(version).ok();
    }

    async fn close(mut self) {
        if self.session.is_some() {
            let _ = self.ask(Method::DELETE, None).await;
        }
    }
}

/// Where a server leads, if it is to itself and with the same method.
fn next_url(from: &Url, response: &Response) -> Option<Url> {
    if !matches!(response.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT) {
        return None;
    }
    let next = from.join(response.headers().get(LOCATION)?.to_str().ok()?).ok()?;
    (next.origin() == from.origin()).then_some(next)
}

pub(crate) fn check(response: &Response) -> Result<(), Error> {
    match response.status() {
        status if status.is_success() => Ok(()),
        StatusCode::UNAUTHORIZED => Err(Error::Unauthorized(Challenge::read(response))),
        status => Err(Error::Status(status.as_u16())),
    }
}

/// All of a body of at most so many bytes.
pub(crate) async fn read(mut response: Response, most: usize) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await? {
        body.extend_from_slice(&piece);
        if body.len() > most {
            return Err(Error::TooLarge);
        }
    }
    Ok(body)
}
