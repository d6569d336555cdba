//! The machines of the cluster: a pod is a shell script that runs as a process, in the folder of its claim.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kubernetes_fake::{Pod, Server};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// What a killed script gets to be gone, and its last words to be read.
const MOMENT: Duration = Duration::from_millis(200);

/// From now on pods run this.
pub fn run(server: &Server, folder: &Arc<TempDir>, script: &str) {
    let program = folder.path().join(format!("script-{:016x}", fastrand()));
    fs::write(&program, format!("exec 2>&1\n{script}\n")).unwrap();
    let (server_of_pod, folder) = (server.clone(), folder.clone());
    server.on_pod(move |pod| {
        let (server, folder, program) = (server_of_pod.clone(), folder.clone(), program.clone());
        async move {
            let files = files(&server, &pod, folder.path());
            live(&server, &pod, &files, &program).await;
        }
    });
}

fn fastrand() -> u64 {
    u64::from_le_bytes(types::SandboxId::random().as_str().as_bytes()[..8].try_into().unwrap())
}

/// A volume is another one when its claim is.
fn files(server: &Server, pod: &Pod, root: &Path) -> PathBuf {
    let volumes = pod.object()["spec"]["volumes"].as_array().unwrap();
    let claim =
        volumes.iter().find_map(|volume| volume["persistentVolumeClaim"]["claimName"].as_str()).unwrap();
    let claim = server.object(("", "persistentvolumeclaims"), pod.namespace(), claim).unwrap();
    let folder = root.join(claim["metadata"]["uid"].as_str().unwrap());
    fs::create_dir_all(&folder).unwrap();
    folder
}

async fn live(server: &Server, pod: &Pod, files: &Path, program: &Path) {
    let command = pod.object()["spec"]["containers"][0]["command"].as_array().unwrap();
    let arguments: Vec<&str> = command.iter().skip(1).filter_map(Value::as_str).collect();
    let told = arguments.iter().position(|argument| *argument == "--spec");
    // Where the script would read a file, its input is that file.
    let arguments =
        arguments.iter().enumerate().filter(|(at, _)| told.is_none_or(|told| *at < told || *at > told + 1));
    let mut child = Command::new("sh")
        .arg(program)
        .args(arguments.map(|(_, argument)| argument))
        .current_dir(files)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let group = Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
    let mut input = child.stdin.take().unwrap();
    let of_secret = told.map(|_| secret(server, pod));
    let attached = pod.stdin();
    tokio::spawn(async move {
        match (of_secret, attached) {
            (Some(line), _) => drop(input.write_all(&line).await),
            (None, Some(mut attached)) => drop(tokio::io::copy(&mut attached, &mut input).await),
            (None, None) => {}
        }
    });
    let writing = tokio::spawn(write_log(pod.clone(), child.stdout.take().unwrap()));
    pod.running();
    let code = until_over(pod, &mut child, group).await;
    let _ = timeout(MOMENT, writing).await;
    if let Some(code) = code {
        pod.exited(code);
    }
}

/// `None`: it was killed because its pod is to be gone.
async fn until_over(pod: &Pod, child: &mut Child, group: Pid) -> Option<i32> {
    tokio::select! {
        status = child.wait() => return status.unwrap().code().or(Some(137)),
        _ = pod.stopping() => {}
    }
    let _ = kill_process_group(group, Signal::TERM);
    tokio::select! {
        status = child.wait() => return status.unwrap().code().or(Some(143)),
        () = pod.killed() => {}
    }
    let _ = kill_process_group(group, Signal::KILL);
    child.wait().await.unwrap();
    None
}

async fn write_log(pod: Pod, mut output: impl AsyncReadExt + Unpin) {
    let mut piece = [0; 4096];
    while let Ok(read @ 1..) = output.read(&mut piece).await {
        pod.write_log(&piece[..read]);
    }
}

fn secret(server: &Server, pod: &Pod) -> Vec<u8> {
    let secret = server.object(("", "secrets"), pod.namespace(), pod.name()).unwrap();
    STANDARD.decode(secret["data"]["spec"].as_str().unwrap()).unwrap()
}
