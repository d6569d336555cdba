//! A conversation that waits for a confirmation: which actions do, and what they are told. A run that is started there would
//! carry them out.

use serde_json::{Value, json};

use super::api::{Api, Error};
use super::seen::{Action, Seen};
use super::values::{list, text};

pub const WAITING: &str = "waiting_for_confirmation";

/// Of an answer of a model there are seldom more than a few; nobody looks through more than these.
const MOST: usize = 256;
/// Pages of events that are looked through, which hold all of them and what was said since.
const PAGES: usize = 10;

pub enum Answer<'a> {
    Accept,
    /// With the reason, if there is one.
    Reject(Option<&'a str>),
}

/// How the conversation is.
///
/// # Errors
/// Of the server.
pub async fn status(api: &Api, id: &str) -> Result<String, Error> {
    let info = api.get(&format!("/api/conversations/{id}")).await?;
    Ok(text(&info, "/execution_status").to_owned())
}

/// The actions that wait, in their order, as the server has them now. Where it cannot be said which they are there are none: what
/// cannot be shown is not to be accepted.
///
/// # Errors
/// Of the server.
pub async fn actions(api: &Api, id: &str) -> Result<Vec<Action>, Error> {
    let (mut newest_first, mut from) = (Vec::new(), String::new());
    for _ in 0..PAGES {
        let path = format!("/api/conversations/{id}/events/search?limit=100&sort_order=TIMESTAMP_DESC{from}");
        let page = api.get(&path).await?;
        newest_first.extend(list(&page, "/items").iter().map(Seen::of));
        let next = page.get("next_page_id").and_then(Value::as_str);
        match next {
            Some(next) if !has_all(&newest_first) => from = format!("&page_id={next}"),
            _ => {
                let waiting = left(newest_first);
                return Ok(if waiting.len() > MOST { Vec::new() } else { waiting });
            }
        }
    }
    Ok(Vec::new())
}

/// # Errors
/// Of the server.
pub async fn respond(api: &Api, id: &str, answer: Answer<'_>) -> Result<(), Error> {
    let body = match answer {
        Answer::Accept => json!({"accept": true}),
        Answer::Reject(None) => json!({"accept": false}),
        Answer::Reject(Some(reason)) => json!({"accept": false, "reason": reason}),
    };
    api.post(&format!("/api/conversations/{id}/events/respond_to_confirmation"), &body).await?;
    Ok(())
}

/// Whether these wait as the server has it now, and nothing else: who has answered may have been shown others.
///
/// # Errors
/// Of the server.
pub async fn still_wait(api: &Api, id: &str, shown: &[Action]) -> Result<bool, Error> {
    let now = actions(api, id).await?;
    Ok(now.iter().map(|action| &action.call).eq(shown.iter().map(|action| &action.call)))
}

/// Those that wait are of one answer, and follow each other: what is of another kind stands before all of them. Calls of that answer
/// that could not be understood stand among them.
fn has_all(newest_first: &[Seen]) -> bool {
    let is_among = |seen: &Seen| matches!(seen, Seen::Nothing | Seen::CallFailed { .. });
    let oldest = newest_first.iter().rposition(|seen| matches!(seen, Seen::Action(_)));
    oldest.is_some_and(|at| newest_first.iter().skip(at + 1).any(|seen| !is_among(seen)))
}

/// What has come to nothing yet.
fn left(newest_first: Vec<Seen>) -> Vec<Action> {
    let mut left: Vec<Action> = Vec::new();
    for seen in newest_first.into_iter().rev() {
        let settled = match seen {
            Seen::Action(action) => {
                left.push(*action);
                continue;
            }
            Seen::Outcome(outcome) => outcome.call,
            Seen::CallFailed { call, .. } | Seen::Rejected { call, .. } => call,
            _ => continue,
        };
        if let Some(at) = left.iter().position(|action| action.call == settled) {
            left.remove(at);
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(call: &str) -> Seen {
        Seen::of(&json!({"kind": "ActionEvent", "tool_name": "t", "tool_call_id": call}))
    }

    #[test]
    fn what_has_come_to_something_waits_no_more() {
        let newest_first = vec![
            action("c"),
            Seen::of(&json!({"kind": "UserRejectObservation", "tool_call_id": "b"})),
            Seen::of(&json!({"kind": "ObservationEvent", "tool_call_id": "a"})),
            action("b"),
            action("a"),
        ];
        let waiting = left(newest_first);
        let calls: Vec<&str> = waiting.iter().map(|action| action.call.as_str()).collect();
        assert_eq!(calls, ["c"]);
    }

    #[test]
    fn it_is_looked_on_until_something_stands_before_all_that_waits() {
        let said = || Seen::User("Go on.".to_owned());
        assert!(!has_all(&[said()]), "they stand before what was said since");
        assert!(!has_all(&[said(), action("b"), action("a"), Seen::Nothing]));
        let failed =
            Seen::of(&json!({"kind": "AgentErrorEvent", "tool_call_id": "x", "error": "no such tool"}));
        assert!(matches!(failed, Seen::CallFailed { .. }));
        assert!(!has_all(&[action("b"), failed]), "another one of the same answer may stand before it");
        assert!(has_all(&[action("b"), action("a"), Seen::Nothing, said()]));
    }
}
