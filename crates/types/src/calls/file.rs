//! What a worker is asked of files.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Scope;
use crate::files::{FileBrowserEntry, SubdirectoryPage};
use crate::service::{AnswerTo, OfWorker, Service};

/// A worker gives up an upload of which it has heard nothing for so long.
pub const UPLOAD_IDLE: Duration = Duration::from_secs(600);

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
    /// The blob is written at `offset`; answered with `null`. One without bytes says that more is to come: an upload of which
    /// nothing is heard for [`UPLOAD_IDLE`] is given up.
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
    /// Whoever asks chooses the ticket, anew each time, with which it is ended.
    Archive {
        ticket: String,
        scope: Scope,
        path: String,
        format: String,
        base_ref: Option<String>,
        exclude: Vec<String>,
        use_default_excludes: bool,
    },
    /// Ends the making of an archive, and removes what was made; answered with `null`.
    EndArchive { ticket: String },
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
            | Self::EndArchive { .. } => false,
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
