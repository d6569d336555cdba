//! What a worker is asked of skills, plugins and the like: to find them in folders, and to fetch what is installed.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::extensions::{Contents, ExtensionKind, Offered, Plugin, Skill, SubAgent};
use crate::service::{AnswerTo, OfWorker, Service};

/// Gateway to worker, `mh.cmd.<sandbox>.ext`. Answered with [`ExtensionAnswer`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum ExtensionCall {
    Skills(SkillSources),
    Plugins {
        project_dir: Option<String>,
        user: bool,
    },
    Hooks {
        project_dir: String,
    },
    SubAgents {
        project_dir: Option<String>,
        user: bool,
    },
    /// What the public catalogue offers.
    Catalogue {},
    /// Fetches the public catalogue anew.
    Sync {},
    /// Fetches what is to be installed and keeps it for some minutes, for [`ExtensionCall::Read`] and
    /// [`ExtensionCall::Place`].
    Fetch(FetchCall),
    /// Fetches a plugin, and tells what it is.
    Check(CheckCall),
    /// A piece of what was fetched, beside the answer: of all of it, packed, or of one file.
    Read {
        ticket: String,
        file: Option<String>,
        offset: u64,
    },
    /// Puts what was fetched where programs of the sandbox find it.
    Place {
        ticket: String,
    },
    Drop {
        ticket: String,
    },
    Remove {
        kind: ExtensionKind,
        name: String,
    },
}

/// Where to look for skills.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SkillSources {
    pub project_dir: Option<String>,
    pub user: bool,
    pub public: bool,
    /// Of the public ones those of the copy that is kept: nobody waits for where it comes from, and nobody is called.
    #[serde(default)]
    pub only_kept: bool,
    /// Of the public ones those that this file of the catalogue names; `None`: all.
    pub marketplace_path: Option<String>,
    pub marketplaces: Vec<Marketplace>,
    /// Addresses of repositories; may hold credentials.
    pub organizations: Vec<String>,
}

/// A catalogue whose skills are to be loaded.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marketplace {
    pub name: String,
    /// May hold credentials.
    pub source: String,
    pub reference: Option<String>,
    pub repo_path: Option<String>,
    /// `None`: all.
    pub only: Option<Vec<String>>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchCall {
    pub kind: ExtensionKind,
    /// May hold credentials.
    pub source: String,
    pub reference: Option<String>,
    pub repo_path: Option<String>,
    /// Under which it is installed already, where what is fetched has no name of its own.
    pub name: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckCall {
    /// May hold credentials.
    pub source: String,
    pub reference: Option<String>,
    pub repo_path: Option<String>,
    pub timeout_seconds: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", content = "value", rename_all = "snake_case")]
pub enum ExtensionAnswer {
    Skills(SkillsFound),
    Plugins(Vec<Plugin>),
    /// As they are written; `None` where there are none.
    Hooks(Option<Value>),
    SubAgents(Vec<SubAgent>),
    Catalogue(Vec<Offered>),
    Synced(bool),
    Fetched(Box<Fetched>),
    Checked(Box<Checked>),
    NotFetched(NotFetched),
    /// Bytes that all pieces have together.
    Piece {
        of: u64,
    },
    Done,
}

/// Each list in the order of its source; later lists win by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SkillsFound {
    pub marketplaces: Vec<Skill>,
    pub public: Vec<Skill>,
    pub user: Vec<Skill>,
    pub organizations: Vec<Skill>,
    pub project: Vec<Skill>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fetched {
    pub ticket: String,
    pub name: String,
    pub version: String,
    pub description: String,
    /// The commit; `None` for a folder.
    pub resolved_ref: Option<String>,
    /// Where it will be placed.
    pub install_path: String,
    pub contents: Contents,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checked {
    pub path: String,
    pub resolved_ref: Option<String>,
    pub manifest: Value,
    pub skills: Vec<String>,
    pub commands: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotFetched {
    pub why: WhyNotFetched,
    /// For the client: without credentials.
    pub says: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyNotFetched {
    InvalidSource,
    SourceNotAllowed,
    AuthFailed,
    RefNotFound,
    RepoPathNotFound,
    SourceUnavailable,
    Timeout,
    /// It is not what was asked for.
    NoManifest,
    Invalid,
    TooLarge,
}

impl Service for ExtensionCall {
    const NAME: &'static str = "ext";

    fn only_reads(&self) -> bool {
        match self {
            Self::Skills(_)
            | Self::Plugins { .. }
            | Self::Hooks { .. }
            | Self::SubAgents { .. }
            | Self::Catalogue {}
            | Self::Read { .. } => true,
            Self::Sync {}
            | Self::Fetch(_)
            | Self::Check(_)
            | Self::Place { .. }
            | Self::Drop { .. }
            | Self::Remove { .. } => false,
        }
    }
}

impl OfWorker for ExtensionCall {}
impl AnswerTo<ExtensionCall> for ExtensionAnswer {}
