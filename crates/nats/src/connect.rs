//! Making a connection: where to, as whom, and how long to try.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Auth, AuthError, Client, ConnectErrorKind, ConnectOptions, Event};
use nkeys::KeyPair;
use parking_lot::Mutex;
use ports::retry::Backoff;
use tokio::sync::watch;
use tokio::time::Instant;
use types::placement::Credentials;
use types::subjects;

use crate::arrivals::Arrivals;
use crate::connection::Connection;
use crate::error::Error;
use crate::link::{Link, PATIENCE, Status};
use crate::subscription::CAPACITY;
use crate::trust;

/// How long a server may take to come up.
const START: Duration = Duration::from_secs(30);
/// Between two tries to connect.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(3_200));
const OLDEST: (u64, u64) = (2, 11);
/// Below it file transfers fail: their chunks have 4 MiB.
const ENOUGH_PAYLOAD: usize = 8 << 20;
/// What a server gets to take a connection, if others could take it: one whose machine is gone says nothing.
const ONE_OF_MANY: Duration = Duration::from_secs(2);
/// What it gets where there is no other, or the address looks for a server itself.
const ONLY_ONE: Duration = Duration::from_secs(5);
/// A connection that is silent for twice this long is given up.
const PING: Duration = Duration::from_secs(10);

/// Where the servers are, and what to say to them.
#[derive(Clone)]
pub struct Options {
    /// `nats://host:port` or `tls://host:port`; of one cluster.
    pub urls: Vec<String>,
    /// `None` for servers without authentication.
    pub credentials: Option<Credentials>,
    /// PEM of the authority of the servers' certificates; `None`: the system's.
    pub ca: Option<String>,
    /// Where `urls` are only ways to the servers: what those are really called, as `urls` would say it. Certificates are for
    /// these, and what the servers say of other addresses leads nowhere.
    pub servers: Vec<String>,
    /// Shown in the server's list of connections.
    pub name: String,
    /// What answers to this client come below, where no credentials say it.
    pub inbox: Option<String>,
}

/// What to sign in with next time.
pub type Renewable = Arc<Mutex<Option<Credentials>>>;

/// Connects, and waits up to 30 s for a server to come up. Later the connection is made anew whenever it is
/// lost, for as long as it takes.
///
/// # Errors
/// `Unreachable`, `Refused`, `Open`, `Untrusted`, `TooOld`, `Configuration`.
pub async fn connect(options: Options) -> Result<Connection, Error> {
    if let Some(credentials) = &options.credentials {
        key(credentials).map_err(|error| Error::Configuration(format!("the credentials: {error}")))?;
    }
    let credentials: Renewable = Arc::new(Mutex::new(options.credentials.clone()));
    let urls = options.urls.join(", ");
    let (deadline, mut is_told) = (Instant::now() + START, false);
    let mut pauses = PAUSES;
    let (client, mut status, news) = loop {
        let error = match try_connect(&options, &credentials).await? {
            Ok(connected) => break connected,
            Err(error) => error,
        };
        let reason = error.to_string();
        match error.kind() {
            // Of `sign_in`.
            ConnectErrorKind::Authentication => return Err(Error::Open { urls }),
            ConnectErrorKind::AuthorizationViolation => return Err(Error::Refused { urls, reason }),
            ConnectErrorKind::Io | ConnectErrorKind::Tls if trust::is_distrust(&error) => {
                return Err(Error::Untrusted { urls, reason });
            }
            ConnectErrorKind::ServerParse => return Err(Error::Configuration(reason)),
            _ if Instant::now() >= deadline => return Err(Error::Unreachable { urls, reason }),
            _ if is_told => {}
            _ => tracing::warn!(%urls, %reason, "no NATS server answers yet, trying for {START:?}"),
        }
        is_told = true;
        tokio::time::sleep(pauses.pause()).await;
    };
    let info = client.server_info();
    if version(&info.version).is_none_or(|version| version < OLDEST) {
        return Err(Error::TooOld { found: info.version });
    }
    if info.max_payload < ENOUGH_PAYLOAD {
        tracing::warn!(
            max_payload = info.max_payload,
            recommended = ENOUGH_PAYLOAD,
            "the NATS server takes only small messages: transfers of large files will fail"
        );
    }
    // Else the news of this very connection would look like those of another one.
    let connected = tokio::time::timeout(PATIENCE, status.wait_for(|status| status.connected)).await;
    if !connected.is_ok_and(|connected| connected.is_ok()) {
        return Err(Error::Unreachable { urls, reason: "the connection was lost at once".to_owned() });
    }
    let (leaders, arrivals) = (Arc::default(), Arc::new(Arrivals::new(news.clone())));
    let link = Link { client, status, nobody: subjects::nobody(), leaders, arrivals };
    Ok(Connection { link, credentials, news })
}

type News = Arc<watch::Sender<Status>>;
type Attempt = Result<(Client, watch::Receiver<Status>, News), async_nats::ConnectError>;

async fn try_connect(options: &Options, credentials: &Renewable) -> Result<Attempt, Error> {
    let (news, status) = watch::channel(Status::default());
    let news = Arc::new(news);
    let noted = news.clone();
    let mut client = match options.credentials {
        Some(_) => {
            let credentials = credentials.clone();
            ConnectOptions::with_auth_callback(move |nonce| std::future::ready(sign_in(&credentials, &nonce)))
        }
        None => ConnectOptions::new(),
    };
    let of_credentials = options.credentials.as_ref().map(|credentials| &credentials.inbox_prefix);
    if let Some(inbox) = of_credentials.or(options.inbox.as_ref()) {
        client = client.custom_inbox_prefix(inbox);
    }
    if let Some(config) = trust::config(options)? {
        client = client.tls_client_config(config);
    }
    let is_one_of_many = options.servers.is_empty() && options.urls.len() > 1;
    client = client.connection_timeout(if is_one_of_many { ONE_OF_MANY } else { ONLY_ONE });
    if !options.servers.is_empty() {
        client = client.ignore_discovered_servers();
    }
    let client = client
        .name(&options.name)
        .ping_interval(PING)
        .subscription_capacity(CAPACITY)
        .reconnect_delay_callback(|attempt| PAUSES.after(attempt))
        .event_callback(move |event| {
            note(&noted, &event);
            std::future::ready(())
        });
    Ok(client.connect(&options.urls).await.map(|client| (client, status, news)))
}

fn note(news: &watch::Sender<Status>, event: &Event) {
    match event {
        Event::Disconnected => tracing::warn!("the connection to NATS is lost"),
        Event::SlowConsumer(_) => tracing::warn!("messages of NATS were dropped: too slow"),
        Event::ServerError(error) => tracing::warn!(%error, "the NATS server complains"),
        Event::Connected => tracing::debug!("connected to NATS"),
        Event::LameDuckMode | Event::Draining | Event::Closed | Event::ClientError(_) => {}
    }
    news.send_modify(|status| match event {
        Event::Connected => {
            status.connected = true;
            status.gaps += 1;
        }
        Event::Disconnected => {
            status.connected = false;
            status.losses += 1;
        }
        Event::SlowConsumer(_) => status.gaps += 1,
        Event::Closed => {
            status.connected = false;
            status.closed = true;
            status.losses += 1;
        }
        Event::LameDuckMode | Event::Draining | Event::ServerError(_) | Event::ClientError(_) => {}
    });
}

/// A server that does not ask who comes lets everybody in: what has credentials does not join it, also not later.
fn sign_in(credentials: &Renewable, nonce: &[u8]) -> Result<Auth, AuthError> {
    if nonce.is_empty() {
        return Err(AuthError::new("the server lets everybody in"));
    }
    let credentials = credentials.lock().clone();
    let credentials = credentials.ok_or_else(|| AuthError::new("no credentials"))?;
    let key = key(&credentials).map_err(AuthError::new)?;
    let mut auth = Auth::new();
    auth.signature = Some(key.sign(nonce).map_err(AuthError::new)?);
    auth.jwt = Some(credentials.jwt);
    Ok(auth)
}

fn key(credentials: &Credentials) -> Result<KeyPair, nkeys::error::Error> {
    KeyPair::from_seed(credentials.seed.trim())
}

/// Major and minor.
fn version(text: &str) -> Option<(u64, u64)> {
    let mut numbers = text.split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(version("2.9.10"), Some((2, 9)));
        assert!(version("2.9.10").unwrap() < OLDEST);
        assert!(version("2.11.0-RC.1").unwrap() >= OLDEST);
        assert!(version("3.0").unwrap() >= OLDEST);
        assert_eq!(version("dev"), None);
    }
}
