//! Workers of a test's cluster as containers of this machine's Docker, without a network, removed when the test
//! ends.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::cluster::Cluster;

/// What [`Cluster::start`] is told, so that its supervisor starts containers; and their door to NATS.
pub struct Containers {
    name: String,
    door: Option<Child>,
}

impl Containers {
    /// # Panics
    /// When Docker does not answer.
    #[must_use]
    pub fn prepare() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
        let name = format!("test{:x}", now.as_nanos());
        docker(&["volume", "create", "--label", &label(&name), &format!("mh-{name}-door")]);
        Self { name, door: None }
    }

    /// A cluster of processes whose workers are containers.
    ///
    /// # Panics
    /// When a part does not start.
    #[must_use]
    pub fn cluster(
        &mut self,
        program: &Path,
        folder: &Path,
        variables: &[(String, String)],
        with_key: bool,
    ) -> Cluster {
        let mut all = variables.to_vec();
        all.extend(self.variables(program));
        let cluster = Cluster::start(program, folder, &all, with_key);
        let mut door = Command::new(program);
        door.arg("door").arg("--socket").arg(self.folder_of("door").join("nats.sock"));
        door.env("OH_NATS_URL", cluster.nats.url()).env("LOG_LEVEL", "warn").stdin(Stdio::null());
        self.door = Some(door.spawn().expect("the door opens"));
        cluster
    }

    fn variables(&self, program: &Path) -> Vec<(String, String)> {
        let image = std::env::var("MANYHANDS_TEST_IMAGE").unwrap_or("debian:bookworm-slim".to_owned());
        let set = [
            ("OH_SANDBOX_DRIVER", "docker".to_owned()),
            ("OH_CLUSTER", self.name.clone()),
            ("OH_CONVERSATION_IMAGE", image),
            ("OH_WORKER_BINARY", program.to_string_lossy().into_owned()),
            ("OH_WORKER_NATS_URL", "unix:///door/nats.sock".to_owned()),
            ("OH_SANDBOX_DOOR", format!("mh-{}-door", self.name)),
            ("OH_WORKSPACES_ROOT", "/workspace".to_owned()),
        ];
        set.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// The names of the workers' containers that run.
    #[must_use]
    pub fn running(&self) -> Vec<String> {
        lines(&docker(&["ps", "--format", "{{.Names}}", "--filter", &self.filter()]))
    }

    /// Where Docker keeps a volume of the cluster: `bin`, `door`, or a sandbox's id.
    #[must_use]
    pub fn folder_of(&self, volume: &str) -> PathBuf {
        let name = format!("mh-{}-{volume}", self.name);
        docker(&["volume", "inspect", "--format", "{{.Mountpoint}}", &name]).trim().into()
    }

    /// The volumes of the cluster: those of sandboxes, and two more.
    #[must_use]
    pub fn volumes(&self) -> Vec<String> {
        lines(&docker(&["volume", "ls", "-q", "--filter", &self.filter()]))
    }

    fn filter(&self) -> String {
        format!("label={}", label(&self.name))
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        if let Some(door) = &mut self.door {
            let _ = door.kill();
            let _ = door.wait();
        }
        let left = docker(&["ps", "-aq", "--filter", &self.filter()]);
        for container in lines(&left) {
            docker(&["rm", "-fv", &container]);
        }
        for volume in self.volumes() {
            docker(&["volume", "rm", "-f", &volume]);
        }
    }
}

fn label(cluster: &str) -> String {
    format!("io.manyhands.cluster={cluster}")
}

/// What `docker` prints.
///
/// # Panics
/// When it fails.
pub fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().expect("there is a docker client");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "docker {arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}
