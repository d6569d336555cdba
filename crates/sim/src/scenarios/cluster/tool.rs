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

use crate::world::World;

/// In the world of this process, which has one.
static DEEDS: Mutex<Deeds> = Mutex::new(Deeds { world: None, done: BTreeMap::new(), broken: Vec::new() });

struct Deeds {
    world: Option<World>,
    /// How often each was done.
    done: BTreeMap<String, u32>,
    broken: Vec<String>,
}

pub struct Deed;

#[derive(Debug, Serialize, Deserialize)]
pub struct Wish {
    pub name: String,
}

/// Before anything is done in a world.
pub fn begin(world: &World) {
    *DEEDS.lock() = Deeds { world: Some(world.clone()), done: BTreeMap::new(), broken: Vec::new() };
}

/// What was done, how often, and what of it must not have been.
pub fn end() -> (BTreeMap<String, u32>, Vec<String>) {
    let mut deeds = DEEDS.lock();
    deeds.world = None;
    (std::mem::take(&mut deeds.done), std::mem::take(&mut deeds.broken))
}

impl Deeds {
    fn note(&mut self, name: &str) {
        *self.done.entry(name.to_owned()).or_default() += 1;
        let is_stored = |world: &World| world.stored(|store| store.has_announced(name));
        if !self.world.as_ref().is_some_and(is_stored) {
            self.broken.push(format!("{name} is done, and was not stored before"));
        }
    }
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
        DEEDS.lock().note(&wish.name);
        let takes = Duration::from_millis(fastrand::u64(..[5, 400, 3_000][fastrand::usize(..3)]));
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err("interrupted".to_owned()),
            () = tokio::time::sleep(takes) => Ok(Observation::text("done")),
        }
    }
}
