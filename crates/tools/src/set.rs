//! The tools of one conversation.

use std::sync::Arc;

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use types::agent::ToolSpec;
use types::tool::{Parsed, ToolAction, ToolDefinition, Toolbox};

use crate::around::AnyTool;
use crate::catalogue::Catalogue;
use crate::context::ToolContext;
use crate::error::Error;
use crate::secrets::Secrets;
use crate::served::{Naming, Served};

/// The tools of one conversation, in the order they were asked for.
///
/// Dropping the set ends the shell and everything it started, at once; [`ToolSet::close`] does it politely.
pub struct ToolSet {
    definitions: Vec<ToolDefinition>,
    /// One for each definition.
    tools: Vec<Arc<dyn AnyTool>>,
    context: ToolContext,
}

impl ToolSet {
    /// Makes the tools named by `specs` (registry names), then those of `builtin_classes` (`FinishTool`,
    /// `ThinkTool`). Either form of name is taken in both lists; a tool named twice is there once. Cheap:
    /// no file is read and no process started.
    ///
    /// # Errors
    /// A name no tool has, or a creation parameter of the wrong type.
    pub fn new(
        catalogue: &Catalogue,
        specs: &[ToolSpec],
        builtin_classes: &[String],
        context: &ToolContext,
    ) -> Result<Self, Error> {
        let mut set = Self { definitions: Vec::new(), tools: Vec::new(), context: context.clone() };
        let none = Map::new();
        let specs = specs.iter().map(|spec| (&spec.name, &spec.params));
        for (name, params) in specs.chain(builtin_classes.iter().map(|class| (class, &none))) {
            let entry = catalogue.find(name)?;
            if set.definitions.iter().any(|known| known.name == entry.name) {
                continue;
            }
            let (definition, tool) = entry.make(params, context)?;
            set.definitions.push(definition);
            set.tools.push(tool);
        }
        Ok(set)
    }

    /// The same tools, and those of servers behind them, and what there is to say of tools that are left out. `several`: the
    /// conversation names more servers than one, whether they are there or not. `filter` is a pattern for the beginning of names.
    #[must_use]
    pub fn with_served(
        &self,
        served: Vec<Served>,
        several: bool,
        filter: Option<&str>,
    ) -> (Self, Vec<String>) {
        let (mut definitions, mut tools) = (self.definitions.clone(), self.tools.clone());
        let mut left_out = Vec::new();
        let taken = self.definitions.iter().map(|definition| definition.name.as_str());
        match Naming::new(several, filter, taken) {
            Err(why) => left_out.push(format!("No tools of servers are offered: {why}.")),
            Ok(mut naming) => {
                for tool in served {
                    let (server, own) = (tool.server.key().to_owned(), tool.name.clone());
                    match naming.name(&server, &own) {
                        Ok(None) => {}
                        Ok(Some(name)) => {
                            let (definition, tool) = tool.make(name, &self.context);
                            definitions.push(definition);
                            tools.push(tool);
                        }
                        Err(name) => left_out.push(format!(
                            "The tool '{own}' of the server '{server}' is left out: another tool is called '{name}'."
                        )),
                    }
                }
            }
        }
        (Self { definitions, tools, context: self.context.clone() }, left_out)
    }

    /// Runs an action of `tool` and answers with its observation object: no secret in it, and no larger than an
    /// event may be.
    ///
    /// `cancel` interrupts a running command, which keeps the shell if it can be kept.
    ///
    /// # Errors
    /// The text of an executor's failure; `interrupted` after `cancel`.
    ///
    /// # Cancel safety
    /// Dropping the future leaves a running command running; the next terminal call can go on with it.
    pub async fn run(
        &self,
        tool: &str,
        action: &ToolAction,
        cancel: CancellationToken,
    ) -> Result<Value, String> {
        self.find(tool)?.run(action, cancel).await
    }

    /// Ends the shell and every process of its session: asks first, kills what is left after a moment.
    pub async fn close(&self) {
        for tool in &self.tools {
            tool.close().await;
        }
    }

    /// The secrets of the conversation.
    #[must_use]
    pub fn secrets(&self) -> Arc<dyn Secrets> {
        Arc::clone(&self.context.secrets)
    }

    #[must_use]
    pub fn has_live_shell(&self) -> bool {
        self.tools.iter().any(|tool| tool.holds().process)
    }

    /// Whether a terminal command has not ended, watched by a call or not.
    #[must_use]
    pub fn has_running_command(&self) -> bool {
        self.tools.iter().any(|tool| tool.holds().busy)
    }

    fn find(&self, name: &str) -> Result<&dyn AnyTool, String> {
        let position = self.definitions.iter().position(|definition| definition.name == name);
        position
            .and_then(|position| self.tools.get(position))
            .map(AsRef::as_ref)
            .ok_or_else(|| format!("this conversation has no tool '{name}'"))
    }
}

impl Toolbox for ToolSet {
    fn definitions(&self) -> &[ToolDefinition] {
        &self.definitions
    }

    fn parse(&self, tool: &str, arguments: &Map<String, Value>) -> Result<Parsed, String> {
        self.find(tool)?.parse(arguments)
    }

    fn restore(&self, tool: &str, described: &Value) -> Result<ToolAction, String> {
        self.find(tool)?.restore(described)
    }
}
