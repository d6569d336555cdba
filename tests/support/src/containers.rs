//! Workers of a test's cluster as containers without a network, removed when the test ends.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::engine::Engine;
use crate::process::{Process, children_of};

/// What [`crate::cluster::Cluster::start`] is given, so that its supervisors start containers; and their door
/// to NATS.
pub struct Containers {
    name: String,
    door: Option<Process>,
    /// Of the test's own; `None`: this machine's.
    pub engine: Option<Engine>,
}

impl Containers {
    /// On this machine's engine.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn prepare() -> Self {
        Self::prepare_on(None)
    }

    /// On an engine that ends with them.
    ///
    /// # Panics
    /// When there can be none, or it does not start.
    #[must_use]
    pub fn prepare_apart() -> Self {
        Self::prepare_on(Some(Engine::start(&image())))
    }

    fn prepare_on(engine: Option<Engine>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
        let name = format!("test{:x}", now.as_nanos());
        let containers = Self { name, door: None, engine };
        let door = containers.volume("door");
        containers.docker(&["volume", "create", "--label", &containers.label(), &door]);
        containers
    }

    /// Lets workers reach NATS, and the collector of spans if there is one. `program`: with the cluster's settings.
    ///
    /// # Panics
    /// When the program does not start.
    pub(crate) fn open_door(&mut self, mut program: Command) {
        program.arg("door").arg("--socket").arg(self.folder_of("door").join("nats.sock"));
        self.door = Some(Process::start(&mut program));
    }

    /// For supervisors and gateways.
    pub(crate) fn variables(&self, program: &Path) -> Vec<(String, String)> {
        let set = [
            ("OH_SANDBOX_DRIVER", "docker".to_owned()),
            ("OH_CLUSTER", self.name.clone()),
            ("OH_CONVERSATION_IMAGE", image()),
            ("OH_WORKER_BINARY", program.to_string_lossy().into_owned()),
            ("OH_WORKER_NATS_URL", "unix:///door/nats.sock".to_owned()),
            ("OH_SANDBOX_DOOR", self.volume("door")),
            ("OH_WORKSPACES_ROOT", "/workspace".to_owned()),
        ];
        let host = self.engine.as_ref().map(|engine| ("DOCKER_HOST", engine.host()));
        // An engine that a test starts has its own alone.
        let runtime = runtime().filter(|_| self.engine.is_none()).map(|name| ("OH_SANDBOX_RUNTIME", name));
        set.into_iter().chain(host).chain(runtime).map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The names of the workers' containers that run.
    #[must_use]
    pub fn running(&self) -> Vec<String> {
        lines(&self.docker(&["ps", "--format", "{{.Names}}", "--filter", &self.filter()]))
    }

    /// The names of all containers of the cluster, whether they run or not.
    #[must_use]
    pub fn all(&self) -> Vec<String> {
        lines(&self.docker(&["ps", "--all", "--format", "{{.Names}}", "--filter", &self.filter()]))
    }

    /// The first process of each container that runs.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        let running = self.running();
        let asked = running.iter().map(String::as_str);
        let inspect = ["inspect", "--format", "{{.State.Pid}}"];
        // Those that have ended since are left out, or have no process.
        let told = self.ask(&inspect.into_iter().chain(asked).collect::<Vec<_>>()).stdout;
        let pids = lines(&String::from_utf8_lossy(&told));
        pids.iter().filter_map(|pid| pid.parse().ok()).filter(|pid| *pid > 0).collect()
    }

    /// Where Docker keeps a volume of the cluster: `door`, or a sandbox's id.
    #[must_use]
    pub fn folder_of(&self, volume: &str) -> PathBuf {
        let name = self.volume(volume);
        self.docker(&["volume", "inspect", "--format", "{{.Mountpoint}}", &name]).trim().into()
    }

    /// The volumes of the cluster: those of sandboxes, and two more.
    #[must_use]
    pub fn volumes(&self) -> Vec<String> {
        lines(&self.docker(&["volume", "ls", "-q", "--filter", &self.filter()]))
    }

    /// The volumes of sandboxes alone.
    #[must_use]
    pub fn sandboxes(&self) -> Vec<String> {
        let (mut volumes, others) = (self.volumes(), ["bin-", "door"].map(|name| self.volume(name)));
        volumes.retain(|volume| !others.iter().any(|other| volume.starts_with(other)));
        volumes
    }

    /// What `docker` prints.
    ///
    /// # Panics
    /// When it fails.
    pub fn docker(&self, arguments: &[&str]) -> String {
        let output = self.ask(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {arguments:?}: {errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Processes that have nobody else to end them: the door, the engine, and what holds containers that run, or nothing: an engine
    /// that is killed leaves such.
    pub(crate) fn helpers(&self) -> Vec<u32> {
        let ids = lines(&self.docker(&["ps", "--quiet", "--no-trunc", "--filter", &self.filter()]));
        let mut helpers: Vec<_> = self.door.iter().map(Process::pid).collect();
        if let Some(engine) = &self.engine {
            helpers.extend(engine.processes());
            let holders = engine.holders().into_iter();
            let runs = |command: &str| ids.iter().any(|id| command.contains(id));
            let is_known = |(pid, command): &(u32, String)| runs(command) || children_of(*pid).is_empty();
            helpers.extend(holders.filter(is_known).map(|(pid, _)| pid));
        }
        helpers
    }

    fn ask(&self, arguments: &[&str]) -> Output {
        let mut client = Command::new("docker");
        if let Some(engine) = &self.engine {
            client.env("DOCKER_HOST", engine.host());
        }
        client.args(arguments).output().expect("there is a docker client")
    }

    fn volume(&self, name: &str) -> String {
        format!("mh-{}-{name}", self.name)
    }

    fn label(&self) -> String {
        format!("io.manyhands.cluster={}", self.name)
    }

    fn filter(&self) -> String {
        format!("label={}", self.label())
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        if self.engine.is_some() {
            return;
        }
        // Some may be going by themselves.
        for container in self.all() {
            self.ask(&["rm", "-fv", &container]);
        }
        for volume in self.volumes() {
            self.ask(&["volume", "rm", "-f", &volume]);
        }
    }
}

/// What sandboxes of tests are made of.
pub(crate) fn image() -> String {
    std::env::var("MANYHANDS_TEST_IMAGE").unwrap_or("debian:bookworm-slim".to_owned())
}

/// Under what they run, if not under what the engine has for all: see `tests/docker/runsc.sh`.
#[must_use]
pub fn runtime() -> Option<String> {
    std::env::var("MANYHANDS_TEST_RUNTIME").ok()
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}
