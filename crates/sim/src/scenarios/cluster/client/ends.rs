//! How a client is done with a conversation: it waits until it rests, or deletes it, or makes another one in its place.

use std::time::Duration;

use serde_json::Value;
use testing::history::Tally;
use tokio::time::{Instant, sleep};

use super::super::memory::{Fate, Past};
use super::{Client, id_of};

/// Between two looks.
const A_WHILE: Duration = Duration::from_secs(2);

impl Client {
    pub(super) async fn end(&mut self) {
        let is_calm = self.memory.lock().is_calm;
        match fastrand::u32(..8) {
            0 | 1 => drop(self.delete().await),
            2 => {
                if self.delete().await {
                    self.make_anew().await;
                }
            }
            // One of both may be put off.
            3 if !is_calm => self.delete_while_it_is_made_anew().await,
            4 => self.wait_for_rest().await,
            _ => {
                self.wait_for_rest().await;
                self.read_messages().await;
                self.read_commands().await;
            }
        }
    }

    /// Whether it was one that there was, as the first answer said.
    async fn delete(&self) -> bool {
        let call = self.caller.delete(self.path(""));
        let (answer, times) = self.insist(&call).await;
        let is_gone = answer.is_success() || answer.status == 404 && times > 1;
        if !is_gone {
            self.wonder(&call, &answer);
        }
        self.know(|past| past.fate = Fate::Deleted);
        is_gone && times == 1
    }

    /// Under the same id: nothing of the one before is in it.
    async fn make_anew(&mut self) {
        let mark = self.next_mark();
        let (call, text) = self.creation(&mark, Some(self.id));
        let (answer, _) = self.insist(&call).await;
        if !answer.is_success() || mark_of(&answer.body) != Some(&mark) || id_of(&answer) != Some(self.id) {
            self.wonder(&call, &answer);
        }
        self.is_to_run = self.now_if(text.is_some());
        self.go_on_as(mark, text);
        for number in 0..fastrand::u32(..3) {
            sleep(Duration::from_millis(fastrand::u64(..3_000))).await;
            self.say(number).await;
        }
        self.wait_for_rest().await;
        self.read_messages().await;
    }

    async fn delete_while_it_is_made_anew(&mut self) {
        let (mark, before) = (self.next_mark(), self.mark.clone());
        let (creation, text) = self.creation(&mark, Some(self.id));
        let deletion = self.caller.delete(self.path(""));
        // It comes in all moments of the deletion, until there is another one, or there has to be.
        let making = async {
            for _ in 0..fastrand::u32(1..30) {
                sleep(Duration::from_millis(fastrand::u64(..[3, 30, 1_000][fastrand::usize(..3)]))).await;
                let (made, times) = self.insist(&creation).await;
                if times > 1 || mark_of(&made.body) != Some(&before) {
                    return (made, times);
                }
            }
            self.insist(&creation).await
        };
        let ((deleted, deletions), (made, creations)) = tokio::join!(self.insist(&deletion), making);
        if !deleted.is_success() && deletions == 1 {
            self.wonder(&deletion, &deleted);
        }
        let is_certain = (deletions, creations) == (1, 1);
        match mark_of(&made.body) {
            Some(made) if *made == mark && is_certain => {
                self.is_to_run = None;
                self.go_on_as(mark, text);
            }
            Some(made) if *made == before && is_certain => self.know(|past| past.fate = Fate::Deleted),
            Some(made) if *made == mark || *made == before => self.know(|past| past.fate = Fate::Unknown),
            _ => self.wonder(&creation, &made),
        }
        let fate = self.memory.lock().past.last().map(|past| past.fate);
        if fate == Some(Fate::There) {
            self.say(0).await;
            self.wait_for_rest().await;
            self.read_messages().await;
        }
    }

    fn next_mark(&self) -> String {
        format!("{}2", self.mark.trim_end_matches('1'))
    }

    fn go_on_as(&mut self, mark: String, text: Option<String>) {
        let mut past = Past::new(self.id, mark.clone());
        past.stored.extend(text);
        self.know(|last| *last = past);
        (self.mark, self.made) = (mark, Vec::new());
    }

    async fn wait_for_rest(&self) {
        loop {
            sleep(A_WHILE).await;
            let call = self.caller.get(self.path(""));
            match self.ask(&call).await {
                Some(answer) if answer.is_success() => match answer.body["execution_status"].as_str() {
                    Some("running") => {}
                    Some("finished" | "error") => return,
                    // Who was asked to run has run, unless something else has stopped it.
                    Some(_) if self.is_to_run.is_some_and(|asked| self.was_well_since(asked)) => {
                        return self.wonder(&call, &answer.body["execution_status"]);
                    }
                    Some(_) => return,
                    None => return self.wonder(&call, &answer),
                },
                Some(answer) if !answer.is_for_now() => return self.wonder(&call, &answer),
                _ => {}
            }
        }
    }

    /// Until all that was acknowledged is read; by any gateway, each of which hears of it sooner or later. Where nothing goes
    /// wrong all have heard of it by then.
    async fn read_messages(&self) {
        let (begun, mut last) = (Instant::now(), Tally::default());
        let (_, is_well) = self.is_calm_and_well();
        let mut others = if is_well { 4 } else { 0 };
        while begun.elapsed() < Duration::from_secs(300) {
            let Some(texts) = self.texts().await else {
                sleep(A_WHILE).await;
                continue;
            };
            let stored = self.memory.lock().past.last().map(|past| past.stored.clone()).unwrap_or_default();
            last = Tally::default();
            last.count(&stored, &texts);
            let is_strange = texts.iter().any(|text| !text.ends_with(&self.mark));
            match (last.is_clean(), last.doubled + last.reordered > 0 || is_strange) {
                (_, true) => break,
                (true, false) if others == 0 => return,
                (true, false) => others -= 1,
                (false, false) if is_well && begun.elapsed() > A_WHILE => break,
                (false, false) => sleep(A_WHILE).await,
            }
        }
        self.memory.lock().broken.push(format!("{} is read as {last}", self.mark));
    }

    /// What users have said; `None` where that cannot be read now.
    async fn texts(&self) -> Option<Vec<String>> {
        let (mut texts, mut page) = (Vec::new(), String::new());
        loop {
            let call = self.caller.get(self.path(&format!("/events/search?limit=10{page}")));
            let answer = self.ask(&call).await?;
            if !answer.is_success() {
                if !answer.is_for_now() {
                    self.wonder(&call, &answer);
                }
                return None;
            }
            texts.extend(answer.body["items"].as_array().into_iter().flatten().filter_map(said));
            match answer.body["next_page_id"].as_str() {
                Some(next) => page = format!("&page_id={next}"),
                None => return Some(texts),
            }
        }
    }
}

pub(super) fn mark_of(info: &Value) -> Option<&String> {
    match &info["tags"]["mark"] {
        Value::String(mark) => Some(mark),
        _ => None,
    }
}

/// What a user has said, if it is that.
pub fn said(event: &Value) -> Option<String> {
    let is_users = event["kind"] == "MessageEvent" && event["source"] == "user";
    is_users.then(|| event["llm_message"]["content"][0]["text"].as_str().map(str::to_owned))?
}
