//! Answers one request.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{HeaderMap, HeaderName};
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::api::{self, Request, Target};
use crate::cluster::{Cluster, User};
use crate::faults::{Away, Fault, Faults};
use crate::pods::{attach, log};
use crate::rbac;
use crate::reply::Reply;
use crate::status::Status;

pub struct Door {
    pub cluster: Arc<Cluster>,
    pub faults: Arc<Faults>,
    /// Whether who has no token may do everything: kubectl sends none without TLS.
    pub is_open: bool,
}

type Answer = Response<BoxBody<Bytes, std::io::Error>>;

/// An error cuts the connection.
pub async fn answer(door: Arc<Door>, request: hyper::Request<Incoming>) -> Result<Answer, std::io::Error> {
    let away = door.faults.away().borrow().clone();
    match away {
        None | Some(Away::Refused) => {}
        Some(Away::Hung) => std::future::pending().await,
        Some(Away::Unavailable) => return Ok(refusal(&Status::unavailable())),
        Some(Away::TooMany(seconds)) => {
            return Ok(refusal(&Status::too_many("Too many requests, please try again later.", seconds)));
        }
        Some(Away::Page(code)) => return Ok(text(code, "text/html", "<html>bad gateway</html>".to_owned())),
    }
    match whole(&door, request).await {
        Ok(answer) => Ok(answer),
        Err(Refused::Status(status)) => Ok(refusal(&status)),
        Err(Refused::Cut) => Err(std::io::Error::other("cut on purpose")),
    }
}

enum Refused {
    Status(Status),
    Cut,
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

async fn whole(door: &Arc<Door>, mut incoming: hyper::Request<Incoming>) -> Result<Answer, Refused> {
    let user = user(door, incoming.headers())?;
    let upgrade = incoming.headers().contains_key("upgrade").then(|| hyper::upgrade::on(&mut incoming));
    let (head, body) = incoming.into_parts();
    let header =
        |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let body = body.collect().await.map_err(|_| Refused::Cut)?.to_bytes();
    let request = Request {
        method: head.method.to_string(),
        path: decoded(head.uri.path()),
        query: query(head.uri.query().unwrap_or_default()),
        content_type: header("content-type").to_owned(),
        agent: header("user-agent").to_owned(),
        body,
        user,
    };
    let target = Target::of(&door.cluster, &request).ok();
    let fault = target.as_ref().and_then(|target| door.faults.take(target.verb, &target.resource()));
    match fault {
        None => {}
        Some(Fault::Refuse(status)) => return Err(status.into()),
        Some(Fault::LoseRequest) => return Err(Refused::Cut),
        Some(Fault::Slow(time)) => tokio::time::sleep(time).await,
        Some(Fault::LoseAnswer) => {
            let _ = done(door, &request, target.as_ref());
            return Err(Refused::Cut);
        }
    }
    match target {
        Some(target) if target.kind.is("pods") && target.sub == "attach" => {
            attached(door, &request, &target, &head.headers, upgrade)
        }
        target => Ok(rendered(done(door, &request, target.as_ref())?)),
    }
}

fn done(door: &Arc<Door>, request: &Request, target: Option<&Target>) -> Result<Reply, Status> {
    match target {
        Some(target) if target.kind.is("pods") && target.sub == "log" => {
            door.cluster.with(|state| rbac::check(state, &request.user, &target.access()))?;
            log::answer(&door.cluster, request, target)
        }
        _ => api::handle(&door.cluster, request),
    }
}

fn user(door: &Door, headers: &HeaderMap) -> Result<User, Status> {
    let said = headers.get("authorization").and_then(|value| value.to_str().ok());
    match said.and_then(|said| said.strip_prefix("Bearer ")) {
        Some(token) => door.cluster.tokens.lock().get(token.trim()).cloned().ok_or_else(Status::unauthorized),
        None if door.is_open => Ok(User::master()),
        None => Err(Status::unauthorized()),
    }
}

fn attached(
    door: &Arc<Door>,
    request: &Request,
    target: &Target,
    headers: &HeaderMap,
    upgrade: Option<hyper::upgrade::OnUpgrade>,
) -> Result<Answer, Refused> {
    let mut access = target.access();
    door.cluster.with(|state| rbac::check(state, &request.user, &access))?;
    // A WebSocket is a GET; newer servers ask for the right to create as well.
    access.verb = "create".to_owned();
    door.cluster.with(|state| rbac::check(state, &request.user, &access))?;
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(upgrade) = upgrade.filter(|_| header("upgrade").eq_ignore_ascii_case("websocket")) else {
        return Err(Status::bad_request("Upgrade request required").into());
    };
    let offered = header("sec-websocket-protocol");
    let Some(protocol) = attach::protocol(&door.cluster, offered) else {
        let message = format!("unable to upgrade: unable to negotiate protocol: client supports {offered:?}");
        return Err(Status::bad_request(message).into());
    };
    let session = attach::session(&door.cluster, request, target, protocol)?;
    tokio::spawn(async move {
        if let Ok(upgraded) = upgrade.await {
            let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
            session.serve(socket).await;
        }
    });
    let answer = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header("upgrade", "websocket")
        .header("connection", "Upgrade")
        .header("sec-websocket-accept", derive_accept_key(header("sec-websocket-key").as_bytes()))
        .header("sec-websocket-protocol", protocol);
    Ok(answer.body(full(String::new())).expect("valid parts"))
}

fn rendered(reply: Reply) -> Answer {
    match reply {
        Reply::Json(code, value) => text(code, "application/json", value.to_string()),
        Reply::Text(code, words) => text(code, "text/plain", words),
        Reply::Stream(kind, receiver) => {
            let pieces = stream::unfold(receiver, async |mut receiver| {
                let piece = receiver.recv().await?;
                Some((Ok(Frame::data(piece)), receiver))
            });
            let answer = Response::builder().header("content-type", kind);
            answer.body(BodyExt::boxed(StreamBody::new(Box::pin(pieces)))).expect("valid parts")
        }
    }
}

fn refusal(status: &Status) -> Answer {
    let mut answer = text(status.code, "application/json", status.body().to_string());
    if let Some(seconds) = status.retry_after {
        answer.headers_mut().insert(HeaderName::from_static("retry-after"), seconds.into());
    }
    answer
}

fn text(code: u16, kind: &str, text: String) -> Answer {
    let answer = Response::builder().status(code).header("content-type", kind);
    answer.body(full(text)).expect("valid parts")
}

fn full(text: String) -> BoxBody<Bytes, std::io::Error> {
    Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed()
}

fn query(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(&key.replace('+', " ")), decoded(&value.replace('+', " ")))
        })
        .collect()
}

/// `%2C` and its like.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = (*first == b'%').then(|| after.get(..2)).flatten();
        let code = code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
