//! All tools there are: what a conversation may name, and what a user is shown of them.

use std::sync::Arc;

use serde_json::{Map, Value};
use types::tool::ToolDefinition;

use crate::around::{AnyTool, Around};
use crate::context::ToolContext;
use crate::error::Error;
use crate::file_editor::FileEditor;
use crate::notes::{Finish, Think};
use crate::patch::ApplyPatch;
use crate::plain_files::{Edit, ListDirectory, ReadFile, WriteFile};
use crate::planning_file_editor::PlanningFileEditor;
use crate::search::{Glob, Grep};
use crate::task_tracker::TaskTracker;
use crate::terminal::Terminal;
use crate::tool::Listed;

type Make = fn(&Map<String, Value>, &ToolContext) -> Result<(ToolDefinition, Arc<dyn AnyTool>), Error>;

/// The tools there are, in the order they are listed.
#[derive(Clone, Debug, Default)]
pub struct Catalogue(Vec<Entry>);

/// A tool of the catalogue.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: &'static str,
    /// The stem of its class names.
    pub class: &'static str,
    /// For the user who may choose it; none: it is not a tool to choose.
    pub summary: Option<&'static str>,
    /// Whether a user picks it, rather than another part of the system.
    pub user_selectable: bool,
    /// Agents have it whose settings name no tools.
    pub in_default_set: bool,
    make: Make,
}

impl Catalogue {
    /// The tools of this server, one a line.
    #[must_use]
    pub fn standard() -> Self {
        Self::default()
            .with::<Terminal>()
            .with::<FileEditor>()
            .with::<TaskTracker>()
            .with::<ApplyPatch>()
            .with::<Glob>()
            .with::<Grep>()
            .with::<PlanningFileEditor>()
            .with::<Edit>()
            .with::<ListDirectory>()
            .with::<ReadFile>()
            .with::<WriteFile>()
            .with::<Finish>()
            .with::<Think>()
    }

    /// With one more tool.
    #[must_use]
    pub fn with<T: Listed>(mut self) -> Self {
        self.0.push(Entry {
            name: T::NAME,
            class: T::CLASS,
            summary: T::SUMMARY,
            user_selectable: T::USER_SELECTABLE,
            in_default_set: T::IN_DEFAULT_SET,
            make: make::<T>,
        });
        self
    }

    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// Whether an agent can have a tool of this name, or of this class.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    /// The tool of this registry name (`file_editor`) or class name (`FileEditorTool`).
    pub(crate) fn find(&self, name: &str) -> Result<&Entry, Error> {
        let class = name.strip_suffix("Tool");
        let found = self.0.iter().find(|entry| entry.name == name || Some(entry.class) == class);
        found.ok_or_else(|| Error::UnknownTool { name: name.to_owned(), known: self.names().join(", ") })
    }

    fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|entry| entry.name).collect()
    }
}

impl Entry {
    pub(crate) fn make(
        &self,
        params: &Map<String, Value>,
        context: &ToolContext,
    ) -> Result<(ToolDefinition, Arc<dyn AnyTool>), Error> {
        (self.make)(params, context)
    }
}

fn make<T: Listed>(
    params: &Map<String, Value>,
    context: &ToolContext,
) -> Result<(ToolDefinition, Arc<dyn AnyTool>), Error> {
    let tool = T::make(params, context)?;
    let spec = tool.spec();
    let around = Around::new(tool, &spec, context.clone());
    Ok((spec.into_definition(), Arc::new(around)))
}
