//! The worker's side of the door: a port of its own loopback that leads to the socket, since the client of NATS knows TCP
//! only. It is the worker's alone: commands run in the same network, and each connection is looked up before it is joined.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::{PAUSE, beside};

/// The ports that lead through doors. They are closed when it is dropped.
pub struct Ports {
    tasks: TaskTracker,
    stop: CancellationToken,
    _stops: DropGuard,
}

impl Default for Ports {
    fn default() -> Self {
        let stop = CancellationToken::new();
        Self { tasks: TaskTracker::new(), _stops: stop.clone().drop_guard(), stop }
    }
}

/// Makes a door that is named `unix://<socket>` reachable on a port of loopback; any other address stays. `servers` says what is
/// behind doors: where they want TLS, nothing else is spoken through one.
///
/// # Errors
/// When no port can be had.
pub async fn reachable(url: &str, servers: &[String], ports: &Ports) -> anyhow::Result<String> {
    let Some(socket) = url.strip_prefix("unix://") else { return Ok(url.to_owned()) };
    let want_tls = servers.iter().any(|server| server.starts_with("tls://"));
    let way = if want_tls { "tls" } else { "nats" };
    Ok(format!("{way}://{}", ports.to(socket.into()).await?))
}

/// Where spans can be sent; `None` where the door leads to no collector.
///
/// # Errors
/// When no port can be had.
pub async fn spans(nats_urls: &[String], ports: &Ports) -> anyhow::Result<Option<String>> {
    let mut doors = nats_urls.iter().filter_map(|url| url.strip_prefix("unix://"));
    let socket = doors.next().map(|socket| beside(Path::new(socket))).filter(|socket| socket.exists());
    let Some(socket) = socket else { return Ok(None) };
    Ok(Some(format!("http://{}", ports.to(socket).await?)))
}

impl Ports {
    /// A port of loopback that leads to the socket.
    async fn to(&self, socket: PathBuf) -> anyhow::Result<SocketAddr> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (tasks, stop) = (self.tasks.clone(), self.stop.clone());
        let accepting = async move {
            loop {
                let Ok((client, from)) = listener.accept().await else {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                };
                // Else each answer longer than a piece waits for the client's delayed acknowledgement, 40 ms.
                let _ = client.set_nodelay(true);
                if !is_ours(from, address) {
                    tracing::warn!("a command has tried the worker's way out");
                    continue;
                }
                let joining = join(client, socket.clone());
                tasks.spawn(stop.clone().run_until_cancelled_owned(joining));
            }
        };
        self.tasks.spawn(self.stop.clone().run_until_cancelled_owned(accepting));
        Ok(address)
    }
}

async fn join(mut client: TcpStream, socket: PathBuf) {
    match UnixStream::connect(&socket).await {
        // However it ends, both have noticed.
        Ok(mut door) => drop(copy_bidirectional(&mut client, &mut door).await),
        Err(error) => tracing::debug!(%error, "the door is closed"),
    }
}

/// Whether a connection of loopback was made by a process of our own user.
fn is_ours(from: SocketAddr, to: SocketAddr) -> bool {
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap_or_default();
    owner(&table, from, to) == Some(rustix::process::geteuid().as_raw())
}

/// Whose socket a connection has at its beginning, by the kernel's table.
fn owner(table: &str, from: SocketAddr, to: SocketAddr) -> Option<u32> {
    let (from, to) = (in_table(from)?, in_table(to)?);
    let mut rows = table.lines().map(|row| row.split_ascii_whitespace().collect::<Vec<_>>());
    // Of one that is closed the table does not say whose it was.
    let is_it = |row: &Vec<&str>| row.get(1..4) == Some(&[from.as_str(), to.as_str(), "01"]);
    let row = rows.find(is_it)?;
    row.get(7)?.parse().ok()
}

fn in_table(address: SocketAddr) -> Option<String> {
    let IpAddr::V4(ip) = address.ip() else { return None };
    Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), address.port()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    use super::*;

    #[test]
    fn the_owner_of_a_connection_is_found_in_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1\n   \
            1: 0100007F:C350 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000        0 2 1\n";
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        assert_eq!(owner(table, at(50_000), at(8_080)), Some(1_000));
        assert_eq!(owner(table, at(50_001), at(8_080)), None);
    }

    #[tokio::test]
    async fn a_hostile_command_does_not_pass_the_door_as_the_worker_does() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("nats.sock");
        let door = UnixListener::bind(&socket).unwrap();
        let ports = Ports::default();
        let url = reachable(&format!("unix://{}", socket.display()), &[], &ports).await.unwrap();
        let address = url.strip_prefix("nats://").unwrap();
        if rustix::process::geteuid().is_root() {
            let (host, port) = address.split_once(':').unwrap();
            let attempt = format!("exec 3<>/dev/tcp/{host}/{port} && printf stolen >&3; read -r line <&3");
            let mut command = std::process::Command::new("bash");
            command.args(["-c", &attempt]).uid(12_345).gid(12_345).current_dir("/");
            let hung_up_on = tokio::task::spawn_blocking(move || command.status().unwrap());
            tokio::time::timeout(testing::PATIENCE, hung_up_on).await.unwrap().unwrap();
        }
        let mut worker = TcpStream::connect(address).await.unwrap();
        worker.write_all(b"worker").await.unwrap();
        let (mut first, _) = door.accept().await.unwrap();
        let mut said = [0; 6];
        first.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"worker");
    }
}
