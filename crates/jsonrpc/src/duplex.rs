//! Many questions at once, to a program that lives as long as somebody asks it.
//!
//! Two tasks own the wire: one reads, and hands each answer to whoever waits for it; one writes what is asked. So nobody who
//! gives up leaves half a message behind, and a program that does not read holds nobody up but those who ask it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::Broken;
use crate::lines::{Incoming, write};
use crate::message::{Message, answer_to, notification, request};

/// Messages that may wait until the program reads them. Answers to its own questions are left out where there is no room.
const WAITING: usize = 64;

/// The other side, as all see it who ask.
#[derive(Clone)]
pub struct Handle {
    outgoing: mpsc::Sender<Value>,
    asked: Arc<Mutex<Asked>>,
    /// Cancelled once the wire is of no more use.
    ended: CancellationToken,
    /// Ends both tasks when the last of these goes.
    _open: Arc<tokio_util::sync::DropGuard>,
}

#[derive(Default)]
struct Asked {
    last: u64,
    waiting: HashMap<u64, oneshot::Sender<Result<Value, Broken>>>,
    /// Why nothing is answered any more.
    over: Option<Broken>,
}

/// Speaks with a program over its standard output and input, in messages of at most `most` bytes. In a tokio runtime; what is
/// open is closed with the last handle.
pub fn open<R, W>(reader: R, writer: W, most: usize) -> Handle
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let (outgoing, to_write) = mpsc::channel(WAITING);
    let asked = Arc::<Mutex<Asked>>::default();
    let closed = CancellationToken::new();
    let ended = CancellationToken::new();
    tokio::spawn({
        let (asked, ended, answers) = (Arc::clone(&asked), ended.clone(), outgoing.downgrade());
        let closed = closed.clone();
        async move {
            let reading = read(Incoming::of_each(reader, most), &asked, &answers);
            let why = closed.run_until_cancelled(reading).await.unwrap_or(Broken::Ended);
            asked.lock().end(&why);
            ended.cancel();
        }
    });
    tokio::spawn({
        let ended = ended.clone();
        async move { ended.run_until_cancelled(write_all(writer, to_write)).await }
    });
    Handle { outgoing, asked, ended, _open: Arc::new(closed.drop_guard()) }
}

impl Handle {
    /// The answer to a question, however many others are under way.
    ///
    /// # Errors
    /// Where the other side refuses, or is gone.
    ///
    /// # Cancel safety
    /// Safe: the other side is told that nobody waits any more.
    pub async fn call(&self, method: &str, params: &Value) -> Result<Value, Broken> {
        let (answer, answered) = oneshot::channel();
        let id = self.asked.lock().ask(answer)?;
        let mut unanswered = Unanswered { handle: self, id, is_sent: false };
        self.send(request(id, method, params)).await?;
        unanswered.is_sent = true;
        answered.await.unwrap_or(Err(Broken::Ended))
    }

    /// Tells something that needs no answer.
    ///
    /// # Errors
    /// Where the other side is gone.
    pub async fn notify(&self, method: &str) -> Result<(), Broken> {
        self.send(notification(method)).await
    }

    /// Whether the other side is gone.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ended.is_cancelled()
    }

    async fn send(&self, message: Value) -> Result<(), Broken> {
        let sending = self.outgoing.send(message);
        let sent = self.ended.run_until_cancelled(sending).await;
        match sent {
            Some(Ok(())) => Ok(()),
            _ => Err(self.asked.lock().over.clone().unwrap_or(Broken::Ended)),
        }
    }
}

/// A question that somebody waits for.
struct Unanswered<'a> {
    handle: &'a Handle,
    id: u64,
    is_sent: bool,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        let was_waiting = self.handle.asked.lock().waiting.remove(&self.id).is_some();
        if was_waiting && self.is_sent {
            let given_up = json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
                "params": {"requestId": self.id, "reason": "nobody waits for it any more"}});
            let _ = self.handle.outgoing.try_send(given_up);
        }
    }
}

impl Asked {
    fn ask(&mut self, answer: oneshot::Sender<Result<Value, Broken>>) -> Result<u64, Broken> {
        if let Some(why) = &self.over {
            return Err(why.clone());
        }
        self.last += 1;
        self.waiting.insert(self.last, answer);
        Ok(self.last)
    }

    fn end(&mut self, why: &Broken) {
        self.over = Some(why.clone());
        for (_, answer) in self.waiting.drain() {
            let _ = answer.send(Err(why.clone()));
        }
    }
}

/// Hands answers on until there are none any more.
async fn read<R: AsyncRead + Unpin>(
    mut incoming: Incoming<R>,
    asked: &Mutex<Asked>,
    answers: &mpsc::WeakSender<Value>,
) -> Broken {
    loop {
        let message = match incoming.next().await {
            Ok(message) => message,
            Err(why) => return why,
        };
        match Message::read(message) {
            Message::Answer { id, outcome } => {
                let waiting = id.as_u64().and_then(|id| asked.lock().waiting.remove(&id));
                if let Some(answer) = waiting {
                    let _ = answer.send(outcome);
                }
            }
            Message::Request { id, method } => {
                if let Some(answers) = answers.upgrade() {
                    let _ = answers.try_send(answer_to(&id, &method));
                }
            }
            Message::Told => {}
        }
    }
}

async fn write_all(mut writer: impl AsyncWrite + Unpin, mut to_write: mpsc::Receiver<Value>) {
    while let Some(message) = to_write.recv().await {
        if write(&mut writer, &message).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{
        AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf, duplex, split,
    };

    use super::*;

    /// A program whose part the test plays.
    struct Program {
        heard: Lines<BufReader<ReadHalf<DuplexStream>>>,
        says: WriteHalf<DuplexStream>,
    }

    fn started(most: usize) -> (Handle, Program) {
        let (ours, theirs) = duplex(1 << 16);
        let (reader, writer) = split(ours);
        let (heard, says) = split(theirs);
        (open(reader, writer, most), Program { heard: BufReader::new(heard).lines(), says })
    }

    impl Program {
        async fn hears(&mut self) -> Value {
            serde_json::from_str(&self.heard.next_line().await.unwrap().unwrap()).unwrap()
        }

        async fn says(&mut self, message: Value) {
            self.says.write_all(format!("{message}\n").as_bytes()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn each_question_gets_its_own_answer_in_whatever_order_they_come() {
        let (handle, mut program) = started(1_000);
        let (first, second) = (json!({"a": 1}), json!({"a": 2}));
        let asking = async { tokio::join!(handle.call("m", &first), handle.call("m", &second)) };
        let answering = async {
            let (one, two) = (program.hears().await, program.hears().await);
            program.says(json!({"id": "ours", "method": "ping"})).await;
            for asked in [two, one] {
                program.says(json!({"id": asked["id"], "result": asked["params"]["a"]})).await;
            }
            program
        };
        let (answers, mut program) = tokio::join!(asking, answering);
        assert_eq!(answers, (Ok(json!(1)), Ok(json!(2))));
        assert_eq!(program.hears().await, json!({"jsonrpc": "2.0", "id": "ours", "result": {}}));
    }

    #[tokio::test]
    async fn who_gives_up_says_so_and_disturbs_nobody() {
        let (handle, mut program) = started(1_000);
        let slow = tokio::spawn({
            let handle = handle.clone();
            async move { handle.call("slow", &json!({})).await }
        });
        let asked = program.hears().await;
        slow.abort();
        let told = program.hears().await;
        assert_eq!(
            (&told["method"], &told["params"]["requestId"]),
            (&json!("notifications/cancelled"), &asked["id"])
        );
        // What comes too late is nobody's.
        program.says(json!({"id": asked["id"], "result": "late"})).await;
        let answering = async {
            let asked = program.hears().await;
            program.says(json!({"id": asked["id"], "result": "right"})).await;
        };
        let no_params = json!({});
        assert_eq!(tokio::join!(handle.call("m", &no_params), answering).0, Ok(json!("right")));
    }

    #[tokio::test]
    async fn all_who_wait_are_told_of_the_end() {
        let (handle, program) = started(1_000);
        let no_params = json!({});
        let ending = async { drop(program) };
        assert_eq!(tokio::join!(handle.call("m", &no_params), ending).0, Err(Broken::Ended));
        assert_eq!(handle.call("m", &no_params).await, Err(Broken::Ended));
        assert!(handle.is_over());
    }

    #[tokio::test]
    async fn a_message_may_be_long_and_not_longer_however_many_there_were() {
        let (handle, mut program) = started(100);
        let no_params = json!({});
        for _ in 0..10 {
            let answering = async {
                let asked = program.hears().await;
                program.says(json!({"id": asked["id"], "result": "x".repeat(60)})).await;
            };
            assert!(tokio::join!(handle.call("m", &no_params), answering).0.is_ok());
        }
        let flooding = program.says(json!({"id": 11, "result": "x".repeat(101)}));
        assert_eq!(tokio::join!(handle.call("m", &no_params), flooding).0, Err(Broken::TooLarge));
    }

    #[tokio::test]
    async fn the_program_reads_the_end_when_nobody_asks_any_more() {
        let (handle, mut program) = started(1_000);
        drop(handle);
        assert!(program.heard.next_line().await.unwrap().is_none());
    }
}
