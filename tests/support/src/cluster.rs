//! A cluster of processes in a temporary folder: NATS with authentication, two gateways behind one address,
//! and supervisors whose workers are their children, or containers. All of them reach NATS through a proxy.

use std::iter;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Signal, getpid, set_child_subreaper};

use crate::containers::Containers;
use crate::nats::Nats;
use crate::process::{Process, children_of, signal};
use crate::proxy::Proxy;
use crate::server::until_ready;

const GATEWAYS: usize = 2;

/// Dropping it kills all of it: workers end with their supervisor, or are removed.
pub struct Cluster {
    program: PathBuf,
    folder: PathBuf,
    variables: Vec<(String, String)>,
    pub gateways: Vec<Gateway>,
    pub supervisors: Vec<Process>,
    pub nats: Nats,
    /// The two others, where there are three.
    pub other_nats: Vec<Nats>,
    /// Between all parts and NATS.
    pub network: Proxy,
    /// In front of the gateways: connections go to them in turns.
    pub door: Proxy,
    /// What workers are, if they are not children of supervisors. The last field: removed when nobody starts more.
    pub containers: Option<Containers>,
}

pub struct Gateway {
    pub process: Process,
    address: SocketAddr,
}

impl Cluster {
    /// Makes keys and starts every part, with one supervisor. Without `with_key` everybody may use it. `nats_lines`:
    /// more of its server's configuration. With `OH_NATS_REPLICAS` there are three servers, which the parts reach without a proxy.
    ///
    /// # Panics
    /// When a part does not start.
    #[must_use]
    pub fn start(
        program: &Path,
        folder: &Path,
        variables: &[(String, String)],
        nats_lines: &str,
        with_key: bool,
        mut containers: Option<Containers>,
    ) -> Self {
        // Whoever loses its parent becomes a child of the test: see `orphans`.
        set_child_subreaper(Some(getpid())).expect("orphans are adopted");
        let keys = folder.join("keys");
        let has_three = variables.iter().any(|(name, _)| name == "OH_NATS_REPLICAS");
        // Of three each has its own, in its own folder.
        let accounts = if has_three { PathBuf::from("accounts") } else { folder.join("accounts") };
        let mut making = command(program, folder, variables);
        making.arg("init").arg("--dir").arg(&keys).arg("--accounts-dir").arg(&accounts);
        let made = making.stdout(Stdio::null()).status().expect("the program starts");
        assert!(made.success(), "no keys were made");
        if !with_key {
            // That it is gone is all that counts.
            let _ = std::fs::remove_file(keys.join("gateway/session_key"));
        }
        let accounts = std::fs::read_to_string(keys.join("nats/auth.conf")).expect("the accounts were made");
        let lines = format!("{accounts}\n{nats_lines}");
        let mut other_nats = if has_three { Nats::three(&lines) } else { vec![Nats::launch(&lines)] };
        let nats = other_nats.remove(0);
        let network = Proxy::to(vec![([127, 0, 0, 1], nats.port()).into()]).expect("a free port");
        let mut variables = variables.to_vec();
        let mut set = |name: &str, value: String| {
            if !variables.iter().any(|(known, _)| known == name) {
                variables.push((name.to_owned(), value));
            }
        };
        for (name, value) in containers.iter().flat_map(|containers| containers.variables(program)) {
            set(&name, value);
        }
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let ports = iter::once(if has_three { nats.port() } else { network.address().port() });
        set("OH_NATS_URL", urls_of(ports.chain(other_nats.iter().map(Nats::port)), nats_lines));
        set("OH_KEYS_DIR", text(keys));
        set("OH_WORKSPACES_ROOT", text(folder.join("workspace")));
        set("OH_SANDBOX_ROOT", text(folder.join("sandboxes")));
        set("OH_SANDBOX_DRIVER", "process".to_owned());
        set("OH_PRIVATE_ADDRESSES", "allow".to_owned());
        if let Some(containers) = &mut containers {
            containers.open_door(command(program, folder, &variables));
        }
        let gateways: Vec<_> =
            (0..GATEWAYS).map(|_| Gateway::start(command(program, folder, &variables), 0)).collect();
        let door = Proxy::to(gateways.iter().map(|gateway| gateway.address).collect()).expect("a free port");
        let (program, folder) = (program.to_owned(), folder.to_owned());
        let supervisors = Vec::new();
        let mut cluster = Self {
            program,
            folder,
            variables,
            gateways,
            supervisors,
            nats,
            other_nats,
            network,
            door,
            containers,
        };
        cluster.add_supervisor();
        cluster
    }

    /// Of both gateways.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.door.address())
    }

    /// The program as the cluster's operator would run it.
    #[must_use]
    pub fn command(&self) -> Command {
        command(&self.program, &self.folder, &self.variables)
    }

    /// One more; it waits for its turn.
    ///
    /// # Panics
    /// When it does not start.
    pub fn add_supervisor(&mut self) {
        let mut command = command(&self.program, &self.folder, &self.variables);
        self.supervisors.push(Process::start(command.arg("supervisor")));
    }

    /// SIGKILL, and a new one. Its workers end with it unless they are containers.
    ///
    /// # Panics
    /// When there is no such supervisor, or it does not start.
    pub fn restart_supervisor(&mut self, index: usize) {
        drop(self.supervisors.remove(index));
        self.add_supervisor();
    }

    /// SIGKILL, and a new one at the same address.
    ///
    /// # Panics
    /// When there is no such gateway, or it does not start.
    pub fn restart_gateway(&mut self, index: usize) {
        let gateway = &mut self.gateways[index];
        gateway.process.kill();
        let command = command(&self.program, &self.folder, &self.variables);
        *gateway = Gateway::start(command, gateway.address.port());
    }

    /// SIGKILL to every gateway, supervisor and worker, and new ones.
    ///
    /// # Panics
    /// When one does not start.
    pub fn restart(&mut self) {
        let workers = self.workers();
        for index in 0..self.supervisors.len() {
            self.supervisors[index].kill();
        }
        workers.into_iter().for_each(|worker| signal(worker, Signal::KILL));
        for index in 0..self.gateways.len() {
            self.restart_gateway(index);
        }
        for _ in 0..self.supervisors.len() {
            self.restart_supervisor(0);
        }
    }

    /// One process of each worker that runs now: without it, the worker has ended.
    #[must_use]
    pub fn workers(&self) -> Vec<u32> {
        match &self.containers {
            Some(containers) => containers.processes(),
            None => self.supervisors.iter().flat_map(|supervisor| children_of(supervisor.pid())).collect(),
        }
    }

    /// The folder that holds those of workspaces, as workers see it.
    ///
    /// # Panics
    /// Never: the variable is set.
    #[must_use]
    pub fn workspaces(&self) -> &Path {
        let root = self.variables.iter().find(|(name, _)| name == "OH_WORKSPACES_ROOT");
        root.expect("the root of workspaces is set").1.as_ref()
    }

    /// Processes of killed parts that have not ended.
    #[must_use]
    pub fn orphans(&self) -> Vec<u32> {
        let gateways = self.gateways.iter().map(|gateway| gateway.process.pid());
        let supervisors = self.supervisors.iter().map(Process::pid);
        let helpers = self.containers.iter().flat_map(Containers::helpers);
        let servers = iter::once(&self.nats).chain(&self.other_nats).map(Nats::pid);
        let known: Vec<_> = gateways.chain(supervisors).chain(servers).chain(helpers).collect();
        let mut orphans = children_of(std::process::id());
        orphans.retain(|pid| !known.contains(pid));
        orphans
    }
}

impl Gateway {
    /// Of this one alone.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn start(mut command: Command, port: u16) -> Self {
        command.args(["gateway", "--host", "127.0.0.1", "--port", &port.to_string()]);
        let (process, url) = until_ready(command);
        let address = url.trim_start_matches("http://").parse().expect("the address of a gateway");
        Self { process: Process::of(process), address }
    }
}

/// Certificates are for names.
fn urls_of(ports: impl Iterator<Item = u16>, nats_lines: &str) -> String {
    let server = if nats_lines.contains("tls {") { "tls://localhost" } else { "nats://127.0.0.1" };
    ports.map(|port| format!("{server}:{port}")).collect::<Vec<_>>().join(",")
}

fn command(program: &Path, folder: &Path, variables: &[(String, String)]) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OH_") || name == "SESSION_API_KEY")
    {
        command.env_remove(name);
    }
    command.env("LOG_LEVEL", "warn").env_remove("CI").envs(variables.iter().map(|(k, v)| (k, v)));
    command
}
