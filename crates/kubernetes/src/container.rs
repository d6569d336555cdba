//! What goes into a container and what comes out of it.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{AttachParams, LogParams};
use kube::core::{Request, Resource, Status};
use tokio::time::timeout;

use crate::{Client, Error, Objects, Result};

/// What the other end gets to say that it has read to the end of what it was given.
const ENDING: Duration = Duration::from_secs(5);

/// Of a frame; the first byte of each says which stream it is of.
const PIECE: usize = 16 * 1024;
const STDIN: u8 = 0;
/// What has become of it all, at the end.
const STATUS: u8 = 3;
/// That the stream of the next byte has ended.
const CLOSE: u8 = 255;

/// A container of a pod.
#[derive(Clone, Copy, Debug)]
pub struct Container<'a> {
    pub pod: &'a str,
    pub name: &'a str,
}

impl Client {
    /// Writes into its standard input and ends it. The container must run: one that has read a line and ended its input
    /// takes no second one, which is no error.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`, `Unavailable`; `Invalid` while it does not run.
    pub async fn write_input(&self, container: Container<'_>, input: &[u8]) -> Result<()> {
        let params =
            AttachParams::default().container(container.name).stdin(true).stdout(false).stderr(false);
        let path = Pod::url_path(&(), Some(&self.namespace));
        let request = Request::new(path).attach(container.pod, &params).map_err(kube::Error::BuildRequest)?;
        let connection = self.answer(self.inner.connect(request)).await?;
        let ends_by_frame = connection.supports_stream_close();
        let mut socket = connection.into_stream();
        let writing = async {
            for piece in input.chunks(PIECE) {
                socket.send([&[STDIN], piece].concat().into()).await?;
            }
            match ends_by_frame {
                true => socket.send(vec![CLOSE, STDIN].into()).await,
                // Of older servers the end of the connection is that of the input.
                false => SinkExt::close(&mut socket).await,
            }
        };
        let written = timeout(self.patience, writing).await.map_err(|_| Error::late(self.patience))?;
        written.map_err(|error| Error::Unavailable(error.to_string()))?;
        // Some runtimes keep the connection for as long as the container runs; by then it has all that was written.
        let ending = async {
            while let Some(Ok(message)) = socket.next().await {
                let message = message.into_data();
                if let Some((&STATUS, status)) = message.split_first() {
                    return serde_json::from_slice::<Status>(status).ok();
                }
            }
            None
        };
        match timeout(ENDING, ending).await.ok().flatten() {
            Some(status) if status.is_failure() => Err(Error::Unavailable(status.message)),
            _ => Ok(()),
        }
    }

    /// The last lines that it wrote.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`, `Unavailable`; `Invalid` while it has not begun.
    pub async fn log(&self, container: Container<'_>, lines: usize) -> Result<String> {
        let pods: Objects<Pod> = self.objects();
        let params = LogParams {
            container: Some(container.name.to_owned()),
            tail_lines: i64::try_from(lines).ok(),
            // It counts from the beginning of those lines, which may be endless.
            limit_bytes: Some(MOST_LOG),
            ..LogParams::default()
        };
        self.answer(pods.api.logs(container.pod, &params)).await
    }
}

const MOST_LOG: i64 = 256 * 1024;
