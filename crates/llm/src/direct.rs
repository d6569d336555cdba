//! The transport of a process that talks to providers itself.

use std::error::Error as _;

use async_trait::async_trait;
use futures_util::StreamExt;
use outbound::{Outbound, Refused, cause_of_refusal};

use crate::transport::{HttpAnswer, HttpCall, Transport, TransportError};
use crate::unpack::unpacked;

/// Sends over HTTP. A value costs nothing until its first call.
#[derive(Default)]
pub struct Direct(Outbound);

impl Direct {
    /// Calls what `outbound` allows.
    #[must_use]
    pub fn new(outbound: Outbound) -> Self {
        Self(outbound)
    }
}

#[async_trait]
impl Transport for Direct {
    async fn send(&self, call: HttpCall) -> Result<HttpAnswer, TransportError> {
        let client = self.0.client(&call.url).map_err(|error| match error {
            outbound::Error::Refused(why) => refused(why),
            outbound::Error::Setup(error) => transport_error(error),
        })?;
        let answer = client.post(call.url).headers(call.headers).body(call.body).send().await;
        let answer = answer.map_err(transport_error)?;
        let (status, mut headers) = (answer.status(), answer.headers().clone());
        let body = answer.bytes_stream().map(|piece| piece.map_err(transport_error)).boxed();
        let body = unpacked(&mut headers, body);
        Ok(HttpAnswer { status, headers, body })
    }
}

fn refused(why: Refused) -> TransportError {
    TransportError::Setup(format!("the model's base_url {why}"))
}

fn transport_error(error: reqwest::Error) -> TransportError {
    let error = error.without_url();
    if let Some(why) = cause_of_refusal(&error) {
        return refused(why);
    }
    let text = chain(&error);
    if error.is_builder() {
        return TransportError::Setup(format!("no connection can be made: {text}"));
    }
    TransportError::Connection(text)
}

/// The error and its causes, each once.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    for cause in causes {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
    }
    text
}
