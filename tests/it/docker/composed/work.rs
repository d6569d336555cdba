//! What conversations of a project do: commands that take their time, each of which leaves a line in a file.

use std::time::Duration;

use serde_json::{Value, json};
use testing::client::{Client, conversation};
use testing::history::{Tally, id_of};
use testing::model::Model;
use testing::script::{Script, Turn};
use testing::{compose, within};
use tokio::time::sleep;

use crate::docker::PROJECT;

/// A message makes the agent take so many steps.
pub const STEPS: usize = 8;
/// More than any conversation gets to.
const TURNS: usize = 4_000;
const THINKING_MS: u64 = 1_000;
/// Between two looks: many at once are work for the gateway that workers wait for.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const BROKEN: [&str; 4] = ["ConversationErrorEvent", "AgentErrorEvent", "PauseEvent", "InterruptEvent"];

/// For agents whose steps take two seconds (`[[steps]]`), and for such whose first takes `long` and says something all the
/// while (`[[long]]`).
pub async fn model(long: Duration) -> Model {
    let long = format!("for i in $(seq {}); do echo $i; sleep 1; done", long.as_secs());
    let scripts = [("[[steps]]", "sleep 2"), ("[[long]]", long.as_str())]
        .map(|(marker, first)| Script::new(marker, (0..TURNS).map(|turn| step(turn, first)).collect()));
    Model::start_at((compose::host(), 0), scripts.into()).await.unwrap()
}

fn step(turn: usize, first: &str) -> Turn {
    let id = format!("call_{turn}");
    match turn % STEPS {
        last if last + 1 == STEPS => Turn::call(&id, "finish", json!({ "message": "done" })),
        part => {
            let what = if part == 0 { first } else { "sleep 2" };
            Turn::terminal(&id, &format!("echo {turn} >> steps; {what}; echo through {turn}"))
        }
    }
    .after(THINKING_MS)
}

pub struct Conversation {
    pub id: String,
    client: Client,
    marker: String,
}

impl Conversation {
    /// `marker`: of a script, and what no other conversation has.
    pub async fn create(client: &Client, model: &Model, marker: String) -> Self {
        let mut body = conversation(&model.base_url(), PROJECT);
        // As clients have it by default.
        body["agent"]["llm"]["num_retries"] = 5.into();
        let made = client.post_ok("/api/conversations", &body).await;
        Self { id: made["id"].as_str().unwrap().to_owned(), client: client.clone(), marker }
    }

    pub async fn begin(&self) {
        self.client.send(&self.id, &self.marker, true).await;
    }

    pub async fn events(&self) -> Vec<Value> {
        self.client.events(&self.id).await
    }

    pub async fn has_acted(&self, patience: Duration, actions: usize) {
        within(patience, "the agent acts", async || {
            sleep(LOOK_EVERY).await;
            let acts = self.events().await.iter().filter(|event| event["kind"] == "ActionEvent").count();
            (acts >= actions).then_some(())
        })
        .await;
    }

    /// Its run must finish, and not have been cut meanwhile.
    pub async fn finishes(&self, patience: Duration) {
        let path = format!("/api/conversations/{}", self.id);
        within(patience, "the run finishes", async || {
            let status = self.client.get_ok(&path).await["execution_status"].clone();
            sleep(LOOK_EVERY).await;
            let goes_on = status == "running" || status == "finished";
            assert!(goes_on, "{}: {status}: {:?}", self.id, self.events().await.last());
            (status == "finished").then_some(())
        })
        .await;
    }

    /// At rest: adds what is wrong with its history to `tally`, and answers its events.
    pub async fn examine(&self, tally: &mut Tally, before: &[Value]) -> Vec<Value> {
        let events = self.events().await;
        let broken = events.iter().find(|event| BROKEN.iter().any(|kind| event["kind"] == *kind));
        assert!(broken.is_none(), "{}: {broken:?}", self.id);
        tally.examine(&events);
        let ids = |events: &[Value]| events.iter().map(id_of).collect::<Vec<_>>();
        tally.count(&ids(before), &ids(&events));
        let actions =
            events.iter().filter(|event| event["tool_name"] == "terminal" && event["kind"] == "ActionEvent");
        let wanted: String =
            (0..TURNS).filter(|turn| turn % STEPS + 1 != STEPS).take(actions.count()).map(line).collect();
        let done = self.client.printed(Some(&self.id), "cat steps").await;
        assert_eq!(done, wanted, "{}: each step was done, once", self.id);
        events
    }

    /// How many of `requests`, which are for all conversations, had been made before for the same turn.
    pub fn asked_again(&self, requests: &[Value]) -> usize {
        let messages = |request: &Value| request["messages"].as_array().cloned().unwrap_or_default();
        let of = |role: &'static str| move |message: &&Value| message["role"] == role;
        let own = requests.iter().map(messages).filter(|said| {
            said.iter()
                .find(of("user"))
                .is_some_and(|first| first["content"].to_string().contains(&self.marker))
        });
        let turns: Vec<_> = own.map(|said| said.iter().filter(of("assistant")).count()).collect();
        turns.len() - turns.iter().max().map_or(0, |last| last + 1)
    }
}

fn line(turn: usize) -> String {
    format!("{turn}\n")
}
