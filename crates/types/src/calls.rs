//! The calls between gateway and worker: the bodies of the RPC envelope.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::bash::{BashCommand, ExecuteBashRequest};
use crate::content::Message;
use crate::files::FileBrowserEntry;
use crate::git::{GitChange, GitCommitsPage, GitDiff};
use crate::ids::{ConversationId, EventId, Seq};
use crate::log_id::BashScope;
use crate::policy::{ConfirmationPolicy, SecurityAnalyzer};
use crate::secrets::SecretSource;

/// Gateway to worker, `mh.cmd.<sandbox>.conversation`; answered with [`CommandDone`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConversationCall {
    pub conversation: ConversationId,
    pub command: Command,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Command {
    /// Stores a user message; with `run` also starts a run, or lets the running one take it.
    /// Busy: the message was stored, but no run slot is free.
    Message {
        message: Message,
        sender: Option<String>,
        run: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        once: Option<Once>,
    },
    /// Starts a run. Conflict: one is active. Busy: no run slot is free.
    Run {},
    Pause {},
    Interrupt {},
    /// Accepting is running; refusing answers every pending action with `reason`.
    Respond {
        accept: bool,
        reason: String,
    },
    SetConfirmationPolicy {
        policy: ConfirmationPolicy,
    },
    SetSecurityAnalyzer {
        analyzer: Option<SecurityAnalyzer>,
    },
    SetTags {
        tags: BTreeMap<String, String>,
    },
    /// Adds secrets to those the worker already has; values in plain text.
    AddSecrets {
        secrets: BTreeMap<String, SecretSource>,
    },
    /// Replaces `agent.llm`; secret fields in plain text.
    SwitchLlm {
        llm: Value,
    },
    /// One model call with the history, nothing stored; the answer is in `text`.
    Ask {
        question: String,
    },
    /// Asks the condenser now. Invalid: there is none.
    Condense {},
    /// Opens the conversation, so that a run a crash cut off is closed.
    Wake {},
    /// The conversation is deleted: stop everything of it, forget it, write nothing more, and remove what its tools
    /// have kept in its folder.
    Forget {
        #[serde(default)]
        persistence_dir: String,
    },
}

/// An event whose id its asker chose, so that asking again does not store it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Once {
    pub id: EventId,
    /// It may have been asked for before: the log is searched for it first. If it is there nothing is done,
    /// and the answer is as if it had been.
    pub again: bool,
}

/// The command has acted; its records end at `seq`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CommandDone {
    pub seq: Seq,
    #[serde(default)]
    pub text: Option<String>,
}

/// Worker to gateway, `mh.rec.<sandbox>`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum RecordCall {
    /// Answered with a [`WorkingCopy`].
    Open { conversation: ConversationId },
    /// Sets the title if there is none yet; answered with `null`.
    SetTitle { conversation: ConversationId, title: String },
}

/// What a worker needs to run a conversation. Secret fields are in plain text in embedded mode; in the
/// cluster model keys are left out and the broker adds them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkingCopy {
    pub conversation: ConversationId,
    /// Tells a conversation from another that was made under the same id after the first was deleted.
    #[serde(default)]
    pub created_at: String,
    pub working_dir: String,
    /// A folder of the worker's own for this conversation: full tool outputs, `TASKS.json`.
    pub persistence_dir: String,
    /// The full agent object, see [`crate::agent::AgentConfig`].
    pub agent: Value,
    pub max_iterations: u64,
    pub stuck_detection: bool,
    pub confirmation_policy: ConfirmationPolicy,
    pub security_analyzer: Option<SecurityAnalyzer>,
    pub secrets: BTreeMap<String, SecretSource>,
    pub autotitle: bool,
    pub title: Option<String>,
    /// Why a stored secret cannot be had, for the user: runs end with it instead of going on without.
    #[serde(default)]
    pub broken_secret: Option<String>,
}

/// Which conversation's workspace a bash, file or git call is confined to; `None`: the sandbox's whole
/// file system, paths as given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    #[serde(default)]
    pub workspace: Option<ScopedWorkspace>,
}

impl Scope {
    /// Which log the commands of this scope are in.
    #[must_use]
    pub fn bash(&self) -> BashScope {
        match &self.workspace {
            Some(workspace) => BashScope::Conversation(workspace.conversation),
            None => BashScope::Sandbox,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopedWorkspace {
    pub conversation: ConversationId,
    /// Absolute.
    pub root: String,
}

/// Gateway to worker, `mh.cmd.<sandbox>.bash`. Events go to the log of [`Scope::bash`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum BashCall {
    /// Answered with [`BashStarted`] once the command event is stored.
    Start { scope: Scope, request: ExecuteBashRequest },
    /// Answered with [`BashStopped`] when the command and the children it left behind have ended; also for one
    /// that had. NotFound: unknown.
    Stop { scope: Scope, command_id: String },
    /// Forgets all events of the scope; answered with [`BashCleared`].
    Clear { scope: Scope },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BashStarted {
    pub command: BashCommand,
    /// The command event's position in the log: its output comes after it.
    pub seq: Seq,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BashStopped {
    /// Whether it has ended; false for one that does not end in time.
    pub ended: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BashCleared {
    pub cleared_count: u64,
}

/// Identifies one state of a file, so that a download that meets a changed file stops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    pub inode: u64,
    pub size: u64,
    /// Nanoseconds since 1970.
    pub mtime: i64,
}

/// Gateway to worker, `mh.cmd.<sandbox>.file`. Paths are absolute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum FileCall {
    /// Answered with [`FileStat`].
    Stat { scope: Scope, path: String },
    /// Answered with [`FileChunk`], the bytes in the blob; fewer than `len` (or than 4 MiB) only at the end.
    /// Conflict: the file is not the one of `stamp` any more.
    Read { scope: Scope, path: String, offset: u64, len: u64, stamp: FileStamp },
    /// Makes parents and a temporary file beside the target; answered with [`UploadBegun`].
    Begin { scope: Scope, path: String },
    /// The blob is written at `offset`; answered with `null`.
    Write { upload: String, offset: u64 },
    /// Renames over the target, which keeps its mode and owner; not synced. Answered with [`UploadDone`].
    Commit { upload: String },
    /// Drops the temporary file; answered with `null`.
    Abort { upload: String },
    /// Parents too; answered with `null`.
    MakeDirectory { scope: Scope, path: String },
    /// Answered with [`HomeListing`].
    Home { include_hidden: bool },
    /// Answered with [`crate::files::SubdirectoryPage`].
    Subdirectories { path: String, page_id: Option<String>, limit: usize, include_hidden: bool },
    /// Makes an archive or a patch as a temporary file to be read and then dropped; answered with [`Archive`].
    Archive {
        scope: Scope,
        path: String,
        format: String,
        base_ref: Option<String>,
        exclude: Vec<String>,
        use_default_excludes: bool,
    },
    /// Removes a temporary file made by `Archive`; answered with `null`.
    Drop { path: String },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileStat {
    pub stamp: FileStamp,
    pub is_dir: bool,
    /// Symlinks and `..` resolved.
    pub path: String,
    /// False for files whose size is not known before reading (`/proc`): read to the end.
    pub sized: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileChunk {
    /// Bytes in the blob.
    pub len: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UploadBegun {
    pub upload: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UploadDone {
    /// Bytes.
    pub size: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HomeListing {
    pub home: String,
    pub favorites: Vec<FileBrowserEntry>,
    pub locations: Vec<FileBrowserEntry>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Archive {
    /// The temporary file.
    pub path: String,
    /// What a download is called.
    pub name: String,
    /// Response headers about the repository, unencoded.
    pub headers: Map<String, Value>,
}

/// Gateway to worker, `mh.cmd.<sandbox>.git`. Answered with [`GitAnswer`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum GitCall {
    Changes {
        scope: Scope,
        path: String,
        reference: Option<String>,
    },
    Diff {
        scope: Scope,
        path: String,
        reference: Option<String>,
        commit: Option<String>,
    },
    Commits {
        scope: Scope,
        path: String,
        limit: usize,
    },
    CommitChanges {
        scope: Scope,
        path: String,
        sha: String,
    },
    /// Makes the directory, and `git init` in it unless it is inside a repository.
    Prepare {
        path: String,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", content = "value", rename_all = "snake_case")]
pub enum GitAnswer {
    Changes(Vec<GitChange>),
    Diff(GitDiff),
    Commits(GitCommitsPage),
    Prepared,
}

/// Worker to gateway, published on `mh.live.<sandbox>.<conversation>`: never stored, dropped first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Live {
    /// A streamed answer begins. `item_id` is the id its event will have.
    ItemStarted {
        item_id: String,
        attempt: u32,
        anchor_seq: Option<u64>,
    },
    Delta {
        item_id: String,
        attempt: u32,
        order: u64,
        kind: DeltaKind,
        content: String,
        chunk_id: Option<String>,
        choice_index: Option<u32>,
    },
    ItemAborted {
        item_id: String,
        attempt: u32,
        reason: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeltaKind {
    Text,
    Reasoning,
}
/// To a worker that is to be stopped because nobody uses it: whether it rests from now on, and takes no more calls. It does
/// if no call has come to it after the first `calls`, which its lease tells.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RestCall {
    pub calls: u64,
}
