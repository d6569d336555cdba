//! Bytes of files, in pieces over the bus.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use control::placement::Workers;
use futures_util::{Stream, StreamExt, stream};
use types::SandboxId;
use types::calls::{FileCall, FileChunk, FileStamp, FileStat};

use crate::error::{ApiError, ApiResult};
use crate::scope::Target;

/// Bytes of one piece.
pub(super) const PIECE: u64 = 256 * 1024;

/// Pieces under way at once.
pub(super) const WINDOW: usize = 4;

const DEADLINE: Duration = Duration::from_secs(60);

/// What is at `path`.
pub(crate) async fn stat(workers: &Workers, target: &Target, path: &str) -> ApiResult<FileStat> {
    let ask = FileCall::Stat { scope: target.scope.clone(), path: path.to_owned() };
    Ok(workers.call(&target.sandbox, &ask).await?)
}

/// One state of one file, to be read.
#[derive(Clone)]
pub(super) struct Source {
    pub workers: Workers,
    pub target: Target,
    pub path: String,
    pub stamp: FileStamp,
}

impl Source {
    /// The bytes of `range`, in order. Ends with an error if the file changes meanwhile.
    pub fn stream(self, range: Range<u64>) -> impl Stream<Item = ApiResult<Bytes>> + Send {
        let pieces = range.clone().step_by(usize::try_from(PIECE).unwrap_or(usize::MAX));
        let read = move |start: u64| {
            let (source, len) = (self.clone(), PIECE.min(range.end - start));
            async move { source.read_exactly(start, len).await }
        };
        stream::iter(pieces).map(read).buffered(WINDOW)
    }

    /// All bytes of a file whose size is not known before its end is reached.
    pub fn stream_to_end(self) -> impl Stream<Item = ApiResult<Bytes>> + Send {
        stream::try_unfold(Some(0), move |at| {
            let source = self.clone();
            async move {
                let Some(at) = at else { return Ok(None) };
                let bytes = source.read(at, PIECE).await?;
                let read = bytes.len() as u64;
                Ok((read > 0).then(|| (bytes, (read == PIECE).then_some(at + read))))
            }
        })
    }

    pub async fn read_exactly(&self, offset: u64, len: u64) -> ApiResult<Bytes> {
        let bytes = self.read(offset, len).await?;
        if bytes.len() as u64 != len {
            return Err(ApiError::internal("a file ended before its size was reached"));
        }
        Ok(bytes)
    }

    async fn read(&self, offset: u64, len: u64) -> ApiResult<Bytes> {
        let scope = self.target.scope.clone();
        let ask = FileCall::Read { scope, path: self.path.clone(), offset, len, stamp: self.stamp.clone() };
        let (_, bytes): (FileChunk, _) =
            self.workers.reach(&self.target.sandbox, &ask, Bytes::new(), DEADLINE).await?;
        Ok(bytes)
    }
}

/// Writes one piece of an upload.
pub(super) async fn write(
    workers: Workers,
    sandbox: SandboxId,
    upload: String,
    offset: u64,
    bytes: Bytes,
) -> ApiResult<()> {
    let ask = FileCall::Write { upload, offset };
    let ((), _) = workers.reach(&sandbox, &ask, bytes, DEADLINE).await?;
    Ok(())
}
