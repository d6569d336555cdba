//! Calls to providers of logins.

use std::time::Duration;

use outbound::Outbound;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Response, StatusCode, Url};
use serde_json::{Map, Value};

use crate::Error;
use crate::http::read;
use crate::session::VERSION;

const PATIENCE: Duration = Duration::from_secs(10);
const MOST: usize = 256 << 10;

/// An object that is served at `url`; `None` where none is.
///
/// # Errors
/// Where the provider fails.
pub(super) async fn fetch(outbound: &Outbound, url: &Url) -> Result<Option<Map<String, Value>>, Error> {
    let request = outbound.client(url)?.get(url.clone()).header("mcp-protocol-version", VERSION);
    let response = request.header(ACCEPT, "application/json").timeout(PATIENCE).send().await?;
    match response.status() {
        StatusCode::OK => Ok(serde_json::from_slice(&read(response, MOST).await?).ok()),
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
    let request = outbound.client(url)?.post(url.clone()).header(CONTENT_TYPE, "application/json");
    answer(request.header(ACCEPT, "application/json").timeout(PATIENCE).body(body).send().await?).await
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
    let request = outbound.client(url)?.post(url.clone());
    let mut request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    if let Some(authorization) = authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    answer(request.header(ACCEPT, "application/json").timeout(PATIENCE).body(body).send().await?).await
}

/// The status of a page that a browser would see; `None` where it cannot be seen from here.
pub(super) async fn look(outbound: &Outbound, url: &Url) -> Option<StatusCode> {
    let client = outbound.client(url).ok()?;
    Some(client.get(url.clone()).timeout(PATIENCE).send().await.ok()?.status())
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
    Err(Error::Login(format!("answered HTTP {}{code}", status.as_u16())))
}

/// A word like `invalid_grant`: what else a provider says may hold anything.
pub(super) fn is_code(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}
