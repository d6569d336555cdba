//! A file that comes in.

use std::pin::pin;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use http::HeaderMap;
use tokio::task::JoinSet;
use tokio::time::timeout;
use types::calls::{FileCall, UPLOAD_IDLE, UploadBegun, UploadDone};
use types::files::FileUploadResult;

use super::download::PathQuery;
use super::multipart::FilePart;
use super::transfer::{PIECE, WINDOW, write};
use crate::error::{ApiError, ApiResult};
use crate::extract::{Json, Query};
use crate::handles::Files;
use crate::scope::{Aim, Target};

/// How slowly a file may come is for [`crate::trickle`] to say: a worker that has heard nothing for so long is told that it comes.
const STILL_COMING: Duration = Duration::from_secs(UPLOAD_IDLE.as_secs() / 4);

#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes the body for the document")]
struct UploadBody {
    #[schema(format = Binary)]
    file: String,
}

/// Stores a file; one that exists is replaced when all of the new one has arrived. Parents are made.
#[utoipa::path(post, path = "/upload", tag = "Files", params(PathQuery),
    request_body(content = UploadBody, content_type = "multipart/form-data"),
    responses((status = 200, body = FileUploadResult), (status = 400, description = "Not a path for a file"),
        (status = 422, description = "No field `file`")))]
pub(super) async fn upload_file_query(
    State(files): State<Files>,
    aim: Aim,
    Query(query): Query<PathQuery>,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Json<FileUploadResult>> {
    files.activity.touch();
    let mut part = FilePart::find(&headers, body).await?;
    let target = aim.target(&files.workers).await?;
    let upload = Upload::begin(files, target, query.path).await?;
    upload.fill(&mut part).await?;
    let size = upload.commit().await?;
    Ok(Json(FileUploadResult { success: true, file_size: size }))
}

/// An upload under way; dropped before its commit, it leaves nothing behind.
struct Upload {
    files: Files,
    target: Target,
    id: String,
    committed: bool,
}

impl Upload {
    async fn begin(files: Files, target: Target, path: String) -> ApiResult<Self> {
        let ask = FileCall::Begin { scope: target.scope.clone(), path };
        let begun: UploadBegun = files.workers.call(&target.sandbox, &ask).await?;
        Ok(Self { files, target, id: begun.upload, committed: false })
    }

    /// Sends the part's pieces, some at a time.
    async fn fill(&self, part: &mut FilePart) -> ApiResult<()> {
        let least = usize::try_from(PIECE).map_err(ApiError::internal)?;
        let (mut writes, mut at) = (JoinSet::new(), 0);
        while let Some(piece) = until(part.next(least), STILL_COMING, || self.touch()).await? {
            if writes.len() >= WINDOW {
                finish_one(&mut writes).await?;
            }
            let length = piece.len() as u64;
            writes.spawn(write(
                self.files.workers.clone(),
                self.target.sandbox.clone(),
                self.id.clone(),
                at,
                piece,
            ));
            at += length;
        }
        while !writes.is_empty() {
            finish_one(&mut writes).await?;
        }
        Ok(())
    }

    /// It goes on, though there is nothing to write yet.
    async fn touch(&self) -> ApiResult<()> {
        let (workers, sandbox) = (self.files.workers.clone(), self.target.sandbox.clone());
        write(workers, sandbox, self.id.clone(), 0, Bytes::new()).await
    }

    async fn commit(mut self) -> ApiResult<u64> {
        let ask = FileCall::Commit { upload: self.id.clone() };
        let done: UploadDone = self.files.workers.call(&self.target.sandbox, &ask).await?;
        self.committed = true;
        Ok(done.size)
    }
}

/// What `coming` comes to. As long as it does not, `meanwhile` is done each time that so long has passed.
async fn until<T, M: Future<Output = ApiResult<()>>>(
    coming: impl Future<Output = ApiResult<T>>,
    long: Duration,
    meanwhile: impl Fn() -> M,
) -> ApiResult<T> {
    let mut coming = pin!(coming);
    loop {
        match timeout(long, coming.as_mut()).await {
            Ok(come) => return come,
            Err(_) => meanwhile().await?,
        }
    }
}

async fn finish_one(writes: &mut JoinSet<ApiResult<()>>) -> ApiResult<()> {
    match writes.join_next().await {
        Some(written) => written.map_err(ApiError::internal)?,
        None => Ok(()),
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        let (workers, sandbox) = (self.files.workers.clone(), self.target.sandbox.clone());
        let ask = FileCall::Abort { upload: std::mem::take(&mut self.id) };
        self.files.tasks.spawn(async move {
            // The worker gives up what it hears nothing of.
            let _ = workers.call::<_, ()>(&sandbox, &ask).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_worker_hears_of_an_upload_however_slowly_it_comes() {
        let heard = Cell::new(0);
        let coming = async {
            sleep(UPLOAD_IDLE * 10).await;
            Ok("all of it")
        };
        let meanwhile = || async {
            heard.set(heard.get() + 1);
            Ok(())
        };
        assert_eq!(until(coming, STILL_COMING, meanwhile).await.unwrap(), "all of it");
        assert!(heard.get() >= 30, "{heard:?}");
        let gone = || async { Err(ApiError::not_found()) };
        assert!(until(std::future::pending::<ApiResult<()>>(), STILL_COMING, gone).await.is_err());
    }
}
