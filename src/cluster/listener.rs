//! `/metrics` and `/health` of a role, beside whatever else it serves: for a collector on a network of the
//! operator's own. Nobody is asked for a key here, and nothing but counts is told.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use telemetry::metrics::Metrics;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const CONNECTIONS: usize = 32;
/// For a whole request and its answer, and for those under way at the end.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a request's head.
const LONGEST_REQUEST: usize = 8 << 10;
const AFTER_A_FAILURE: Duration = Duration::from_millis(200);
const PLAIN: &str = "text/plain; charset=utf-8";

/// What listens, until it is closed.
#[derive(Default)]
pub struct Listener {
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Listens on `address`, if there is one. The role is well while it is connected to NATS.
///
/// # Errors
/// When the address cannot be had.
pub async fn open(
    address: Option<SocketAddr>,
    metrics: &Metrics,
    connection: &nats::Connection,
) -> anyhow::Result<Listener> {
    let listener = Listener::default();
    let Some(address) = address else { return Ok(listener) };
    let socket = TcpListener::bind(address).await;
    let socket = socket.with_context(|| format!("cannot listen on OH_METRICS_ADDRESS {address}"))?;
    tracing::info!(address = %socket.local_addr()?, "showing metrics");
    let (metrics, connection) = (metrics.clone(), connection.clone());
    listener.serve(socket, move |path| answer(path, &metrics, connection.is_connected()));
    Ok(listener)
}

impl Listener {
    /// Ends with the requests that are under way.
    pub async fn close(self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(PATIENCE, self.tasks.wait()).await.is_err() {
            tracing::warn!("requests for metrics do not end in time");
        }
    }

    fn serve(&self, socket: TcpListener, answer: impl Fn(&str) -> Answer + Send + Sync + 'static) {
        let (tasks, answer, room) =
            (self.tasks.clone(), Arc::new(answer), Arc::new(Semaphore::new(CONNECTIONS)));
        let accepting = async move {
            while let Ok(place) = room.clone().acquire_owned().await {
                let Ok((stream, _)) = socket.accept().await else {
                    tokio::time::sleep(AFTER_A_FAILURE).await;
                    continue;
                };
                let answer = answer.clone();
                tasks.spawn(async move {
                    // Who goes away or takes too long gets nothing.
                    let _ = tokio::time::timeout(PATIENCE, exchange(stream, answer.as_ref())).await;
                    drop(place);
                });
            }
        };
        self.tasks.spawn(self.stop.clone().run_until_cancelled_owned(accepting));
    }
}

type Answer = Response<Full<Bytes>>;

async fn exchange(stream: TcpStream, answer: &(impl Fn(&str) -> Answer + Sync)) -> hyper::Result<()> {
    let service = service_fn(async |request: Request<Incoming>| {
        let is_read = request.method() == Method::GET;
        Ok::<_, Infallible>(if is_read { answer(request.uri().path()) } else { nothing_else() })
    });
    let mut connection = http1::Builder::new();
    connection.keep_alive(false).max_buf_size(LONGEST_REQUEST);
    connection.serve_connection(TokioIo::new(stream), service).await
}

fn answer(path: &str, metrics: &Metrics, is_well: bool) -> Answer {
    match path {
        "/metrics" => response(StatusCode::OK, Metrics::MEDIA_TYPE, metrics.text()),
        "/health" if is_well => response(StatusCode::OK, PLAIN, "ok\n".to_owned()),
        "/health" => response(StatusCode::SERVICE_UNAVAILABLE, PLAIN, "not connected to NATS\n".to_owned()),
        _ => nothing_else(),
    }
}

fn nothing_else() -> Answer {
    response(StatusCode::NOT_FOUND, PLAIN, "only /metrics and /health are here\n".to_owned())
}

fn response(status: StatusCode, media_type: &'static str, body: String) -> Answer {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn ask(request: &str, is_well: bool) -> String {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let metrics = Metrics::default();
        metrics.placement.lease_changed();
        let listener = Listener::default();
        listener.serve(socket, move |path| answer(path, &metrics, is_well));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        // Who sends too much may be hung up on before it has sent all of it.
        let _ = stream.read_to_string(&mut text).await;
        listener.close().await;
        assert!(TcpStream::connect(address).await.is_err(), "nothing listens after the end");
        text
    }

    #[tokio::test]
    async fn a_collector_is_shown_what_is_counted() {
        let shown = ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", true).await;
        assert!(shown.starts_with("HTTP/1.1 200 OK\r\n"), "{shown}");
        assert!(shown.contains("\nmanyhands_lease_changes_total 1\n"), "{shown}");
        let (head, body) = shown.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    }

    #[tokio::test]
    async fn health_is_the_connection_to_nats() {
        let health = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
        assert!(ask(health, true).await.starts_with("HTTP/1.1 200 "));
        assert!(ask(health, false).await.starts_with("HTTP/1.1 503 "));
    }

    #[tokio::test]
    async fn nothing_else_is_answered() {
        for request in ["GET /docs HTTP/1.1\r\n\r\n", "POST /metrics HTTP/1.1\r\n\r\n"] {
            assert!(ask(request, true).await.starts_with("HTTP/1.1 404 "), "{request}");
        }
        let endless = format!("GET /{:a<1$} HTTP/1.1\r\n\r\n", "", 4 * LONGEST_REQUEST);
        let answer = ask(&endless, true).await;
        assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    }
}
