//! Secrets whose value somebody else tells: another server, or this one, which keeps it for the tenant. This one is asked over the
//! bus, for a worker reaches no gateway and has no key of one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use outbound::{Outbound, Refused, add_headers, cause_of_refusal};
use ports::Bus;
use ports::rpc::{self, Address};
use reqwest::header::HeaderMap;
use types::calls::{LookedUp, RecordCall};
use types::{ConversationId, SandboxId};

const DEADLINE: Duration = Duration::from_secs(30);
const LARGEST_VALUE: usize = 64 * 1024;

/// Never names the URL or a header: both may hold a credential.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the url or a header of the secret's source is not valid")]
    Invalid,
    #[error("the url of the secret's source {0}")]
    NotCalled(#[from] Refused),
    #[error("the secret's server cannot be reached")]
    Unreachable,
    #[error("the secret's server answered {0}")]
    Refused(u16),
    #[error("the server that keeps the secret cannot be asked")]
    NotAsked,
    #[error("the server keeps no such secret for this conversation")]
    NotKept,
    #[error("the value is not text of at most {LARGEST_VALUE} bytes")]
    NotAValue,
}

/// Asks servers for secrets.
#[derive(Default)]
pub(super) struct Lookups {
    outbound: Outbound,
    /// Who keeps those of this server, and asks them for whom.
    control_plane: Option<(Arc<dyn Bus>, SandboxId)>,
}

impl Lookups {
    pub(super) fn new(outbound: Outbound, bus: Arc<dyn Bus>, sandbox: SandboxId) -> Self {
        Self { outbound, control_plane: Some((bus, sandbox)) }
    }

    /// The value that this server keeps for the conversation's secret of this name.
    pub(super) async fn kept(&self, conversation: ConversationId, name: &str) -> Result<String, Error> {
        let Some((bus, sandbox)) = &self.control_plane else { return Err(Error::NotAsked) };
        let call = RecordCall::LookUp { conversation, name: name.to_owned() };
        let address = Address::of_control_plane(sandbox);
        let asked = rpc::call_patiently(bus.as_ref(), &address, &call, Bytes::new(), DEADLINE).await;
        let (LookedUp { value }, _) = asked.map_err(|_| Error::NotAsked)?;
        value.ok_or(Error::NotKept)
    }

    /// The body of a GET of `url` with these headers.
    pub(super) async fn get(&self, url: &str, headers: &BTreeMap<String, String>) -> Result<String, Error> {
        let url = reqwest::Url::parse(url).map_err(|_| Error::Invalid)?;
        let mut fields = HeaderMap::new();
        let named = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        add_headers(&mut fields, named).map_err(|_| Error::Invalid)?;
        let client = self.outbound.client(&url).map_err(|error| match error {
            outbound::Error::Refused(why) => Error::NotCalled(why),
            outbound::Error::Setup(_) => Error::Unreachable,
        })?;
        // No redirect is followed: the headers are meant for this server alone.
        let request = client.get(url).headers(fields).timeout(DEADLINE).send();
        let failed = |error| cause_of_refusal(&error).map_or(Error::Unreachable, Error::NotCalled);
        let mut answer = request.await.map_err(failed)?;
        if !answer.status().is_success() {
            return Err(Error::Refused(answer.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|_| Error::Unreachable)? {
            body.extend_from_slice(&piece);
            if body.len() > LARGEST_VALUE {
                return Err(Error::NotAValue);
            }
        }
        String::from_utf8(body).map_err(|_| Error::NotAValue)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn get(url: &str) -> Result<String, Error> {
        Lookups::default().get(url, &BTreeMap::new()).await
    }

    #[tokio::test]
    async fn a_secret_is_not_asked_of_what_describes_the_machine() {
        let asked = get("http://169.254.169.254/latest/meta-data/iam/security-credentials/role").await;
        assert!(matches!(asked, Err(Error::NotCalled(Refused::Metadata))), "{asked:?}");
    }

    #[tokio::test]
    async fn a_redirect_to_a_private_address_is_not_followed() {
        let (server, inside) = (listen().await, listen().await);
        let target = inside.local_addr().unwrap();
        let url = format!("http://{}/value", server.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut socket, _) = server.accept().await.unwrap();
            let _ = socket.read(&mut [0; 4096]).await.unwrap();
            let answer =
                format!("HTTP/1.1 302 Found\r\nLocation: http://{target}/\r\nContent-Length: 0\r\n\r\n");
            socket.write_all(answer.as_bytes()).await.unwrap();
        });
        let asked = get(&url).await;
        assert!(matches!(asked, Err(Error::Refused(302))), "{asked:?}");
        let nobody = std::future::poll_fn(|context| match inside.poll_accept(context) {
            std::task::Poll::Pending => std::task::Poll::Ready(true),
            std::task::Poll::Ready(_) => std::task::Poll::Ready(false),
        });
        assert!(nobody.await, "the private address was called");
    }

    async fn listen() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").await.unwrap()
    }
}
