//! Programs that extensions of the user interface bring along.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use ports::rpc::{Code, Fault};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use testing::eventually;
use testing::process::is_alive;
use tokio::time::timeout;
use types::app::{App, AppArtifact, AppBackend, AppHealth, AppLogs, AppPhase, AppState};
use types::calls::{AppAnswer, AppCall};

use crate::services::World;

/// What the program of the extension is: it notes where it is, and what was begun beside it, and serves its health page.
#[test]
#[ignore = "other tests start it as a program"]
fn program() {
    let argument = |name: &str| std::env::args().find_map(|given| Some(given.strip_prefix(name)?.to_owned()));
    let (Some(port), Some(data)) = (argument("port="), argument("data=")) else { return };
    let helper: u32 = argument("helper=").unwrap().parse().unwrap();
    let (cwd, home) = (std::env::current_dir().unwrap(), std::env::var("HOME").unwrap());
    let note = json!({"helper": helper, "cwd": cwd, "home": home});
    std::fs::write(Path::new(&data).join("note"), note.to_string()).unwrap();
    println!("hello");
    eprintln!("trouble");
    let listener = TcpListener::bind(("127.0.0.1", port.parse::<u16>().unwrap())).unwrap();
    for stream in listener.incoming() {
        let (mut stream, mut asked) = (stream.unwrap(), [0; 4_096]);
        let _ = stream.read(&mut asked);
        if asked.starts_with(b"GET /listen-no-more ") {
            break;
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    drop(listener);
    std::thread::sleep(Duration::from_secs(1_000));
}

/// A script that starts something beside [`program`], and that.
fn script() -> String {
    let tests = std::env::current_exe().unwrap();
    let run = "services_app::program --exact --ignored --nocapture";
    let tests = tests.display();
    format!("#!/bin/sh\nsleep 1000 &\nexec {tests} {run} \"port=$1\" \"data=$2\" \"helper=$!\"\n")
}

/// An archive of these files, each a program or not.
pub fn packed(files: &[(&str, &str, bool)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, text, is_program) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(if *is_program { 0o755 } else { 0o644 });
        let name = &mut header.as_gnu_mut().unwrap().name;
        name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        archive.append(&header, text.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

pub fn checksum(bytes: &[u8]) -> String {
    types::hex(&Sha256::digest(bytes))
}

/// An extension whose artifact is this, in a folder of the world.
pub fn app(world: &World, revision: &str, artifact: &[u8]) -> App {
    let package = world.path("package");
    std::fs::create_dir_all(&package).unwrap();
    std::fs::write(package.join("app.tar.gz"), artifact).unwrap();
    let artifact = AppArtifact {
        path: "app.tar.gz".to_owned(),
        url: None,
        sha256: checksum(artifact),
        strip_components: 0,
    };
    let platforms = ["linux-amd64", "linux-arm64"].map(|platform| (platform.to_owned(), artifact.clone()));
    let backend = AppBackend {
        artifacts: BTreeMap::from(platforms),
        argv: ["{artifact_dir}/bin/run", "{port}", "{data_dir}"].map(str::to_owned).into(),
        health: AppHealth { timeout_seconds: 20.0, interval_seconds: 0.02, ..AppHealth::default() },
        inherit_environment: vec!["PATH".to_owned()],
    };
    let package = package.to_str().unwrap().to_owned();
    App { name: "my-app".to_owned(), revision: revision.to_owned(), package, backend: Some(backend) }
}

pub fn serving(world: &World) -> App {
    app(world, "r1", &packed(&[("bin/run", script().as_str(), true)]))
}

pub async fn ask(world: &World, call: AppCall) -> Result<AppAnswer, Fault> {
    world.call(&call, Bytes::new()).await.map(|(answer, _)| answer)
}

pub async fn state(world: &World, call: AppCall) -> AppState {
    match ask(world, call).await.unwrap() {
        AppAnswer::State(state) => state,
        other => panic!("{other:?}"),
    }
}

/// Why it is not done.
pub async fn refusal(world: &World, call: AppCall) -> String {
    let fault = ask(world, call).await.unwrap_err();
    assert_eq!(fault.code, Code::Conflict, "{fault:?}");
    fault.public
}

pub fn prepare(app: &App, revision: &str) -> AppCall {
    AppCall::Prepare { app: app.clone(), revision: revision.to_owned() }
}

pub fn start(app: &App, revision: &str) -> AppCall {
    AppCall::Start { app: app.clone(), revision: revision.to_owned() }
}

pub fn status(app: &App) -> AppCall {
    AppCall::Status { app: app.clone() }
}

pub async fn started(world: &World, app: &App) -> AppState {
    state(world, prepare(app, &app.revision)).await;
    let state = state(world, start(app, &app.revision)).await;
    assert_eq!(state.state, AppPhase::Ready, "{state:?}");
    state
}

pub fn data(world: &World) -> PathBuf {
    world.path("../apps/data/my-app")
}

fn note(world: &World) -> Value {
    serde_json::from_slice(&std::fs::read(data(world).join("note")).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_is_prepared_started_and_stopped() {
    let world = World::start().await;
    let app = serving(&world);
    let fresh = state(&world, status(&app)).await;
    assert_eq!((fresh.state, fresh.prepared_revision, fresh.pid), (AppPhase::Stopped, None, None));
    let prepared = state(&world, prepare(&app, "r1")).await;
    assert_eq!((prepared.state, prepared.prepared_revision.as_deref()), (AppPhase::Stopped, Some("r1")));
    let ready = state(&world, start(&app, "r1")).await;
    assert_eq!(ready.state, AppPhase::Ready, "{ready:?}");
    let endpoint = ask(&world, AppCall::Endpoint { name: "my-app".to_owned() }).await.unwrap();
    assert_eq!(endpoint, AppAnswer::Endpoint(ready.port));
    assert_eq!(state(&world, start(&app, "r1")).await, ready, "it runs already");
    let logs = ask(&world, AppCall::Logs { name: "my-app".to_owned(), limit_bytes: 1_000 }).await.unwrap();
    let AppAnswer::Logs(AppLogs { logs, truncated, .. }) = logs else { panic!("no logs") };
    for part in ["[stdout] ", "hello\n", "[stderr] trouble\n"] {
        assert!(logs.contains(part) && !truncated, "{logs}");
    }
    ask(&world, AppCall::Stop { name: "my-app".to_owned() }).await.unwrap();
    let stopped = state(&world, status(&app)).await;
    assert_eq!((stopped.state, stopped.pid, stopped.port), (AppPhase::Stopped, None, None));
    assert!(!is_alive(ready.pid.unwrap()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_runs_only_the_revision_that_was_approved() {
    let world = World::start().await;
    let first = serving(&world);
    let unapproved = "approval revision does not match installed revision";
    assert_eq!(refusal(&world, prepare(&first, "r0")).await, unapproved);
    assert_eq!(refusal(&world, start(&first, "r1")).await, "backend revision must be prepared before start");
    state(&world, prepare(&first, "r1")).await;
    let second = app(&world, "r2", &packed(&[("bin/run", "#!/bin/sh\nexit 3\n", true)]));
    assert_eq!(refusal(&world, start(&second, "r1")).await, unapproved);
    assert_eq!(refusal(&world, start(&second, "r2")).await, "backend revision must be prepared before start");
    let swapped = App { revision: "r1".to_owned(), ..second.clone() };
    let changed = "prepared backend metadata does not match manifest";
    assert_eq!(refusal(&world, start(&swapped, "r1")).await, changed);
    std::fs::write(world.path("package/app.tar.gz"), b"another").unwrap();
    let checksum = "backend artifact checksum does not match manifest";
    assert_eq!(refusal(&world, prepare(&second, "r2")).await, checksum);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_ends_is_told_and_can_be_started_again() {
    let world = World::start().await;
    let ending = app(&world, "r1", &packed(&[("bin/run", "#!/bin/sh\necho no\nexit 3\n", true)]));
    state(&world, prepare(&ending, "r1")).await;
    for _ in 0..2 {
        let ended = state(&world, start(&ending, "r1")).await;
        assert_eq!((ended.state, ended.pid), (AppPhase::Unhealthy, None));
        assert_eq!(ended.detail.as_deref(), Some("backend exited with code 3"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_a_program_cannot_be_started_is_told_in_words_of_ours() {
    let world = World::start().await;
    let broken = app(&world, "r1", &packed(&[("bin/run", "#!/nowhere/no-shell\n", true)]));
    state(&world, prepare(&broken, "r1")).await;
    let told = state(&world, start(&broken, "r1")).await;
    assert_eq!(
        (told.state, told.detail.as_deref()),
        (AppPhase::Unhealthy, Some("backend cannot be started"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_does_not_get_ready_can_be_stopped() {
    let world = World::start().await;
    let silent = app(&world, "r1", &packed(&[("bin/run", "#!/bin/sh\nexec sleep 1000\n", true)]));
    state(&world, prepare(&silent, "r1")).await;
    let stopping = async {
        let pid = eventually("it starts", async || state(&world, status(&silent)).await.pid).await;
        assert_eq!(state(&world, status(&silent)).await.state, AppPhase::Starting);
        ask(&world, AppCall::Stop { name: "my-app".to_owned() }).await.unwrap();
        pid
    };
    let (told, pid) = tokio::join!(state(&world, start(&silent, "r1")), stopping);
    assert_eq!((told.state, told.detail), (AppPhase::Stopped, None));
    assert!(!is_alive(pid));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_inherits_six_variables_and_none_of_the_others_that_it_asks_for() {
    let world = World::start().await;
    let own: BTreeSet<String> =
        std::env::vars_os().filter_map(|(name, _)| Some(name.to_str()?.to_owned())).collect();
    let mut app = serving(&world);
    app.backend.as_mut().unwrap().inherit_environment = own.iter().cloned().collect();
    let ready = started(&world, &app).await;
    let environment = std::fs::read(format!("/proc/{}/environ", ready.pid.unwrap())).unwrap();
    let of_the_shell = ["OLDPWD", "PWD", "SHLVL", "_"];
    let names: BTreeSet<String> = environment
        .split(|&byte| byte == 0)
        .filter_map(|entry| String::from_utf8_lossy(entry).split_once('=').map(|(name, _)| name.to_owned()))
        .filter(|name| !of_the_shell.contains(&name.as_str()))
        .collect();
    let six = BTreeSet::from(["LANG", "LC_ALL", "LC_CTYPE", "PATH", "TMPDIR", "TZ"].map(str::to_owned));
    let mut expected: BTreeSet<String> = own.intersection(&six).cloned().collect();
    let set = ["HOME", "MANYHANDS_APP"].map(str::to_owned);
    expected.extend(set);
    assert_eq!(names, expected);
    assert!(own.iter().any(|name| !expected.contains(name) && !of_the_shell.contains(&name.as_str())));
    let home = PathBuf::from(note(&world)["home"].as_str().unwrap());
    assert_eq!(home.canonicalize().unwrap(), data(&world).canonicalize().unwrap().join("home"));
    assert_eq!(note(&world)["cwd"], world.path("package").to_str().unwrap());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_backend_started_ends_with_it() {
    let world = World::start().await;
    let app = serving(&world);
    started(&world, &app).await;
    let helper = note(&world)["helper"].as_u64().unwrap();
    assert!(is_alive(helper));
    ask(&world, AppCall::Stop { name: "my-app".to_owned() }).await.unwrap();
    assert!(!is_alive(helper));
    let ready = started(&world, &app).await;
    let helper = note(&world)["helper"].as_u64().unwrap();
    world.stop().await;
    assert!(!is_alive(helper) && !is_alive(ready.pid.unwrap()), "the worker has ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_outlives_the_program_and_is_removed_when_that_is_wanted() {
    let world = World::start().await;
    let app = serving(&world);
    started(&world, &app).await;
    let delete = || AppCall::DeleteData { app: app.clone() };
    assert_eq!(refusal(&world, delete()).await, "stop the backend before deleting its data");
    ask(&world, AppCall::Stop { name: "my-app".to_owned() }).await.unwrap();
    assert!(data(&world).join("note").exists());
    assert_eq!(state(&world, delete()).await.state, AppPhase::Stopped);
    assert!(!data(&world).exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_artifact_with_a_way_out_is_refused() {
    let world = World::start().await;
    let unsafe_entry = "backend artifact contains an unsafe archive entry";
    for (files, why) in [
        (vec![("../out", "x", false)], unsafe_entry),
        (vec![("/tmp/manyhands-out", "x", false)], unsafe_entry),
        (vec![("a", "x", false), ("a", "y", false)], unsafe_entry),
        (vec![], "backend artifact contains no files after stripping"),
    ] {
        let app = app(&world, "r1", &packed(&files));
        assert_eq!(refusal(&world, prepare(&app, "r1")).await, why, "{files:?}");
    }
    let no_archive = app(&world, "r1", b"no archive");
    assert_eq!(
        refusal(&world, prepare(&no_archive, "r1")).await,
        "backend artifact is not a valid gzip tar archive"
    );
    let mut elsewhere = serving(&world);
    elsewhere.backend.as_mut().unwrap().argv[0] = "/bin/sh".to_owned();
    state(&world, prepare(&elsewhere, "r1")).await;
    let told = state(&world, start(&elsewhere, "r1")).await;
    let inside = "backend executable must be an executable regular file inside the prepared artifact";
    assert_eq!((told.state, told.detail.as_deref()), (AppPhase::Unhealthy, Some(inside)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_artifact_on_a_server_is_fetched_by_the_rules_of_the_house() {
    let world = World::start().await;
    let artifact = packed(&[("top/bin/run", "#!/bin/sh\n", true)]);
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let (served, length) = (artifact.clone(), artifact.len());
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        while let Ok((mut socket, _)) = server.accept().await {
            let mut asked = [0; 4_096];
            let read = socket.read(&mut asked).await.unwrap();
            let head = match asked[..read].starts_with(b"GET /first") {
                true => "HTTP/1.1 302 Found\r\nLocation: /second.tar.gz\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(),
                false => format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"),
            };
            socket.write_all(head.as_bytes()).await.unwrap();
            if head.starts_with("HTTP/1.1 200") {
                socket.write_all(&served).await.unwrap();
            }
        }
    });
    let remote = |url: String| {
        let mut app = app(&world, "r1", &artifact);
        for artifact in app.backend.as_mut().unwrap().artifacts.values_mut() {
            artifact.path.clear();
            artifact.url = Some(url.clone());
            artifact.strip_components = 1;
        }
        app
    };
    let found = remote(format!("http://{address}/first.tar.gz"));
    assert_eq!(state(&world, prepare(&found, "r1")).await.prepared_revision.as_deref(), Some("r1"));
    let unpacked = world.path("../apps/artifacts/my-app").join(checksum(&artifact)).join("bin/run");
    assert_eq!(std::fs::read_to_string(unpacked).unwrap(), "#!/bin/sh\n");
    let other = packed(&[("bin/run", "#!/bin/sh\necho other\n", true)]);
    let forbidden = |url: &str| {
        let mut app = app(&world, "r1", &other);
        for artifact in app.backend.as_mut().unwrap().artifacts.values_mut() {
            (artifact.path, artifact.url) = (String::new(), Some(url.to_owned()));
        }
        app
    };
    for url in ["http://169.254.169.254/a.tar.gz", "http://u:p@127.0.0.1/a.tar.gz", "file:///etc/passwd"] {
        let asked = prepare(&forbidden(url), "r1");
        assert_eq!(refusal(&world, asked).await, "backend artifact URL is not allowed", "{url}");
    }
    let wrong = prepare(&forbidden(&format!("http://{address}/a.tar.gz")), "r1");
    assert_eq!(refusal(&world, wrong).await, "backend artifact checksum does not match manifest");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipe_in_the_place_of_an_approval_holds_up_nobody() {
    let world = World::start().await;
    let app = serving(&world);
    world.sh("mkdir -p ../apps/approvals; mkfifo ../apps/approvals/my-app.json ../apps/approvals/my-app.new");
    let looking = timeout(Duration::from_secs(10), async {
        let before = state(&world, status(&app)).await;
        (before.prepared_revision, state(&world, prepare(&app, "r1")).await.prepared_revision)
    });
    let seen = looking.await;
    // Lets go whoever waits for a writer or a reader.
    for name in ["my-app.json", "my-app.new"] {
        let place = world.path("../apps/approvals").join(name);
        drop(OpenOptions::new().read(true).write(true).open(place));
    }
    assert_eq!(seen.expect("it waits"), (None, Some("r1".to_owned())));
}

/// A server that takes what it is asked and never answers; says each time that it was asked.
async fn silent_server() -> (String, tokio::sync::mpsc::Receiver<()>) {
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/a.tar.gz", server.local_addr().unwrap());
    let (asking, asked) = tokio::sync::mpsc::channel(8);
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((socket, _)) = server.accept().await {
            kept.push(socket);
            let _ = asking.send(()).await;
        }
    });
    (url, asked)
}

/// The same extension in another revision, whose artifact is at `url`.
pub fn fetched(app: &App, url: &str) -> App {
    let mut next = App { revision: "r2".to_owned(), ..app.clone() };
    for artifact in next.backend.as_mut().unwrap().artifacts.values_mut() {
        (artifact.path, artifact.url) = (String::new(), Some(url.to_owned()));
        artifact.sha256 = checksum(b"another");
    }
    next
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_an_artifact_is_fetched_its_program_can_be_seen_and_stopped() {
    let world = World::start().await;
    let app = serving(&world);
    let ready = started(&world, &app).await;
    let (url, mut asked) = silent_server().await;
    let next = fetched(&app, &url);
    let other = App { name: "other".to_owned(), ..next.clone() };
    let using = async {
        for _ in 0..2 {
            asked.recv().await.unwrap();
        }
        let endpoint = ask(&world, AppCall::Endpoint { name: "my-app".to_owned() }).await.unwrap();
        assert_eq!(endpoint, AppAnswer::Endpoint(ready.port));
        assert_eq!(state(&world, status(&app)).await.state, AppPhase::Ready);
        ask(&world, AppCall::Stop { name: "my-app".to_owned() }).await.unwrap();
        assert!(!is_alive(ready.pid.unwrap()));
        let running = ask(&world, AppCall::Running {}).await.unwrap();
        assert_eq!(running, AppAnswer::Running(false), "to be made ready is not to run");
        world.stop().await;
    };
    let preparing = async {
        let (one, two) = (prepare(&next, "r2"), prepare(&other, "r2"));
        let _ = tokio::join!(ask(&world, one), ask(&world, two));
        std::future::pending::<()>().await;
    };
    let both = async {
        tokio::select! { () = using => {}, () = preparing => {} }
    };
    timeout(Duration::from_secs(30), both).await.expect("nobody waits for what is fetched");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_so_many_programs_run_at_one_time() {
    let world = World::start().await;
    let app = serving(&world);
    let numbered = |number: usize| App { name: format!("app-{number}"), ..app.clone() };
    for number in 0..8 {
        started(&world, &numbered(number)).await;
    }
    let one_more = numbered(8);
    state(&world, prepare(&one_more, "r1")).await;
    let full = "At most 8 Canvas App backends run at one time.";
    assert_eq!(refusal(&world, start(&one_more, "r1")).await, full);
    ask(&world, AppCall::Stop { name: "app-0".to_owned() }).await.unwrap();
    assert_eq!(state(&world, start(&one_more, "r1")).await.state, AppPhase::Ready);
    world.stop().await;
}
