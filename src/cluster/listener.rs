//! `/metrics` and `/health` of a role, beside whatever else it serves: for a collector on a network of the
//! operator's own. Nobody is asked for a key here, and nothing but counts is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use telemetry::metrics::Metrics;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

const CONNECTIONS: usize = 32;
/// For a whole request and its answer.
const PATIENCE: Duration = Duration::from_secs(5);
const LONGEST_REQUEST: usize = 8 << 10;
const AFTER_A_FAILURE: Duration = Duration::from_millis(200);

/// Listens on `address`, if there is one, as long as the process lives. The role is well while it is connected
/// to NATS.
///
/// # Errors
/// When the address cannot be had.
pub async fn open(
    address: Option<SocketAddr>,
    metrics: &Metrics,
    connection: &nats::Connection,
) -> anyhow::Result<()> {
    let Some(address) = address else { return Ok(()) };
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("cannot listen on OH_METRICS_ADDRESS {address}"))?;
    tracing::info!(address = %listener.local_addr()?, "showing metrics");
    let (metrics, connection) = (metrics.clone(), connection.clone());
    tokio::spawn(serve(listener, move |path| answer(path, &metrics, connection.is_connected())));
    Ok(())
}

fn answer(path: &str, metrics: &Metrics, is_well: bool) -> String {
    let plain = "text/plain; charset=utf-8";
    match path {
        "/metrics" => response("200 OK", Metrics::MEDIA_TYPE, &metrics.text()),
        "/health" if is_well => response("200 OK", plain, "ok\n"),
        "/health" => response("503 Service Unavailable", plain, "not connected to NATS\n"),
        _ => response("404 Not Found", plain, "only /metrics and /health are here\n"),
    }
}

fn response(status: &str, media_type: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

async fn serve(listener: TcpListener, answer: impl Fn(&str) -> String + Send + Sync + 'static) {
    let (answer, room) = (Arc::new(answer), Arc::new(Semaphore::new(CONNECTIONS)));
    while let Ok(place) = room.clone().acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(AFTER_A_FAILURE).await;
            continue;
        };
        let answer = answer.clone();
        tokio::spawn(async move {
            // Who goes away or takes too long gets nothing.
            let _ = tokio::time::timeout(PATIENCE, exchange(stream, answer.as_ref())).await;
            drop(place);
        });
    }
}

async fn exchange(mut stream: TcpStream, answer: &(impl Fn(&str) -> String + Sync)) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let room = LONGEST_REQUEST.saturating_sub(request.len()) as u64;
        if (&mut stream).take(room).read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let text = String::from_utf8_lossy(&request);
    let path = text.strip_prefix("GET ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    stream.write_all(answer(path).as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(request: &str, is_well: bool) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let metrics = Metrics::default();
        metrics.placement.lease_changed();
        tokio::spawn(serve(listener, move |path| answer(path, &metrics, is_well)));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn a_collector_is_shown_what_is_counted() {
        let shown = ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", true).await;
        assert!(shown.starts_with("HTTP/1.1 200 OK\r\n"), "{shown}");
        assert!(shown.contains("\nmanyhands_lease_changes_total 1\n"), "{shown}");
        let (head, body) = shown.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
    }

    #[tokio::test]
    async fn health_is_the_connection_to_nats() {
        let health = "GET /health HTTP/1.1\r\n\r\n";
        assert!(ask(health, true).await.starts_with("HTTP/1.1 200 "));
        assert!(ask(health, false).await.starts_with("HTTP/1.1 503 "));
    }

    #[tokio::test]
    async fn nothing_else_is_answered() {
        for request in ["GET /docs HTTP/1.1\r\n\r\n", "POST /metrics HTTP/1.1\r\n\r\n"] {
            assert!(ask(request, true).await.starts_with("HTTP/1.1 404 "), "{request}");
        }
        let endless = format!("GET /{}", "a".repeat(LONGEST_REQUEST));
        assert_eq!(ask(&endless, true).await, "");
    }
}
