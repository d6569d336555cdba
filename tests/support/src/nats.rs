//! A real nats-server of a test's own: on a free port of loopback, its data in a temporary folder.

use std::fs::File;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::signal;
use crate::{PATIENCE, within};

/// Dropping it kills the server and removes its data.
pub struct Nats {
    folder: TempDir,
    port: u16,
    /// Where it tells of itself, if it does.
    monitor: Option<u16>,
    child: Child,
}

impl Nats {
    /// A server with JetStream and no authentication.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start() -> Self {
        Self::with("").await
    }

    /// The same with more lines of configuration (authentication, limits).
    ///
    /// # Panics
    /// When it does not start.
    pub async fn with(configuration: &str) -> Self {
        Self::launch(configuration)
    }

    /// The same without a runtime.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn launch(configuration: &str) -> Self {
        Self::launch_with(configuration, None)
    }

    fn launch_with(configuration: &str, monitor: Option<u16>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_port().expect("a free port");
        let store = folder.path().join("jetstream");
        let text = format!(
            "host: 127.0.0.1\nport: {port}\nmax_payload: 8MB\njetstream {{ store_dir: {store:?}, sync_interval: always }}\n{configuration}\n"
        );
        std::fs::write(folder.path().join("nats.conf"), text).expect("the configuration is written");
        let child = spawn(folder.path()).expect("nats-server starts");
        let server = Self { folder, port, monitor, child };
        server.until_up();
        server
    }

    /// Three servers that stand in for each other.
    ///
    /// # Panics
    /// When one does not start.
    #[must_use]
    pub fn three(configuration: &str) -> Vec<Self> {
        let listeners: Vec<_> =
            (0..3).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
        let addresses: Vec<_> = listeners
            .iter()
            .map(|listener| listener.local_addr().expect("its address").to_string())
            .collect();
        drop(listeners);
        let routes: Vec<_> = addresses.iter().map(|address| format!("\"nats://{address}\"")).collect();
        let routes = routes.join(", ");
        let servers = addresses.iter().enumerate().map(|(number, address)| {
            let cluster = format!("cluster {{ name: test, listen: {address:?}, routes: [{routes}] }}");
            let monitor = free_port().expect("a free port");
            let own = format!("server_name: server_{number}\nhttp: \"127.0.0.1:{monitor}\"\n{cluster}");
            Self::launch_with(&format!("{own}\n{configuration}"), Some(monitor))
        });
        servers.collect()
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// With its configuration, its data and its log.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Of the server's process, for signals.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL; what was stored stays.
    ///
    /// # Panics
    /// When the process cannot be killed.
    pub async fn kill(&mut self) {
        self.end();
    }

    /// Starts it again, on the same port and data.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.end();
        self.child = spawn(self.folder.path()).expect("nats-server starts");
        self.until_up();
    }

    /// SIGSTOP: it keeps its connections, and says nothing until it is to go on.
    pub fn stand_still(&self) {
        signal(self.pid(), Signal::STOP);
    }

    pub fn go_on(&self) {
        signal(self.pid(), Signal::CONT);
    }

    /// Of one of three: waits until it has what the others have.
    ///
    /// # Panics
    /// When it does not get it in time.
    pub async fn catches_up(&self) {
        let url = format!("http://127.0.0.1:{}/healthz", self.monitor.expect("one of three"));
        within(3 * PATIENCE, "a server has what the others have", async || {
            let answer = reqwest::get(&url).await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
    }

    fn end(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn until_up(&self) {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < deadline, "nats-server takes no connections");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.end();
    }
}

/// A program that may be missing: `MANYHANDS_NATS_SERVER`, the search path, or where the test command puts it.
pub(crate) fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("MANYHANDS_NATS_SERVER") {
        return named.into();
    }
    let home = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    home.unwrap_or_default().join("manyhands/nats-server")
}

fn spawn(folder: &Path) -> io::Result<Child> {
    let log = File::options().create(true).append(true).open(folder.join("server.log"))?;
    let mut command = Command::new(program());
    // Where its configuration names others.
    command.current_dir(folder);
    command.arg("-c").arg(folder.join("nats.conf")).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.spawn().map_err(|error| {
        let hint = "tests/nats/environment.sh fetches it";
        io::Error::new(error.kind(), format!("nats-server: {error}; {hint}"))
    })
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
