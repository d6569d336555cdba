//! Every operation of the API, asked for by many clients at once: each is answered as when it is asked for alone, nothing fails
//! inside the server, and what was made and removed again leaves no memory taken.
//!
//! `MANYHANDS_MIXED_SECONDS=300` goes on for so long, 200 calls a second, and prints what the slow calls took and what the server
//! had resident; `MANYHANDS_MIXED_PROGRAM` names another program, say one of a release build.

mod calls;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::Path;
use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::Value;
use testing::model::Model;
use testing::server::{Server, Start};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use self::calls::{Call, Known, Step, filled};

const CALLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/mixed/calls.txt");
/// So many at once, and in the long run.
const CLIENTS: (usize, usize) = (4, 16);
const PAUSE: Duration = Duration::from_millis(5);
/// What a server may have taken more after many rounds than after the first ones: what allocators keep, and no more.
const GROWTH_KIB: u64 = 16 * 1024;
/// It asks OpenAI, each time.
const ELSEWHERE: &str = "POST /api/llm/subscription/openai/device/start";
const MANIFEST: &str = r#"{"schema_version": 1, "name": "NAME", "display_name": "One", "version": "1", "entrypoint": "index.js",
    "icon": "icon.svg", "contributes": {"pages": [{"id": "home", "title": "Home", "path": "/home"}]}}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_among_all_others_is_answered_as_when_it_is_alone() {
    let seconds = env::var("MANYHANDS_MIXED_SECONDS").ok().map(|text| text.parse().expect("seconds"));
    let (server, model) = start().await;
    let world = World::new(server, seconds);
    let count = if seconds.is_some() { CLIENTS.1 } else { CLIENTS.0 };
    let clients = join_all((0..count).map(|number| rounds(&world, number, model.base_url())));
    let resident = world.watch_memory(clients).await;
    let called = world.report(&resident);
    assert_eq!(*world.wrong.lock().unwrap(), BTreeSet::new(), "answers that are wrong");
    let operations = operations(&world.server).await;
    let not_called: Vec<_> = operations.difference(&called).filter(|name| *name != ELSEWHERE).collect();
    assert!(not_called.is_empty(), "calls.txt has no {not_called:?}");
}

async fn start() -> (Server, Model) {
    let model = Model::start(0, Vec::new()).await.unwrap();
    model.forget();
    let program = env::var("MANYHANDS_MIXED_PROGRAM").unwrap_or(env!("CARGO_BIN_EXE_manyhands").to_owned());
    let start = Start::new(&program).with_key("session-key");
    let home = start.folder().join("home").display().to_string();
    let start = start.with("HOME", &home).with("EXTENSIONS_PATH", &home);
    let server = start.with("OH_APP_BACKEND_PUBLIC_URL", "http://apps.localhost:8000").start();
    (server, model)
}

struct World {
    server: Server,
    steps: Vec<Step>,
    pace: tokio::sync::Mutex<Interval>,
    began: Instant,
    end: Option<Instant>,
    took: Mutex<BTreeMap<String, Vec<Duration>>>,
    wrong: Mutex<BTreeSet<String>>,
}

impl World {
    fn new(server: Server, seconds: Option<u64>) -> Self {
        let mut pace = interval(PAUSE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let began = Instant::now();
        let end = seconds.map(|seconds| began + Duration::from_secs(seconds));
        let (pace, took) = (tokio::sync::Mutex::new(pace), Mutex::default());
        let steps = calls::read(fs::read_to_string(CALLS).unwrap().leak());
        Self { server, steps, pace, began, end, took, wrong: Mutex::default() }
    }

    /// What is resident (KiB) every half minute, until the clients are done.
    async fn watch_memory(&self, clients: impl Future<Output = Vec<()>>) -> Vec<u64> {
        let mut resident = Vec::new();
        let mut looks = interval(Duration::from_secs(30));
        let mut clients = pin!(clients);
        loop {
            tokio::select! {
                _ = &mut clients => break,
                _ = looks.tick() => resident.push(self.server.resident_kib()),
            }
        }
        resident.push(self.server.resident_kib());
        resident
    }

    /// Prints what was seen, and looks at the memory; the operations that were called.
    fn report(&self, resident: &[u64]) -> BTreeSet<String> {
        let took = self.took.lock().unwrap();
        let mut all: Vec<_> = took.values().flatten().copied().collect();
        all.sort_unstable();
        let rate = all.len() as f64 / self.began.elapsed().as_secs_f64();
        println!(
            "{} calls of {} operations, {rate:.0} a second: {}",
            all.len(),
            took.len(),
            percentiles(&all)
        );
        println!("resident every half minute, KiB: {resident:?}");
        let mut slow: Vec<_> = took.iter().map(|(name, times)| (sorted(times), name)).collect();
        slow.sort_by_key(|(times, _)| std::cmp::Reverse(times[times.len() * 99 / 100]));
        slow.iter().take(12).for_each(|(times, name)| println!("  {name}: {}", percentiles(times)));
        if let [_, _, first, .., last] = resident {
            assert!(*last <= first + GROWTH_KIB, "it grows: {resident:?}");
        }
        took.keys().cloned().collect()
    }

    async fn call(&self, call: &Call, known: &mut Known) {
        self.pace.lock().await.tick().await;
        let began = Instant::now();
        let mut request = self.server.client.request(call.method.clone(), &call.address(known));
        match call.body.map(|body| filled(body, known)) {
            Some(file) if file == "FILE" => {
                request = request.header("content-type", "multipart/form-data; boundary=b").body(FILE);
            }
            Some(body) => request = request.header("content-type", "application/json").body(body),
            None if call.method == Method::POST => request = request.header("content-length", "0"),
            None => {}
        }
        let mut response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        // One answer has no end; its beginning is enough.
        let body = if call.path.ends_with("/stream") {
            response.chunk().await.unwrap().unwrap_or_default()
        } else {
            response.bytes().await.unwrap()
        };
        let name = call.name();
        let text = String::from_utf8_lossy(&body);
        let is_right = if call.statuses.is_empty() {
            status.is_success()
        } else {
            call.statuses.contains(&status.as_u16())
        };
        if !is_right {
            self.wrong.lock().unwrap().insert(format!("{name}: {status} {text}"));
        }
        self.took.lock().unwrap().entry(name.clone()).or_default().push(began.elapsed());
        if let Some((told, place)) = call.tells {
            let value = headers.get(place).map(|value| value.to_str().unwrap().to_owned());
            let value = value.or_else(|| {
                serde_json::from_slice::<Value>(&body).ok()?.pointer(place)?.as_str().map(str::to_owned)
            });
            known.insert(told.to_owned(), value.unwrap_or_else(|| panic!("{name} tells no {told}: {text}")));
        }
    }
}

const FILE: &str =
    "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"b\"\r\n\r\nsome bytes\r\n--b--\r\n";

async fn rounds(world: &World, number: usize, model: String) {
    let mut known = known(&world.server, number, model).await;
    loop {
        for step in &world.steps {
            match step {
                Step::Call(call) => world.call(call, &mut known).await,
                Step::Wait(status) => {
                    world.server.client.wait_for_status(&known["conversation_id"], status).await;
                }
            }
        }
        if world.end.is_none_or(|end| Instant::now() > end) {
            return;
        }
    }
}

/// What a client has before its first call: a folder with a repository, and what can be installed.
async fn known(server: &Server, number: usize, model: String) -> Known {
    let (name, upper) = (format!("client-{number}"), format!("CLIENT_{number}"));
    let work = server.project().join(&name).display().to_string();
    let files = [
        ("a.txt", "one\n".to_owned()),
        (&format!("skill/{name}/SKILL.md"), format!("---\nname: {name}\ndescription: d\n---\nBe kind.\n")),
        (
            &format!("plugin/{name}/.plugin/plugin.json"),
            format!(r#"{{"name": "{name}", "version": "1.0.0", "description": "d"}}"#),
        ),
        (&format!("extension/{name}/canvas-extension.json"), MANIFEST.replace("NAME", &name)),
        (&format!("extension/{name}/index.js"), "export default 1;".to_owned()),
        (&format!("extension/{name}/icon.svg"), "<svg/>".to_owned()),
    ];
    for (path, text) in files {
        let path = Path::new(&work).join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let commit = format!(
        "cd {work} && git init -q && git add . && git -c user.name=a -c user.email=a@b.c commit -qm one && git rev-parse HEAD"
    );
    let sha = server.client.printed(None, &commit).await.trim().to_owned();
    let unknown = "00000000-0000-4000-8000-000000000000".to_owned();
    let all = [
        ("name", name),
        ("NAME", upper),
        ("work", work),
        ("model", model),
        ("sha", sha),
        ("unknown", unknown),
    ];
    all.map(|(name, value)| (name.to_owned(), value)).into()
}

/// All that the API's document has, as [`Call::name`] names it.
async fn operations(server: &Server) -> BTreeSet<String> {
    let document = server.client.get_ok("/openapi.json").await;
    let paths = document["paths"].as_object().unwrap().iter();
    let all = paths.flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().keys();
        methods
            .filter(|method| *method != "parameters")
            .map(move |method| format!("{} {path}", method.to_uppercase()))
    });
    all.collect()
}

fn sorted(times: &[Duration]) -> Vec<Duration> {
    let mut times = times.to_vec();
    times.sort_unstable();
    times
}

/// Of times in order.
fn percentiles(times: &[Duration]) -> String {
    let at = |share: usize| times[(times.len() * share / 1000).min(times.len() - 1)];
    format!("p50 {:.1?}, p99 {:.1?}, p99.9 {:.1?}", at(500), at(990), at(999))
}
