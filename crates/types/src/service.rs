//! The services that are called over the bus: what each is named, what it is asked and what it may answer. A call that
//! goes to another service than its own, or expects an answer of another one, does not compile.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::brokering::ModelCall;
use crate::calls::{
    Archive, BashCall, BashCleared, BashStarted, BashStopped, CommandDone, ConversationCall, FileCall,
    FileChunk, FileStat, GitAnswer, GitCall, HomeListing, RecordCall, RestCall, UploadBegun, UploadDone,
    WorkingCopy,
};
use crate::files::SubdirectoryPage;

/// What a service is asked.
pub trait Service: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Its token in subjects.
    const NAME: &'static str;

    /// Whether the call changes nothing, so that it may be dropped half-way when nobody waits for its answer any more.
    /// All others are finished, however late it is.
    fn only_reads(&self) -> bool {
        false
    }
}

/// Served by the worker of each sandbox.
pub trait OfWorker: Service {}

/// Served by the control plane, for the workers: they see and do only what it lets them.
pub trait OfControlPlane: Service {}

/// One of the answers of the service `S`.
pub trait AnswerTo<S>: Serialize + DeserializeOwned + Send + 'static {}

impl Service for ConversationCall {
    const NAME: &'static str = "conversation";
}

impl OfWorker for ConversationCall {}
impl AnswerTo<ConversationCall> for CommandDone {}

impl Service for BashCall {
    const NAME: &'static str = "bash";
}

impl OfWorker for BashCall {}
impl AnswerTo<BashCall> for BashStarted {}
impl AnswerTo<BashCall> for BashCleared {}
impl AnswerTo<BashCall> for BashStopped {}

impl Service for FileCall {
    const NAME: &'static str = "file";

    fn only_reads(&self) -> bool {
        match self {
            Self::Stat { .. } | Self::Read { .. } | Self::Home { .. } | Self::Subdirectories { .. } => true,
            Self::Begin { .. }
            | Self::Write { .. }
            | Self::Commit { .. }
            | Self::Abort { .. }
            | Self::MakeDirectory { .. }
            | Self::Archive { .. }
            | Self::Drop { .. } => false,
        }
    }
}

impl OfWorker for FileCall {}
impl AnswerTo<FileCall> for FileStat {}
impl AnswerTo<FileCall> for FileChunk {}
impl AnswerTo<FileCall> for UploadBegun {}
impl AnswerTo<FileCall> for UploadDone {}
impl AnswerTo<FileCall> for HomeListing {}
impl AnswerTo<FileCall> for SubdirectoryPage {}
impl AnswerTo<FileCall> for Archive {}
impl AnswerTo<FileCall> for () {}

impl Service for GitCall {
    const NAME: &'static str = "git";

    fn only_reads(&self) -> bool {
        match self {
            Self::Changes { .. } | Self::Diff { .. } | Self::Commits { .. } | Self::CommitChanges { .. } => {
                true
            }
            Self::Prepare { .. } => false,
        }
    }
}

impl OfWorker for GitCall {}
impl AnswerTo<GitCall> for GitAnswer {}

impl Service for RestCall {
    const NAME: &'static str = "rest";
}

impl OfWorker for RestCall {}
impl AnswerTo<RestCall> for bool {}

impl Service for RecordCall {
    const NAME: &'static str = "rec";

    fn only_reads(&self) -> bool {
        match self {
            Self::Open { .. } => true,
            Self::SetTitle { .. } => false,
        }
    }
}

impl OfControlPlane for RecordCall {}
impl AnswerTo<RecordCall> for WorkingCopy {}
impl AnswerTo<RecordCall> for () {}

impl Service for ModelCall {
    const NAME: &'static str = "llm";
}

impl OfControlPlane for ModelCall {}
impl AnswerTo<ModelCall> for () {}
