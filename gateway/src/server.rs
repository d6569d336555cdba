use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ports::Ports;
use readmodel::bashlog::Tails;
use readmodel::history::History;
use readmodel::index::Index;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vault::Vault;

use crate::activity::Activity;
use crate::app::Shared;
use crate::auth::{self, Bearer};
use crate::broker::Broker;
use crate::cors::Origins;
use crate::edge::Edge;
use crate::linger::Lingering;
use crate::public::Readiness;
use crate::sandboxes::Sandboxes;
use crate::session::Sessions;
use crate::sockets::Hub;
use crate::{App, Config};

/// Why the gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the pattern of allowed origins is not a regular expression: {0}")]
    OriginPattern(regex::Error),
    #[error("bearer tokens cannot be checked: {0}")]
    Bearer(#[from] auth::KeyError),
    #[error("the stored conversations cannot be read: {0}")]
    Store(#[from] ports::Error),
}

/// Serves on `listener` until `shutdown`; then accepts nothing more, tells sockets to come back later, and
/// returns when the requests in flight are done or `Limits::drain` has passed.
///
/// # Errors
/// When the configuration cannot work or the store cannot be read.
pub async fn run(
    config: Config,
    ports: Ports,
    vault: Arc<Vault>,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let app = prepare(config, ports, vault, shutdown.child_token()).await?;
    let edge = Edge::new(app.clone());
    let abort = CancellationToken::new();
    accept(&app, &edge, &listener, &abort).await;
    drop(listener);
    app.tasks.close();
    if tokio::time::timeout(app.config.limits.drain, app.tasks.wait()).await.is_err() {
        tracing::warn!("requests were cut off by the end of the server");
    }
    abort.cancel();
    Ok(())
}

/// Everything but the listening: for [`run`] and for tests.
///
/// # Errors
/// As [`run`].
pub async fn prepare(
    config: Config,
    ports: Ports,
    vault: Arc<Vault>,
    drain: CancellationToken,
) -> Result<App, Error> {
    let pattern = config.allow_cors_origin_regex.as_deref();
    let origins = Origins::new(&config.allow_cors_origins, pattern, config.docker_host.as_deref());
    let bearer = config.bearer.as_ref().map(Bearer::open).transpose()?.map(Arc::new);
    let tasks = TaskTracker::new();
    let index = Index::start(&ports, &tasks, &drain).await?;
    let sandboxes = Sandboxes::start(&config.placement, &ports, &tasks, &drain).await?;
    let app = App::new(Shared {
        origins: origins.map_err(Error::OriginPattern)?,
        sessions: Sessions::new(&config.secret_key, &config.previous_secret_keys),
        bearer,
        bash: Tails::new(&ports, &tasks, &drain),
        activity: Activity::default(),
        readiness: Readiness::default(),
        history: History::new(ports.log.clone()),
        hub: Hub::default(),
        sandboxes,
        broker: Broker::new(&ports, &config),
        config,
        ports,
        vault,
        index,
        drain,
        tasks,
    });
    crate::conversations::serve_records(&app).await?;
    if let Some(bearer) = app.bearer.clone() {
        app.tasks.spawn(app.drain.clone().run_until_cancelled_owned(bearer.follow()));
    }
    if app.sandboxes.are_many() {
        crate::broker::serve(&app).await?;
    }
    crate::sandboxes::close_cut_off_runs(&app);
    Ok(app)
}

async fn accept(app: &App, edge: &Edge, listener: &TcpListener, abort: &CancellationToken) {
    let room = Arc::new(Semaphore::new(app.config.limits.connections));
    loop {
        let next = async {
            let place = room.clone().acquire_owned().await.ok()?;
            Some((listener.accept().await, place))
        };
        let (accepted, place) = tokio::select! {
            Some(next) = next => next,
            () = app.drain.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = serve(app.clone(), edge.clone(), stream);
                let abort = abort.clone();
                app.tasks.spawn(async move {
                    tokio::select! {
                        () = connection => {}
                        () = abort.cancelled() => {}
                    }
                    drop(place);
                });
            }
            Err(error) => rest_after(&error).await,
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

async fn serve(app: App, edge: Edge, stream: TcpStream) {
    // Without it small answers wait for acknowledgements; if it cannot be set, they do.
    let _ = stream.set_nodelay(true);
    let limits = &app.config.limits;
    let tasks = app.tasks.clone();
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let request = request.map(|body| Body::new(Lingering::new(body, tasks.clone())));
        answer(edge.clone(), request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_headers(limits.headers)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = app.drain.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection broke");
    }
}

async fn answer(edge: Edge, request: hyper::Request<Body>) -> Result<hyper::Response<Body>, Infallible> {
    Ok(edge.serve(request).await)
}
