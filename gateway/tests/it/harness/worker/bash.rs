//! Commands, run by a shell, with all that it has put out at their end.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use serde_json::json;
use types::bash::{BashCommand, BashEvent, BashOutput};
use types::calls::{BashCall, BashStopped};
use types::{BashScope, LogId, Seq, time};

use super::{Answer, Worker, id, not_found, ok};

/// Bytes of one output.
const CHUNK: usize = 1024 * 1024;

impl Worker {
    pub(super) async fn bash(&self, call: BashCall) -> Answer {
        match call {
            BashCall::Start { scope, request } => {
                self.0.bash_calls.fetch_add(1, Ordering::Relaxed);
                let script = self.0.script.lock().unwrap().clone();
                if script.mute {
                    std::future::pending::<()>().await;
                }
                if let Some(held) = &script.held {
                    held.notified().await;
                }
                let log = LogId::bash(&self.0.sandbox, scope.bash());
                let (command, cwd, timeout) = (request.command, request.cwd, request.timeout);
                let command = BashCommand { command, cwd, timeout, id: id(), timestamp: time::utc_now() };
                let seq = self.append_bash(&log, BashEvent::BashCommand(command.clone())).await;
                if !script.endless {
                    tokio::spawn(self.clone().run(log, command.clone()));
                }
                ok(json!({"command": command, "seq": seq}))
            }
            BashCall::Stop { command_id, .. } if command_id.starts_with('0') => Err(not_found("Command")),
            BashCall::Stop { .. } => ok(BashStopped { ended: true }),
            BashCall::Clear { scope } => {
                let log = LogId::bash(&self.0.sandbox, scope.bash());
                let events = self.0.ports.log.read_all(&log, Seq::ZERO).await.unwrap();
                let tail = events.last().map_or(Seq::ZERO, |last| last.seq);
                let fence = Bytes::from_static(br#"{"control":{"type":"fence","epoch":1}}"#);
                let fence = self.0.ports.log.append(&log, tail, vec![fence]).await.unwrap().tail();
                self.0.ports.log.truncate_before(&log, fence).await.unwrap();
                if events.iter().any(|event| event.payload.windows(9).any(|text| text == b"meanwhile")) {
                    let (id, timestamp, command) = (id(), time::utc_now(), "came meanwhile".to_owned());
                    let command = BashCommand { command, cwd: None, timeout: 1, id, timestamp };
                    self.append_bash(&log, BashEvent::BashCommand(command)).await;
                    // So that whoever listens has it by the time of the answer.
                    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                }
                ok(json!({"cleared_count": events.len()}))
            }
        }
    }

    /// Removes all bash events.
    pub async fn clear_bash(&self) {
        self.0.ports.log.delete(&LogId::bash(&self.0.sandbox, BashScope::Sandbox)).await.unwrap();
    }

    async fn run(self, log: LogId, command: BashCommand) {
        let mut shell = tokio::process::Command::new("/bin/sh");
        let output = shell.args(["-c", &command.command]).output().await.unwrap();
        let text = |bytes: &[u8]| (!bytes.is_empty()).then(|| String::from_utf8_lossy(bytes).into_owned());
        let mut chunks: Vec<&[u8]> = output.stdout.chunks(CHUNK).collect();
        let rest = chunks.pop().unwrap_or_default();
        let event = |order, stdout, stderr, exit_code| {
            let command_id = command.id.clone();
            let output = BashOutput {
                id: id(),
                timestamp: time::utc_now(),
                command_id,
                order,
                exit_code,
                stdout,
                stderr,
            };
            BashEvent::BashOutput(output)
        };
        let mut order = 0;
        for chunk in chunks {
            self.append_bash(&log, event(order, text(chunk), None, None)).await;
            order += 1;
        }
        self.append_bash(&log, event(order, text(rest), text(&output.stderr), output.status.code())).await;
    }

    /// Appends after whatever is there.
    async fn append_bash(&self, log: &LogId, event: BashEvent) -> Seq {
        let record = Bytes::from(serde_json::to_vec(&event).unwrap());
        loop {
            let tail = self.0.ports.log.tail(log).await.unwrap();
            if let Ok(done) = self.0.ports.log.append(log, tail, vec![record.clone()]).await {
                return done.tail();
            }
            // A test that ends takes the store away, and this task with it.
            tokio::task::yield_now().await;
        }
    }
}
