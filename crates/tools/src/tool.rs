//! What a tool is.
//!
//! A tool is one file: a type with an action of its own that implements [`Tool`] and, if conversations ask for it
//! by name, [`Listed`]. One line of [`crate::Catalogue::standard`] puts it into the catalogue. Everything else is
//! done around it: the JSON of its actions and results and their `kind`, the hiding of secrets, and the bound on
//! the size of a result.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use types::resources::Resource;

use crate::context::ToolContext;
use crate::error::Error;
use crate::observation::Observation;
use crate::spec::{Annotations, Spec};

/// A tool of one conversation.
pub trait Tool: Send + Sync + Sized + 'static {
    /// What a call asks for, read and checked. Its JSON is what the event tells of it; made from that JSON again it
    /// must be the same.
    type Action: Serialize + DeserializeOwned + Debug + Send + Sync + 'static;

    /// How it is told to the model and to clients.
    fn spec(&self) -> Spec;

    /// Reads the arguments of a call. They are read nowhere else.
    ///
    /// # Errors
    /// What is wrong with them, in words for the model.
    fn parse(&self, arguments: &Map<String, Value>) -> Result<Self::Action, String>;

    /// Does what `action` asks for. Not needed where every action is answered [at once](Tool::at_once).
    ///
    /// # Errors
    /// The text of a failure of the tool itself; what went wrong with the action is an observation with `is_error`.
    ///
    /// # Cancel safety
    /// The future may be dropped at any time; `cancel` comes first where there is time to stop in order.
    fn run(
        &self,
        _action: Arc<Self::Action>,
        _cancel: CancellationToken,
    ) -> impl Future<Output = Result<Observation, String>> + Send {
        async { Err("this tool has nothing to run".to_owned()) }
    }

    /// The result of an action that does nothing but be called. Such an action is never run.
    fn at_once(&self, _action: &Self::Action) -> Option<Observation> {
        None
    }

    /// What an action holds while it runs, so that what is done with it at the same time does not cross. Told without
    /// looking at any file. A tool that does not say it holds all of itself, unless it only reads.
    fn resources(&self, _action: &Self::Action) -> Option<Vec<Resource>> {
        None
    }

    /// Whether the agent's turn is over with an action of this tool.
    fn ends_turn(&self) -> bool {
        false
    }

    /// What it holds between calls.
    fn holds(&self) -> Holds {
        Holds::default()
    }

    /// Lets go of what it holds.
    fn close(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// A tool that conversations ask for by its name.
pub trait Listed: Tool {
    const NAME: &'static str;
    /// The stem of the peer's class names: `Terminal` gives `TerminalTool`, `TerminalAction`, `TerminalObservation`.
    const CLASS: &'static str;
    /// One line for the user who may choose it. With one, the tool is in `/api/tools/`, in the catalog and in
    /// `usable_tools`, and clients may name it; without, it is none to choose, and the gateway must know it as
    /// built in.
    const SUMMARY: Option<&'static str>;
    /// Whether a user picks it, rather than another part of the system that knows when it is needed.
    const USER_SELECTABLE: bool = true;
    /// Whether agents have it whose settings name no tools.
    const IN_DEFAULT_SET: bool = false;

    /// Makes it for a conversation. Cheap: no file is read and no process started.
    ///
    /// # Errors
    /// A creation parameter of the wrong type.
    fn make(params: &Map<String, Value>, context: &ToolContext) -> Result<Self, Error>;
}

/// What a tool holds between calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holds {
    /// A process that is lost with the tool: a shell.
    pub process: bool,
    /// Something in it that has not ended, watched by a call or not.
    pub busy: bool,
}

impl Spec {
    /// Of a tool of the catalogue, which has its names already.
    #[must_use]
    pub fn of<T: Listed>(description: impl Into<String>, parameters: Value, hints: Annotations) -> Self {
        let (name, class) = (T::NAME.to_owned(), T::CLASS.to_owned());
        Self { name, class, description: description.into(), parameters, hints }
    }
}
