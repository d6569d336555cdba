//! What is read from standard input: the task, and what the user says of actions.

use std::io::{self, BufRead, IsTerminal, Read};

use anyhow::Context;
use rustix::termios::{QueueSelector, tcflush};
use tokio::sync::oneshot;

use crate::client::Usage;

/// Bytes of a task, which is one message.
const LARGEST_TASK: u64 = 7 << 20;
const LONGEST_LINE: u64 = 64 << 10;

/// # Errors
/// Where it cannot be read, or is none.
pub fn task(given: &str) -> anyhow::Result<String> {
    let mut task = given.to_owned();
    if given == "-" {
        task.clear();
        io::stdin()
            .lock()
            .take(LARGEST_TASK + 1)
            .read_to_string(&mut task)
            .context("cannot read the task")?;
    }
    if task.len() as u64 > LARGEST_TASK {
        return Err(Usage(format!("the task is longer than {LARGEST_TASK} bytes")).into());
    }
    match task.trim().is_empty() {
        true => Err(Usage("the task is empty".to_owned()).into()),
        false => Ok(task),
    }
}

/// Whether there is a terminal, at which the questions are seen.
pub fn can_be_typed() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Nobody means what was typed before a question for its answer.
pub fn forget_typed() {
    // Where it is no terminal, nobody is asked.
    let _ = tcflush(io::stdin(), QueueSelector::IFlush);
}

/// The next line; `None`: there is no more. No more than it is read: a terminal gives one at a time.
pub async fn line() -> Option<String> {
    let (typed, line) = oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = io::stdin().lock().take(LONGEST_LINE).read_line(&mut line);
        if matches!(read, Ok(read) if read > 0) {
            // Whoever has asked may have gone.
            let _ = typed.send(line);
        }
    });
    line.await.ok()
}
