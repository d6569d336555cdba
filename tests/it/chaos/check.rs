//! Compares what clients were told with what is stored.

use std::collections::BTreeSet;

use serde_json::Value;
use testing::client::Client;
use testing::history::{Tally, id_of};

use crate::chaos::follower::Heard;
use crate::chaos::talker::Talker;

/// Looks at a conversation at rest, and at what `talker` was told; answers the ids of its events.
pub async fn examine(tally: &mut Tally, client: &Client, talker: &Talker) -> Vec<String> {
    let events = client.events(&talker.conversation).await;
    tally.examine(&events);
    let texts: Vec<String> = events.iter().filter_map(text_of).collect();
    tally.count(&talker.acknowledged, &texts);
    events.iter().map(id_of).collect()
}

/// Every one of `stored` must have come over the sockets, once and as what it is.
pub fn compare(tally: &mut Tally, heard: &Heard, stored: &[String]) {
    let ids: Vec<String> = heard.events.iter().map(|(_, id)| id.clone()).collect();
    tally.count(&ids, stored);
    let once: BTreeSet<_> = ids.iter().collect();
    tally.lost += stored.iter().filter(|id| !once.contains(id)).count();
    tally.doubled += ids.len() - once.len();
    let is_misplaced = |(position, id): &&(usize, String)| stored.get(*position) != Some(id);
    tally.reordered += heard.events.iter().filter(is_misplaced).count();
}

fn text_of(event: &Value) -> Option<String> {
    let is_users = event["kind"] == "MessageEvent" && event["source"] == "user";
    let text = event["llm_message"]["content"][0]["text"].as_str()?;
    is_users.then(|| text.to_owned())
}
