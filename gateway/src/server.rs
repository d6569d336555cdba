//! The server: it accepts connections, answers their requests, and stops in order.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use control::{Control, Tasks};
use http::HeaderValue;
use http::header::CONNECTION;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ports::Ports;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::admission::{Room, Seated};
use crate::auth::{Auth, KeyError};
use crate::config::Limits;
use crate::edge::Edge;
use crate::front::Front;
use crate::gate::Gate;
use crate::linger::Lingering;
use crate::trickle::{Awaited, GivenUp};
use crate::{App, Config};

/// Bytes by which a head may be too long and still be read to its end, for an answer that says so: what comes after
/// them is not waited for.
const REFUSABLE: usize = 16 * 1024;

/// The same of their number.
const REFUSABLE_HEADERS: usize = 64;

/// Why the gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the pattern of allowed origins is not a regular expression: {0}")]
    OriginPattern(regex::Error),
    #[error("bearer tokens cannot be checked: {0}")]
    Bearer(#[from] KeyError),
    #[error("a part of the server has ended, see the log")]
    Ended,
}

/// A configuration that can work.
pub struct Checked {
    pub(crate) config: Config,
    pub(crate) gate: Gate,
}

/// Accepts connections and answers their requests. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Reception {
    pub limits: Limits,
    pub tasks: Tasks,
    pub edge: Edge,
}

/// To be asked before a [`Control`] is started: one that answers workers and wakes them must not do so for a gateway that
/// cannot begin.
///
/// # Errors
/// When the configuration cannot work.
pub fn check(config: Config) -> Result<Checked, Error> {
    let auth = Auth::open(&config)?;
    let front = Front {
        root_path: config.site.root_path.as_str().into(),
        trust_forwarded_headers: config.site.trust_forwarded_headers,
        web_url: config.site.web_url.as_deref().map(Into::into),
    };
    let gate = Gate::new(&config, auth, front).map_err(Error::OriginPattern)?;
    Ok(Checked { config, gate })
}

/// Serves on `listener` until `shutdown`, of which `control` was given a child; then accepts nothing more, tells sockets to
/// come back later, and returns when the requests in flight are done or `Limits::drain` has passed.
///
/// # Errors
/// When a part that must go on has ended.
pub async fn run(
    config: Checked,
    ports: &Ports,
    control: Control,
    listener: TcpListener,
    shutdown: &CancellationToken,
) -> Result<(), Error> {
    let app = prepare(config, ports, control);
    let (limits, tasks) = (app.0.limits.clone(), app.0.tasks.clone());
    let reception = Reception { limits, tasks, edge: Edge::new(&app) };
    let abort = CancellationToken::new();
    reception.accept(&listener, &abort).await;
    let has_failed = !shutdown.is_cancelled();
    drop(listener);
    reception.empty(&abort).await;
    if has_failed { Err(Error::Ended) } else { Ok(()) }
}

/// Everything but the listening: for [`run`] and for tests.
pub fn prepare(Checked { config, gate }: Checked, ports: &Ports, control: Control) -> App {
    let app = App::new(config, ports, control, gate);
    if let Some(bearer) = app.0.gate.auth.bearer().cloned() {
        app.0.tasks.spawn_vital("following the keys of bearer tokens", bearer.follow());
    }
    app
}

impl Reception {
    /// Accepts connections until it is to drain; what they ask goes on until `abort`.
    pub(crate) async fn accept(&self, listener: &TcpListener, abort: &CancellationToken) {
        let room = Room::new(&self.limits);
        loop {
            let next = async {
                let ticket = room.ticket().await.ok()?;
                Some((listener.accept().await, ticket))
            };
            let (accepted, ticket) = tokio::select! {
                // In this order: who comes afterwards is somebody else's.
                biased;
                () = self.tasks.drain.cancelled() => return,
                Some(next) = next => next,
            };
            match accepted {
                Ok((stream, peer)) => {
                    // Without it small answers wait for acknowledgements; if it cannot be set, they do.
                    let _ = stream.set_nodelay(true);
                    let connection = self.clone().serve(room.seat(ticket, stream, peer.ip()));
                    let abort = abort.clone();
                    self.tasks.spawn(async move {
                        tokio::select! {
                            () = connection => {}
                            () = abort.cancelled() => {}
                        }
                    });
                }
                Err(error) => rest_after(&error).await,
            }
        }
    }

    /// Waits for the requests in flight, for `Limits::drain` at most.
    pub(crate) async fn empty(&self, abort: &CancellationToken) {
        self.tasks.tracker.close();
        if tokio::time::timeout(self.limits.drain, self.tasks.tracker.wait()).await.is_err() {
            tracing::warn!("requests were cut off by the end of the server");
        }
        abort.cancel();
    }

    async fn serve(self, stream: Seated<TcpStream>) {
        let (admission, cut_off) = (stream.admission(), stream.cut_off());
        let Self { limits, tasks, edge } = self;
        let (lingering, asked) = (tasks.clone(), Arc::new(AtomicBool::new(false)));
        let has_asked = asked.clone();
        // One of its own: that of all is locked by whoever looks at it.
        let drain = tasks.drain.child_token();
        let answering = service_fn(move |request: hyper::Request<Incoming>| {
            asked.store(true, Ordering::Relaxed);
            let given_up = GivenUp::default();
            let mut request = request.map(|body| match body.is_end_stream() {
                true => Body::empty(),
                false => {
                    let body = Lingering::new(body, lingering.tracker.clone());
                    Body::new(Awaited::new(body, limits.body_rate, given_up.clone()))
                }
            });
            request.extensions_mut().insert(admission.clone());
            request.extensions_mut().insert(given_up);
            answer(edge.clone(), request, admission.is_surplus())
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_headers(limits.headers + REFUSABLE_HEADERS)
            .max_header_size(limits.header_bytes + REFUSABLE)
            .serve_connection(TokioIo::new(stream), answering)
            .with_upgrades();
        tokio::pin!(connection);
        let serving = async {
            tokio::select! {
                // In this order: what has arrived is seen first.
                biased;
                outcome = connection.as_mut() => outcome,
                () = drain.cancelled() => {
                    // A first request that has not arrived by now is not waited for.
                    if !has_asked.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        };
        let outcome = tokio::select! {
            outcome = serving => outcome,
            // Also while a request is under way, when nothing is read or written.
            () = cut_off.cancelled() => return,
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, "a connection broke");
        }
    }
}

/// A client that has gone is no trouble; without descriptors, wait for some to be closed.
async fn rest_after(error: &io::Error) {
    if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        return;
    }
    tracing::warn!(%error, "a connection could not be accepted");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// On a connection that is one too many there is no second answer.
async fn answer(
    edge: Edge,
    request: hyper::Request<Body>,
    is_last: bool,
) -> Result<hyper::Response<Body>, Infallible> {
    let mut response = edge.serve(request).await;
    if is_last {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}
