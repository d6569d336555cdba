//! One call of a webhook.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderValue, StatusCode};
use outbound::{Outbound, cause_of_refusal};
use reqwest::{Response, Url};

use super::hook::Hook;

/// From the connection to the status of the answer, with which all is said.
const PATIENCE: Duration = Duration::from_secs(30);
const MOST_REDIRECTS: usize = 3;
/// What is read of an answer, so that its connection can be used again.
const MOST_READ: usize = 64 << 10;
const READING: Duration = Duration::from_secs(1);

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Has `path` below a hook take `body`.
///
/// # Errors
/// Why it has not, in words without the address, which may hold a key.
pub(super) async fn deliver(outbound: &Outbound, hook: &Hook, path: &str, body: Bytes) -> Result<(), String> {
    let url = hook.url(path).ok_or("it has no address that calls can go to")?;
    let called = tokio::time::timeout(PATIENCE, call(outbound, hook, url, body)).await;
    let taken = called.unwrap_or_else(|_| Err(format!("no answer within {} seconds", PATIENCE.as_secs())))?;
    let _ = tokio::time::timeout(READING, read_through(taken)).await;
    Ok(())
}

/// Follows where the hook leads, as long as it is itself: the headers are not for others.
async fn call(outbound: &Outbound, hook: &Hook, mut url: Url, body: Bytes) -> Result<Response, String> {
    let mut headers = hook.headers();
    headers.entry(CONTENT_TYPE).or_insert(JSON);
    for _ in 0..=MOST_REDIRECTS {
        let client = outbound.client(&url).map_err(|error| error.to_string())?;
        let request = client.post(url.clone()).headers(headers.clone());
        let response = request.body(body.clone()).send().await.map_err(words)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers one call, with a body that never ends; tells what the call was.
    async fn endless() -> (Hook, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hook = Hook::at(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let serving = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut call = Vec::new();
            while !call.ends_with(b"[]") {
                assert!(socket.read_buf(&mut call).await.unwrap() > 0);
            }
            let answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n";
            socket.write_all(answer).await.unwrap();
            // Until it is hung up.
            while matches!(socket.read_buf(&mut call).await, Ok(1..)) {}
            String::from_utf8(call).unwrap().to_lowercase()
        });
        (hook, serving)
    }

    #[tokio::test]
    async fn a_call_is_taken_with_its_status_however_long_the_body_is() {
        let (hook, serving) = endless().await;
        let begun = Instant::now();
        deliver(&Outbound::default(), &hook, "events/1", Bytes::from_static(b"[]")).await.unwrap();
        assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
        assert_eq!(serving.await.unwrap().matches("content-type: application/json").count(), 1);
    }

    #[tokio::test]
    async fn a_configured_content_type_is_sent_once() {
        let (hook, serving) = endless().await;
        let hook = hook.with_header("Content-Type", "application/x-of-mine").unwrap();
        deliver(&Outbound::default(), &hook, "events/1", Bytes::from_static(b"[]")).await.unwrap();
        let call = serving.await.unwrap();
        assert_eq!((call.matches("content-type").count(), call.contains("application/x-of-mine")), (1, true));
    }
}
