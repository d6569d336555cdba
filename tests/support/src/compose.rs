//! A cluster as `compose.yaml` starts it: a project of a test's own on this machine's engine, removed when the test ends.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use crate::client::Client;
use crate::{containers, nats};

/// The image of NATS has it for its health check.
const WGET: &str =
    "#!/bin/sh\nfor url; do :; done\nexec curl --silent --show-error --fail --output /dev/null \"$url\"\n";

pub struct Project {
    name: String,
    folder: TempDir,
    port: u16,
    key: String,
    settings: Vec<(String, String)>,
}

impl Project {
    /// Whether the Docker client has `compose`.
    #[must_use]
    pub fn is_possible() -> bool {
        let asked = Command::new("docker").args(["compose", "version"]).output();
        asked.is_ok_and(|output| output.status.success())
    }

    /// Makes images around `program` and what sandboxes of tests are made of, and starts all that `repository`'s file has.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn up(repository: &Path, program: &Path, settings: &[(&str, &str)]) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
        let folder = tempfile::tempdir().expect("a temporary folder");
        // `.env` of who runs the test is not for it.
        fs::create_dir(folder.path().join("deploy")).expect("a folder");
        for file in ["compose.yaml", "deploy/nats.conf"] {
            fs::copy(repository.join(file), folder.path().join(file)).expect("a copy");
        }
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let mut project = Self {
            name: format!("test{:x}", now.as_nanos()),
            folder,
            port: free.expect("a free port").port(),
            key: String::new(),
            settings: settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        };
        project.make_images(repository, program);
        project.compose(&["up", "--detach", "--wait", "--no-build"]);
        project.compose(&["run", "--rm", "-T", "key"]).trim().clone_into(&mut project.key);
        project
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// With its session key.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(&format!("http://127.0.0.1:{}", self.port), Some(&self.key))
    }

    /// What `docker compose` prints.
    ///
    /// # Panics
    /// When it fails.
    pub fn compose(&self, arguments: &[&str]) -> String {
        told(self.ask(arguments), arguments)
    }

    /// The container of a part, by its whole id.
    #[must_use]
    pub fn part(&self, service: &str) -> String {
        self.compose(&["ps", "--all", "--quiet", "--no-trunc", service]).trim().to_owned()
    }

    /// The workers' containers that run, each with when it began to.
    #[must_use]
    pub fn workers(&self) -> Vec<String> {
        let label = format!("label=io.manyhands.cluster={}", self.name);
        let ids = docker(&["ps", "--quiet", "--no-trunc", "--filter", &label]);
        let asked =
            ["inspect", "--format", "{{.Id}} {{.State.StartedAt}}"].into_iter().chain(ids.split_whitespace());
        if ids.trim().is_empty() {
            return Vec::new();
        }
        sorted(&docker(&asked.collect::<Vec<_>>()))
    }

    /// Every container, volume and network of it, by name.
    #[must_use]
    pub fn things(&self) -> Vec<String> {
        let mut all = Vec::new();
        for key in ["com.docker.compose.project", "io.manyhands.cluster"] {
            let label = format!("label={key}={}", self.name);
            all.extend(sorted(&docker(&[
                "ps",
                "--all",
                "--no-trunc",
                "--filter",
                &label,
                "--format",
                "{{.ID}} {{.Names}}",
            ])));
            all.extend(sorted(&docker(&["volume", "ls", "--quiet", "--filter", &label])));
            all.extend(sorted(&docker(&[
                "network",
                "ls",
                "--no-trunc",
                "--filter",
                &label,
                "--format",
                "{{.ID}} {{.Name}}",
            ])));
        }
        all
    }

    /// As an operator takes it down for good.
    ///
    /// # Panics
    /// When a step fails.
    pub fn down(&self) {
        self.compose(&["stop", "supervisor"]);
        self.compose(&["run", "--rm", "-T", "supervisor", "end"]);
        self.compose(&["down", "--volumes"]);
    }

    fn ask(&self, arguments: &[&str]) -> Output {
        let mut client = Command::new("docker");
        for (name, _) in std::env::vars()
            .filter(|(name, _)| ["OH_", "COMPOSE_"].iter().any(|start| name.starts_with(start)))
        {
            client.env_remove(name);
        }
        client.args(["compose", "--project-name", &self.name, "--project-directory"]).arg(self.folder.path());
        client.arg("--progress=quiet").args(arguments).stdin(Stdio::null());
        client
            .env("MANYHANDS_PORT", format!("127.0.0.1:{}", self.port))
            .env("MANYHANDS_BASE_NATS", self.image("nats"));
        let socket = std::env::var("DOCKER_HOST").unwrap_or_default();
        if let Some(socket) = socket.strip_prefix("unix://") {
            client.env("DOCKER_SOCKET", socket);
        }
        client.envs(containers::runtime().map(|runtime| ("OH_SANDBOX_RUNTIME", runtime)));
        client.envs(self.settings.iter().map(|(name, value)| (name, value)));
        client.output().expect("there is a docker client")
    }

    fn image(&self, part: &str) -> String {
        format!("{}-{part}", self.name)
    }

    fn make_images(&self, repository: &Path, program: &Path) {
        let context = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| context.path().join(name);
        // Symbols are most of a program that was built for tests.
        let small = Command::new("strip").arg("-o").arg(at("manyhands")).arg(program).status();
        assert!(small.is_ok_and(|status| status.success()), "the program is copied");
        fs::write(at("ca-certificates.crt"), "").expect("a file");
        fs::create_dir(at("empty")).expect("a folder");
        fs::copy(nats::program(), at("nats-server")).expect("a copy of nats-server");
        fs::write(at("wget"), WGET).expect("a file");
        let recipe =
            fs::read_to_string(repository.join("deploy/Dockerfile.binary")).expect("the recipe is there");
        // A program that was built for tests needs libraries.
        let recipe = recipe.replace("FROM scratch AS control", "FROM ${TOOLS} AS control");
        let nats = "FROM ${TOOLS} AS nats\nCOPY nats-server wget /usr/local/bin/\nRUN chmod 755 /usr/local/bin/*\n\
             ENTRYPOINT [\"nats-server\"]\n";
        fs::write(at("Dockerfile"), format!("{recipe}\n{nats}")).expect("a file");
        let (tools, context) = (containers::image(), context.path().display().to_string());
        for (target, tag) in [("control", self.name.clone()), ("nats", self.image("nats"))] {
            let argument = format!("TOOLS={tools}");
            docker(&[
                "build",
                "--quiet",
                "--target",
                target,
                "--build-arg",
                &argument,
                "--tag",
                &tag,
                &context,
            ]);
        }
        docker(&["tag", &tools, &self.image("worker")]);
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let said = self.ask(&["logs", "--tail", "50", "supervisor", "gateway"]);
            eprintln!("{}", String::from_utf8_lossy(&said.stdout));
        }
        // However far it came; of what a test has taken down nothing is found.
        self.ask(&["stop", "supervisor"]);
        for (list, remove) in [(["ps", "--all"], ["rm", "-fv"]), (["volume", "ls"], ["volume", "rm"])] {
            let label = format!("label=io.manyhands.cluster={}", self.name);
            let found = Command::new("docker").args(list).args(["--quiet", "--filter", &label]).output();
            let found =
                found.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
            for name in found.split_whitespace() {
                let _ = Command::new("docker").args(remove).arg(name).output();
            }
        }
        self.ask(&["--profile", "*", "down", "--volumes"]);
        for image in [self.name.clone(), self.image("nats"), self.image("worker")] {
            let _ = Command::new("docker").args(["image", "rm", "--force", &image]).output();
        }
    }
}

/// Where containers reach this machine.
///
/// # Panics
/// When the engine does not say it.
#[must_use]
pub fn host() -> String {
    let format = "{{with index .IPAM.Config 0}}{{or .Gateway .Subnet}}{{end}}";
    let told = docker(&["network", "inspect", "bridge", "--format", format]);
    // An engine that has just begun tells the network alone, whose first address it takes.
    match told.trim().split_once(".0/") {
        Some((network, _)) => format!("{network}.1"),
        None => told.trim().to_owned(),
    }
}

/// What `docker` prints.
///
/// # Panics
/// When it fails.
pub fn docker(arguments: &[&str]) -> String {
    told(Command::new("docker").args(arguments).output().expect("there is a docker client"), arguments)
}

fn told(output: Output, asked: &[&str]) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "docker {asked:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn sorted(lines: &str) -> Vec<String> {
    let mut all: Vec<_> = lines.lines().map(|line| line.trim().to_owned()).collect();
    all.sort();
    all
}
