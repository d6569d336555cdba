//! What an event tells, read once for terminals and editors alike. Servers may know kinds that this program does not.

use serde_json::Value;

use super::values::{joined, list, text};

#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    User(String),
    /// The server tells the agent something, as when it repeats itself.
    Nudge(String),
    Agent(Words),
    Action(Box<Action>),
    Outcome(Box<Outcome>),
    CallFailed {
        call: String,
        error: String,
    },
    Rejected {
        action: String,
        call: String,
        reason: String,
    },
    Failed {
        code: String,
        detail: String,
    },
    Paused,
    Interrupted,
    /// What was said before was made shorter for the model.
    Condensed,
    /// Nothing that a reader waits for.
    Nothing,
}

/// What an agent says, in an event of its own or before it acts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Words {
    /// Of the event: pieces that were heard before name it, too.
    pub event: String,
    pub reasoning: String,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    pub words: Words,
    /// Of the tool call, as the model has named it.
    pub call: String,
    /// Of the model's answer, which all actions of it name.
    pub answer: String,
    pub tool: String,
    pub deed: Deed,
    pub arguments: Value,
}

impl Action {
    /// Whether a flag of it is set.
    pub fn has(&self, flag: &str) -> bool {
        self.arguments.get(flag).and_then(Value::as_bool).unwrap_or_default()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Deed {
    Command { line: String, is_input: bool },
    View { path: String },
    Edit { command: String, path: String },
    Think { thought: String },
    Plan { tasks: Vec<Task> },
    Finish { message: String },
    Other,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    pub title: String,
    /// `todo`, `in_progress` or `done`.
    pub status: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub action: String,
    pub call: String,
    pub tool: String,
    pub text: String,
    pub is_error: bool,
    /// Of a command that has ended.
    pub exit_code: Option<i64>,
    pub edit: Option<Edit>,
}

/// A file as it was, unless it is new, and as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    pub path: String,
    pub before: Option<String>,
    pub after: String,
}

impl Seen {
    pub fn of(event: &Value) -> Self {
        let own = |pointer: &str| text(event, pointer).to_owned();
        match text(event, "/kind") {
            "MessageEvent" => message(event),
            "ActionEvent" => Self::Action(Box::new(action(event))),
            "ObservationEvent" => Self::Outcome(Box::new(outcome(event))),
            "AgentErrorEvent" => Self::CallFailed { call: own("/tool_call_id"), error: own("/error") },
            "UserRejectObservation" => Self::Rejected {
                action: own("/action_id"),
                call: own("/tool_call_id"),
                reason: own("/rejection_reason"),
            },
            "ConversationErrorEvent" => Self::Failed { code: own("/code"), detail: own("/detail") },
            "PauseEvent" => Self::Paused,
            "InterruptEvent" => Self::Interrupted,
            "Condensation" => Self::Condensed,
            _ => Self::Nothing,
        }
    }
}

fn message(event: &Value) -> Seen {
    let said = joined(event, "/llm_message/content");
    match text(event, "/source") {
        "user" => Seen::User(said),
        "agent" => Seen::Agent(Words {
            event: text(event, "/id").to_owned(),
            reasoning: text(event, "/llm_message/reasoning_content").to_owned(),
            text: said,
        }),
        _ => Seen::Nudge(said),
    }
}

fn action(event: &Value) -> Action {
    let tool = text(event, "/tool_name").to_owned();
    let arguments = event.get("action").filter(|action| action.is_object()).cloned().unwrap_or_default();
    Action {
        words: Words {
            event: text(event, "/id").to_owned(),
            reasoning: text(event, "/reasoning_content").to_owned(),
            text: joined(event, "/thought"),
        },
        call: text(event, "/tool_call_id").to_owned(),
        answer: text(event, "/llm_response_id").to_owned(),
        deed: deed(&tool, &arguments),
        tool,
        arguments,
    }
}

fn deed(tool: &str, action: &Value) -> Deed {
    let own = |pointer: &str| text(action, pointer).to_owned();
    match tool {
        "terminal" | "execute_bash" => Deed::Command {
            line: own("/command"),
            is_input: action.get("is_input").and_then(Value::as_bool).unwrap_or_default(),
        },
        "file_editor" | "str_replace_editor" if text(action, "/command") == "view" => {
            Deed::View { path: own("/path") }
        }
        "file_editor" | "str_replace_editor" => Deed::Edit { command: own("/command"), path: own("/path") },
        "think" => Deed::Think { thought: own("/thought") },
        "finish" => Deed::Finish { message: own("/message") },
        "task_tracker" if text(action, "/command") == "plan" => {
            let task = |task: &Value| Task {
                title: text(task, "/title").to_owned(),
                status: text(task, "/status").to_owned(),
            };
            Deed::Plan { tasks: list(action, "/task_list").iter().map(task).collect() }
        }
        _ => Deed::Other,
    }
}

fn outcome(event: &Value) -> Outcome {
    let observation = event.get("observation").unwrap_or(&Value::Null);
    let field = |name: &str| observation.get(name).and_then(Value::as_str).map(str::to_owned);
    let edit = field("new_content").map(|after| Edit {
        path: field("path").unwrap_or_default(),
        before: field("old_content"),
        after,
    });
    Outcome {
        action: text(event, "/action_id").to_owned(),
        call: text(event, "/tool_call_id").to_owned(),
        tool: text(event, "/tool_name").to_owned(),
        text: joined(observation, "/content"),
        is_error: observation.get("is_error").and_then(Value::as_bool).unwrap_or_default(),
        exit_code: observation.get("exit_code").and_then(Value::as_i64),
        edit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_kind_that_is_not_known_is_passed_over() {
        for event in [json!({"kind": "FromTheFuture"}), json!({}), json!(null), json!([1])] {
            assert_eq!(Seen::of(&event), Seen::Nothing, "{event}");
        }
    }

    #[test]
    fn an_action_that_could_not_be_read_is_still_told() {
        let event = json!({"kind": "ActionEvent", "id": "e", "tool_name": "terminal", "tool_call_id": "c"});
        let Seen::Action(action) = Seen::of(&event) else { panic!("{event}") };
        assert_eq!((action.call.as_str(), action.arguments), ("c", json!(null)));
    }

    #[test]
    fn only_an_edit_has_a_file_before_and_after() {
        let of = |observation: Value| match Seen::of(
            &json!({"kind": "ObservationEvent", "observation": observation}),
        ) {
            Seen::Outcome(outcome) => outcome.edit,
            other => panic!("{other:?}"),
        };
        assert_eq!(of(json!({"content": [], "path": "/a"})), None);
        let new = of(json!({"path": "/a", "new_content": "x"})).unwrap();
        assert_eq!((new.before, new.after.as_str()), (None, "x"));
    }
}
