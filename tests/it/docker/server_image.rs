//! The image of a server of one process: the peer's own `DockerWorkspace` starts it and works in it
//! (`sdk/docker_workspace.py`).

use std::process::{Command, Stdio};

use testing::may_skip;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/docker_workspace.py");

/// Removed when the test ends.
struct Image(String);

impl Image {
    /// Around the program of this build and what sandboxes of tests are made of.
    fn make() -> Self {
        let context = tempfile::tempdir().unwrap();
        let program = env!("CARGO_BIN_EXE_manyhands");
        let copied = context.path().join("manyhands");
        // Symbols are most of a program that was built for tests.
        let is_small =
            Command::new("strip").args(["-o".as_ref(), copied.as_os_str(), program.as_ref()]).status();
        if !is_small.is_ok_and(|status| status.success()) {
            std::fs::copy(program, &copied).unwrap();
        }
        std::fs::write(context.path().join("ca-certificates.crt"), "").unwrap();
        std::fs::create_dir(context.path().join("empty")).unwrap();
        let tools = std::env::var("MANYHANDS_TEST_IMAGE").unwrap_or("debian:bookworm-slim".to_owned());
        let name = format!("manyhands-server-test:{}", std::process::id());
        let made = Command::new("docker")
            .args(["build", "--quiet", "--target", "server", "--build-arg", &format!("TOOLS={tools}")])
            .args([
                "--file",
                concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/Dockerfile.binary"),
                "--tag",
                &name,
            ])
            .arg(context.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self(name)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["image", "rm", "--force", &self.0]).output();
    }
}

#[test]
fn the_peers_docker_workspace_runs_the_quick_start_in_our_image() {
    let python = crate::sdk::python();
    if python.first().is_some_and(|program| program == "chroot") {
        return may_skip("docker_workspace", "Python is in a root of its own, without a Docker client");
    }
    let image = Image::make();
    let output = Command::new(&python[0])
        .args(&python[1..])
        .args([SCRIPT, &image.0])
        .env_remove("OH_SESSION_API_KEYS_0")
        .env_remove("SESSION_API_KEY")
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("docker_workspace: passed"), "{told}\n{errors}");
    println!("{told}");
}
