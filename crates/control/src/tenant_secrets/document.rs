//! The shelf of named secrets.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use types::buckets::SECRETS;

use crate::shelf::{Kept, Version};

/// As many as a conversation may have.
pub(super) const MOST_SECRETS: usize = types::secrets::MAX_SOURCES;
pub(super) const MOST_BYTES: usize = types::secrets::MAX_SOURCE_BYTES;

/// A list, for clients are shown the order in which secrets were made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NamedSecrets {
    v: Version,
    secrets: Vec<Named>,
    /// Of newer releases.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Named {
    pub name: String,
    /// Sealed.
    pub value: String,
    pub description: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// A secret without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub name: String,
    pub description: Option<String>,
}

impl Named {
    pub fn new(name: &str, sealed: &str, description: Option<&str>) -> Self {
        Self {
            name: name.to_owned(),
            value: sealed.to_owned(),
            description: description.map(str::to_owned),
            rest: Map::new(),
        }
    }
}

impl NamedSecrets {
    pub(super) fn all(&self) -> impl Iterator<Item = &Named> {
        self.secrets.iter()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Named> {
        self.secrets.iter().find(|secret| secret.name == name)
    }

    pub(super) fn put(&mut self, secret: Named) {
        match self.secrets.iter_mut().find(|kept| kept.name == secret.name) {
            Some(kept) => *kept = Named { rest: std::mem::take(&mut kept.rest), ..secret },
            None => self.secrets.push(secret),
        }
    }

    pub(super) fn remove(&mut self, name: &str) -> bool {
        let before = self.secrets.len();
        self.secrets.retain(|secret| secret.name != name);
        self.secrets.len() < before
    }

    pub(super) fn len(&self) -> usize {
        self.secrets.len()
    }

    pub(super) fn listed(&self) -> Vec<Listed> {
        let listed =
            |secret: &Named| Listed { name: secret.name.clone(), description: secret.description.clone() };
        self.secrets.iter().map(listed).collect()
    }
}

impl Kept for NamedSecrets {
    const BUCKET: &'static str = SECRETS;
    const MOST: usize = 4 << 20;
    const TOO_LARGE: &'static str = "These secrets are more than the server keeps: 4 MiB at most.";

    fn version(&self) -> Version {
        self.v
    }

    fn each_sealed(&mut self, change: &mut dyn FnMut(&mut String)) {
        self.secrets.iter_mut().for_each(|secret| change(&mut secret.value));
    }
}
