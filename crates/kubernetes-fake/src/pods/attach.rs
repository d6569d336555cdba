//! Attaching to a container over a WebSocket: channels, each frame of one.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::log::container;
use crate::api::{Request, Target};
use crate::cluster::{Cluster, Live};
use crate::status::Status;
use crate::value::Look;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const ERROR: u8 = 3;
/// In `v5`: the channel that is named by the next byte has ended.
const CLOSE: u8 = 255;

/// Somebody who may attach now.
pub struct Session {
    live: Arc<Live>,
    wants_stdin: bool,
    wants_stdout: bool,
    /// Its end is the container's end of input, for all that come after.
    once: bool,
    is_v5: bool,
}

/// The sub-protocol that both know.
#[must_use]
pub fn protocol(cluster: &Cluster, offered: &str) -> Option<&'static str> {
    let offered: Vec<&str> = offered.split(',').map(str::trim).collect();
    cluster.settings.attach_protocols.iter().copied().find(|known| offered.contains(known))
}

/// # Errors
/// Where there is nothing to attach to, or not yet.
pub fn session(
    cluster: &Cluster,
    request: &Request,
    target: &Target,
    protocol: &str,
) -> Result<Session, Status> {
    let Some(pod) = cluster.get(&target.kind, &target.namespace, &target.name) else {
        return Err(Status::not_found(&target.kind, &target.name));
    };
    let name = container(&pod, request.query("container"), &target.name)?;
    let streams = ["stdin", "stdout", "stderr"].map(|stream| request.says(stream));
    if streams == [false; 3] {
        return Err(Status::bad_request("you must specify at least 1 of stdin, stdout, stderr"));
    }
    if pod.text("/spec/nodeName").is_empty() {
        return Err(Status::bad_request(format!("pod {} does not have a host assigned", target.name)));
    }
    let phase = pod.text("/status/phase");
    if ["Succeeded", "Failed"].contains(&phase) {
        let message = format!("cannot attach a container in a completed pod; current phase is {phase}");
        return Err(Status::bad_request(message));
    }
    let node = pod.text("/spec/nodeName");
    if cluster.lost.lock().contains(node) {
        return Err(Status::internal(
            "error dialing backend: dial tcp 127.0.0.1:10250: connect: no route to host",
        ));
    }
    let live = cluster.live.lock().get(pod.text("/metadata/uid")).cloned();
    let mut statuses = pod.list("/status/containerStatuses").iter();
    let runs = statuses.any(|status| status["name"] == name.as_str() && status.has("/state/running"));
    let Some(live) = live.filter(|_| runs) else {
        let message = format!(
            "unable to upgrade connection: container {name} not found in pod {}_{}",
            target.name, target.namespace
        );
        return Err(Status::internal(message));
    };
    let spec = pod.list("/spec/containers").iter().find(|container| container["name"] == name.as_str());
    let says = |field: &str| spec.is_some_and(|spec| spec[field] == true);
    Ok(Session {
        live,
        wants_stdin: streams[0] && says("stdin"),
        wants_stdout: streams[1],
        once: says("stdinOnce"),
        is_v5: protocol.starts_with("v5"),
    })
}

impl Session {
    pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(self, mut socket: WebSocketStream<S>) {
        let mut stdin = if self.wants_stdin { self.live.stdin.lock().await.take() } else { None };
        let mut ended = self.live.ended();
        let mut log = self.live.log();
        let mut shown = log.borrow_and_update().len();
        loop {
            tokio::select! {
                message = socket.next() => match message {
                    Some(Ok(Message::Binary(frame))) if frame.first() == Some(&STDIN) => {
                        if let Some(stdin) = &mut stdin
                            && stdin.write_all(&frame[1..]).await.is_err()
                        {
                            break;
                        }
                    }
                    Some(Ok(Message::Binary(frame))) if self.is_v5 && *frame == [CLOSE, STDIN] => {
                        self.give_back(stdin.take()).await;
                        if !self.wants_stdout {
                            break;
                        }
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => {
                        self.give_back(stdin).await;
                        return;
                    }
                    Some(Ok(_)) => {}
                },
                changed = log.changed(), if self.wants_stdout => {
                    if changed.is_err() {
                        break;
                    }
                    let new = log.borrow_and_update()[shown..].to_vec();
                    shown += new.len();
                    if socket.send(frame(STDOUT, &new)).await.is_err() {
                        break;
                    }
                }
                () = over(&mut ended) => break,
            }
        }
        self.give_back(stdin).await;
        let over = json!({ "metadata": {}, "status": "Success" }).to_string();
        let _ = socket.send(frame(ERROR, over.as_bytes())).await;
        let _ = socket.close(None).await;
    }

    /// For who attaches next, unless there can be none.
    async fn give_back(&self, stdin: Option<tokio::io::DuplexStream>) {
        if let Some(stdin) = stdin
            && !self.once
        {
            *self.live.stdin.lock().await = Some(stdin);
        }
    }
}

async fn over(ended: &mut watch::Receiver<bool>) {
    let _ = ended.wait_for(|ended| *ended).await;
}

fn frame(channel: u8, bytes: &[u8]) -> Message {
    let mut frame = vec![channel];
    frame.extend_from_slice(bytes);
    Message::Binary(Bytes::from(frame))
}
