//! What is done around every tool, whatever it is: its typed actions become JSON and are found again, its results
//! get their kind, lose the secrets in them, and are kept below the size of an event.

use std::sync::Arc;

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use types::resources::Resource;
use types::tool::{Parsed, ToolAction};

use crate::bound::{self, MAX_BYTES};
use crate::context::ToolContext;
use crate::secrets::{Boxed, Secrets};
use crate::spec::Spec;
use crate::tool::{Holds, Tool};

/// A tool without its type.
pub trait AnyTool: Send + Sync {
    fn parse(&self, arguments: &Map<String, Value>) -> Result<Parsed, String>;
    fn restore(&self, described: &Value) -> Result<ToolAction, String>;
    fn run<'a>(
        &'a self,
        action: &'a ToolAction,
        cancel: CancellationToken,
    ) -> Boxed<'a, Result<Value, String>>;
    fn holds(&self) -> Holds;
    fn close(&self) -> Boxed<'_, ()>;
}

/// A tool and what is around it.
pub struct Around<T> {
    tool: T,
    class: String,
    /// What calls hold of which the tool does not say it.
    undeclared: Vec<Resource>,
    context: ToolContext,
}

impl<T: Tool> Around<T> {
    pub fn new(tool: T, spec: &Spec, context: ToolContext) -> Self {
        let undeclared =
            if spec.hints.read_only { Vec::new() } else { vec![Resource::Tool(spec.name.clone())] };
        Self { tool, class: spec.class.clone(), undeclared, context }
    }

    fn described(&self, action: &T::Action) -> Result<Value, String> {
        let mut described = serde_json::to_value(action).map_err(|error| error.to_string())?;
        let fields = described.as_object_mut().ok_or("an action must be an object")?;
        fields.insert("kind".to_owned(), Value::String(format!("{}Action", self.class)));
        Ok(described)
    }

    fn ready(&self, action: T::Action) -> ToolAction {
        let result = self.tool.at_once(&action).map(|observation| observation.into_json(&self.class));
        let result = result.map(|result| match bound::size(&result) <= MAX_BYTES {
            true => result,
            false => bound::cut(result, "The call itself has the whole."),
        });
        let resources = self.tool.resources(&action).unwrap_or_else(|| self.undeclared.clone());
        ToolAction::new(action, result, self.tool.ends_turn()).holding(resources)
    }

    async fn run(&self, action: &ToolAction, cancel: CancellationToken) -> Result<Value, String> {
        if let Some(result) = &action.result {
            return Ok(result.clone());
        }
        let secrets = self.context.secrets.as_ref();
        let action: Arc<T::Action> = action.own().ok_or("the action is of another tool")?;
        let observation = self.tool.run(action, cancel).await.map_err(|error| secrets.mask(&error))?;
        let mut observation = observation.into_json(&self.class);
        hide(&mut observation, secrets);
        if bound::size(&observation) <= MAX_BYTES {
            return Ok(observation);
        }
        let folder = self.context.observations();
        let bounded = tokio::task::spawn_blocking(move || bound::cut_and_keep(observation, &folder)).await;
        bounded.map_err(|error| format!("the result was lost: {error}"))
    }
}

impl<T: Tool> AnyTool for Around<T> {
    fn parse(&self, arguments: &Map<String, Value>) -> Result<Parsed, String> {
        let action = self.tool.parse(arguments)?;
        Ok(Parsed { described: self.described(&action)?, action: self.ready(action) })
    }

    fn restore(&self, described: &Value) -> Result<ToolAction, String> {
        let action = serde::Deserialize::deserialize(described);
        action.map(|action| self.ready(action)).map_err(|error: serde_json::Error| error.to_string())
    }

    fn run<'a>(
        &'a self,
        action: &'a ToolAction,
        cancel: CancellationToken,
    ) -> Boxed<'a, Result<Value, String>> {
        Box::pin(self.run(action, cancel))
    }

    fn holds(&self) -> Holds {
        self.tool.holds()
    }

    fn close(&self) -> Boxed<'_, ()> {
        Box::pin(self.tool.close())
    }
}

/// Hides secrets in every text of a result but images and its kind.
fn hide(value: &mut Value, secrets: &dyn Secrets) {
    match value {
        Value::String(text) => *text = secrets.mask(text),
        Value::Array(items) => items.iter_mut().for_each(|item| hide(item, secrets)),
        Value::Object(fields) => {
            let fields = fields.iter_mut().filter(|(name, _)| *name != "image_urls" && *name != "kind");
            fields.for_each(|(_, field)| hide(field, secrets));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
