//! The transport of a process that talks to providers itself.

use std::error::Error as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};

use crate::private::{PrivateAddress, PublicAddresses, names_private_address};
use crate::transport::{HttpAnswer, HttpCall, Transport, TransportError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
const IDLE_CONNECTION: Duration = Duration::from_secs(60);
const IDLE_CONNECTIONS_PER_HOST: usize = 8;

/// Sends over reqwest. A value costs nothing until its first call; TLS roots are loaded by the first
/// https call only, so plain http works on machines without CA files.
#[derive(Default)]
pub struct Direct {
    plain: OnceLock<Client>,
    tls: OnceLock<Client>,
    public_only: bool,
}

impl Direct {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes no call to addresses that only this machine or its own network can reach, whatever a URL or a
    /// name says.
    #[must_use]
    pub fn to_public_addresses() -> Self {
        Self { public_only: true, ..Self::default() }
    }

    fn client(&self, scheme: &str) -> Result<&Client, TransportError> {
        match scheme {
            "http" => cached(&self.plain, || self.common().tls_certs_only([])),
            "https" => cached(&self.tls, || self.common()),
            _ => Err(TransportError::Setup("the model's base_url must be an http or https URL".to_owned())),
        }
    }

    fn common(&self) -> ClientBuilder {
        let builder = common();
        if self.public_only { builder.dns_resolver(Arc::new(PublicAddresses)) } else { builder }
    }
}

#[async_trait]
impl Transport for Direct {
    async fn send(&self, call: HttpCall) -> Result<HttpAnswer, TransportError> {
        if self.public_only && names_private_address(&call.url) {
            return Err(TransportError::Setup(PrivateAddress.to_string()));
        }
        let client = self.client(call.url.scheme())?;
        let answer = client.post(call.url).headers(call.headers).body(call.body).send().await;
        let answer = answer.map_err(transport_error)?;
        Ok(HttpAnswer {
            status: answer.status(),
            headers: answer.headers().clone(),
            body: answer.bytes_stream().map(|piece| piece.map_err(transport_error)).boxed(),
        })
    }
}

fn common() -> ClientBuilder {
    Client::builder()
        .redirect(Policy::none())
        .referer(false)
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_CONNECTION)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_PER_HOST)
}

fn cached(
    cell: &OnceLock<Client>,
    builder: impl FnOnce() -> ClientBuilder,
) -> Result<&Client, TransportError> {
    if let Some(client) = cell.get() {
        return Ok(client);
    }
    let client = builder().build().map_err(transport_error)?;
    Ok(cell.get_or_init(|| client))
}

fn transport_error(error: reqwest::Error) -> TransportError {
    let error = error.without_url();
    let text = chain(&error);
    if causes(&error).any(|cause| cause.is::<PrivateAddress>()) {
        return TransportError::Setup(PrivateAddress.to_string());
    }
    if error.is_builder() {
        return TransportError::Setup(format!("no connection can be made: {text}"));
    }
    TransportError::Connection(text)
}

/// The error and its causes, each once.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    for cause in causes(error) {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
    }
    text
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}
