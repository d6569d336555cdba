//! What clients are told of failures inside: nothing of the inside.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::harness::tokens::{body_for, operations, path_for};
use crate::harness::{Gateway, config, start};
use async_trait::async_trait;
use ports::doubles::{KvDouble, LogDouble};
use ports::{Bus, Error, EventLog, Kv, Parcel, Ports, Result, Subscription};
use reqwest::Method;
use serde_json::Value;

/// As errors of a store or a bus may read.
const INSIDE: &str = "io error at /srv/secret-disk: os error 5; $KV.SECRET; nats://10.0.0.7:4222";

/// Stores and a bus that fail when they are told to.
#[derive(Clone)]
struct Failing {
    ports: Ports,
    error: Arc<Mutex<Option<Error>>>,
}

impl Failing {
    fn now(&self) -> Result<()> {
        self.error.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    fn ports(&self) -> Ports {
        let all = Arc::new(self.clone());
        Ports { bus: all.clone(), log: all.clone(), kv: all }
    }
}

#[async_trait]
impl Bus for Failing {
    async fn publish(&self, subject: &str, parcel: Parcel) -> Result<()> {
        self.now()?;
        self.ports.bus.publish(subject, parcel).await
    }

    async fn request(&self, subject: &str, parcel: Parcel, deadline: Duration) -> Result<Parcel> {
        self.now()?;
        self.ports.bus.request(subject, parcel, deadline).await
    }

    async fn subscribe(&self, pattern: &str, group: Option<&str>) -> Result<Subscription> {
        self.now()?;
        self.ports.bus.subscribe(pattern, group).await
    }
}

impl LogDouble for Failing {
    fn inner(&self) -> Result<&dyn EventLog> {
        self.now().map(|()| self.ports.log.as_ref())
    }
}

impl KvDouble for Failing {
    fn inner(&self) -> Result<&dyn Kv> {
        self.now().map(|()| self.ports.kv.as_ref())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_inside_no_answer_holds_a_text_of_the_inside() {
    let server = start().await;
    let id = server.create().await;
    let failing = Failing { ports: server.ports.clone(), error: Arc::default() };
    let replica = Gateway::start(failing.ports(), config()).await;
    let known = format!("/api/conversations/{id}");
    testing::until(async || call(&replica, &Method::GET, &known, None).await.0 == 200).await;

    let (_, document) = server.get("/openapi.json").await;
    let mut named = operations(&document);
    // Its answer has no end.
    named.retain(|(_, path)| path != "/api/conversations/stream");
    // The one that leaves nothing to be found comes last.
    named.sort_by_key(|(method, path)| method == Method::DELETE && path.ends_with("_id}"));
    let inside = || INSIDE.to_owned();
    for error in [Error::Unavailable(inside()), Error::Internal(inside()), Error::TooLarge(inside())] {
        *failing.error.lock().unwrap() = Some(error.clone());
        let mut failures = 0;
        for (method, template) in &named {
            let body = body_for(method, template);
            let (status, answer) = call(&replica, method, &path_for(template, &id), body).await;
            for part in ["secret-disk", "os error", "$KV", "nats", "10.0.0.7", "mh."] {
                assert!(!answer.contains(part), "{method} {template} under {error:?}: {status} {answer}");
            }
            failures += usize::from(matches!(status, 500.. | 413));
        }
        assert!(failures >= 20, "{failures} of {} calls have met {error:?}", named.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_whose_history_cannot_be_read_is_closed_and_not_called_complete() {
    let server = start().await;
    let id = server.create().await;
    server.say(&id, "hi", false).await;
    assert_eq!(server.bash("/api", None).await, 200);
    let failing = Failing { ports: server.ports.clone(), error: Arc::default() };
    let replica = Gateway::start(failing.ports(), config()).await;
    let known = format!("/api/conversations/{id}");
    testing::until(async || call(&replica, &Method::GET, &known, None).await.0 == 200).await;
    // What a replica has never read it waits for; this it knows, and has to read once more.
    let stored = "/api/bash/bash_events/search";
    testing::until(async || call(&replica, &Method::GET, stored, None).await.1.contains("exit_code")).await;
    *failing.error.lock().unwrap() = Some(Error::Internal(INSIDE.to_owned()));
    for log in [format!("events/{id}"), "bash-events".to_owned()] {
        let mut socket = replica.socket(&format!("/sockets/{log}?resend_mode=all")).await;
        assert_eq!(socket.close_code().await, 1011, "{log}");
    }
}

async fn call(replica: &Gateway, method: &Method, path: &str, body: Option<Value>) -> (u16, String) {
    let mut request = replica.request(method.clone(), path);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap_or_default())
}
