//! Lines from the editor and to it; questions to it, and who waits for their answers.

use std::collections::HashMap;
use std::io::{self, BufRead, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::message::Refusal;

/// Bytes of a message: images are in them.
const LONGEST: u64 = 32 << 20;
/// Messages that wait to be read, or to be written.
const QUEUE: usize = 256;

type Answer = Result<Value, Refusal>;

/// Cheap to clone.
#[derive(Clone)]
pub struct Wire {
    lines: mpsc::Sender<Value>,
    asked: Arc<Mutex<HashMap<u64, oneshot::Sender<Answer>>>>,
    next: Arc<AtomicU64>,
}

impl Wire {
    /// Takes standard input and output. The lines of the editor end when it has gone; the thread that writes to it ends once
    /// nobody has anything to say any more.
    pub fn start() -> (Self, JoinHandle<()>, mpsc::Receiver<Vec<u8>>) {
        let (lines, out) = mpsc::channel(QUEUE);
        let (taken, read) = mpsc::channel(QUEUE);
        std::thread::spawn(move || take_lines(io::stdin().lock(), &taken));
        let writing = std::thread::spawn(move || write_lines(out));
        (Self { lines, asked: Arc::default(), next: Arc::default() }, writing, read)
    }

    /// `update`: of `session/update`.
    pub async fn update(&self, session: &str, update: Value) {
        let params = json!({"sessionId": session, "update": update});
        self.send(json!({"jsonrpc": "2.0", "method": "session/update", "params": params})).await;
    }

    pub async fn answer(&self, id: &Value, answer: Answer) {
        self.send(match answer {
            Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
            Err(refusal) => json!({"jsonrpc": "2.0", "id": id, "error": refusal.as_json()}),
        })
        .await;
    }

    /// Until the editor reads nothing any more.
    pub async fn is_unread(&self) {
        self.lines.closed().await;
    }

    /// `None`: the editor has gone. Who gives up drops the call.
    pub async fn ask(&self, method: &str, params: Value) -> Option<Answer> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        {
            let mut asked = self.asked.lock();
            asked.retain(|_, waiting| !waiting.is_closed());
            asked.insert(id, answer);
        }
        self.send(json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await;
        answered.await.ok()
    }

    /// An answer to what was asked here; what nobody has asked is passed over.
    pub fn answered(&self, id: &Value, outcome: Answer) {
        let waiting = id.as_u64().and_then(|id| self.asked.lock().remove(&id));
        if let Some(waiting) = waiting {
            // Whoever has asked may have given up.
            let _ = waiting.send(outcome);
        }
    }

    /// To an editor that has gone nothing is said.
    async fn send(&self, message: Value) {
        let _ = self.lines.send(message).await;
    }
}

fn take_lines(mut input: impl BufRead, taken: &mpsc::Sender<Vec<u8>>) {
    loop {
        let mut line = Vec::new();
        let read = (&mut input).take(LONGEST).read_until(b'\n', &mut line);
        if !matches!(read, Ok(read) if read > 0) {
            return;
        }
        if line.len() as u64 == LONGEST && !line.ends_with(b"\n") {
            // What is left of it is no message, and answered as such.
            line = b"too long".to_vec();
            if input.skip_until(b'\n').is_err() {
                return;
            }
        }
        if !line.trim_ascii().is_empty() && taken.blocking_send(line).is_err() {
            return;
        }
    }
}

fn write_lines(mut lines: mpsc::Receiver<Value>) {
    let mut out = io::stdout();
    while let Some(line) = lines.blocking_recv() {
        if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_whole_and_empty_ones_are_none() {
        let (taken, mut lines) = mpsc::channel(8);
        take_lines(&b"{}\n\n  \n[1]"[..], &taken);
        assert_eq!(lines.blocking_recv().unwrap(), b"{}\n");
        assert_eq!(lines.blocking_recv().unwrap(), b"[1]");
        take_lines(&[vec![b'x'; 33 << 20], b"\n[2]\n".to_vec()].concat()[..], &taken);
        assert_eq!(lines.blocking_recv().unwrap(), b"too long");
        assert_eq!(lines.blocking_recv().unwrap(), b"[2]\n", "the next one is heard");
        drop(taken);
        assert!(lines.blocking_recv().is_none());
    }
}
