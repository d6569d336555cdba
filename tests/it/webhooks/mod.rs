//! What addresses of the operator's are told of conversations: all of it, in order, whoever is killed and whoever is slow.

#[cfg(feature = "cluster")]
mod cluster;
mod delivering;
mod ends;
mod rules;
mod trouble;

use std::path::Path;

use serde_json::Value;
use testing::client::Client;
use testing::eventually;
use testing::history::id_of;
use testing::model::Model;
use testing::receiver::Receiver;
use testing::script::{Script, Turn};
use testing::server::Start;

const BINARY: &str = env!("CARGO_BIN_EXE_manyhands");

/// A server that tells `receiver`, soon and in calls of four events.
fn telling(start: Start, receiver: &Receiver) -> Start {
    hook(start, 0, &receiver.url())
}

fn hook(start: Start, number: usize, url: &str) -> Start {
    let fields =
        [("BASE_URL", url), ("EVENT_BUFFER_SIZE", "4"), ("FLUSH_DELAY", "0.2"), ("RETRY_DELAY", "0.05")];
    fields
        .into_iter()
        .fold(start, |start, (field, value)| start.with(&format!("OH_WEBHOOKS_{number}_{field}"), value))
}

/// Who answers `[[steps]]` with so many commands and a text.
async fn model(steps: usize) -> Model {
    let turns = (0..steps).map(|i| Turn::terminal(&format!("call_{i}"), &format!("echo {i}")));
    let turns = turns.chain([Turn::text("Done.")]).collect();
    Model::start(0, vec![Script::new("[[steps]]", turns)]).await.unwrap()
}

/// A conversation that has run to its end.
async fn finished(client: &Client, model: &Model, folder: &Path) -> String {
    let id = begun(client, model, folder).await;
    client.wait_for_status(&id, "finished").await;
    id
}

async fn begun(client: &Client, model: &Model, folder: &Path) -> String {
    let id = client.create(&model.base_url(), &folder.join("work").display().to_string()).await;
    client.send(&id, "Count. [[steps]]", true).await;
    id
}

fn hex(id: &str) -> String {
    id.replace('-', "")
}

/// The events of a conversation in the calls that were taken, in their order, each as often as it came.
fn told(receiver: &Receiver, id: &str) -> Vec<Value> {
    let path = format!("/events/{}", hex(id));
    let calls = receiver.calls().into_iter().filter(|call| call.is_taken && call.path.ends_with(&path));
    let events = calls.flat_map(|call| call.body.as_array().cloned().unwrap_or_default());
    events.filter(|event| event["key"] != "full_state").collect()
}

/// The same by id, of those that come more than once the first.
fn told_first(receiver: &Receiver, id: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for event in told(receiver, id) {
        let id = id_of(&event);
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    ids
}

/// What was told of conversations themselves, in the calls that were taken.
fn infos(receiver: &Receiver, id: &str) -> Vec<Value> {
    let calls =
        receiver.calls().into_iter().filter(|call| call.is_taken && call.path.ends_with("/conversations"));
    calls.map(|call| call.body).filter(|info| info["id"] == id).collect()
}

/// Waits until all events of a conversation were told, and sees that they were in their order.
async fn all_told(client: &Client, receiver: &Receiver, id: &str) {
    let stored: Vec<String> = client.events(id).await.iter().map(id_of).collect();
    eventually("all events are told", async || {
        (told_first(receiver, id).len() >= stored.len()).then_some(())
    })
    .await;
    assert_eq!(told_first(receiver, id), stored);
}
