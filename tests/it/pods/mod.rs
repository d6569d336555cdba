//! A cluster whose workers are pods: the real supervisor, an API server that is as strict as the real one, and workers that are
//! processes which know nothing of that.

mod faults;
mod revoking;
mod warm;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kubernetes_fake::{Pod, Server, Settings};
use rustix::process::geteuid;
use serde_json::{Value, json};
use tempfile::TempDir;
use testing::client::Client;
use testing::cluster::Cluster;
use testing::may_skip;
use testing::model::Model;
use testing::script::{Script, Turn};
use testing::server::Start;
use testing::{eventually, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const BINARY: &str = env!("CARGO_BIN_EXE_manyhands");
const NAMESPACE: &str = "sandboxes";
const PODS: (&str, &str) = ("", "pods");
/// For a pod, a worker and a run.
const SLOWLY: Duration = Duration::from_secs(60);

/// What runs of pods, by their names.
type Lives = Arc<Mutex<HashMap<String, Life>>>;

#[derive(Clone)]
struct Life {
    pod: Pod,
    process: u32,
    /// Why it has ended is said already.
    is_told: Arc<AtomicBool>,
}

impl Life {
    /// Its processes are gone, and this is all that its machine says.
    fn end(&self, say: impl FnOnce(&Pod)) {
        self.is_told.store(true, Ordering::SeqCst);
        testing::process::signal(self.process, rustix::process::Signal::KILL);
        say(&self.pod);
    }
}

struct World {
    api: Server,
    cluster: Cluster,
    client: Client,
    lives: Lives,
    /// Has the folders of the cluster.
    _start: Start,
    /// Has those of the pods.
    _folder: Arc<TempDir>,
}

async fn world(variables: &[(&str, &str)]) -> World {
    world_with(Settings::default(), variables).await
}

async fn world_with(settings: Settings, variables: &[(&str, &str)]) -> World {
    let api = Server::with(settings).await;
    api.namespace(NAMESPACE, json!({ "pod-security.kubernetes.io/enforce": "restricted" }));
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let lives = Lives::default();
    let (volumes, of_pod, noted) = (folder.clone(), api.clone(), lives.clone());
    api.on_pod(move |pod| {
        let (volumes, api, lives) = (volumes.clone(), of_pod.clone(), noted.clone());
        async move { run(&api, &pod, volumes.path(), &lives).await }
    });
    let config = folder.path().join("kubeconfig");
    std::fs::write(&config, api.kubeconfig(Some(&api.admin_token()), NAMESPACE)).unwrap();
    let mut start = Start::new(BINARY)
        .with("KUBECONFIG", &config.display().to_string())
        .with("OH_SANDBOX_DRIVER", "kubernetes")
        .with("OH_KUBERNETES_PROGRAM_IMAGE", "control:1");
    for (name, value) in variables {
        start = start.with(name, value);
    }
    let cluster = start.start_cluster();
    let client = Client::new(&cluster.url(), None);
    World { api, cluster, client, lives, _start: start, _folder: folder }
}

/// As a machine does: the worker's program, with the line from its standard input, in the folder of its claim.
async fn run(api: &Server, pod: &Pod, volumes: &Path, lives: &Lives) {
    let files = files(api, pod, volumes);
    let mut child = tokio::process::Command::new(BINARY)
        .arg("worker")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", &files)
        .current_dir(&files)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    pod.running();
    let (mut attached, mut input) = (pod.stdin().unwrap(), child.stdin.take().unwrap());
    tokio::spawn(async move {
        let mut line = Vec::new();
        if attached.read_to_end(&mut line).await.is_ok() {
            let _ = input.write_all(&mounted(&line, &files)).await;
        }
    });
    let (of_log, mut output) = (pod.clone(), child.stderr.take().unwrap());
    tokio::spawn(async move {
        let mut piece = [0; 4096];
        while let Ok(read @ 1..) = output.read(&mut piece).await {
            of_log.write_log(&piece[..read]);
        }
    });
    let id = child.id().unwrap();
    let is_told = Arc::<AtomicBool>::default();
    let life = Life { pod: pod.clone(), process: id, is_told: is_told.clone() };
    lives.lock().unwrap().insert(pod.name().to_owned(), life);
    tokio::select! {
        status = child.wait() => {
            if !is_told.load(Ordering::SeqCst) {
                pod.exited(status.unwrap().code().unwrap_or(137));
            }
            return;
        }
        _ = pod.stopping() => testing::process::signal(id, rustix::process::Signal::TERM),
    }
    tokio::select! {
        status = child.wait() => pod.exited(status.unwrap().code().unwrap_or(143)),
        () = pod.killed() => child.kill().await.unwrap(),
    }
}

/// A process sees its volume where it is.
fn mounted(line: &[u8], files: &Path) -> Vec<u8> {
    let Ok(mut spec) = serde_json::from_slice::<Value>(line) else { return line.to_vec() };
    for (field, folder) in [("project_dir", "project"), ("state_dir", "state")] {
        std::fs::create_dir_all(files.join(folder)).unwrap();
        spec[field] = files.join(folder).display().to_string().into();
    }
    format!("{spec}\n").into_bytes()
}

fn files(api: &Server, pod: &Pod, volumes: &Path) -> PathBuf {
    let mounts = pod.object()["spec"]["volumes"].as_array().unwrap();
    let claim =
        mounts.iter().find_map(|volume| volume["persistentVolumeClaim"]["claimName"].as_str()).unwrap();
    let claim = api.object(("", "persistentvolumeclaims"), NAMESPACE, claim).unwrap();
    let folder = volumes.join(claim["metadata"]["uid"].as_str().unwrap());
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

impl World {
    async fn finished(&self, id: &str) {
        let path = format!("/api/conversations/{id}");
        within(SLOWLY, "it finishes", async || {
            (self.client.get_ok(&path).await["execution_status"] == "finished").then_some(())
        })
        .await;
    }

    fn epochs(&self) -> Vec<String> {
        let pods = self.api.objects(PODS, NAMESPACE);
        pods.iter()
            .map(|pod| pod["metadata"]["labels"]["manyhands.io/epoch"].as_str().unwrap().to_owned())
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_runs_in_a_pod_and_goes_on_in_the_next_when_that_is_gone() {
    let world = world(&[]).await;
    let turns = vec![
        Turn::terminal("call_1", "echo kept-$((6 * 7)) > kept; cat kept"),
        Turn::text("done"),
        Turn::terminal("call_2", "cat kept"),
        Turn::text("done"),
    ];
    let scripts = vec![Script::new("[[first]]", turns)];
    let model = Model::start(0, scripts).await.unwrap();
    let work = world.cluster.workspaces().join("project").display().to_string();
    let id = world.client.create(&model.base_url(), &work).await;
    world.client.send(&id, "[[first]]", true).await;
    world.finished(&id).await;
    assert_eq!(world.epochs(), ["1"]);

    let name = world.api.objects(PODS, NAMESPACE)[0]["metadata"]["name"].as_str().unwrap().to_owned();
    let url = format!("{}/api/v1/namespaces/{NAMESPACE}/pods/{name}", world.api.url());
    let deleting = reqwest::Client::new().delete(url).bearer_auth(world.api.admin_token());
    deleting.send().await.unwrap().error_for_status().unwrap();
    within(SLOWLY, "another pod has come", async || (world.epochs() == ["2"]).then_some(())).await;
    world.client.send(&id, "And again.", true).await;
    within(SLOWLY, "the next one has read what is kept", async || {
        let events = world.client.events(&id).await;
        let observed = events.iter().filter(|event| event["kind"] == "ObservationEvent");
        (observed.filter(|event| event.to_string().contains("kept-42")).count() == 2).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pod_waits_for_is_said_to_who_asks_why() {
    let world = world(&[("OH_SANDBOX_START_SECONDS", "3")]).await;
    let quota = json!({ "spec": { "hard": { "pods": "0" } } });
    world.api.put(("", "resourcequotas"), NAMESPACE, "none", quota);
    let model = Model::start(0, vec![Script::new("[[hello]]", vec![Turn::text("done")])]).await.unwrap();
    let work = world.cluster.workspaces().join("project").display().to_string();
    let body = testing::client::conversation(&model.base_url(), &work);
    let created = world.client.post("/api/conversations", &body).await;
    let id = created.1["id"].as_str().map(str::to_owned);
    let Some(id) = id else { panic!("{created:?}") };
    world
        .client
        .post(&format!("/api/conversations/{id}/events"), &testing::client::message("[[hello]]", true))
        .await;
    let why = format!("/api/conversations/{id}/why");
    let told = eventually("it is said", async || {
        let why = world.client.get_ok(&why).await;
        (why["failure"]["reason"] == "no_capacity").then_some(why)
    })
    .await;
    assert_eq!(told["detail"], "A quota of the cluster is used up.");

    // A pod that is there, and waits.
    world
        .api
        .change(("", "nodes"), "", "node-1", |node| node["status"]["allocatable"]["memory"] = "1Mi".into());
    world.api.change(("", "resourcequotas"), NAMESPACE, "none", |quota| {
        quota["spec"]["hard"]["pods"] = "9".into()
    });
    let told = within(SLOWLY, "what it waits for is said", async || {
        world.client.post(&format!("/api/conversations/{id}/run"), &json!({})).await;
        let why = world.client.get_ok(&why).await;
        (why["blocked_by"] == "worker_starting" && why["failure"].is_object()).then_some(why)
    })
    .await;
    assert_eq!(told["detail"], "No machine of the cluster has room for the sandbox (memory).");
}

#[test]
fn the_program_puts_itself_where_another_container_starts_it() {
    let folder = tempfile::tempdir().unwrap();
    // Also over one that somebody runs.
    for _ in 0..2 {
        let installing = Command::new(BINARY).args(["install", "--to"]).arg(folder.path()).status();
        assert!(installing.unwrap().success());
    }
    let installed = Command::new(folder.path().join("worker")).arg("--version").output().unwrap();
    assert!(String::from_utf8(installed.stdout).unwrap().starts_with("manyhands "));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "nothing else is left there");
    let nowhere = Command::new(BINARY).args(["install", "--to", "/nowhere"]).output().unwrap();
    assert!(!nowhere.status.success() && String::from_utf8_lossy(&nowhere.stderr).contains("/nowhere"));
}

/// A pod has no init: what is the first process is told nothing by signals that it does not ask for.
#[tokio::test]
async fn a_worker_that_is_the_first_process_reads_its_line_and_hears_signals() {
    if !geteuid().is_root() {
        return may_skip("a worker as the first process", "it takes root");
    }
    let first = |input: Stdio| {
        let mut command = tokio::process::Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]).arg(BINARY).arg("worker");
        command.stdin(input).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap()
    };
    let garbage = first(Stdio::null()).wait_with_output().await.unwrap();
    assert_eq!(garbage.status.code(), Some(1));
    let said = String::from_utf8_lossy(&garbage.stderr);
    assert!(said.contains("one line: the worker's specification"), "{said}");

    let mut waiting = first(Stdio::piped());
    // Who waits for a child closes its input.
    let _input = waiting.stdin.take();
    let front = eventually("the front is there", async || {
        testing::process::children_of(waiting.id()?).first().copied()
    })
    .await;
    eventually("its worker is there", async || testing::process::children_of(front).first().copied()).await;
    // The front hears signals a little later than it has a child.
    let ended = eventually("it ends", async || {
        let ended = waiting.try_wait().unwrap();
        if ended.is_none() {
            testing::process::signal(front, rustix::process::Signal::TERM);
        }
        ended
    })
    .await;
    assert_eq!(ended.code(), Some(143));
}
