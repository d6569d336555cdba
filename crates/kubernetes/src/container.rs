//! What goes into a container and what comes out of it.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{AttachParams, LogParams};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::{Client, Error, Objects, Result};

/// What the other end gets to say that it has read to the end of what it was given.
const ENDING: Duration = Duration::from_secs(5);

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
        let pods: Objects<Pod> = self.objects();
        let params = AttachParams::default()
            .container(container.name)
            .stdin(true)
            .stdout(false)
            .stderr(false)
            .max_stdin_buf_size(input.len().max(1));
        let mut attached = self.answer(pods.api.attach(container.pod, &params)).await?;
        let writing = async {
            let mut end = attached.stdin()?;
            end.write_all(input).await.ok()?;
            // Dropping it would end nothing: it is one half of a pipe.
            end.shutdown().await.ok()
        };
        let written = timeout(self.patience, writing).await.map_err(|_| Error::late(self.patience))?;
        written.ok_or_else(|| Error::Unavailable("the container's input was closed".to_owned()))?;
        // Some runtimes keep the connection for as long as the container runs; by then it has all that was written.
        match timeout(ENDING, attached.join()).await {
            Ok(Err(error)) => Err(Error::Unavailable(error.to_string())),
            Ok(Ok(())) | Err(_) => Ok(()),
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
