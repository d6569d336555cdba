//! Shelves on real stores, with a toy document.

mod changing;
mod merging;
mod sealing;

use std::path::Path;
use std::sync::Arc;

use ports::Ports;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use telemetry::metrics::Metrics;
use types::TenantId;
use types::buckets::SETTINGS;
use vault::Vault;

use super::{Kept, Shelves, Version};

/// A toy: numbers, a model, and what is not known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Toy {
    v: Version,
    numbers: Vec<u64>,
    llm: Value,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Kept for Toy {
    const BUCKET: &'static str = SETTINGS;
    const MOST: usize = 2_000;
    const TOO_LARGE: &'static str = "These toys are too many.";

    fn version(&self) -> Version {
        self.v
    }

    fn each_sealed(&mut self, change: &mut dyn FnMut(&mut String)) {
        forms::llm().map_secrets(&mut self.llm, &mut |_, sealed| {
            let mut sealed = sealed.to_owned();
            change(&mut sealed);
            sealed.into()
        });
    }
}

async fn open(folder: &Path) -> (Ports, embedded::Guard) {
    let options = embedded::Options::within(folder, embedded::Fsync::Always);
    embedded::open(options).await.unwrap()
}

fn shelves(ports: &Ports, current: &str, previous: &[&str]) -> Shelves {
    let previous: Vec<SecretString> = previous.iter().map(|&key| key.into()).collect();
    let vault = Arc::new(Vault::new(&current.into(), &previous));
    Shelves::new(ports.kv.clone(), vault, Metrics::default().work)
}

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}
