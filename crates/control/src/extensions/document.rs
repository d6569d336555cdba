//! The list of what a tenant has installed.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use types::buckets::EXTENSIONS;
use types::extensions::ExtensionKind;

use crate::shelf::{Kept, Version};

/// Of a kind.
pub(super) const MOST: usize = 200;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Installations {
    v: Version,
    skills: Vec<Installed>,
    plugins: Vec<Installed>,
    canvas: Vec<Installed>,
    /// Of newer releases.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Installed {
    pub name: String,
    pub version: String,
    pub description: String,
    pub enabled: bool,
    /// As it may be shown.
    pub source: String,
    /// Where it has credentials, the whole source, sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_source: Option<String>,
    pub requested_ref: Option<String>,
    pub resolved_ref: Option<String>,
    pub repo_path: Option<String>,
    pub installed_at: String,
    pub install_path: String,
    /// What its pieces are called by; never that of another installation.
    pub id: String,
    /// How many pieces there are of each part, by its name.
    pub pieces: Map<String, Value>,
    /// Of an extension of the user interface: the file that is its program.
    #[serde(default)]
    pub bundle_name: String,
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Installations {
    pub(super) fn of(&self, kind: ExtensionKind) -> &[Installed] {
        match kind {
            ExtensionKind::Skill => &self.skills,
            ExtensionKind::Plugin => &self.plugins,
            ExtensionKind::Canvas => &self.canvas,
        }
    }

    fn list(&mut self, kind: ExtensionKind) -> &mut Vec<Installed> {
        match kind {
            ExtensionKind::Skill => &mut self.skills,
            ExtensionKind::Plugin => &mut self.plugins,
            ExtensionKind::Canvas => &mut self.canvas,
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Installed> {
        self.skills.iter().chain(&self.plugins).chain(&self.canvas)
    }

    pub(super) fn find(&mut self, kind: ExtensionKind, name: &str) -> Option<&mut Installed> {
        self.list(kind).iter_mut().find(|one| one.name == name)
    }

    pub(super) fn remove(&mut self, kind: ExtensionKind, name: &str) -> Option<Installed> {
        let list = self.list(kind);
        let at = list.iter().position(|one| one.name == name)?;
        Some(list.remove(at))
    }

    /// In the place of the one of its name, which is answered.
    pub(super) fn put(&mut self, kind: ExtensionKind, new: Installed) -> Option<Installed> {
        match self.find(kind, &new.name) {
            Some(old) => Some(std::mem::replace(old, new)),
            None => {
                self.list(kind).push(new);
                None
            }
        }
    }
}

impl Kept for Installations {
    const BUCKET: &'static str = EXTENSIONS;
    const MOST: usize = 4 << 20;
    const TOO_LARGE: &'static str =
        "The list of what is installed is more than the server keeps: 4 MiB at most.";

    fn version(&self) -> Version {
        self.v
    }

    fn each_sealed(&mut self, change: &mut dyn FnMut(&mut String)) {
        let all = self.skills.iter_mut().chain(&mut self.plugins).chain(&mut self.canvas);
        all.filter_map(|one| one.sealed_source.as_mut()).for_each(change);
    }
}
