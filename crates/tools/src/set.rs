//! The tools of one conversation.

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use types::agent::ToolSpec;
use types::tool::{ToolDefinition, Toolbox};

use crate::context::ToolContext;
use crate::error::Error;
use crate::file_editor::{self, FileEditor};
use crate::notes;
use crate::task_tracker::{self, TaskTracker};
use crate::terminal::{self, Terminal};

enum Tool {
    Terminal(Box<Terminal>),
    FileEditor(FileEditor),
    TaskTracker(TaskTracker),
    Finish,
    Think,
}

/// The tools of one conversation, in the order they were asked for.
///
/// Dropping the set ends the shell and everything it started, at once; [`ToolSet::close`] does it politely.
pub struct ToolSet {
    definitions: Vec<ToolDefinition>,
    tools: Vec<Tool>,
}

impl ToolSet {
    /// Makes the tools named by `specs` (registry names), then those of `builtin_classes` (`FinishTool`,
    /// `ThinkTool`). Either form of name is taken in both lists; a tool named twice is there once. Cheap:
    /// no file is read and no process started.
    ///
    /// # Errors
    /// A name no tool has, or a creation parameter of the wrong type.
    pub fn new(specs: &[ToolSpec], builtin_classes: &[String], context: ToolContext) -> Result<Self, Error> {
        let mut set = Self { definitions: Vec::new(), tools: Vec::new() };
        for spec in specs {
            set.add(&spec.name, &spec.params, &context)?;
        }
        for class in builtin_classes {
            set.add(class, &Map::new(), &context)?;
        }
        Ok(set)
    }

    /// Runs an action made by [`Toolbox::parse`] and answers with its observation object.
    ///
    /// `exports` are set and exported in the shell before a terminal command. `cancel` interrupts a running
    /// command (C-c), which keeps the shell.
    ///
    /// # Errors
    /// The text of an executor's failure; `interrupted` after `cancel`.
    ///
    /// # Cancel safety
    /// Dropping the future leaves a running command running; the next terminal call can go on with it.
    pub async fn run(
        &self,
        tool: &str,
        action: &Value,
        exports: &[(String, String)],
        cancel: CancellationToken,
    ) -> Result<Value, String> {
        match self.find(tool)? {
            Tool::Terminal(terminal) => terminal.run(action, exports, &cancel).await,
            Tool::FileEditor(editor) => editor.run(action).await,
            Tool::TaskTracker(tracker) => tracker.run(action).await,
            Tool::Finish => Ok(notes::finish(action)),
            Tool::Think => Ok(notes::think()),
        }
    }

    /// Ends the shell and every process of its session: asks first, kills what is left after a moment.
    pub async fn close(&self) {
        if let Some(terminal) = self.terminal() {
            terminal.close().await;
        }
    }

    #[must_use]
    pub fn has_live_shell(&self) -> bool {
        self.terminal().is_some_and(Terminal::is_live)
    }

    /// Whether a terminal command has not ended, watched by a call or not.
    #[must_use]
    pub fn has_running_command(&self) -> bool {
        self.terminal().is_some_and(Terminal::is_busy)
    }

    fn terminal(&self) -> Option<&Terminal> {
        self.tools.iter().find_map(|tool| match tool {
            Tool::Terminal(terminal) => Some(terminal.as_ref()),
            Tool::FileEditor(_) | Tool::TaskTracker(_) | Tool::Finish | Tool::Think => None,
        })
    }

    fn add(&mut self, name: &str, params: &Map<String, Value>, context: &ToolContext) -> Result<(), Error> {
        let canonical = snake_name(name);
        if self.definitions.iter().any(|known| known.name == canonical) {
            return Ok(());
        }
        let (definition, tool) = match canonical.as_str() {
            "terminal" => (terminal::definition(), Tool::Terminal(Box::new(Terminal::new(params, context)?))),
            "file_editor" => (
                file_editor::definition(&context.working_dir),
                Tool::FileEditor(FileEditor::new(&context.working_dir)),
            ),
            "task_tracker" => {
                (task_tracker::definition(), Tool::TaskTracker(TaskTracker::new(&context.persistence_dir)))
            }
            "finish" => (notes::finish_definition(), Tool::Finish),
            "think" => (notes::think_definition(), Tool::Think),
            _ => return Err(Error::UnknownTool { name: name.to_owned() }),
        };
        self.definitions.push(definition);
        self.tools.push(tool);
        Ok(())
    }

    fn find(&self, name: &str) -> Result<&Tool, String> {
        let position = self.definitions.iter().position(|definition| definition.name == name);
        position
            .and_then(|position| self.tools.get(position))
            .ok_or_else(|| format!("this conversation has no tool '{name}'"))
    }
}

impl Toolbox for ToolSet {
    fn definitions(&self) -> &[ToolDefinition] {
        &self.definitions
    }

    fn parse(&self, tool: &str, arguments: &Map<String, Value>) -> Result<Value, String> {
        match self.find(tool)? {
            Tool::Terminal(_) => terminal::parse(arguments),
            Tool::FileEditor(_) => file_editor::parse(arguments),
            Tool::TaskTracker(_) => task_tracker::parse(arguments),
            Tool::Finish => notes::parse_finish(arguments),
            Tool::Think => notes::parse_think(arguments),
        }
    }
}

/// `FileEditorTool` and `file_editor` are the same tool.
fn snake_name(name: &str) -> String {
    let stem = name.strip_suffix("Tool").unwrap_or(name);
    let mut snake = String::with_capacity(stem.len() + 2);
    for letter in stem.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}
