//! A server process of our own in a temporary folder.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::geteuid;
use tempfile::TempDir;

use crate::client::Client;
use crate::cluster::Cluster;
use crate::containers::Containers;

/// How to start one. `Start::new(env!("CARGO_BIN_EXE_manyhands"))`.
#[derive(Clone)]
pub struct Start {
    program: PathBuf,
    variables: Vec<(String, String)>,
    key: Option<String>,
    folder: Arc<TempDir>,
    nats: String,
    host: &'static str,
    user: Option<u32>,
}

/// The user that every system has for what may do nothing.
const NOBODY: u32 = 65_534;

impl Start {
    /// In a folder of its own, which later starts of the same `Start` share.
    #[must_use]
    pub fn new(program: &str) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let (variables, nats) = (Vec::new(), String::new());
        Self { program: program.into(), variables, key: None, folder, nats, host: "127.0.0.1", user: None }
    }

    #[must_use]
    pub fn with(mut self, variable: &str, value: &str) -> Self {
        self.variables.push((variable.to_owned(), value.to_owned()));
        self
    }

    #[must_use]
    pub fn with_key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self.with("OH_SESSION_API_KEYS_0", key)
    }

    /// More lines of the NATS server's configuration, in a cluster.
    #[must_use]
    pub fn with_nats(mut self, configuration: &str) -> Self {
        configuration.clone_into(&mut self.nats);
        self
    }

    /// Of a server of one process; by default on loopback.
    #[must_use]
    pub fn listening_on(mut self, host: &'static str) -> Self {
        self.host = host;
        self
    }

    /// Where this process may do all, a server of one process runs as a user who may do nothing; its folder is that user's.
    ///
    /// # Panics
    /// When the program cannot be copied there: on the way to it there may be folders that are root's alone.
    #[must_use]
    pub fn as_nobody(mut self) -> Self {
        if geteuid().is_root() {
            let program = self.folder().join("manyhands");
            std::fs::copy(&self.program, &program).unwrap();
            chown(self.folder(), Some(NOBODY), Some(NOBODY)).unwrap();
            (self.program, self.user) = (program, Some(NOBODY));
        }
        self
    }

    /// The working directory of the server.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts a cluster whose workers are processes.
    ///
    /// # Panics
    /// When a part of it does not start.
    #[must_use]
    pub fn start_cluster(&self) -> Cluster {
        self.start_cluster_of(None)
    }

    /// Starts a cluster whose workers are `containers`, or else processes.
    ///
    /// # Panics
    /// When a part of it does not start.
    #[must_use]
    pub fn start_cluster_of(&self, containers: Option<Containers>) -> Cluster {
        let with_key = self.key.is_some();
        Cluster::start(&self.program, self.folder(), &self.variables, &self.nats, with_key, containers)
    }

    /// The command as it would be run, for tests that expect it to fail.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["serve", "--host", self.host, "--port", "0"])
            .current_dir(self.folder())
            .stdin(Stdio::null());
        for (name, _) in
            std::env::vars().filter(|(name, _)| name.starts_with("OH_") || name == "SESSION_API_KEY")
        {
            command.env_remove(name);
        }
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command.env("LOG_LEVEL", "warn").env_remove("CI").envs(self.variables.iter().map(|(k, v)| (k, v)));
        command
    }

    /// Starts it and waits until it says that it is ready. Where `MANYHANDS_TEST_CLUSTER` is set, what answers
    /// is a cluster instead: of containers if it says `docker`, else of processes.
    ///
    /// # Panics
    /// When it ends before that.
    #[must_use]
    pub fn start(&self) -> Server {
        match std::env::var_os("MANYHANDS_TEST_CLUSTER") {
            Some(kind) if kind == "docker" => self.start_containers(),
            Some(_) => self.served_by(self.start_cluster()),
            None => self.start_alone(),
        }
    }

    /// Starts it as one process, whatever `MANYHANDS_TEST_CLUSTER` says.
    ///
    /// # Panics
    /// When it ends before it is ready.
    #[must_use]
    pub fn start_alone(&self) -> Server {
        let (process, url) = until_ready(self.command());
        let client = Client::new(&url, self.key.as_deref());
        Server { running: Running::One(process), url, client, start: self.clone() }
    }

    /// Starts a cluster whose workers are containers.
    ///
    /// # Panics
    /// When it does not start, or Docker does not answer.
    #[must_use]
    pub fn start_containers(&self) -> Server {
        self.served_by(self.start_cluster_of(Some(Containers::prepare())))
    }

    fn served_by(&self, cluster: Cluster) -> Server {
        let url = cluster.url();
        let client = Client::new(&url, self.key.as_deref());
        Server { running: Running::Cluster(Box::new(cluster)), url, client, start: self.clone() }
    }
}

/// Starts a gateway, alone or with all else in its process, and reads where it listens.
pub(crate) fn until_ready(mut command: Command) -> (Child, String) {
    let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let url = loop {
        let Some(Ok(line)) = lines.next() else { panic!("the server ended: {:?}", process.wait()) };
        if let Some((_, url)) = line.split_once("url    ") {
            break url.to_owned();
        }
    };
    // Whatever else it prints must not fill the pipe.
    std::thread::spawn(move || lines.for_each(drop));
    (process, url)
}

enum Running {
    One(Child),
    Cluster(Box<Cluster>),
}

pub struct Server {
    running: Running,
    pub url: String,
    pub client: Client,
    start: Start,
}

impl Server {
    #[must_use]
    pub fn pid(&self) -> u32 {
        match &self.running {
            Running::One(process) => process.id(),
            Running::Cluster(cluster) => cluster.gateways[0].process.pid(),
        }
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        self.start.folder()
    }

    /// A folder that commands may write to, as they see it.
    #[must_use]
    pub fn project(&self) -> &Path {
        match &self.running {
            Running::Cluster(_) if self.is_in_containers() => Path::new("/workspace/project"),
            Running::Cluster(_) | Running::One(_) => self.folder(),
        }
    }

    #[must_use]
    pub fn is_cluster(&self) -> bool {
        matches!(self.running, Running::Cluster(_))
    }

    /// Whether commands run in containers, and not among the processes of this machine.
    #[must_use]
    pub fn is_in_containers(&self) -> bool {
        matches!(&self.running, Running::Cluster(cluster) if cluster.containers.is_some())
    }

    /// # Panics
    /// When its workers are no containers.
    #[must_use]
    pub fn containers(&self) -> &Containers {
        let Running::Cluster(cluster) = &self.running else { panic!("there is no cluster") };
        cluster.containers.as_ref().expect("the workers are containers")
    }

    /// SIGKILL, and a new one on the same data; of a cluster: all gateways, supervisors and workers.
    #[must_use]
    pub fn killed_and_restarted(mut self) -> Self {
        if let Running::Cluster(cluster) = &mut self.running {
            cluster.restart();
            // One that keeps no connection to what was killed.
            self.client = Client::new(&self.url, self.start.key.as_deref());
            return self;
        }
        self.kill();
        self.start.clone().start()
    }

    pub fn kill(&mut self) {
        if let Running::One(process) = &mut self.running {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// SIGTERM; answers the exit status.
    ///
    /// # Panics
    /// When it takes longer than 20 seconds.
    pub fn terminate(&mut self) -> std::process::ExitStatus {
        let sent = Command::new("kill").arg(self.pid().to_string()).status().unwrap();
        assert!(sent.success());
        let deadline = Instant::now() + Duration::from_secs(20);
        let Running::One(process) = &mut self.running else { panic!("a cluster has no exit status") };
        loop {
            if let Some(status) = process.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the server does not stop");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Memory that is resident now, in KiB.
    #[must_use]
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
