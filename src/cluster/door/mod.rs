//! `manyhands door`: lets workers that have no network reach NATS through a socket in a folder they share with it, and the
//! collector of spans, if there is one, through another beside it. Nothing else is reached.
//!
//! Whoever is in a sandbox may be hostile, and the door is that of all sandboxes of a host. So the sockets are for root and
//! the door's own user, which commands are not; each sandbox has a few places of its own; and who says nothing, or has
//! nothing to say any more, does not keep its place. The other side of it, in the worker, is `joined`.

mod joined;
mod peers;
mod servers;
mod stream;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures_util::future::{self, OptionFuture};
use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::settings::Cluster;
use crate::observe;
use crate::settings::Settings;
use crate::signals::stop_on_signal;
pub use joined::{Ports, reachable, spans};
use peers::Peers;
use servers::Servers;
use stream::Patience;

/// Beside the socket that leads to NATS.
const SPANS: &str = "otlp.sock";
const NATS_PORT: u16 = 4222;
const SPANS_PORT: u16 = 4318;
const CONNECTIONS: usize = 10_000;
/// Without room for another connection, or without a NATS that answers.
const PAUSE: Duration = Duration::from_millis(200);
/// For the connections that are open at the end: their workers come back to the next door.
const DRAIN: Duration = Duration::from_secs(1);

#[derive(clap::Args)]
pub struct Options {
    /// Where the socket is made
    #[arg(long, default_value = "/door/nats.sock")]
    socket: PathBuf,
}

/// Forwards until SIGTERM or SIGINT.
///
/// # Errors
/// When the socket cannot be made.
pub fn run(options: &Options, settings: &Settings, cluster: &Cluster) -> anyhow::Result<ExitCode> {
    let _traces = observe::start("manyhands-door", settings)?;
    let runtime = crate::runtime::start()?;
    runtime.block_on(open(&options.socket, cluster)).map(|()| ExitCode::SUCCESS)
}

async fn open(socket: &Path, cluster: &Cluster) -> anyhow::Result<()> {
    let (stop, tasks) = (stop_on_signal()?, TaskTracker::new());
    let way = |servers| Way {
        servers: Arc::new(Servers::new(servers)),
        peers: Peers::default(),
        tasks: tasks.clone(),
        stop: stop.clone(),
    };
    let servers = cluster.nats_urls.iter().map(|url| nats_address(url)).collect();
    let nats = forward(listen(socket)?, way(servers));
    // Workers send no spans where there is no socket.
    let _ = std::fs::remove_file(beside(socket));
    let spans = match collector(|name| std::env::var(name).ok()) {
        Some(address) => Some(forward(listen(&beside(socket))?, way(vec![address]))),
        None => None,
    };
    tracing::info!(socket = %socket.display(), spans = spans.is_some(), "the door is open");
    future::join(nats, OptionFuture::from(spans)).await;
    tasks.close();
    if tokio::time::timeout(DRAIN, tasks.wait()).await.is_err() {
        tracing::warn!(connections = tasks.len(), "connections do not end in time");
    }
    Ok(())
}

/// For root and for the door's own user: what runs commands is neither.
fn listen(socket: &Path) -> anyhow::Result<UnixListener> {
    // One that an earlier process left.
    let _ = std::fs::remove_file(socket);
    let listener = UnixListener::bind(socket);
    let listener = listener.with_context(|| format!("cannot make {}", socket.display()))?;
    let rights = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(socket, rights)
        .with_context(|| format!("cannot close {} to others", socket.display()))?;
    Ok(listener)
}

fn beside(socket: &Path) -> PathBuf {
    socket.with_file_name(SPANS)
}

/// The collector of spans that the environment names. One that wants TLS cannot be reached by a worker, which
/// knows its door only.
fn collector(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let endpoint = variable("OTEL_EXPORTER_OTLP_ENDPOINT")?;
    let address = endpoint.strip_prefix("http://")?;
    Some(host_and_port(address.split('/').next().unwrap_or_default(), SPANS_PORT))
}

/// Where one socket leads.
struct Way {
    servers: Arc<Servers>,
    peers: Peers,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Joins all who come with the first server that answers, until the way is closed.
async fn forward(listener: UnixListener, way: Way) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let accepting = async {
        while let Ok(place) = room.clone().acquire_owned().await {
            let Ok((worker, _)) = listener.accept().await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            // Without a place of its own it is hung up on at once: others must not wait for it.
            let Some(own) = way.peers.admit(&worker) else { continue };
            let servers = way.servers.clone();
            let joining = async move {
                if let Some(server) = servers.first_that_answers().await {
                    stream::join(worker, server, Patience::default()).await;
                }
                drop((place, own));
            };
            way.tasks.spawn(way.stop.clone().run_until_cancelled_owned(joining));
        }
    };
    way.stop.run_until_cancelled(accepting).await;
}

/// Where a server is called.
pub fn nats_address(url: &str) -> String {
    host_and_port(url, NATS_PORT)
}

fn host_and_port(url: &str, usual: u16) -> String {
    let address = url.split_once("://").map_or(url, |(_, address)| address);
    if address.contains(':') { address.to_owned() } else { format!("{address}:{usual}") }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream, UnixStream};

    use super::*;

    fn way(server: &TcpListener) -> Way {
        let address = server.local_addr().unwrap().to_string();
        Way {
            servers: Arc::new(Servers::new(vec![address])),
            peers: Peers::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    #[test]
    fn a_server_is_called_at_the_port_it_names_or_the_usual_one() {
        assert_eq!(nats_address("nats://nats:4333"), "nats:4333");
        assert_eq!(nats_address("tls://nats"), "nats:4222");
    }

    #[tokio::test]
    async fn workers_reach_a_collector_where_the_door_leads_to_one() {
        let folder = tempfile::tempdir().unwrap();
        let urls = [format!("unix://{}/nats.sock", folder.path().display())];
        let ports = Ports::default();
        assert_eq!(spans(&urls, &ports).await.unwrap(), None);
        let collector = TcpListener::bind("127.0.0.1:0").await.unwrap();
        tokio::spawn(forward(listen(&folder.path().join(SPANS)).unwrap(), way(&collector)));
        let port = spans(&urls, &ports).await.unwrap().unwrap();
        let mut worker = TcpStream::connect(port.strip_prefix("http://").unwrap()).await.unwrap();
        worker.write_all(b"spans").await.unwrap();
        let mut arrived = [0; 5];
        collector.accept().await.unwrap().0.read_exact(&mut arrived).await.unwrap();
        assert_eq!(&arrived, b"spans");
    }

    #[tokio::test]
    async fn a_hostile_sandbox_that_takes_all_its_places_is_hung_up_on() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("nats.sock");
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        tokio::spawn(forward(listen(&socket).unwrap(), way(&server)));
        let mut held = Vec::new();
        for _ in 0..peers::MOST {
            held.push((UnixStream::connect(&socket).await.unwrap(), server.accept().await.unwrap()));
        }
        let mut one_more = UnixStream::connect(&socket).await.unwrap();
        assert_eq!(one_more.read(&mut [0; 1]).await.unwrap(), 0, "hung up on");
        drop(held);
        testing::until(async || {
            let mut again = UnixStream::connect(&socket).await.unwrap();
            again.write_all(b"x").await.is_ok()
                && tokio::time::timeout(PAUSE, again.read(&mut [0; 1])).await.is_err()
        })
        .await;
    }

    /// A server whose machine has gone without a word: nothing that is sent to it is answered.
    async fn silent() -> (Vec<TcpStream>, tokio::net::TcpListener) {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let listener = socket.listen(1).unwrap();
        let (address, mut waiting) = (listener.local_addr().unwrap(), Vec::new());
        while let Ok(taken) = tokio::time::timeout(PAUSE, TcpStream::connect(address)).await {
            waiting.push(taken.unwrap());
        }
        (waiting, listener)
    }

    #[tokio::test]
    async fn a_server_that_is_gone_without_a_word_keeps_nobody_from_the_next_one() {
        let (_waiting, gone) = silent().await;
        let there = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let servers = [&gone, &there].map(|server| server.local_addr().unwrap().to_string());
        let servers = Servers::new(servers.into());
        let found = tokio::time::timeout(testing::PATIENCE, servers.first_that_answers()).await.unwrap();
        assert_eq!(found.unwrap().peer_addr().unwrap(), there.local_addr().unwrap());
    }

    #[tokio::test]
    async fn the_server_that_has_answered_last_is_asked_first() {
        let (_waiting, gone) = silent().await;
        let there = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let servers = [&gone, &gone, &there].map(|server| server.local_addr().unwrap().to_string());
        let servers = Servers::new(servers.into());
        servers.first_that_answers().await.unwrap();
        let again = tokio::time::timeout(servers::ANSWERING, servers.first_that_answers()).await;
        assert!(again.expect("before any that does not answer").is_some());
    }

    #[tokio::test]
    async fn the_door_ends_with_the_connections_through_it() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("nats.sock");
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let way = way(&server);
        let (stop, tasks) = (way.stop.clone(), way.tasks.clone());
        let forwarding = tokio::spawn(forward(listen(&socket).unwrap(), way));
        let mut worker = UnixStream::connect(&socket).await.unwrap();
        let _joined = server.accept().await.unwrap();
        stop.cancel();
        forwarding.await.unwrap();
        tasks.close();
        tokio::time::timeout(testing::PATIENCE, tasks.wait()).await.unwrap();
        assert_eq!(worker.read(&mut [0; 1]).await.unwrap_or(0), 0);
    }

    #[tokio::test]
    async fn only_root_and_its_own_user_have_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("nats.sock");
        let _listener = listen(&socket).unwrap();
        assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn only_a_collector_without_tls_has_a_door() {
        let of = |endpoint: &str| collector(|_| Some(endpoint.to_owned()));
        assert_eq!(of("http://collector:4318/"), Some("collector:4318".to_owned()));
        assert_eq!(of("http://collector"), Some("collector:4318".to_owned()));
        assert_eq!(of("https://collector"), None);
        assert_eq!(of(""), None);
        assert_eq!(collector(|_| None), None);
    }
}
