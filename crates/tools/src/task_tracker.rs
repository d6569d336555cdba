//! `task_tracker`: the model's own list of steps, kept in `TASKS.json`.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use crate::args::Args;
use crate::context::{NEW_TASKS, TASKS, ToolContext};
use crate::error::Error;
use crate::folder::Folder;
use crate::observation::Observation;
use crate::open::{self, Symlink};
use crate::spec::{Annotations, Spec};
use crate::tool::{Listed, Tool};

/// Bytes of the file; agents can write to it too.
const LONGEST: u64 = 4 * 1024 * 1024;
const MODE: u32 = 0o644;

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

/// The list of one conversation. Read from its file at the first use.
pub struct TaskTracker {
    state: Arc<State>,
}

impl Listed for TaskTracker {
    const NAME: &'static str = "task_tracker";
    const CLASS: &'static str = "TaskTracker";
    const SUMMARY: Option<&'static str> = Some("Keeps a list of tasks");
    const IN_DEFAULT_SET: bool = true;

    fn make(_params: &Map<String, Value>, context: &ToolContext) -> Result<Self, Error> {
        let folder = context.persistence_dir.clone();
        Ok(Self { state: Arc::new(State { folder, tasks: Mutex::new(None) }) })
    }
}

impl Tool for TaskTracker {
    type Action = Action;

    fn spec(&self) -> Spec {
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
        Spec::of::<Self>(DESCRIPTION, parameters, hints)
    }

    fn parse(&self, arguments: &Map<String, Value>) -> Result<Action, String> {
        let mut args = Args::new(arguments);
        let command = match args.choice("command", &["view", "plan"]).as_deref() {
            Some("plan") => Command::Plan,
            _ => Command::View,
        };
        let task_list = match args.optional("task_list") {
            None => Vec::new(),
            Some(Value::Array(items)) => read_tasks(items, &mut args),
            Some(other) => {
                args.wrong_type("task_list", "a list of tasks", other);
                Vec::new()
            }
        };
        args.finish()?;
        Ok(Action { command, task_list })
    }

    async fn run(&self, action: Arc<Action>, _: CancellationToken) -> Result<Observation, String> {
        let state = Arc::clone(&self.state);
        tokio::task::spawn_blocking(move || state.run(&action))
            .await
            .map_err(|error| format!("the task list could not be reached: {error}"))
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Action {
    command: Command,
    task_list: Vec<Task>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Command {
    View,
    Plan,
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

struct State {
    folder: PathBuf,
    tasks: Mutex<Option<Vec<Task>>>,
}

impl State {
    fn run(&self, action: &Action) -> Observation {
        let mut tasks = self.tasks.lock();
        let (text, shown) = match action.command {
            Command::View => {
                let list = tasks.get_or_insert_with(|| self.load());
                (render(list), list)
            }
            Command::Plan => {
                let list = action.task_list.clone();
                let mut text = format!("Task list has been updated with {} item(s)", list.len());
                match self.save(&list) {
                    Ok(()) => text.push('.'),
                    Err(error) => text.push_str(&format!(", but it could not be saved: {error}")),
                }
                (text, tasks.insert(list))
            }
        };
        Observation::text(text).with("command", Some(action.command)).with("task_list", Some(shown))
    }

    fn path(&self) -> PathBuf {
        self.folder.join(TASKS)
    }

    fn load(&self) -> Vec<Task> {
        let Ok(text) = open::content(&self.path(), Symlink::Refuse, LONGEST) else {
            return Vec::new();
        };
        serde_json::from_slice(&text).unwrap_or_else(|error| {
            tracing::warn!(%error, "the saved task list is not readable");
            Vec::new()
        })
    }

    fn save(&self, tasks: &[Task]) -> io::Result<()> {
        let folder = Folder::make(&self.folder)?;
        let fresh = folder.path().join(NEW_TASKS);
        // Whatever is there, left or put there, is not written to.
        trees::remove(&fresh)?;
        let text = serde_json::to_vec_pretty(tasks)?;
        open::fresh(&fresh, MODE)?.write_all(&text)?;
        std::fs::rename(&fresh, folder.path().join(TASKS))
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
