//! Hands a request on to a program on loopback, and its answer back; also the switch to another protocol, as sockets need it.

use std::future::ready;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use control::Tasks;
use futures_util::{StreamExt, stream};
use http::StatusCode;
use http::header::{
    AUTHORIZATION, CONNECTION, COOKIE, DATE, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION,
    SERVER, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::time::{sleep_until, timeout};

use crate::admission::Ticket;
use crate::error::{ApiError, ApiResult};
use crate::gate::is_websocket;
use crate::ingress::Session;

const CONNECTING: Duration = Duration::from_secs(10);

/// What is between two neighbours, for this server alone, or about the whole origin, which one program shares with others.
const NOT_FORWARDED: [HeaderName; 23] = [
    AUTHORIZATION,
    CONNECTION,
    COOKIE,
    FORWARDED,
    HOST,
    SET_COOKIE,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("alt-svc"),
    HeaderName::from_static("clear-site-data"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("nel"),
    HeaderName::from_static("proxy-authenticate"),
    HeaderName::from_static("proxy-authorization"),
    HeaderName::from_static("report-to"),
    HeaderName::from_static("service-worker-allowed"),
    HeaderName::from_static("set-cookie2"),
    HeaderName::from_static("strict-transport-security"),
    HeaderName::from_static("x-expose-secrets"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-session-api-key"),
];
/// What a proxy says of whom it asks for; a browser can say it as well.
const OF_PROXIES: &str = "x-forwarded-";

/// Asks the program of the session for `target`, a path with its query. `seat` is kept as long as the connection to it.
///
/// # Errors
/// 502 where it does not answer, leads elsewhere, or speaks otherwise than it was asked to; 401 once the session is over.
pub(super) async fn forward(
    mut request: Request,
    target: &str,
    session: &Session,
    seat: Option<Arc<Ticket>>,
    tasks: &Tasks,
) -> ApiResult<Response> {
    let switching = is_websocket(request.headers()).then(|| hyper::upgrade::on(&mut request));
    let (parts, body) = request.into_parts();
    let mut asked = Request::new(body);
    *asked.method_mut() = parts.method;
    *asked.uri_mut() = target.parse().map_err(|_| ApiError::bad_request("Invalid backend path"))?;
    *asked.headers_mut() = forwarded(&parts.headers);
    let host = format!("127.0.0.1:{}", session.port);
    asked.headers_mut().insert(HOST, HeaderValue::from_str(&host).map_err(ApiError::internal)?);
    if switching.is_some() {
        asked.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        asked.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    let connecting = TcpStream::connect((Ipv4Addr::LOCALHOST, session.port));
    let stream =
        timeout(CONNECTING, connecting).await.map_err(|_| unreachable())?.map_err(|_| unreachable())?;
    let (mut program, connection) =
        http1::handshake::<_, Body>(TokioIo::new(stream)).await.map_err(|_| unreachable())?;
    let of_connection = seat.clone();
    tasks.spawn_until_drain(async move {
        let _seat = of_connection;
        // How it ends is told to who asks.
        let _ = connection.with_upgrades().await;
    });
    let mut answer = tokio::select! {
        answer = program.send_request(asked) => answer.map_err(|_| unreachable())?,
        () = over(session.clone()) => return Err(ApiError::plain(StatusCode::UNAUTHORIZED)),
    };
    if answer.status().is_redirection() && answer.headers().contains_key(LOCATION) {
        return Err(ApiError::new(StatusCode::BAD_GATEWAY, "Upstream redirect is not allowed"));
    }
    let mut headers = forwarded(answer.headers());
    headers.remove(DATE);
    headers.remove(SERVER);
    let is_switched = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
    // Who stands between would take what comes next for something else than we do.
    if is_switched && switching.is_none() {
        return Err(unreachable());
    }
    if let Some(browser) = switching.filter(|_| is_switched) {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        let joined = join(browser, hyper::upgrade::on(&mut answer), session.clone());
        tasks.spawn_until_drain(async move {
            let _seat = seat;
            joined.await;
        });
    }
    let (status, body) = (answer.status(), answer.into_body());
    let mut response = Response::new(match is_switched {
        true => Body::empty(),
        false => until_over(Body::new(body), session.clone()),
    });
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// Both sides talk to each other until one is done, or the session is over.
async fn join(browser: hyper::upgrade::OnUpgrade, program: hyper::upgrade::OnUpgrade, session: Session) {
    let joined = async {
        let (browser, program) = tokio::try_join!(browser, program).ok()?;
        copy_bidirectional(&mut TokioIo::new(browser), &mut TokioIo::new(program)).await.ok()
    };
    tokio::select! {
        _ = joined => {}
        () = over(session) => {}
    }
}

/// It ends in a failure where the session ends first: what comes in pieces of any number would be taken for whole.
fn until_over(body: Body, session: Session) -> Body {
    let is_cut_off = Arc::new(AtomicBool::new(false));
    let cutting = {
        let is_cut_off = Arc::clone(&is_cut_off);
        async move {
            over(session).await;
            is_cut_off.store(true, Ordering::Relaxed);
        }
    };
    let told = |is_cut_off: bool| ready(is_cut_off.then(|| Err(axum::Error::new("the session is over"))));
    let failure = stream::once(async move { is_cut_off.load(Ordering::Relaxed) }).filter_map(told);
    Body::from_stream(body.into_data_stream().take_until(cutting).chain(failure))
}

async fn over(session: Session) {
    tokio::select! {
        () = session.over.cancelled() => {}
        () = sleep_until(session.expires_at) => {}
    }
}

fn forwarded(headers: &HeaderMap) -> HeaderMap {
    let mut forwarded = headers.clone();
    // What one neighbour says is for the other alone.
    let named = headers.get_all(CONNECTION).iter().filter_map(|names| names.to_str().ok());
    for name in named.flat_map(|names| names.split(',')) {
        forwarded.remove(name.trim());
    }
    for name in NOT_FORWARDED {
        forwarded.remove(name);
    }
    for name in headers.keys().filter(|name| name.as_str().starts_with(OF_PROXIES)) {
        forwarded.remove(name);
    }
    forwarded
}

fn unreachable() -> ApiError {
    ApiError::new(StatusCode::BAD_GATEWAY, "Canvas App backend unreachable")
}
