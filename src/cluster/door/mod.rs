//! `manyhands door`: lets workers that have no network reach NATS through a socket in a folder they share with
//! it; and the collector of spans, if there is one, through another beside it. Nothing else is reached. And the
//! other side of it, in the worker.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures_util::future::{self, OptionFuture};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::settings::Cluster;
use crate::observe;
use crate::settings::Settings;
use crate::signals::stop_on_signal;

/// Beside the socket that leads to NATS.
const SPANS: &str = "otlp.sock";
const NATS_PORT: u16 = 4222;
const SPANS_PORT: u16 = 4318;
const CONNECTIONS: usize = 10_000;
/// Without room for another connection, or without a NATS that answers.
const PAUSE: Duration = Duration::from_millis(200);

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
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(open(&options.socket, cluster)).map(|()| ExitCode::SUCCESS)
}

async fn open(socket: &Path, cluster: &Cluster) -> anyhow::Result<()> {
    let stop = stop_on_signal()?;
    let servers = cluster.nats_urls.iter().map(|url| host_and_port(url, NATS_PORT)).collect();
    let nats = forward(listen(socket)?, servers);
    // Workers send no spans where there is no socket.
    let _ = std::fs::remove_file(beside(socket));
    let spans = match collector(|name| std::env::var(name).ok()) {
        Some(address) => Some(forward(listen(&beside(socket))?, [address].into())),
        None => None,
    };
    tracing::info!(socket = %socket.display(), spans = spans.is_some(), "the door is open");
    stop.run_until_cancelled(future::join(nats, OptionFuture::from(spans))).await;
    Ok(())
}

fn listen(socket: &Path) -> anyhow::Result<UnixListener> {
    // One that an earlier process left.
    let _ = std::fs::remove_file(socket);
    UnixListener::bind(socket).with_context(|| format!("cannot make {}", socket.display()))
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

/// Joins all who come with the first server that answers. Never returns.
async fn forward(listener: UnixListener, servers: Arc<[String]>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    while let Ok(place) = room.clone().acquire_owned().await {
        let accepted = listener.accept().await;
        let Ok((worker, _)) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let servers = servers.clone();
        tokio::spawn(async move {
            if let Some(server) = first_that_answers(&servers).await {
                join(worker, server).await;
            }
            drop(place);
        });
    }
}

async fn first_that_answers(servers: &[String]) -> Option<TcpStream> {
    for server in servers {
        match TcpStream::connect(server.as_str()).await {
            Ok(stream) => return stream.set_nodelay(true).is_ok().then_some(stream),
            Err(error) => tracing::debug!(server, %error, "NATS does not answer"),
        }
    }
    None
}

async fn join(mut one: UnixStream, mut other: TcpStream) {
    // However it ends, both have noticed.
    let _ = copy_bidirectional(&mut one, &mut other).await;
}

fn host_and_port(url: &str, usual: u16) -> String {
    let address = url.split_once("://").map_or(url, |(_, address)| address);
    if address.contains(':') { address.to_owned() } else { format!("{address}:{usual}") }
}

/// In a worker: makes a server that is named `unix://<socket>` reachable on a port of its own loopback, which
/// is all the NATS client knows; any other address stays.
///
/// # Errors
/// When no port can be had.
pub async fn reachable(url: &str) -> anyhow::Result<String> {
    match url.strip_prefix("unix://") {
        Some(socket) => Ok(format!("nats://{}", joined(socket.into()).await?)),
        None => Ok(url.to_owned()),
    }
}

/// In a worker: where spans can be sent; `None` where the door leads to no collector.
///
/// # Errors
/// When no port can be had.
pub async fn spans(nats_urls: &[String]) -> anyhow::Result<Option<String>> {
    let mut doors = nats_urls.iter().filter_map(|url| url.strip_prefix("unix://"));
    let socket = doors.next().map(|socket| beside(Path::new(socket))).filter(|socket| socket.exists());
    let Some(socket) = socket else { return Ok(None) };
    Ok(Some(format!("http://{}", joined(socket).await?)))
}

/// A port of loopback that leads to the socket.
async fn joined(socket: PathBuf) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        loop {
            let Ok((client, _)) = listener.accept().await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let socket = socket.clone();
            tokio::spawn(async move {
                match UnixStream::connect(&socket).await {
                    Ok(door) => join(door, client).await,
                    Err(error) => tracing::debug!(%error, "the door is closed"),
                }
            });
        }
    });
    Ok(address)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn a_server_is_called_at_the_port_it_names_or_the_usual_one() {
        assert_eq!(host_and_port("nats://nats:4333", NATS_PORT), "nats:4333");
        assert_eq!(host_and_port("tls://nats", NATS_PORT), "nats:4222");
    }

    #[tokio::test]
    async fn workers_reach_a_collector_where_the_door_leads_to_one() {
        let folder = tempfile::tempdir().unwrap();
        let urls = [format!("unix://{}/nats.sock", folder.path().display())];
        assert_eq!(spans(&urls).await.unwrap(), None);
        let collector = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = collector.local_addr().unwrap().to_string();
        tokio::spawn(forward(listen(&folder.path().join(SPANS)).unwrap(), [address].into()));
        let port = spans(&urls).await.unwrap().unwrap();
        let mut worker = TcpStream::connect(port.strip_prefix("http://").unwrap()).await.unwrap();
        worker.write_all(b"spans").await.unwrap();
        let mut arrived = [0; 5];
        collector.accept().await.unwrap().0.read_exact(&mut arrived).await.unwrap();
        assert_eq!(&arrived, b"spans");
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
