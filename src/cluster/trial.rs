//! `manyhands worker --try`: whether a sandbox can be what this container is, of this image, on this engine and in this
//! runtime. It says what is missing, and ends.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use types::placement::{WorkerSpec, for_clients};

use super::door;

/// For each word of somebody else.
const PATIENCE: Duration = Duration::from_secs(5);

/// # Errors
/// What is missing; it is said as clients would be told.
pub fn run(spec: &WorkerSpec) -> anyhow::Result<ExitCode> {
    let runtime = crate::runtime::start_in_a_sandbox()?;
    let tried = keep(spec).and_then(|()| work(spec)).and_then(|()| runtime.block_on(reach(spec)));
    if let Err(why) = &tried {
        eprintln!("{}", for_clients(&format!("{why:#}")));
    }
    tried.map(|()| ExitCode::SUCCESS)
}

/// The worker's own files.
fn keep(spec: &WorkerSpec) -> anyhow::Result<()> {
    let file = Path::new(&spec.state_dir).join("tried");
    let kept = std::fs::create_dir_all(&spec.state_dir).and_then(|()| std::fs::write(&file, "tried"));
    kept.and_then(|()| std::fs::remove_file(&file)).context("the sandbox keeps no files")
}

/// What commands do, as their user: they write beside each other's files, and run what they have written.
fn work(spec: &WorkerSpec) -> anyhow::Result<()> {
    let folder = Path::new(&spec.project_dir).join(".tried");
    let program = folder.join("program");
    std::fs::create_dir_all(&folder).context("there is no room for a project")?;
    std::fs::write(&program, "exit 0\n")?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    let mut bash = Command::new("bash");
    bash.args(["-c", "echo tried > written && ./program"]).current_dir(&folder);
    if let Some(user) = spec.command_user {
        chown(&folder, Some(user.uid), Some(user.gid))
            .context("files cannot be given to the user of commands")?;
        bash.uid(user.uid).gid(user.gid);
    }
    let ended = bash.output().context("commands cannot be run as their user")?;
    let said = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success(), "commands cannot work in the workspace: {}", said.trim());
    std::fs::remove_dir_all(&folder).context("what commands have written cannot be removed")
}

/// The way out: one of the servers greets.
async fn reach(spec: &WorkerSpec) -> anyhow::Result<()> {
    let ports = door::Ports::default();
    let mut reached = Ok(());
    for url in &spec.nats_urls {
        reached = timeout(PATIENCE, greeted(url, &ports)).await.context("it says nothing").flatten();
        if reached.is_ok() {
            break;
        }
        reached = reached.with_context(|| format!("{url} does not lead to NATS"));
    }
    reached
}

async fn greeted(url: &str, ports: &door::Ports) -> anyhow::Result<()> {
    if let Some(socket) = url.strip_prefix("unix://") {
        UnixStream::connect(socket).await.context("the door's socket cannot be used")?;
    }
    let address = door::nats_address(&door::reachable(url, ports).await?);
    let mut greeting = [0; 5];
    TcpStream::connect(address).await?.read_exact(&mut greeting).await.context("it hangs up")?;
    ensure!(&greeting == b"INFO ", "it is something else that answers");
    Ok(())
}
