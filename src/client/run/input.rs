//! What is read from standard input: the task, and what the user says of actions.

use std::io::{self, BufRead, IsTerminal, Read};

use anyhow::Context;
use tokio::sync::mpsc;

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

/// Lines that are typed. They are waited for by a thread, from the first question on.
#[derive(Default)]
pub struct Lines {
    lines: Option<mpsc::Receiver<String>>,
}

impl Lines {
    pub fn can_be_typed() -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// The next line; `None`: there is no more. Dropping the call loses nothing.
    pub async fn next(&mut self) -> Option<String> {
        self.lines.get_or_insert_with(read).recv().await
    }
}

fn read() -> mpsc::Receiver<String> {
    let (typed, lines) = mpsc::channel(16);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        loop {
            let mut line = String::new();
            let read = (&mut input).take(LONGEST_LINE).read_line(&mut line);
            if !matches!(read, Ok(read) if read > 0) || typed.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}
