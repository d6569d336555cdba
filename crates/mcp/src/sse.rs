//! HTTP with server-sent events, which streamable HTTP has replaced: one stream has all that the server says, and its first
//! event where to say something.

use jsonrpc::Wire;
use outbound::Outbound;
use reqwest::Url;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use serde_json::Value;

use crate::events::Events;
use crate::http::{MOST, check};
use crate::{Error, Transport};

/// A server that is reached in this way.
pub struct Sse {
    outbound: Outbound,
    endpoint: Url,
    headers: HeaderMap,
    events: Events,
}

impl Sse {
    /// # Errors
    /// Where no stream comes, or it leads to another server: the headers are not for that.
    pub async fn open(outbound: Outbound, url: &Url, headers: HeaderMap) -> Result<Self, Error> {
        let request = outbound.client(url)?.get(url.clone()).headers(headers.clone());
        let response = request.header(ACCEPT, "text/event-stream").send().await?;
        check(&response)?;
        let mut events = Events::new(response, MOST);
        let endpoint = loop {
            let event = events.next().await?.ok_or(Error::Ended)?;
            if event.name == "endpoint" {
                break url.join(event.data.trim()).map_err(|_| Error::Strange)?;
            }
        };
        if endpoint.origin() != url.origin() {
            return Err(Error::Strange);
        }
        Ok(Self { outbound, endpoint, headers, events })
    }
}

impl Wire for Sse {
    type Error = Error;

    async fn send(&mut self, message: &Value) -> Result<(), Error> {
        let client = self.outbound.client(&self.endpoint)?;
        let request = client.post(self.endpoint.clone()).headers(self.headers.clone());
        let body = message.to_string();
        check(&request.header(CONTENT_TYPE, "application/json").body(body).send().await?)
    }

    async fn next(&mut self) -> Result<Value, Error> {
        loop {
            let event = self.events.next().await?.ok_or(Error::Ended)?;
            if event.name != "message" {
                continue;
            }
            if let Ok(message @ Value::Object(_)) = serde_json::from_str(&event.data) {
                return Ok(message);
            }
        }
    }
}

impl Transport for Sse {
    fn agreed(&mut self, _version: &str) {}

    /// The stream ends with the connection.
    async fn close(self) {}
}
