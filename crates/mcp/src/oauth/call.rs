//! Calls to providers of logins.

use std::net::IpAddr;
use std::time::Duration;

use outbound::Outbound;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde_json::{Map, Value};

use crate::Error;
use crate::http::read;
use crate::session::VERSION;

const PATIENCE: Duration = Duration::from_secs(10);
const MOST: usize = 256 << 10;

/// An object that somebody serves.
pub(super) struct Found {
    pub says: Map<String, Value>,
    /// Where that is, if it is known.
    pub from: Option<IpAddr>,
}

/// What is served at `url`; `None` where that is no object.
///
/// # Errors
/// Where the provider fails.
pub(super) async fn fetch(outbound: &Outbound, url: &Url) -> Result<Option<Found>, Error> {
    let request = client(outbound, url)?.get(url.clone()).header("mcp-protocol-version", VERSION);
    let response = sent(request.header(ACCEPT, "application/json")).await?;
    match response.status() {
        StatusCode::OK => {
            let from = response.remote_addr().map(|address| address.ip());
            let says = serde_json::from_slice(&read(response, MOST).await?).ok();
            Ok(says.map(|says| Found { says, from }))
        }
        status if status.is_server_error() => Err(Error::Login(format!("answered HTTP {}", status.as_u16()))),
        _ => Ok(None),
    }
}

/// Registers something: answered with an object.
///
/// # Errors
/// Where the provider refuses.
pub(super) async fn post_json(
    outbound: &Outbound,
    url: &Url,
    body: &Map<String, Value>,
) -> Result<Map<String, Value>, Error> {
    let body = serde_json::to_string(body).map_err(|_| Error::Invalid)?;
    let request = client(outbound, url)?.post(url.clone()).header(CONTENT_TYPE, "application/json");
    answer(sent(request.header(ACCEPT, "application/json").body(body)).await?).await
}

/// Asks for tokens: answered with an object.
///
/// # Errors
/// Where the provider refuses.
pub(super) async fn post_form(
    outbound: &Outbound,
    url: &Url,
    fields: &[(&str, &str)],
    authorization: Option<HeaderValue>,
) -> Result<Map<String, Value>, Error> {
    // What a form looks like is what a query looks like.
    let mut form = url.clone();
    form.query_pairs_mut().clear().extend_pairs(fields);
    let body = form.query().unwrap_or_default().to_owned();
    let request = client(outbound, url)?.post(url.clone());
    let mut request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    if let Some(authorization) = authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    answer(sent(request.header(ACCEPT, "application/json").body(body)).await?).await
}

/// The status of a page that a browser would see; `None` where it cannot be seen from here.
pub(super) async fn look(outbound: &Outbound, url: &Url) -> Option<StatusCode> {
    Some(sent(client(outbound, url).ok()?.get(url.clone())).await.ok()?.status())
}

fn client<'a>(outbound: &'a Outbound, url: &Url) -> Result<&'a Client, Error> {
    outbound.client(url).map_err(|error| told(error.into()))
}

async fn sent(request: RequestBuilder) -> Result<Response, Error> {
    request.timeout(PATIENCE).send().await.map_err(|error| told(error.into()))
}

/// What is not called here is an address that the server or its provider has named, and not the user.
fn told(error: Error) -> Error {
    match error {
        Error::NotCalled(_) => Error::Login("is at an address that is not called for this server".to_owned()),
        other => other,
    }
}

async fn answer(response: Response) -> Result<Map<String, Value>, Error> {
    let status = response.status();
    let body = read(response, MOST).await?;
    let said: Option<Map<String, Value>> = serde_json::from_slice(&body).ok();
    if status.is_success() {
        return said.ok_or_else(|| Error::Login("answers something else than JSON".to_owned()));
    }
    let code = said.as_ref().and_then(|said| said.get("error")?.as_str()).filter(|code| is_code(code));
    let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
    let words = format!("answered HTTP {}{code}", status.as_u16());
    let may_change = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    Err(if status.is_client_error() && !may_change { Error::Denied(words) } else { Error::Login(words) })
}

/// A word like `invalid_grant`: what else a provider says may hold anything.
pub(super) fn is_code(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}
