//! One call of a webhook.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderValue, StatusCode};
use outbound::{Outbound, cause_of_refusal};
use reqwest::{Response, Url};

use super::hook::Hook;

/// From the connection to the end of the answer.
const PATIENCE: Duration = Duration::from_secs(30);
const MOST_REDIRECTS: usize = 3;
/// What is read of an answer, so that its connection can be used again.
const MOST_READ: usize = 64 << 10;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Has `path` below a hook take `body`.
///
/// # Errors
/// Why it has not, in words without the address, which may hold a key.
pub(super) async fn deliver(outbound: &Outbound, hook: &Hook, path: &str, body: Bytes) -> Result<(), String> {
    let url = hook.url(path).ok_or("it has no address that calls can go to")?;
    let called = tokio::time::timeout(PATIENCE, call(outbound, hook, url, body)).await;
    called.unwrap_or_else(|_| Err(format!("no answer within {} seconds", PATIENCE.as_secs())))
}

/// Follows where the hook leads, as long as it is itself: the headers are not for others.
async fn call(outbound: &Outbound, hook: &Hook, mut url: Url, body: Bytes) -> Result<(), String> {
    for _ in 0..=MOST_REDIRECTS {
        let client = outbound.client(&url).map_err(|error| error.to_string())?;
        let request = client.post(url.clone()).headers(hook.headers()).header(CONTENT_TYPE, JSON);
        let response = request.body(body.clone()).send().await.map_err(words)?;
        let status = response.status();
        if status.is_success() {
            read_through(response).await;
            return Ok(());
        }
        match next(&url, &response) {
            Some(next) => url = next,
            None => return Err(format!("the answer is {}", status.as_u16())),
        }
    }
    Err("it leads from one address to the next".to_owned())
}

fn next(at: &Url, response: &Response) -> Option<Url> {
    let keeps_its_method =
        matches!(response.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
    let location = response.headers().get(LOCATION).filter(|_| keeps_its_method)?.to_str().ok()?;
    let mut next = at.join(location).ok().filter(|next| next.origin() == at.origin())?;
    // Who calls is part of the address that is configured, and seldom of the one that is answered.
    next.set_username(at.username()).ok()?;
    next.set_password(at.password()).ok()?;
    Some(next)
}

/// What it answers is nobody's business.
async fn read_through(mut response: Response) {
    let mut read = 0;
    while read < MOST_READ
        && let Ok(Some(piece)) = response.chunk().await
    {
        read += piece.len();
    }
}

fn words(error: reqwest::Error) -> String {
    if let Some(refused) = cause_of_refusal(&error) {
        return format!("its address {refused}");
    }
    match () {
        () if error.is_connect() => "it cannot be connected to",
        () if error.is_timeout() => "it takes too long",
        () => "the connection broke",
    }
    .to_owned()
}
