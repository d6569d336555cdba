//! Commands that a client has run: each begins once, and has an end, or somebody has cleared it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use testing::history::Tally;
use tokio::time::{Instant, sleep};

use super::Client;

/// A worker that has nothing else to do is woken after that, and closes what one before it has left.
const LONG: Duration = Duration::from_secs(20);

/// What a client knows of them.
#[derive(Default)]
pub struct Commands {
    /// Those that were begun, in order.
    begun: Vec<String>,
    /// Those that were cleared.
    cleared: Vec<String>,
}

/// What is read of them.
#[derive(Default)]
struct Seen {
    commands: Vec<String>,
    without_end: Vec<String>,
    broken: Vec<String>,
}

impl Client {
    /// Some, one after the other.
    pub(super) async fn run_commands(&mut self, number: u32) {
        for part in 0..fastrand::u32(1..4) {
            self.run_command(number * 10 + part).await;
            sleep(Duration::from_millis(fastrand::u64(..2_000))).await;
        }
    }

    /// No program runs here: its folder is not there, which is its end.
    async fn run_command(&mut self, number: u32) {
        let text = format!("command {number} of {}", self.mark);
        let body = json!({"command": text, "cwd": "not/there"});
        let call = self.caller.post(self.path("/bash/start_bash_command"), body);
        match self.ask(&call).await {
            Some(answer) if answer.is_for_now() => {}
            Some(answer) if self.is_done(&call, &answer) => self.commands.begun.push(text),
            // It may have begun.
            _ => {}
        }
    }

    pub(super) async fn clear_commands(&mut self) {
        let call = self.caller.delete(self.path("/bash/bash_events"));
        let (answer, _) = self.insist(&call).await;
        if self.is_done(&call, &answer) {
            let begun = std::mem::take(&mut self.commands.begun);
            self.commands.cleared.extend(begun);
        }
    }

    /// Until each has its end.
    pub(super) async fn read_commands(&self) {
        if self.commands.begun.is_empty() && self.commands.cleared.is_empty() {
            return;
        }
        let (begun, mut woken, mut why) = (Instant::now(), Instant::now(), String::new());
        while begun.elapsed() < Duration::from_secs(300) {
            let call = self.caller.get(self.path("/bash/bash_events/search?limit=100"));
            let answer = self.ask(&call).await;
            match answer {
                Some(answer) if answer.is_success() => {
                    let seen = Seen::of(&answer.body, !self.commands.cleared.is_empty());
                    let mut tally = Tally::default();
                    tally.count(&self.commands.begun, &seen.commands);
                    let is_back = seen.commands.iter().any(|text| self.commands.cleared.contains(text));
                    why = format!("{tally}, {seen:?}");
                    if tally.doubled + tally.reordered > 0 || is_back || !seen.broken.is_empty() {
                        break;
                    }
                    if tally.is_clean() && seen.without_end.is_empty() {
                        return;
                    }
                    if woken.elapsed() > LONG {
                        woken = Instant::now();
                        self.wake(&seen).await;
                    }
                }
                Some(answer) if !answer.is_for_now() => return self.wonder(&call, &answer),
                _ => {}
            }
            sleep(Duration::from_secs(1)).await;
        }
        self.memory.lock().broken.push(format!("commands of {} are read as {why}", self.mark));
    }

    async fn wake(&self, seen: &Seen) {
        let id = seen.without_end.first().map_or("00000000000000000000000000000000", String::as_str);
        let call = self.caller.post(self.path(&format!("/bash/bash_commands/{id}/stop")), Value::Null);
        // Whether it ran is not of interest.
        drop(self.ask(&call).await);
    }
}

impl Seen {
    /// Where events were cleared, some of a command may be left.
    fn of(page: &Value, was_cleared: bool) -> Self {
        let mut seen = Self::default();
        // By command: how many outputs there were, and whether the last of them is an end.
        let mut outputs: BTreeMap<String, (u64, bool)> = BTreeMap::new();
        let mut stamp = "";
        for event in page["items"].as_array().into_iter().flatten() {
            let text = |name: &str| event[name].as_str().unwrap_or_default();
            if text("timestamp") <= stamp {
                seen.broken.push(format!("not after the one before it: {event}"));
            }
            stamp = text("timestamp");
            if event["kind"] == "BashCommand" {
                seen.commands.push(text("command").to_owned());
                outputs.insert(text("id").to_owned(), (0, false));
                continue;
            }
            match outputs.get_mut(text("command_id")) {
                Some((next, has_ended)) if event["order"] == *next && !*has_ended => {
                    (*next, *has_ended) = (*next + 1, !event["exit_code"].is_null());
                }
                None if was_cleared => {}
                _ => seen.broken.push(format!("not to be expected: {event}")),
            }
        }
        let open = outputs.into_iter().filter(|(_, (_, has_ended))| !has_ended);
        seen.without_end = open.map(|(command, _)| command).collect();
        seen
    }
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { commands, without_end, broken } = self;
        write!(f, "{commands:?}, without an end {without_end:?}, {broken:?}")
    }
}
