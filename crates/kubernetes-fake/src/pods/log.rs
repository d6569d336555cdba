//! What a container has written, as `kubectl logs` reads it.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::api::{Request, Target};
use crate::cluster::{Cluster, Live};
use crate::reply::Reply;
use crate::status::Status;
use crate::value::Look;

pub fn answer(cluster: &Arc<Cluster>, request: &Request, target: &Target) -> Result<Reply, Status> {
    let Some(pod) = cluster.get(&target.kind, &target.namespace, &target.name) else {
        return Err(Status::not_found(&target.kind, &target.name));
    };
    let container = container(&pod, request.query("container"), &target.name)?;
    let live = cluster.live.lock().get(pod.text("/metadata/uid")).cloned();
    let mut statuses =
        pod.list("/status/containerStatuses").iter().chain(pod.list("/status/initContainerStatuses"));
    let status = statuses.find(|status| status["name"] == container.as_str());
    let waits = status.is_none_or(|status| status.has("/state/waiting"));
    let Some(live) = live.filter(|_| !waits) else {
        let reason = status.map_or("", |status| status.text("/state/waiting/reason"));
        let reason = if reason.is_empty() { "ContainerCreating" } else { reason };
        let message =
            format!("container {container:?} in pod {:?} is waiting to start: {reason}", target.name);
        return Err(Status::bad_request(message));
    };
    if request.says("previous") {
        let message =
            format!("previous terminated container {container:?} in pod {:?} not found", target.name);
        return Err(Status::bad_request(message));
    }
    let lines = request.query("tailLines").parse().ok();
    let bytes = request.query("limitBytes").parse().unwrap_or(usize::MAX);
    let written = live.log().borrow().clone();
    let begin = lines.map_or(0, |lines| last_lines(&written, lines));
    if request.says("follow") {
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(follow(live, begin, sender));
        return Ok(Reply::Stream("text/plain", receiver));
    }
    let shown = &written[begin..written.len().min(begin.saturating_add(bytes))];
    Ok(Reply::Text(200, String::from_utf8_lossy(shown).into_owned()))
}

/// The one that is meant, where the pod has more than one.
pub fn container(pod: &serde_json::Value, asked: &str, name: &str) -> Result<String, Status> {
    let all: Vec<&str> = ["containers", "initContainers"]
        .into_iter()
        .flat_map(|list| pod.list(&format!("/spec/{list}")))
        .map(|container| container.text("/name"))
        .collect();
    let only = pod.list("/spec/containers");
    if asked.is_empty() {
        return match only {
            [only] => Ok(only.text("/name").to_owned()),
            _ => {
                let message = format!(
                    "a container name must be specified for pod {name}, choose one of: [{}]",
                    all.join(" ")
                );
                Err(Status::bad_request(message))
            }
        };
    }
    if all.contains(&asked) {
        return Ok(asked.to_owned());
    }
    Err(Status::bad_request(format!("container {asked} is not valid for pod {name}")))
}

fn last_lines(text: &[u8], lines: usize) -> usize {
    if lines == 0 {
        return text.len();
    }
    let end = text.len() - usize::from(text.ends_with(b"\n"));
    let breaks = text[..end].iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    breaks.map(|(at, _)| at + 1).nth(lines - 1).unwrap_or(0)
}

async fn follow(live: Arc<Live>, mut at: usize, sender: mpsc::Sender<Bytes>) {
    let (mut log, mut ended) = (live.log(), live.ended());
    loop {
        let over = *ended.borrow();
        let new = Bytes::copy_from_slice(&log.borrow_and_update()[at..]);
        at += new.len();
        if !new.is_empty() && sender.send(new).await.is_err() {
            return;
        }
        if over {
            return;
        }
        tokio::select! {
            _ = log.changed() => {}
            _ = ended.changed() => {}
            () = sender.closed() => return,
        }
    }
}

#[test]
fn the_last_lines_are_counted_from_the_end() {
    let text = b"one\ntwo\nthree\n";
    assert_eq!(&text[last_lines(text, 1)..], b"three\n");
    assert_eq!(&text[last_lines(text, 2)..], b"two\nthree\n");
    assert_eq!(&text[last_lines(text, 9)..], text);
    assert_eq!(&text[last_lines(text, 0)..], b"");
}
