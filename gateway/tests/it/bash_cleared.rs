//! Commands of which the events are cleared by somebody else, between their end and their answer.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use ports::doubles::LogDouble;
use ports::{EventLog, Record, Result};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use types::{LogId, Seq};

use crate::harness::{Gateway, Server, config, start};

/// When the events go.
#[derive(Clone, Copy, PartialEq)]
enum When {
    BeforeTheEndIsRead,
    AfterTheEndWasRead,
}

/// A log whose events are cleared once, when somebody reads the end of a command.
struct Cleared {
    log: Arc<dyn EventLog>,
    when: Mutex<Option<When>>,
}

impl Cleared {
    async fn clear(&self, log: &LogId) -> Result<()> {
        let fence = Bytes::from_static(br#"{"control":{"type":"fence","epoch":1}}"#);
        let fence = self.log.append(log, self.log.tail(log).await?, vec![fence]).await?.tail();
        self.log.truncate_before(log, fence).await
    }
}

#[async_trait]
impl LogDouble for Cleared {
    fn inner(&self) -> Result<&dyn EventLog> {
        Ok(self.log.as_ref())
    }

    async fn read(&self, log: &LogId, after: Seq, limit: usize) -> Result<Vec<Record>> {
        let read = self.log.read(log, after, limit).await?;
        let has_end =
            read.iter().any(|record| record.payload.windows(13).any(|text| text == b"\"exit_code\":0"));
        let Some(when) = self.when.lock().take_if(|_| has_end) else { return Ok(read) };
        self.clear(log).await?;
        match when {
            When::BeforeTheEndIsRead => self.log.read(log, after, limit).await,
            When::AfterTheEndWasRead => Ok(read),
        }
    }
}

async fn gateway(server: &Server, when: When) -> Gateway {
    let log = Arc::new(Cleared { log: server.ports.log.clone(), when: Mutex::new(Some(when)) });
    Gateway::start(ports::Ports { log, ..server.ports.clone() }, config()).await
}

async fn execute(gateway: &Gateway, command: &str) -> Response {
    let request = gateway.request(Method::POST, "/api/bash/execute_bash_command");
    let request = request.header("idempotency-key", "k").json(&json!({"command": command}));
    request.send().await.unwrap()
}

/// What was answered, and that the command has run once.
async fn answered_once(server: &Server, answer: Response, is_replayed: bool) -> (u16, Value) {
    let ran = std::fs::read_to_string(server.folder().join("ran")).unwrap();
    assert_eq!(
        (answer.headers().contains_key("idempotency-replayed"), ran.as_str()),
        (is_replayed, "once\n")
    );
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn a_command_that_has_run_is_not_run_again_where_its_events_were_cleared_before_its_answer() {
    let server = start().await;
    let gateway = gateway(&server, When::BeforeTheEndIsRead).await;
    let command = format!("echo once >> {}", server.path("ran"));
    let told = json!({"detail": "The command has run. Its events were cleared before they could be read."});
    for is_replayed in [false, true] {
        let answer = execute(&gateway, &command).await;
        assert_eq!(answered_once(&server, answer, is_replayed).await, (410, told.clone()));
    }
}

/// What is large is read while it is answered.
#[tokio::test]
async fn a_command_whose_answer_breaks_off_is_not_run_again() {
    let server = start().await;
    let gateway = gateway(&server, When::AfterTheEndWasRead).await;
    let command = format!("echo once >> {}; head -c 200000 /dev/zero | tr '\\0' x", server.path("ran"));
    let broken = execute(&gateway, &command).await;
    assert_eq!(answered_once(&server, broken, false).await.0, 500);
    let (status, answer) = answered_once(&server, execute(&gateway, &command).await, true).await;
    assert!(status == 200 && answer["detail"].as_str().unwrap().contains("broke off"), "{status}: {answer}");
}
