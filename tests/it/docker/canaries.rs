//! Keys that the control plane holds are nowhere a worker could find them, and nowhere an observer should.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use serde_json::json;
use testing::client::{Client, conversation};
use testing::cluster::Cluster;
use testing::containers::Containers;
use testing::model::Model;
use testing::script::{Script, Turn};

use super::PROJECT;

const SESSION: &str = "canary-session-4c1f";
const SEALING: &str = "canary-sealing-0a9e-of-enough-length";
const TOKENS: &str = "canary-tokens-77b2-of-thirty-two-bytes-or-more";
const PROVIDER: &str = "canary-provider-e3d8";
const CANARIES: [&str; 4] = [SESSION, SEALING, TOKENS, PROVIDER];
const HARMLESS: &str = "harmless-5d1c";

#[tokio::test]
async fn no_key_of_the_control_plane_is_in_a_worker_or_in_anything_that_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let set = [
        ("OH_SESSION_API_KEYS_0", SESSION),
        ("OH_SECRET_KEY", SEALING),
        ("OH_JWT_ALGORITHM", "HS256"),
        ("OH_JWT_SECRET", TOKENS),
        ("OH_JWT_ISSUER", "issuer"),
        ("OH_JWT_AUDIENCE", "audience"),
    ];
    let variables = set.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let program = env!("CARGO_BIN_EXE_manyhands").as_ref();
    let cluster = Cluster::start(program, folder.path(), &variables, "", true, Some(Containers::prepare()));
    let containers = cluster.containers.as_ref().unwrap();
    let client = Client::new(&cluster.url(), Some(SESSION));

    let spy =
        Turn::terminal("call_1", &format!("echo {HARMLESS}; env; cat /proc/*/environ | tr '\\0' '\\n'"));
    let turns = vec![spy, Turn::finish("done")];
    let model = Model::start(0, vec![Script::new("[[spy]]", turns)]).await.unwrap();
    let mut body = conversation(&model.base_url(), PROJECT);
    body["agent"]["llm"]["api_key"] = json!(PROVIDER);
    let id = client.post_ok("/api/conversations", &body).await["id"].as_str().unwrap().to_owned();
    client.send(&id, "[[spy]]", true).await;
    client.wait_for_status(&id, "finished").await;
    // A call that fails may not tell the key either.
    model.will([Turn::failure(401, "wrong key")]);
    client.send(&id, "again", true).await;
    client.wait_for_status(&id, "error").await;

    let events = serde_json::to_string(&client.events(&id).await).unwrap();
    assert!(events.contains(HARMLESS), "the spy has not run: {events}");
    let record = client.get_ok(&format!("/api/conversations/{id}")).await.to_string();
    let running = containers.running();
    let [worker] = running.as_slice() else { panic!("one worker should run: {running:?}") };
    // What the image brings cannot be changed, and knows no key.
    let everything = "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline; \
        find /workspace /tmp /run /home /etc /dev -type f -exec cat {} +";
    let script = format!("({everything}) 2>/dev/null; true");
    let inside = containers.docker(&["exec", "-u", "0", worker, "sh", "-c", &script]).into_bytes();
    assert!(contains(&inside, "HOME=/home/agent"), "the sandbox was not read");
    let (description, log) = (containers.docker(&["inspect", worker]), containers.docker(&["logs", worker]));
    let pid = containers.docker(&["inspect", "--format", "{{.State.Pid}}", worker]);
    // Where a sandbox is one process, what is read there counts as its own, and it may end by it.
    let memory = memory_of_all_below(pid.trim().parse().unwrap());
    assert!(contains(&memory, HARMLESS), "the worker's memory was not read");
    let kept = files_below(cluster.nats.folder());
    assert!(contains(&kept, HARMLESS), "what NATS keeps was not read");

    let asked = serde_json::to_string(&model.requests()).unwrap();
    for (place, bytes) in [
        ("the events", events.into_bytes()),
        ("the conversation's record", record.into_bytes()),
        ("the container's description", description.into_bytes()),
        ("the worker's log", log.into_bytes()),
        ("the sandbox's files and environments", inside),
        ("the worker's memory", memory),
        ("what NATS keeps and logs", kept),
        ("what the model was asked", asked.into_bytes()),
    ] {
        for canary in CANARIES {
            assert!(!contains(&bytes, canary), "{canary} is in {place}");
        }
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(bytes, text.as_bytes()).is_some()
}

/// All that can be written to in the memory of a process and its descendants.
fn memory_of_all_below(pid: u32) -> Vec<u8> {
    let mut memory = Vec::new();
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"));
    if let (Ok(maps), Ok(file)) = (maps, File::open(format!("/proc/{pid}/mem"))) {
        for line in maps.lines().filter(|line| line.contains(" rw")) {
            let (range, _) = line.split_once(' ').unwrap();
            let (start, end) = range.split_once('-').unwrap();
            let [start, end] = [start, end].map(|text| u64::from_str_radix(text, 16).unwrap());
            let mut part = vec![0; usize::try_from(end - start).unwrap()];
            // Parts that cannot be read hold nothing.
            if file.read_exact_at(&mut part, start).is_ok() {
                memory.append(&mut part);
            }
        }
    }
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    for child in children.split_whitespace() {
        memory.append(&mut memory_of_all_below(child.parse().unwrap()));
    }
    memory
}

fn files_below(folder: &std::path::Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.append(&mut files_below(&path)),
            false => all.append(&mut fs::read(&path).unwrap_or_default()),
        }
    }
    all
}
