//! `manyhands probe`: asks a server of this machine whether it is well, for health checks in images without
//! any other program.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};

const PATIENCE: Duration = Duration::from_secs(2);

#[derive(clap::Args)]
pub struct Options {
    /// http://host:port/path; /ready is the path for health checks, and / without one
    url: String,
}

/// Succeeds on an answer of 200.
///
/// # Errors
/// No answer, or another one.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let address = options.url.strip_prefix("http://").context("the URL must begin with http://")?;
    let (host, path) = address.split_once('/').unwrap_or((address, ""));
    let address = host.to_socket_addrs()?.next().context("the host has no address")?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    ensure!(head.ends_with(b" 200"), "{} does not answer 200", options.url);
    Ok(ExitCode::SUCCESS)
}
