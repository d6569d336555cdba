//! What `manyhands doctor` finds out about what is stored.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use reqwest::Method;
use serde_json::json;
use testing::client::Client;
use testing::server::Start;

const BINARY: &str = env!("CARGO_BIN_EXE_manyhands");
const KEY: &str = "the first key";

/// What it says of stored secrets.
fn said(start: &Start, variables: &[(&str, &str)]) -> String {
    said_of("secrets", start, variables)
}

fn said_of(what: &str, start: &Start, variables: &[(&str, &str)]) -> String {
    let mut doctor = Command::new(BINARY);
    doctor.arg("doctor").args(["--port", "0"]).current_dir(start.folder());
    doctor.envs(start.command().get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = doctor.envs(variables.iter().copied()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!said.contains("marked-value"), "{said}");
    said.lines().find(|line| line.split_whitespace().nth(1) == Some(what)).expect(&said).to_owned()
}

async fn put_secret(client: &Client) {
    let secret = json!({"name": "A_TOKEN", "value": "marked-value"});
    let put = client.request(Method::PUT, "/api/settings/secrets").json(&secret).send().await.unwrap();
    assert_eq!(put.status(), 200);
}

/// All files, with what is in them.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => drop(found.insert(path.clone(), std::fs::read(&path).unwrap_or_default())),
        }
    }
    found
}

#[tokio::test]
async fn the_doctor_names_the_secrets_that_the_keys_do_not_open() {
    let start = Start::new(BINARY);
    assert!(said(&start, &[]).starts_with("ok"), "nothing is stored");
    assert!(!start.folder().join("workspace/.manyhands/secret_key").exists(), "no key is made by looking");
    let mut server = start.clone().with("OH_SECRET_KEY", KEY).start();
    put_secret(&server.client).await;
    let settings = json!({"agent_settings_diff": {"llm": {"model": "m", "api_key": "marked-value"}}});
    assert_eq!(server.client.patch("/api/settings", &settings).await.0, 200);
    server.client.create("http://127.0.0.1:9/v1", &server.folder().join("w").display().to_string()).await;

    // Also beside a server that runs.
    assert!(said(&start, &[("OH_SECRET_KEY", KEY)]).starts_with("ok"));
    assert!(server.terminate().success());
    let wrong = said(&start, &[("OH_SECRET_KEY", "another key")]);
    assert!(wrong.starts_with("FAIL"), "{wrong}");
    for told in [
        "A_TOKEN of the tenant default",
        "1 in the settings",
        "those of 1 conversation",
        "OH_PREVIOUS_SECRET_KEYS",
    ] {
        assert!(wrong.contains(told), "{told}: {wrong}");
    }
    let rotated = [("OH_SECRET_KEY", "another key"), ("OH_PREVIOUS_SECRET_KEYS_0", KEY)];
    assert!(said(&start, &rotated).starts_with("ok"));
    let gone = said(&start, &[]);
    assert!(gone.starts_with("FAIL") && gone.contains("the key beside the data is gone"), "{gone}");
}

#[tokio::test]
async fn the_doctor_opens_with_the_key_of_the_machine_and_changes_nothing() {
    let start = Start::new(BINARY);
    let mut server = start.clone().start();
    put_secret(&server.client).await;
    assert!(server.terminate().success());
    let before = files(start.folder());
    assert!(said(&start, &[]).starts_with("ok"));
    assert!(said(&start, &[("OH_SECRET_KEY", "another key")]).starts_with("FAIL"));
    assert!(before == files(start.folder()), "what is stored is as it was");
}

#[tokio::test]
async fn the_doctor_makes_nothing_and_looks_also_at_where_clients_keep_conversations() {
    let start = Start::new(BINARY);
    let home = tempfile::tempdir().unwrap();
    let home = home.path().display().to_string();
    let before = std::fs::read_dir(start.folder()).unwrap().count();
    assert!(said_of("data", &start, &[("HOME", &home)]).starts_with("ok"));
    let client = said_of("client", &start, &[("HOME", &home), ("XDG_STATE_HOME", "")]);
    assert!(client.starts_with("ok") && client.contains(".local/state/manyhands can be written"), "{client}");
    assert_eq!(std::fs::read_dir(&home).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(start.folder()).unwrap().count(), before, "nothing was made");
    let nowhere = said_of("client", &start, &[("HOME", "/proc/none"), ("XDG_STATE_HOME", "")]);
    assert!(nowhere.starts_with("warn") && nowhere.contains("--data"), "{nowhere}");
    let nowhere = said_of("data", &start, &[("OH_CONVERSATIONS_PATH", "/proc/none/conversations")]);
    assert!(nowhere.starts_with("FAIL") && nowhere.contains("OH_CONVERSATIONS_PATH"), "{nowhere}");
}

#[tokio::test]
async fn the_doctor_names_what_is_damaged_and_looks_at_the_rest() {
    let start = Start::new(BINARY);
    let mut server = start.clone().with("OH_SECRET_KEY", KEY).start();
    put_secret(&server.client).await;
    let settings = json!({"agent_settings_diff": {"llm": {"model": "m", "api_key": "marked-value"}}});
    assert_eq!(server.client.patch("/api/settings", &settings).await.0, 200);
    assert!(server.terminate().success());
    let damaged = files(&start.folder().join("workspace/.manyhands/kv"));
    let (path, stored) =
        damaged.iter().find(|(_, stored)| stored.windows(8).any(|word| word == b"\"A_TOKEN")).unwrap();
    let revision = stored.split(|byte| *byte == b'\n').next().unwrap();
    std::fs::write(path, [revision, b"\n{"].concat()).unwrap();
    let said = said(&start, &[("OH_SECRET_KEY", "another key")]);
    for told in ["among the named secrets of the tenant default (damaged", "1 in the settings"] {
        assert!(said.contains(told), "{told}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_of_a_gateway_names_the_secrets_that_its_keys_do_not_open() {
    let start = Start::new(BINARY);
    let cluster = start.start_cluster();
    put_secret(&Client::new(&cluster.url(), None)).await;
    let keys = start.folder().join("gateway-only");
    std::fs::create_dir(&keys).unwrap();
    std::os::unix::fs::symlink(start.folder().join("keys/gateway"), keys.join("gateway")).unwrap();
    let (keys, url) = (keys.display().to_string(), format!("nats://{}", cluster.network.address()));
    let own = [("OH_KEYS_DIR", keys.as_str()), ("OH_NATS_URL", url.as_str())];
    assert!(said_of("sealed", &start, &own).starts_with("ok"));
    let wrong = said_of("sealed", &start, &[&own[..], &[("OH_SECRET_KEY", "another key")]].concat());
    assert!(wrong.starts_with("FAIL") && wrong.contains("A_TOKEN of the tenant default"), "{wrong}");
}
