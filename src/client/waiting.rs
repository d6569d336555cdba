//! A conversation that waits for a confirmation: which actions do, and what they are told. A run that is started there would
//! carry them out.

use serde_json::{Map, Value};

use super::api::{Api, Error};
use super::seen::{Action, Seen};
use super::values::{list, text};

pub const WAITING: &str = "waiting_for_confirmation";

/// Of an answer of a model there are seldom more than a few; nobody looks through more than these.
const MOST: usize = 256;
/// Pages of events that are looked through, which hold all of them and what was said since.
const PAGES: usize = 10;

/// What waits for a word of the user.
pub enum Waiting {
    /// Nothing does, or nothing does any more.
    Nothing,
    /// Something that cannot be shown, and so is not to be accepted.
    Unseen,
    /// In their order.
    These(Vec<Action>),
}

#[derive(Clone, Copy)]
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

/// What waits, as the server has it now. `refused`: those that an answer was for which was not taken. Where they still seem to
/// wait, it cannot be said what does.
///
/// # Errors
/// Of the server.
pub async fn look(api: &Api, id: &str, refused: &[Action]) -> Result<Waiting, Error> {
    if status(api, id).await? != WAITING {
        return Ok(Waiting::Nothing);
    }
    let actions = actions(api, id).await?;
    Ok(if actions.is_empty() || are_same(&actions, refused) {
        Waiting::Unseen
    } else {
        Waiting::These(actions)
    })
}

/// The actions that wait; none where it cannot be said which they are.
async fn actions(api: &Api, id: &str) -> Result<Vec<Action>, Error> {
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

/// Tells the user's word on the actions that were `shown`, or on whatever waits; and whether it was taken: otherwise others wait
/// by now, or none do.
///
/// # Errors
/// Of the server.
pub async fn respond(
    api: &Api,
    id: &str,
    answer: Answer<'_>,
    shown: Option<&[Action]>,
) -> Result<bool, Error> {
    let mut body = Map::new();
    body.insert("accept".to_owned(), matches!(answer, Answer::Accept).into());
    if let Answer::Reject(Some(reason)) = answer {
        body.insert("reason".to_owned(), reason.into());
    }
    if let Some(shown) = shown {
        // Not every server looks at the names.
        if !are_same(&actions(api, id).await?, shown) {
            return Ok(false);
        }
        body.insert("action_ids".to_owned(), ids(shown).collect());
    }
    let path = format!("/api/conversations/{id}/events/respond_to_confirmation");
    match api.post(&path, &Value::Object(body)).await {
        Err(error) if shown.is_some() && error.status() == Some(409) => Ok(false),
        answered => answered.map(|_| true),
    }
}

/// Models give the same names to calls again and again; events have each their own.
fn are_same(some: &[Action], others: &[Action]) -> bool {
    ids(some).eq(ids(others))
}

fn ids(actions: &[Action]) -> impl Iterator<Item = &str> {
    actions.iter().map(|action| action.words.event.as_str())
}

/// Those that wait are of one answer, and follow each other: what is of another kind or another answer stands before all of them.
/// Calls of that answer that could not be understood stand among them.
fn has_all(newest_first: &[Seen]) -> bool {
    let newest = newest_answer(newest_first);
    let is_among = |seen: &Seen| matches!(seen, Seen::Nothing | Seen::CallFailed { .. });
    if newest_first.iter().any(|seen| matches!(seen, Seen::Action(action) if Some(&action.answer) != newest))
    {
        return true;
    }
    let oldest = newest_first.iter().rposition(|seen| matches!(seen, Seen::Action(_)));
    oldest.is_some_and(|at| newest_first.iter().skip(at + 1).any(|seen| !is_among(seen)))
}

/// The one of the newest action: what waits is of it.
fn newest_answer(newest_first: &[Seen]) -> Option<&String> {
    newest_first.iter().find_map(|seen| match seen {
        Seen::Action(action) => Some(&action.answer),
        _ => None,
    })
}

/// What has come to nothing yet, of the newest answer: an older one may have been left for another branch, and waits for nothing.
fn left(newest_first: Vec<Seen>) -> Vec<Action> {
    let newest = newest_answer(&newest_first).cloned().unwrap_or_default();
    let mut left: Vec<Action> = Vec::new();
    for seen in newest_first.into_iter().rev() {
        let settled = match seen {
            Seen::Action(action) => {
                left.extend((action.answer == newest).then_some(*action));
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
    use serde_json::json;

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
    fn what_was_left_for_another_branch_does_not_wait_with_what_waits_there() {
        let of = |answer: &str, call: &str| {
            Seen::of(&json!({"kind": "ActionEvent", "tool_call_id": call, "llm_response_id": answer}))
        };
        // Between the two only the state has changed: it was gone back, and run.
        let newest_first = || vec![of("r2", "d"), of("r2", "c"), Seen::Nothing, of("r1", "b"), of("r1", "c")];
        assert!(has_all(&newest_first()) && !has_all(&newest_first()[..3]));
        let waiting = left(newest_first());
        let calls: Vec<&str> = waiting.iter().map(|action| action.call.as_str()).collect();
        assert_eq!(calls, ["c", "d"]);
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
