//! A cluster of processes in a temporary folder: NATS with authentication, two gateways behind one address,
//! and a supervisor whose workers are its children.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use crate::nats::Nats;
use crate::server::until_ready;

const GATEWAYS: usize = 2;

/// Dropping it kills all of it.
pub struct Cluster {
    program: PathBuf,
    folder: PathBuf,
    variables: Vec<(String, String)>,
    pub nats: Nats,
    pub gateways: Vec<Gateway>,
    supervisor: Child,
    address: SocketAddr,
}

pub struct Gateway {
    process: Child,
    pub url: String,
}

impl Cluster {
    /// Makes keys and starts every part. Without `with_key` everybody may use it.
    ///
    /// # Panics
    /// When a part does not start.
    #[must_use]
    pub fn start(program: &Path, folder: &Path, variables: &[(String, String)], with_key: bool) -> Self {
        let keys = folder.join("keys");
        let accounts = folder.join("accounts");
        let mut making = command(program, folder, variables);
        making.arg("init").arg("--dir").arg(&keys).arg("--accounts-dir").arg(&accounts);
        let made = making.stdout(Stdio::null()).status().expect("the program starts");
        assert!(made.success(), "no keys were made");
        if !with_key {
            // That it is gone is all that counts.
            let _ = std::fs::remove_file(keys.join("gateway/session_key"));
        }
        let accounts = std::fs::read_to_string(keys.join("nats/auth.conf")).expect("the accounts were made");
        let nats = Nats::launch(&accounts);
        let mut variables = variables.to_vec();
        let mut set = |name: &str, value: String| {
            if !variables.iter().any(|(known, _)| known == name) {
                variables.push((name.to_owned(), value));
            }
        };
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        set("OH_NATS_URL", nats.url());
        set("OH_KEYS_DIR", text(keys));
        set("OH_WORKSPACES_ROOT", text(folder.join("workspace")));
        set("OH_SANDBOX_ROOT", text(folder.join("sandboxes")));
        set("OH_SANDBOX_DRIVER", "process".to_owned());
        set("OH_ALLOW_PRIVATE_MODEL_HOSTS", "1".to_owned());
        let gateways: Vec<_> = (0..GATEWAYS).map(|_| Gateway::start(program, folder, &variables)).collect();
        let supervisor = supervise(program, folder, &variables);
        let address = balance(gateways.iter().map(Gateway::address).collect()).expect("a free port");
        Self {
            program: program.to_owned(),
            folder: folder.to_owned(),
            variables,
            nats,
            gateways,
            supervisor,
            address,
        }
    }

    /// Of both gateways: connections go to them in turns.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// # Panics
    /// Never: there are gateways.
    #[must_use]
    pub fn gateway_pid(&self) -> u32 {
        self.gateways[0].process.id()
    }

    /// The supervisor's process.
    #[must_use]
    pub fn supervisor_pid(&self) -> u32 {
        self.supervisor.id()
    }

    /// SIGKILL, and a new one. Workers are its children, and end with it.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart_supervisor(&mut self) {
        end(&mut self.supervisor);
        self.supervisor = supervise(&self.program, &self.folder, &self.variables);
    }

    /// The processes of the workers that run now.
    #[must_use]
    pub fn workers(&self) -> Vec<u32> {
        children_of(self.supervisor.id())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let workers = self.workers();
        end(&mut self.supervisor);
        for worker in workers {
            // A negative number names the process group.
            let _ = Command::new("kill")
                .args(["-KILL", "--", &format!("-{worker}")])
                .stderr(Stdio::null())
                .status();
        }
        for gateway in &mut self.gateways {
            end(&mut gateway.process);
        }
    }
}

impl Gateway {
    fn start(program: &Path, folder: &Path, variables: &[(String, String)]) -> Self {
        let mut command = command(program, folder, variables);
        command.args(["gateway", "--host", "127.0.0.1", "--port", "0"]);
        let (process, url) = until_ready(command);
        Self { process, url }
    }

    fn address(&self) -> SocketAddr {
        self.url.trim_start_matches("http://").parse().expect("the address of a gateway")
    }
}

fn supervise(program: &Path, folder: &Path, variables: &[(String, String)]) -> Child {
    command(program, folder, variables).arg("supervisor").spawn().expect("the supervisor starts")
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

fn end(process: &mut Child) {
    let _ = process.kill();
    let _ = process.wait();
}

fn children_of(parent: u32) -> Vec<u32> {
    let path = format!("/proc/{parent}/task");
    let Ok(threads) = std::fs::read_dir(path) else { return Vec::new() };
    let lists =
        threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// One address for several: each connection goes to the next of them.
fn balance(backends: Vec<SocketAddr>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for (client, backend) in listener.incoming().zip(backends.iter().cycle()) {
            if let (Ok(client), Ok(server)) = (client, TcpStream::connect(backend)) {
                join(client, server);
            }
        }
    });
    Ok(address)
}

fn join(client: TcpStream, server: TcpStream) {
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true);
    }
    let (Ok(client_too), Ok(server_too)) = (client.try_clone(), server.try_clone()) else { return };
    thread::spawn(move || pump(client, server_too));
    thread::spawn(move || pump(server, client_too));
}

fn pump(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
