//! Whether a program answers itself: one request to its health page, on loopback, and a look at who listens there.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tools::offspring::Mark;

use super::listener;

const PATIENCE: Duration = Duration::from_secs(1);
/// `HTTP/1.1 200`
const STATUS_LINE: usize = 12;

/// A program that runs, and where it is to be reached.
#[derive(Clone)]
pub(super) struct Place {
    /// The process that leads its group.
    pub leader: u32,
    /// By which what it has started is found.
    pub mark: Mark,
    pub port: u16,
}

impl Place {
    /// Somebody else may have its port.
    pub async fn answers(&self, path: &str) -> bool {
        if !is_healthy(self.port, path).await {
            return false;
        }
        let Self { leader, mark, port } = self.clone();
        tokio::task::spawn_blocking(move || listener::is_of(leader, &mark, port)).await.unwrap_or_default()
    }
}

async fn is_healthy(port: u16, path: &str) -> bool {
    matches!(timeout(PATIENCE, status(port, path)).await, Ok(Ok(status)) if (200..400).contains(&status))
}

async fn status(port: u16, path: &str) -> io::Result<u16> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut line = [0; STATUS_LINE];
    stream.read_exact(&mut line).await?;
    let line = str::from_utf8(&line).map_err(io::Error::other)?;
    let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1));
    status.and_then(|status| status.parse().ok()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}
