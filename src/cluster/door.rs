//! `manyhands door`: lets workers that have no network reach NATS, and nothing else, through a socket in a
//! folder they share with it. And the other side of it, in the worker.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::settings::Cluster;
use crate::observe;
use crate::settings::Settings;
use crate::signals::stop_on_signal;

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
    let _traces = observe::start("manyhands-door", &settings.log_level, settings.log_json)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(open(&options.socket, cluster)).map(|()| ExitCode::SUCCESS)
}

async fn open(socket: &Path, cluster: &Cluster) -> anyhow::Result<()> {
    let stop = stop_on_signal()?;
    // One that an earlier process left.
    let _ = std::fs::remove_file(socket);
    let listener = UnixListener::bind(socket).with_context(|| format!("cannot make {}", socket.display()))?;
    let servers: Arc<[String]> = cluster.nats_urls.iter().map(|url| host_and_port(url)).collect();
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    tracing::info!(socket = %socket.display(), "the door is open");
    loop {
        let place = room.clone().acquire_owned().await?;
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return Ok(()),
        };
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

fn host_and_port(url: &str) -> String {
    let address = url.split_once("://").map_or(url, |(_, address)| address);
    if address.contains(':') { address.to_owned() } else { format!("{address}:4222") }
}

/// In a worker: makes a server that is named `unix://<socket>` reachable on a port of its own loopback, which
/// is all the NATS client knows; any other address stays.
///
/// # Errors
/// When no port can be had.
pub async fn reachable(url: &str) -> anyhow::Result<String> {
    let Some(socket) = url.strip_prefix("unix://") else { return Ok(url.to_owned()) };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let socket = PathBuf::from(socket);
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
    Ok(format!("nats://{address}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_called_at_the_port_it_names_or_the_usual_one() {
        assert_eq!(host_and_port("nats://nats:4333"), "nats:4333");
        assert_eq!(host_and_port("tls://nats"), "nats:4222");
    }
}
