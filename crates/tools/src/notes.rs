//! `think` and `finish`: tools that only record what the model says.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::args::Args;
use crate::context::ToolContext;
use crate::error::Error;
use crate::observation::Observation;
use crate::spec::{Annotations, Spec};
use crate::tool::{Listed, Tool};

const HARMLESS: Annotations =
    Annotations { titled: false, read_only: true, destructive: false, idempotent: true, open_world: false };

const THINK: &str = "Write down a thought. Nothing is looked up and nothing changes: the thought is only kept \
in the history, where you can build on it.

Good moments: before a change that touches several places, to compare ways of doing it; after a failing test or \
an unexpected result, to list the possible causes and pick the one to check first; when rules or requirements \
have to be weighed against each other. Not needed for simple, obvious steps.";

const FINISH: &str =
    "End the work on the current request and hand over to the user. Call it when everything \
asked for is done and checked, or when you cannot go on without the user.

`message` is what the user reads: say what was done and where, what was left out and why, and what the user \
has to do or decide next, if anything.";

pub struct Think;

#[derive(Debug, Serialize, Deserialize)]
pub struct Thought {
    thought: String,
}

impl Listed for Think {
    const NAME: &'static str = "think";
    const CLASS: &'static str = "Think";
    const SUMMARY: Option<&'static str> = None;

    fn make(_params: &Map<String, Value>, _context: &ToolContext) -> Result<Self, Error> {
        Ok(Self)
    }
}

impl Tool for Think {
    type Action = Thought;

    fn spec(&self) -> Spec {
        let parameters = json!({
            "type": "object",
            "properties": {"thought": {"type": "string", "description": "The thought to keep."}},
            "required": ["thought"],
        });
        Spec::of::<Self>(THINK, parameters, HARMLESS)
    }

    fn parse(&self, arguments: &Map<String, Value>) -> Result<Thought, String> {
        let mut args = Args::new(arguments);
        let thought = args.text("thought");
        args.finish()?;
        Ok(Thought { thought })
    }

    fn at_once(&self, _thought: &Thought) -> Option<Observation> {
        Some(Observation::text("Your thought has been logged."))
    }
}

pub struct Finish;

#[derive(Debug, Serialize, Deserialize)]
pub struct Farewell {
    message: String,
}

impl Listed for Finish {
    const NAME: &'static str = "finish";
    const CLASS: &'static str = "Finish";
    const SUMMARY: Option<&'static str> = None;

    fn make(_params: &Map<String, Value>, _context: &ToolContext) -> Result<Self, Error> {
        Ok(Self)
    }
}

impl Tool for Finish {
    type Action = Farewell;

    fn spec(&self) -> Spec {
        let parameters = json!({
            "type": "object",
            "properties": {"message": {"type": "string", "description": "The closing message to the user."}},
            "required": ["message"],
        });
        Spec::of::<Self>(FINISH, parameters, Annotations { titled: true, ..HARMLESS })
    }

    fn parse(&self, arguments: &Map<String, Value>) -> Result<Farewell, String> {
        let mut args = Args::new(arguments);
        let message = args.text("message");
        args.finish()?;
        Ok(Farewell { message })
    }

    fn at_once(&self, farewell: &Farewell) -> Option<Observation> {
        Some(Observation::text(farewell.message.as_str()))
    }

    fn ends_turn(&self) -> bool {
        true
    }
}
