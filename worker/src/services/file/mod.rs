//! Files of the sandbox: reading and writing them in pieces, folders, archives.

mod archive;
mod buffers;
mod folders;
mod open_files;
mod read;
mod upload;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ports::rpc::Fault;
use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use types::calls::FileCall;

use super::aside::Aside;
use archive::Archives;
use buffers::Buffers;
use open_files::OpenFiles;
use upload::Uploads;

/// Archives that are made, or wait to be.
const MOST_ARCHIVES: usize = 32;
/// Other calls that look at files at one time, those that a file system keeps waiting included.
const MOST_LOOKS: usize = 256;
const SWEEP_PAUSE: Duration = Duration::from_secs(20);

pub(super) struct Service {
    open: Arc<OpenFiles>,
    buffers: Arc<Buffers>,
    uploads: Arc<Uploads>,
    archives: Arc<Archives>,
    packing: Aside,
    looking: Aside,
}

impl Service {
    /// `scratch`: a folder for archives that are being read.
    pub(super) fn new(scratch: PathBuf) -> Self {
        Self {
            open: Arc::default(),
            buffers: Arc::default(),
            uploads: Arc::default(),
            archives: Arc::new(Archives::new(scratch)),
            packing: Aside::new(MOST_ARCHIVES),
            looking: Aside::new(MOST_LOOKS),
        }
    }

    pub(super) async fn answer(&self, call: FileCall, blob: Bytes) -> Result<(Value, Bytes), Fault> {
        let (open, uploads, archives) =
            (Arc::clone(&self.open), Arc::clone(&self.uploads), Arc::clone(&self.archives));
        match call {
            FileCall::Stat { scope, path } => {
                let scope = archives.scope_of(scope, &path);
                json(self.look(move || read::stat(&open, &scope, &path)).await?)
            }
            FileCall::Read { scope, path, offset, len, stamp } => {
                let scope = archives.scope_of(scope, &path);
                let buffers = Arc::clone(&self.buffers);
                let (chunk, bytes) = self
                    .look(move || read::chunk(&open, &buffers, &scope, &path, offset, len, &stamp))
                    .await?;
                Ok((json(chunk)?.0, bytes))
            }
            FileCall::Begin { scope, path } => json(self.look(move || uploads.begin(&scope, &path)).await?),
            FileCall::Write { upload, offset } => {
                json(self.look(move || uploads.write(&upload, offset, &blob)).await?)
            }
            FileCall::Commit { upload } => json(self.look(move || uploads.commit(&upload)).await?),
            FileCall::Abort { upload } => json(self.look(move || uploads.abort(&upload)).await?),
            FileCall::MakeDirectory { scope, path } => {
                json(self.look(move || folders::make(&scope, &path)).await?)
            }
            FileCall::Home { include_hidden } => {
                json(self.look(move || folders::home(include_hidden)).await?)
            }
            FileCall::Subdirectories { path, page_id, limit, include_hidden } => json(
                self.look(move || folders::list(&path, page_id.as_deref(), limit, include_hidden)).await?,
            ),
            FileCall::Archive { ticket, scope, path, format, base_ref, exclude, use_default_excludes } => {
                let wanted = archive::ArchiveRequest {
                    ticket,
                    scope,
                    path,
                    format,
                    base_ref,
                    exclude,
                    use_default_excludes,
                };
                json(self.packing.run(archives.make(wanted)).await?)
            }
            FileCall::EndArchive { ticket } => json(blocking(move || archives.end(&ticket)).await?),
        }
    }

    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce() -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        self.looking.run(async move { look() }).await
    }

    /// Closes files that nobody reads any more and removes abandoned temporary files, until `shutdown`; then
    /// removes those that are left.
    pub(super) async fn sweep(self: Arc<Self>, shutdown: CancellationToken) {
        loop {
            let stopped = tokio::time::timeout(SWEEP_PAUSE, shutdown.cancelled()).await.is_ok();
            let (open, uploads, archives) =
                (Arc::clone(&self.open), Arc::clone(&self.uploads), Arc::clone(&self.archives));
            let buffers = Arc::clone(&self.buffers);
            let swept = tokio::task::spawn_blocking(move || {
                open.close_idle();
                buffers.free_unused();
                uploads.drop_abandoned(stopped);
                archives.drop_abandoned(stopped);
            });
            let _ = swept.await;
            if stopped {
                return;
            }
        }
    }
}

async fn blocking<T, F>(work: F) -> Result<T, Fault>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, Fault> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.map_err(Fault::internal)?
}

fn json(answer: impl Serialize) -> Result<(Value, Bytes), Fault> {
    Ok((serde_json::to_value(answer).map_err(Fault::internal)?, Bytes::new()))
}
