//! Where a user's browser comes back to. On the machine of a server of one process the server takes it itself; otherwise
//! nobody does, and the user gives the address that the browser shows to the page that has begun the login.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::Url;
use serde_json::{Map, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};
use types::TenantId;
use uuid::Uuid;

use super::doors::Doors;

/// Where a browser comes back to, or below it.
const PATH: &str = "/callback";

const MOST_REQUEST: usize = 16 << 10;

/// What one that is to close may take.
const CLOSING: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(5);

/// Ports that are tried where somebody else has one of them.
const TRIES: usize = 16;

pub(super) struct Door {
    pub redirect: Url,
    way: Way,
}

enum Way {
    /// Nobody waits there.
    Told,
    Free(Listener),
    /// An earlier login of the tenant waits there, until this one is under way.
    Taken(u16),
}

/// Both ways to this machine: a browser that is sent to `localhost` takes either, and must find nobody else there.
pub(super) struct Listener {
    four: TcpListener,
    /// `None` where the machine has none.
    six: Option<TcpListener>,
}

impl Door {
    /// At the port of an earlier login, if that can be had: its provider may know no other.
    ///
    /// # Errors
    /// Where no port can be had.
    pub async fn find(
        doors: &Doors,
        tenant: &TenantId,
        known: Option<&Map<String, Value>>,
        listens: bool,
    ) -> io::Result<Self> {
        let earlier = known.and_then(earlier_port);
        if !listens {
            return Self::at(earlier.unwrap_or_else(some_port), Way::Told);
        }
        if let Some(port) = earlier.filter(|port| doors.has(tenant, *port)) {
            return Self::at(port, Way::Taken(port));
        }
        let listener = match earlier {
            Some(port) => Listener::at(port).await.ok(),
            None => None,
        };
        let listener = match listener {
            Some(listener) => listener,
            None => Listener::anywhere().await?,
        };
        Self::at(listener.port()?, Way::Free(listener))
    }

    fn at(port: u16, way: Way) -> io::Result<Self> {
        let redirect = Url::parse(&format!("http://localhost:{port}{PATH}")).map_err(io::Error::other)?;
        Ok(Self { redirect, way })
    }

    /// The login is under way: an earlier one that still waits at this port is over.
    pub async fn open(self, doors: &Doors, tenant: &TenantId) -> Option<Listener> {
        match self.way {
            Way::Told => None,
            Way::Free(listener) => Some(listener),
            Way::Taken(port) => {
                doors.close_at(tenant, port);
                listen_again(port).await
            }
        }
    }
}

impl Listener {
    async fn at(port: u16) -> io::Result<Self> {
        let four = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        match TcpListener::bind((Ipv6Addr::LOCALHOST, four.local_addr()?.port())).await {
            Ok(six) => Ok(Self { four, six: Some(six) }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
            Err(_) => Ok(Self { four, six: None }),
        }
    }

    async fn anywhere() -> io::Result<Self> {
        for _ in 1..TRIES {
            if let Ok(listener) = Self::at(0).await {
                return Ok(listener);
            }
        }
        Self::at(0).await
    }

    fn port(&self) -> io::Result<u16> {
        Ok(self.four.local_addr()?.port())
    }

    /// # Errors
    /// Those of the system.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match &self.six {
            None => self.four.accept().await,
            Some(six) => tokio::select! {
                accepted = self.four.accept() => accepted,
                accepted = six.accept() => accepted,
            },
        }
    }
}

/// `None` where somebody else has the port, and keeps it.
async fn listen_again(port: u16) -> Option<Listener> {
    let give_up = Instant::now() + CLOSING;
    loop {
        match Listener::at(port).await {
            Ok(listener) => return Some(listener),
            Err(_) if Instant::now() < give_up => sleep(PAUSE).await,
            Err(_) => return None,
        }
    }
}

fn earlier_port(known: &Map<String, Value>) -> Option<u16> {
    let url = Url::parse(known.get("redirect_uris")?.as_array()?.first()?.as_str()?).ok()?;
    let below = url.path().strip_prefix(PATH)?;
    let is_path = below.is_empty() || below.starts_with('/');
    let is_ours = url.host_str() == Some("localhost") && is_path && url.query().is_none();
    url.port().filter(|_| is_ours && url.scheme() == "http")
}

/// One of those that nobody is given for good.
fn some_port() -> u16 {
    let chance = Uuid::new_v4().as_u128() % 16_384;
    49_152 + u16::try_from(chance).unwrap_or_default()
}

/// What a browser asks for: the target of its first line.
///
/// # Errors
/// Where it asks for nothing, or too much.
pub(super) async fn asked(stream: &mut TcpStream) -> io::Result<String> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read_buf(&mut request).await?;
        if read == 0 || request.len() > MOST_REQUEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    let text = String::from_utf8_lossy(&request);
    let line = text.lines().next().unwrap_or_default();
    let target = line.strip_prefix("GET ").and_then(|rest| rest.split(' ').next());
    target.map(str::to_owned).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Shows the user a sentence.
///
/// # Errors
/// Those of the connection.
pub(super) async fn show(stream: &mut TcpStream, status: &str, sentence: &str) -> io::Result<()> {
    let length = sentence.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\
         Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\
         Connection: close\r\n\r\n{sentence}"
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn an_earlier_address_is_kept_where_it_is_ours() {
        let port = |uri: &str| earlier_port(json!({ "redirect_uris": [uri] }).as_object().unwrap());
        for own in ["http://localhost:5123/callback", "http://localhost:5123/callback/a"] {
            assert_eq!(port(own), Some(5_123), "{own}");
        }
        for other in [
            "http://x.example:1/callback",
            "http://localhost:1/other",
            "http://localhost:1/callbacks",
            "https://localhost:1/callback",
            "x",
        ] {
            assert_eq!(port(other), None, "{other}");
        }
        let known = json!({"redirect_uris": ["http://localhost:5123/callback"]});
        let (doors, tenant) = (Doors::default(), TenantId::default());
        let door = Door::find(&doors, &tenant, known.as_object(), false).await.unwrap();
        assert_eq!(door.redirect.as_str(), "http://localhost:5123/callback");
        assert!(some_port() >= 49_152);
    }

    #[tokio::test]
    async fn a_door_is_open_both_ways_to_this_machine() {
        let (doors, tenant) = (Doors::default(), TenantId::default());
        let door = Door::find(&doors, &tenant, None, true).await.unwrap();
        let port = door.redirect.port().unwrap();
        let listener = door.open(&doors, &tenant).await.unwrap();
        let mut ways = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))];
        if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await.is_ok() {
            ways.push(SocketAddr::from((Ipv6Addr::LOCALHOST, port)));
        }
        for way in ways {
            let (knocked, opened) = tokio::join!(TcpStream::connect(way), listener.accept());
            assert!(knocked.is_ok() && opened.is_ok(), "{way}");
        }
    }
}
