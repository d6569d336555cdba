//! What the scripts of tests and images do to the machine that they find.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A folder with programs that come before all others, and a cache of the test's own.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("bin")).unwrap();
        fs::create_dir_all(folder.path().join("cache/manyhands")).unwrap();
        Self(folder)
    }

    fn with(self, program: &str, script: &str) -> Self {
        let path = self.0.path().join("bin").join(program);
        fs::write(&path, format!("#!/bin/bash\n{script}\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn cache(&self) -> PathBuf {
        self.0.path().join("cache/manyhands")
    }

    fn notes(&self) -> String {
        fs::read_to_string(self.0.path().join("notes")).unwrap_or_default()
    }

    fn run(&self, script: &str, arguments: &[&str]) -> Output {
        let path = format!("{}:{}", self.0.path().join("bin").display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(Path::new(ROOT).join(script));
        command.args(arguments).env("PATH", path).env("NOTES", self.0.path().join("notes"));
        command.env("XDG_CACHE_HOME", self.0.path().join("cache"));
        command.env_remove("MANYHANDS_NATS_SERVER").env_remove("MANYHANDS_TEST_IMAGE");
        command.output().unwrap()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Every Python is too old, so that nothing is fetched.
const NO_PYTHON: &str = "exit 1";

#[test]
fn what_the_search_path_calls_a_nats_server_is_not_taken_for_one() {
    let machine = Machine::new().with("nats-server", "echo nats-server: v2.15.1").with("python3", NO_PYTHON);
    let kept = machine.cache().join("nats-server");
    fs::write(&kept, "#!/bin/bash\necho nats-server: v2.15.1\n").unwrap();
    fs::set_permissions(&kept, Permissions::from_mode(0o755)).unwrap();
    let found = machine.run("tests/nats/environment.sh", &[]);
    assert_eq!(said(&found), kept.display().to_string());
    fs::write(&kept, "#!/bin/bash\necho nats-server: v2.11.0\n").unwrap();
    let machine = ["python3.14", "python3.13", "python3.12", "python3.11", "python3.10"]
        .iter()
        .fold(machine, |machine, python| machine.with(python, NO_PYTHON));
    let output = Command::new(Path::new(ROOT).join("tests/nats/environment.sh"))
        .env("PATH", format!("{}:/usr/bin:/bin", machine.0.path().join("bin").display()))
        .env("XDG_CACHE_HOME", machine.0.path().join("cache"))
        .env("PYENV_ROOT", machine.0.path())
        .env_remove("MANYHANDS_NATS_SERVER")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains("python3-venv"), "{told}");
    assert_eq!(said(&output), "");
}

#[test]
fn the_end_of_tests_ends_no_process_that_only_has_a_number_of_before() {
    let machine = Machine::new().with("docker", "exit 1");
    let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", other.id())).unwrap();
    let begin = stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().to_owned();
    let lines = [
        format!("{}\n", other.id()),
        format!("{} {} 1\n", boot.trim(), other.id()),
        format!("{} {} {begin}\n", boot.trim(), other.id()),
    ];
    for line in lines {
        for file in ["dockerd.pid", "dockerd.started"] {
            fs::write(machine.cache().join(file), &line).unwrap();
        }
        assert!(machine.run("tests/docker/environment.sh", &["stop"]).status.success());
        assert!(other.try_wait().unwrap().is_none(), "it was ended by {line}");
    }
    other.kill().unwrap();
    other.wait().unwrap();
}

#[tokio::test]
async fn an_engine_goes_on_as_long_as_somebody_uses_it_and_ends_then() {
    let machine = Machine::new().with("docker", "exit 1");
    // A process by that name.
    let engine = machine.0.path().join("dockerd");
    fs::copy("/bin/sleep", &engine).unwrap();
    let mut engine = Command::new(engine).arg("1000").spawn().unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", engine.id())).unwrap();
    let begin = stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().to_owned();
    let started = format!("{} {} {begin}\n", boot.trim(), engine.id());
    fs::write(machine.cache().join("dockerd.started"), started).unwrap();
    let users = said(&machine.run("tests/docker/environment.sh", &["users"]));
    let used = fs::File::create(users).unwrap();
    used.lock_shared().unwrap();
    machine.run("tests/docker/environment.sh", &["stop"]);
    assert!(engine.try_wait().unwrap().is_none(), "another run uses it");
    drop(used);
    machine.run("tests/docker/environment.sh", &["stop"]);
    testing::until(async || engine.try_wait().unwrap().is_some()).await;
}

#[test]
fn base_images_take_no_name_that_is_anothers() {
    let machine = Machine::new()
        .with(
            "docker",
            r#"echo "$@" >> "$NOTES"; case "$1 $2" in "image inspect") exit 1 ;; esac; cat > /dev/null"#,
        )
        .with("debootstrap", r#"mkdir -p "${@: -1}/etc/ssl/certs""#)
        .with("rustc", "echo /usr");
    let made = machine.run("deploy/base-images.sh", &["debian"]);
    assert_eq!(said(&made), "MANYHANDS_BASE_DEBIAN=manyhands-base-debian");
    let rust = machine.run("deploy/base-images.sh", &["rust"]);
    let told = String::from_utf8_lossy(&rust.stderr);
    assert!(!rust.status.success() && told.contains("/usr is no toolchain"), "{told}");
    let notes = machine.notes();
    assert!(notes.contains("import - manyhands-base-debian"), "{notes}");
    let makes = notes.lines().filter(|line| !line.starts_with("image inspect"));
    for line in makes {
        let named = line.split(' ').filter(|word| word.contains("debian") || word.contains("rust"));
        assert!(named.clone().all(|name| name.starts_with("manyhands-base-")), "{line}");
    }
}

#[test]
fn what_is_installed_for_tests_is_the_same_on_every_day() {
    let listed =
        Command::new("git").args(["ls-files", "tests", "deploy"]).current_dir(ROOT).output().unwrap();
    let files = said(&listed);
    let scripts = files.lines().filter(|file| file.ends_with(".sh"));
    for script in scripts {
        let text = fs::read_to_string(Path::new(ROOT).join(script)).unwrap();
        let text = text.replace("\\\n", " ");
        for install in
            text.lines().filter(|line| line.contains("pip\" install") || line.contains("pip install"))
        {
            assert!(install.contains("--require-hashes"), "{script}: {install}");
        }
    }
    let lists: Vec<_> = files.lines().filter(|file| file.ends_with("requirements.txt")).collect();
    assert!(lists.len() >= 4, "{lists:?}");
    for list in lists {
        let text = fs::read_to_string(Path::new(ROOT).join(list)).unwrap().replace("\\\n", " ");
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            assert!(line.contains("==") && line.contains(" --hash=sha256:"), "{list}: {line}");
        }
    }
}
