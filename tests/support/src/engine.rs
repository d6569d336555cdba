//! A Docker engine of a test's own, which it may kill: its data, its sockets and its processes are nobody else's.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Signal, geteuid};
use tempfile::TempDir;

use crate::process::{Process, children_of, signal};

/// What it may take to end containers, or to find out which have ended.
const PATIENCE: Duration = Duration::from_secs(60);
const DATA: &str = "data";

/// Dropping it ends it, with its containers, and removes all that it kept.
pub struct Engine {
    dockerd: Process,
    containerd: Process,
    folder: TempDir,
}

impl Engine {
    /// Whether one can be started here: it takes root and the programs.
    #[must_use]
    pub fn is_possible() -> bool {
        let is_there =
            |program| Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok();
        geteuid().is_root() && ["dockerd", "containerd", "unshare"].into_iter().all(is_there)
    }

    /// With no image but `image`, which it gets from the engine that runs. Its containers have no network.
    ///
    /// # Panics
    /// When it does not start, or there is no such image.
    #[must_use]
    pub fn start(image: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        mount_memory(&folder.path().join(DATA));
        let containerd = start_containerd(folder.path());
        let dockerd = start_dockerd(folder.path());
        let engine = Self { dockerd, containerd, folder };
        engine.until_up();
        engine.load(image);
        engine
    }

    /// For `DOCKER_HOST`.
    #[must_use]
    pub fn host(&self) -> String {
        host(self.folder.path())
    }

    /// Ends the engine with this signal and starts it again. Without a chance to end its containers (SIGKILL)
    /// it leaves them running until it is there again.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&mut self, how: Signal) {
        self.dockerd.end(how, PATIENCE);
        self.dockerd = start_dockerd(self.folder.path());
        self.until_up();
    }

    /// Those that hold one container each, whose parents they are: with their command lines.
    #[must_use]
    pub fn holders(&self) -> Vec<(u32, String)> {
        let folder = self.folder.path().to_string_lossy();
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let commands = pids.filter_map(|pid: u32| {
            Some((pid, fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?.replace('\0', " ")))
        });
        commands.filter(|(_, command)| command.contains(" -id ") && command.contains(&*folder)).collect()
    }

    /// Answers what held them.
    fn kill_containers(&self) -> Vec<u32> {
        let holders: Vec<_> = self.holders().into_iter().map(|(pid, _)| pid).collect();
        holders.iter().flat_map(|holder| children_of(*holder)).for_each(|pid| signal(pid, Signal::KILL));
        holders
    }

    /// Its own processes, which have nobody else to end them.
    #[must_use]
    pub fn processes(&self) -> [u32; 2] {
        [self.dockerd.pid(), self.containerd.pid()]
    }

    fn until_up(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut asking = Command::new("docker");
        asking.args(["--host", &self.host(), "version"]).stdout(Stdio::null()).stderr(Stdio::null());
        while !asking.status().is_ok_and(|status| status.success()) {
            assert!(Instant::now() < deadline, "the engine does not answer: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn load(&self, image: &str) {
        let saving = Command::new("docker").args(["save", image]).stdout(Stdio::piped()).spawn();
        let mut saving = saving.expect("there is a docker client");
        let mut loading = Command::new("docker");
        loading.args(["--host", &self.host(), "load", "--quiet"]).stdin(saving.stdout.take().expect("piped"));
        let loaded = loading.stdout(Stdio::null()).status().expect("there is a docker client");
        assert!(saving.wait().is_ok_and(|saved| saved.success()) && loaded.success(), "no image {image}");
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("dockerd.log")).unwrap_or_default()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It would ask its containers to end, and wait.
        self.kill_containers();
        self.dockerd.end(Signal::TERM, PATIENCE);
        // What has begun meanwhile, or was left by an engine that was killed.
        self.kill_containers().into_iter().for_each(|holder| signal(holder, Signal::KILL));
        self.containerd.end(Signal::TERM, PATIENCE);
        unmount_below(self.folder.path());
    }
}

fn host(folder: &Path) -> String {
    format!("unix://{}", folder.join("docker.sock").display())
}

/// Of its own, so that containers outlive an engine that is killed, as they do where a system starts the two.
fn start_containerd(folder: &Path) -> Process {
    let at = |name: &str| folder.join(name).display().to_string();
    let configuration = format!(
        "version = 2\nroot = {:?}\nstate = {:?}\n\
         disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.nri.v1.nri\"]\n\
         [grpc]\naddress = {:?}\n[plugins.\"io.containerd.internal.v1.opt\"]\npath = {:?}\n",
        at("containerd"),
        at("containerd-run"),
        at("containerd.sock"),
        at("opt")
    );
    fs::write(at("containerd.toml"), configuration).expect("the configuration is written");
    start(Command::new("containerd").args(["--config", &at("containerd.toml")]), folder, "containerd.log")
}

fn start_dockerd(folder: &Path) -> Process {
    let at = |name: &str| folder.join(name).display().to_string();
    fs::write(at("daemon.json"), "{}").expect("the configuration is written");
    // In a network of its own: with none it would remove the bridge of this machine's engine, which has its name.
    let mut command = Command::new("unshare");
    command.args(["--net", "dockerd", "--bridge=none", "--iptables=false", "--ip6tables=false"]);
    for (option, value) in [
        ("--config-file", at("daemon.json")),
        ("--containerd", at("containerd.sock")),
        ("--data-root", at(DATA)),
        ("--exec-root", at("run")),
        ("--pidfile", at("docker.pid")),
        ("--host", host(folder)),
    ] {
        command.arg(option).arg(value);
    }
    start(&mut command, folder, "dockerd.log")
}

fn start(command: &mut Command, folder: &Path, log: &str) -> Process {
    let log = File::options().create(true).append(true).open(folder.join(log)).expect("a log");
    Process::start(command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log))
}

/// An image has thousands of files: on a disk it would take longer to come and go than the test.
fn mount_memory(at: &Path) {
    fs::create_dir(at).expect("a folder");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4g", "tmpfs"]).arg(at).status();
    assert!(mounted.is_ok_and(|status| status.success()), "no file system in memory");
}

fn unmount_below(folder: &Path) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    for point in points.rev().filter(|point| Path::new(point).starts_with(folder)) {
        let _ = Command::new("umount").args(["-l", point]).status();
    }
}
