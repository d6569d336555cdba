//! Events in the words of the protocol.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::client::plain::visible;
use crate::client::seen::{Action, Deed, Edit, Outcome, Seen, Task, Words};
use crate::client::values::{cut, text};

const TITLE: usize = 120;

const MESSAGE: &str = "agent_message_chunk";
const THOUGHT: &str = "agent_thought_chunk";

/// Tells an editor what happens: each word of the agent once, whether it was heard in pieces or not.
#[derive(Default)]
pub struct Teller {
    heard: Heard,
    /// The tool calls that are under way, by the name that the model has given them, which it may give again.
    calls: HashMap<String, String>,
}

#[derive(Default)]
struct Heard {
    item: String,
    attempt: u64,
    text: String,
    reasoning: String,
}

impl Teller {
    /// The updates that an event makes.
    pub fn event(&mut self, seen: &Seen) -> Vec<Value> {
        match seen {
            Seen::User(said) => vec![chunk("user_message_chunk", said)],
            Seen::Agent(words) => self.words(words),
            Seen::Action(action) => self.action(action),
            Seen::Outcome(outcome) => self.outcome(outcome).into_iter().collect(),
            Seen::CallFailed { call, error } => self.failed(call, error).into_iter().collect(),
            Seen::Rejected { call, reason, .. } => {
                self.failed(call, &format!("Rejected: {reason}")).into_iter().collect()
            }
            Seen::Nudge(_) | Seen::Failed { .. } | Seen::Paused | Seen::Interrupted => Vec::new(),
            Seen::Condensed | Seen::Nothing => Vec::new(),
        }
    }

    /// The updates that a piece of an answer makes.
    pub fn piece(&mut self, piece: &Value) -> Vec<Value> {
        let attempt = piece.get("attempt").and_then(Value::as_u64).unwrap_or_default();
        let item = text(piece, "/item_id");
        match text(piece, "/type") {
            "item_aborted" if item == self.heard.item => return self.broken_off(),
            "delta" => {}
            _ => return Vec::new(),
        }
        let mut updates = Vec::new();
        if item != self.heard.item || attempt != self.heard.attempt {
            updates = self.broken_off();
            self.heard = Heard { item: item.to_owned(), attempt, ..Heard::default() };
        }
        let content = text(piece, "/content");
        let (kind, so_far) = match text(piece, "/kind") {
            "text" => (MESSAGE, &mut self.heard.text),
            "reasoning" => (THOUGHT, &mut self.heard.reasoning),
            _ => return updates,
        };
        so_far.push_str(content);
        updates.extend((!content.is_empty()).then(|| chunk(kind, content)));
        updates
    }

    /// What was told of an answer counts no more. It cannot be taken back, but what comes next does not go on with it.
    fn broken_off(&mut self) -> Vec<Value> {
        let Heard { text, reasoning, .. } = std::mem::take(&mut self.heard);
        let told = [(THOUGHT, reasoning), (MESSAGE, text)].into_iter().filter(|(_, told)| !told.is_empty());
        told.map(|(kind, _)| chunk(kind, " …\n\n")).collect()
    }

    /// What was not heard of them yet.
    fn words(&mut self, words: &Words) -> Vec<Value> {
        let heard = std::mem::take(&mut self.heard);
        let is_this = heard.item == words.event;
        let rest = |whole: &str, so_far: &str| {
            let rest = whole.strip_prefix(so_far).filter(|_| is_this).unwrap_or(whole);
            rest.to_owned()
        };
        let told =
            [(THOUGHT, rest(&words.reasoning, &heard.reasoning)), (MESSAGE, rest(&words.text, &heard.text))];
        let left = told.iter().filter(|(_, rest)| !rest.trim().is_empty());
        left.map(|(kind, rest)| chunk(kind, rest)).collect()
    }

    fn action(&mut self, action: &Action) -> Vec<Value> {
        let mut updates = self.words(&action.words);
        updates.extend(match &action.deed {
            Deed::Think { thought } => Some(chunk(THOUGHT, thought)),
            Deed::Finish { message } => (!message.trim().is_empty()).then(|| chunk(MESSAGE, message)),
            Deed::Plan { tasks } => Some(plan(tasks)),
            _ => {
                self.calls.insert(action.call.clone(), action.words.event.clone());
                let mut call = tool_call(action);
                if let Some(fields) = call.as_object_mut() {
                    fields.insert("sessionUpdate".to_owned(), "tool_call".into());
                    fields.insert("status".to_owned(), "in_progress".into());
                }
                Some(call)
            }
        });
        updates
    }

    fn outcome(&mut self, outcome: &Outcome) -> Option<Value> {
        let id = self.calls.remove(&outcome.call)?;
        let has_failed = outcome.is_error || outcome.exit_code.is_some_and(|code| code > 0);
        let content = match &outcome.edit {
            Some(Edit { path, before, after }) => diff(path, before.as_deref(), after),
            None => said(&outcome.text),
        };
        Some(update(&id, if has_failed { "failed" } else { "completed" }, &content))
    }

    fn failed(&mut self, call: &str, why: &str) -> Option<Value> {
        let id = self.calls.remove(call)?;
        Some(update(&id, "failed", &said(why)))
    }
}

/// A call as `session/request_permission` shows it: the whole of what would run, and nothing that would not be seen.
pub fn question(action: &Action) -> Value {
    let own = |pointer: &str| text(&action.arguments, pointer);
    // An editor shows a diff as it is.
    let is_seen = |path: &str| {
        path.starts_with('/')
            && [path, own("/file_text"), own("/old_str"), own("/new_str")]
                .iter()
                .all(|text| visible(text) == *text)
    };
    let shown = match &action.deed {
        Deed::Command { line, is_input: false } if !action.has("reset") => said(&visible(line)),
        Deed::Edit { command, path } if command == "create" && is_seen(path) => {
            diff(path, None, own("/file_text"))
        }
        Deed::Edit { command, path } if command == "str_replace" && is_seen(path) => {
            diff(path, Some(own("/old_str")), own("/new_str"))
        }
        _ => said(&visible(&action.arguments.to_string())),
    };
    let mut call = tool_call(action);
    if let Some(fields) = call.as_object_mut() {
        fields.insert("status".to_owned(), "pending".into());
        fields.insert("content".to_owned(), json!([shown]));
    }
    call
}

fn tool_call(action: &Action) -> Value {
    let (kind, title, path) = match &action.deed {
        Deed::Command { line, .. } => ("execute", line.clone(), None),
        Deed::View { path } => ("read", format!("View {path}"), Some(path)),
        Deed::Edit { command, path } => ("edit", format!("{command} {path}"), Some(path)),
        _ => ("other", action.tool.clone(), None),
    };
    let title = visible(&title);
    let title = cut(&title.split_whitespace().collect::<Vec<_>>().join(" "), TITLE);
    let mut call =
        json!({"toolCallId": action.words.event, "title": title, "kind": kind, "rawInput": action.arguments});
    if let (Some(path), Some(fields)) = (path.filter(|path| path.starts_with('/')), call.as_object_mut()) {
        fields.insert("locations".to_owned(), json!([{"path": path}]));
    }
    call
}

/// The user has permitted the call.
pub fn begun(action: &Action) -> Value {
    json!({"sessionUpdate": "tool_call_update", "toolCallId": action.words.event, "status": "in_progress"})
}

fn chunk(kind: &str, text: &str) -> Value {
    json!({"sessionUpdate": kind, "content": {"type": "text", "text": text}})
}

fn update(id: &str, status: &str, content: &Value) -> Value {
    json!({"sessionUpdate": "tool_call_update", "toolCallId": id, "status": status, "content": [content]})
}

fn said(text: &str) -> Value {
    json!({"type": "content", "content": {"type": "text", "text": text}})
}

fn diff(path: &str, before: Option<&str>, after: &str) -> Value {
    json!({"type": "diff", "path": path, "oldText": before, "newText": after})
}

fn plan(tasks: &[Task]) -> Value {
    let entry = |task: &Task| {
        let status = match task.status.as_str() {
            "done" => "completed",
            "in_progress" => "in_progress",
            _ => "pending",
        };
        json!({"content": task.title, "priority": "medium", "status": status})
    };
    json!({"sessionUpdate": "plan", "entries": tasks.iter().map(entry).collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(event: &str) -> Value {
        json!({"kind": "ActionEvent", "id": event, "tool_name": "terminal", "tool_call_id": "call_1",
            "thought": [{"text": "I look."}], "action": {"command": "ls"}})
    }

    #[test]
    fn a_name_that_a_model_gives_twice_is_two_calls() {
        let mut teller = Teller::default();
        let result = json!({"kind": "ObservationEvent", "tool_call_id": "call_1", "tool_name": "terminal",
            "observation": {"content": [{"text": "a"}], "exit_code": 0}});
        let mut ids = Vec::new();
        for event in ["e1", "e2"] {
            teller.event(&Seen::of(&command(event)));
            let updates = teller.event(&Seen::of(&result));
            assert_eq!(text(&updates[0], "/status"), "completed");
            ids.push(text(&updates[0], "/toolCallId").to_owned());
        }
        assert_eq!(ids, ["e1", "e2"]);
    }

    #[test]
    fn what_was_heard_in_pieces_is_not_told_again() {
        let mut teller = Teller::default();
        let piece = json!({"type": "delta", "item_id": "e", "attempt": 1, "kind": "text", "content": "I lo"});
        assert_eq!(text(&teller.piece(&piece)[0], "/content/text"), "I lo");
        let updates = teller.event(&Seen::of(&command("e")));
        assert_eq!(text(&updates[0], "/content/text"), "ok.");
        assert_eq!(text(&updates[1], "/sessionUpdate"), "tool_call");
        assert_eq!(text(&teller.event(&Seen::of(&command("f")))[0], "/content/text"), "I look.");
    }

    #[test]
    fn an_answer_that_is_broken_off_does_not_run_into_the_one_after_it() {
        let mut teller = Teller::default();
        let piece = |attempt: u64, content: &str| json!({"type": "delta", "item_id": "e", "attempt": attempt, "kind": "text", "content": content});
        let aborted = json!({"type": "item_aborted", "item_id": "e", "attempt": 1});
        let mut said = String::new();
        let pieces = [piece(1, "Hel"), aborted.clone(), aborted, piece(2, "Goo"), piece(3, "I look")];
        for update in pieces.iter().flat_map(|piece| teller.piece(piece)) {
            assert_eq!(text(&update, "/sessionUpdate"), "agent_message_chunk");
            said += text(&update, "/content/text");
        }
        said += text(&teller.event(&Seen::of(&command("e")))[0], "/content/text");
        assert_eq!(said, "Hel …\n\nGoo …\n\nI look.");
    }

    #[test]
    fn a_question_shows_the_whole_of_what_would_run() {
        let asked = |tool: &str, arguments: Value| match Seen::of(
            &json!({"kind": "ActionEvent", "id": "e", "tool_name": tool, "action": arguments}),
        ) {
            Seen::Action(action) => question(&action),
            other => panic!("{other:?}"),
        };
        let long = format!("{}\u{3164}; rm x", "a ".repeat(500));
        let call = asked("terminal", json!({"command": long}));
        assert!(text(&call, "/content/0/content/text").ends_with(r"a \u{3164}; rm x"), "{call}");
        let call = asked("file_editor", json!({"command": "create", "path": "/a", "file_text": "evil"}));
        assert_eq!(
            call["content"][0],
            json!({"type": "diff", "path": "/a", "oldText": null, "newText": "evil"})
        );
        let call = asked(
            "file_editor",
            json!({"command": "insert", "path": "/a", "new_str": "evil", "insert_line": 3}),
        );
        assert!(text(&call, "/content/0/content/text").contains("evil"), "{call}");
        for (flag, command) in [("is_input", "y"), ("reset", "")] {
            let call = asked("terminal", json!({"command": command, flag: true}));
            assert!(text(&call, "/content/0/content/text").contains(flag), "{call}");
        }
        for (path, written) in [("/a", "x\u{202e}y"), ("/a\u{3164}", "x"), ("/a", "\u{1b}[2K")] {
            let call = asked(
                "file_editor",
                json!({"command": "str_replace", "path": path, "old_str": "a", "new_str": written}),
            );
            let shown = text(&call, "/content/0/content/text");
            assert!(shown.contains(r"\u") && visible(shown) == shown, "{call}");
        }
    }
}
