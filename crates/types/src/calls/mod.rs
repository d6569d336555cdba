//! The calls between gateway and worker: the bodies of the RPC envelope.

mod acp;
mod app;
mod bash;
mod conversation;
mod editor;
mod extension;
mod file;
mod git;
mod live;
mod mcp;
mod records;
mod rest;
mod scope;

pub use acp::AcpCall;
pub use app::{AppAnswer, AppCall};
pub use bash::{BashCall, BashCleared, BashStarted, BashStopped};
pub use conversation::{Command, CommandDone, ConversationCall, Once};
pub use editor::{EditorCall, EditorState};
pub use extension::{
    CheckCall, Checked, ExtensionAnswer, ExtensionCall, FetchCall, Fetched, Marketplace, NotFetched,
    SkillSources, SkillsFound, WhyNotFetched,
};
pub use file::{
    Archive, FileCall, FileChunk, FileStamp, FileStat, HomeListing, UPLOAD_IDLE, UploadBegun, UploadDone,
};
pub use git::{GitAnswer, GitCall};
pub use live::{DeltaKind, Live};
pub use mcp::{McpCall, McpProbed};
pub use records::{LookedUp, RecordCall, Survivors, WorkingCopy};
pub use rest::RestCall;
pub use scope::{Scope, ScopedWorkspace};
