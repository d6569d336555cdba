//! Artifacts that are on a server.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use outbound::cause_of_refusal;
use ports::rpc::Fault;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, LOCATION};
use reqwest::{Response, Url};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::artifact::{MOST, TOO_LARGE, WRONG_CHECKSUM, nameless};
use super::{Service, conflict};

const PATIENCE: Duration = Duration::from_secs(120);
const MOST_REDIRECTS: usize = 5;

const FAILED: &str = "backend artifact download failed";

impl Service {
    /// A copy of the file at `url`, whose checksum is known, in a file without a name in `folder`.
    pub(super) async fn download(&self, url: &str, sha256: &str, folder: &Path) -> Result<File, Fault> {
        let fetching = self.fetch(url, sha256, folder);
        timeout(PATIENCE, fetching).await.unwrap_or_else(|_| Err(conflict(FAILED)))
    }

    async fn fetch(&self, url: &str, sha256: &str, folder: &Path) -> Result<File, Fault> {
        let mut response = self.follow(url).await?;
        if response.content_length().is_some_and(|length| length > MOST) {
            return Err(conflict(TOO_LARGE));
        }
        let mut file = tokio::fs::File::from_std(nameless(folder).map_err(Fault::internal)?);
        let (mut digest, mut received) = (Sha256::new(), 0);
        while let Some(piece) = response.chunk().await.map_err(|_| conflict(FAILED))? {
            received += piece.len() as u64;
            if received > MOST {
                return Err(conflict(TOO_LARGE));
            }
            digest.update(&piece);
            file.write_all(&piece).await.map_err(Fault::internal)?;
        }
        file.flush().await.map_err(Fault::internal)?;
        if types::hex(&digest.finalize()) != sha256 {
            return Err(conflict(WRONG_CHECKSUM));
        }
        Ok(file.into_std().await)
    }

    async fn follow(&self, url: &str) -> Result<Response, Fault> {
        let mut at = Url::parse(url).map_err(|_| not_allowed())?;
        let is_encrypted = at.scheme() == "https";
        for _ in 0..=MOST_REDIRECTS {
            let has_user = !at.username().is_empty() || at.password().is_some();
            if has_user || at.fragment().is_some() || (is_encrypted && at.scheme() != "https") {
                return Err(not_allowed());
            }
            let client = self.outbound.client(&at).map_err(|error| match error {
                outbound::Error::Refused(_) => not_allowed(),
                outbound::Error::Setup(cause) => conflict(FAILED).caused_by(cause),
            })?;
            let request = client.get(at.clone()).header(ACCEPT, "application/octet-stream");
            let response = request.header(ACCEPT_ENCODING, "identity").send().await;
            let response = response.map_err(|error| match cause_of_refusal(&error) {
                Some(_) => not_allowed(),
                None => conflict(FAILED),
            })?;
            let status = response.status();
            if status.is_success() {
                return Ok(response);
            }
            if !status.is_redirection() {
                return Err(conflict(format!(
                    "backend artifact download failed with HTTP {}",
                    status.as_u16()
                )));
            }
            let next = response.headers().get(LOCATION).and_then(|next| next.to_str().ok());
            at = next.and_then(|next| at.join(next).ok()).ok_or_else(too_far)?;
        }
        Err(too_far())
    }
}

fn not_allowed() -> Fault {
    conflict("backend artifact URL is not allowed")
}

fn too_far() -> Fault {
    conflict("backend artifact redirect limit exceeded")
}
