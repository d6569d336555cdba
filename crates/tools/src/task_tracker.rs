//! `task_tracker`: the model's own list of steps, kept in `TASKS.json`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use types::tool::ToolDefinition;

use crate::args::Args;
use crate::definition::{Annotations, define, text_content};
use crate::hands;

const DESCRIPTION: &str = "Keep a visible list of the steps of your work. The user sees it, and it stays with \
the conversation.

Commands
- `plan`: replaces the whole list with `task_list`. Send every task each time, also those already done.
- `view`: shows the list as it is.

Each task has a `title` (short, says what will be true when it is done), optional `notes`, and a `status`: \
`todo`, `in_progress` or `done`.

When to use it: work of three steps or more, several requests in one message, or a plan that will change on the \
way. Leave it out for a single small edit, a question, or one command.

How to use it well
1. Write the plan before you start; split it into tasks you can check one by one.
2. Have exactly one task `in_progress`; mark it when you begin it.
3. Mark a task `done` right after you have checked it, not in bulk at the end. A task with failing tests or an \
open error is not done: keep it `in_progress`, or add a task for what is in the way.
4. Add tasks you discover, drop those that no longer matter.
5. Before you finish, view the list and close what is open, or say why it stays open.";

pub fn definition() -> ToolDefinition {
    let parameters = json!({
        "type": "object",
        "properties": {
            "command": {
                "type": "string",
                "enum": ["view", "plan"],
                "description": "`view` shows the list (the default), `plan` replaces it.",
            },
            "task_list": {
                "type": "array",
                "description": "The whole new list; only with `plan`.",
                "items": {
                    "type": "object",
                    "properties": {
                        "title": {"type": "string", "description": "What is to be done, in a few words."},
                        "notes": {"type": "string", "description": "Details worth keeping."},
                        "status": {
                            "type": "string",
                            "enum": ["todo", "in_progress", "done"],
                            "description": "Where the task stands; `todo` when left out.",
                        },
                    },
                    "required": ["title"],
                },
            },
        },
    });
    let hints = Annotations {
        titled: false,
        read_only: false,
        destructive: false,
        idempotent: true,
        open_world: false,
    };
    define("task_tracker", "TaskTracker", DESCRIPTION.to_owned(), parameters, hints)
}

pub fn parse(arguments: &Map<String, Value>) -> Result<Value, String> {
    let mut args = Args::new(arguments);
    let command = args.choice("command", &["view", "plan"]).unwrap_or_else(|| "view".to_owned());
    let tasks = match args.optional("task_list") {
        None => Vec::new(),
        Some(Value::Array(items)) => read_tasks(items, &mut args),
        Some(other) => {
            args.wrong_type("task_list", "a list of tasks", other);
            Vec::new()
        }
    };
    args.finish()?;
    Ok(json!({"command": command, "task_list": tasks, "kind": "TaskTrackerAction"}))
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Task {
    title: String,
    #[serde(default)]
    notes: String,
    #[serde(default)]
    status: Status,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    #[default]
    Todo,
    InProgress,
    Done,
}

impl Status {
    /// Understands the words models use for the three states.
    fn read(word: &str) -> Option<Self> {
        match word.trim().to_ascii_lowercase().replace(['-', ' '], "_").as_str() {
            "todo" | "to_do" | "pending" | "open" | "not_started" | "planned" => Some(Self::Todo),
            "in_progress" | "inprogress" | "doing" | "started" | "active" | "working" => {
                Some(Self::InProgress)
            }
            "done" | "completed" | "complete" | "finished" | "closed" => Some(Self::Done),
            _ => None,
        }
    }

    const fn icon(self) -> &'static str {
        match self {
            Self::Todo => "⏳",
            Self::InProgress => "🔄",
            Self::Done => "✅",
        }
    }
}

fn read_tasks(items: &[Value], args: &mut Args) -> Vec<Task> {
    let mut tasks = Vec::with_capacity(items.len());
    for (position, item) in items.iter().enumerate() {
        match read_task(item) {
            Ok(task) => tasks.push(task),
            Err(problem) => args.problem(format!("task {}: {problem}", position + 1)),
        }
    }
    tasks
}

fn read_task(item: &Value) -> Result<Task, String> {
    let Some(fields) = item.as_object() else {
        return Err("must be an object with `title`, `notes` and `status`".to_owned());
    };
    let mut args = Args::new(fields);
    let title = args.text("title");
    let notes = args.optional_text("notes").unwrap_or_default();
    let status = match args.optional_text("status") {
        None => Status::default(),
        Some(word) => Status::read(&word).unwrap_or_else(|| {
            args.problem(format!("`status` must be todo, in_progress or done, not `{word}`"));
            Status::default()
        }),
    };
    args.finish()?;
    Ok(Task { title, notes, status })
}

/// The list of one conversation. Read from its file at the first use.
pub struct TaskTracker {
    state: Arc<State>,
}

struct State {
    folder: PathBuf,
    tasks: Mutex<Option<Vec<Task>>>,
}

impl TaskTracker {
    pub fn new(folder: &Path) -> Self {
        Self { state: Arc::new(State { folder: folder.to_owned(), tasks: Mutex::new(None) }) }
    }

    pub async fn run(&self, action: &Value) -> Result<Value, String> {
        let command = action.get("command").and_then(Value::as_str).unwrap_or("view").to_owned();
        let list = action.get("task_list").cloned().unwrap_or_else(|| json!([]));
        let list: Vec<Task> = serde_json::from_value(list).map_err(|error| error.to_string())?;
        let state = Arc::clone(&self.state);
        tokio::task::spawn_blocking(move || state.run(&command, list))
            .await
            .map_err(|error| format!("the task list could not be reached: {error}"))
    }
}

impl State {
    fn run(&self, command: &str, list: Vec<Task>) -> Value {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let (text, shown) = if command == "plan" {
            let text = match self.save(&list) {
                Ok(()) => format!("Task list has been updated with {} item(s).", list.len()),
                Err(error) => format!(
                    "Task list has been updated with {} item(s), but it could not be saved: {error}",
                    list.len()
                ),
            };
            (text, tasks.insert(list))
        } else {
            let list = tasks.get_or_insert_with(|| self.load());
            (render(list), list)
        };
        json!({
            "content": text_content(text),
            "is_error": false,
            "command": command,
            "task_list": shown,
            "kind": "TaskTrackerObservation",
        })
    }

    fn path(&self) -> PathBuf {
        self.folder.join("TASKS.json")
    }

    fn load(&self) -> Vec<Task> {
        let Ok(text) = std::fs::read(self.path()) else {
            return Vec::new();
        };
        serde_json::from_slice(&text).unwrap_or_else(|error| {
            tracing::warn!(%error, "the saved task list is not readable");
            Vec::new()
        })
    }

    fn save(&self, tasks: &[Task]) -> io::Result<()> {
        hands::make_folders(&self.folder)?;
        let fresh = self.folder.join(".TASKS.json.new");
        std::fs::write(&fresh, serde_json::to_vec_pretty(tasks)?)?;
        std::fs::rename(&fresh, self.path())
    }
}

fn render(tasks: &[Task]) -> String {
    if tasks.is_empty() {
        return "The task list is empty. Write one with the \"plan\" command.".to_owned();
    }
    let mut text = "# Task List\n".to_owned();
    for (position, task) in tasks.iter().enumerate() {
        text.push_str(&format!("\n{}. {} {}\n", position + 1, task.status.icon(), task.title));
        if !task.notes.is_empty() {
            text.push_str(&format!("   {}\n", task.notes));
        }
    }
    text.trim_end().to_owned()
}
