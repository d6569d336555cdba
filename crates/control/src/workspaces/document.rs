//! The shelf of folders.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use types::buckets::WORKSPACES;

use crate::shelf::{Kept, Version};

pub(super) const MOST_FOLDERS: usize = 5_000;

/// Texts that clients have chosen: nothing here looks at what lies there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Folders {
    v: Version,
    pub workspaces: Vec<Folder>,
    /// Folders of folders.
    pub parents: Vec<Folder>,
    /// Of newer releases.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folder {
    pub id: String,
    pub name: String,
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_path: Option<String>,
    /// Of newer releases.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Folder {
    #[must_use]
    pub fn new(id: String, name: String, path: String, parent_path: Option<String>) -> Self {
        Self { id, name, path, parent_path, rest: Map::new() }
    }
}

impl Kept for Folders {
    const BUCKET: &'static str = WORKSPACES;
    const MOST: usize = 2 << 20;
    const TOO_LARGE: &'static str = "These folders are more than the server keeps: 2 MiB at most.";

    fn version(&self) -> Version {
        self.v
    }

    fn each_sealed(&mut self, _: &mut dyn FnMut(&mut String)) {}
}
