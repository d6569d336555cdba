//! A tool whose every deed is noted: it must be in a log before it is done, and be done once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;
use tools::tool::{Listed, Tool};
use tools::{Annotations, Error, Observation, Spec, ToolContext};

/// How often each was done in the world of this process.
static DONE: Mutex<BTreeMap<String, u32>> = Mutex::new(BTreeMap::new());

pub struct Deed;

#[derive(Debug, Serialize, Deserialize)]
pub struct Wish {
    pub name: String,
}

/// What was done so far.
pub fn done() -> BTreeMap<String, u32> {
    DONE.lock().clone()
}

impl Listed for Deed {
    const NAME: &'static str = "deed";
    const CLASS: &'static str = "Deed";
    const SUMMARY: Option<&'static str> = None;

    fn make(_: &Map<String, Value>, _: &ToolContext) -> Result<Self, Error> {
        Ok(Self)
    }
}

impl Tool for Deed {
    type Action = Wish;

    fn spec(&self) -> Spec {
        let parameters =
            json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]});
        let hints = Annotations {
            titled: false,
            read_only: false,
            destructive: true,
            idempotent: false,
            open_world: false,
        };
        Spec::of::<Self>("Does something that shall be done once.", parameters, hints)
    }

    fn parse(&self, arguments: &Map<String, Value>) -> Result<Wish, String> {
        let name = arguments.get("name").and_then(Value::as_str).ok_or("no name")?;
        Ok(Wish { name: name.to_owned() })
    }

    async fn run(&self, wish: Arc<Wish>, cancel: CancellationToken) -> Result<Observation, String> {
        *DONE.lock().entry(wish.name.clone()).or_default() += 1;
        let takes = Duration::from_millis(fastrand::u64(..[5, 400, 3_000][fastrand::usize(..3)]));
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err("interrupted".to_owned()),
            () = tokio::time::sleep(takes) => Ok(Observation::text("done")),
        }
    }
}
