//! An agent that tries to get out of its sandbox, or to disturb the others.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::json;
use testing::client::Client;
use testing::containers::runtime;
use testing::model::Model;
use testing::script::{Script, Turn};
use testing::{until, within};

use super::{PROJECT, a_container_each};

const ATTACKS: &str = include_str!("../../docker/attacks.sh");
/// There /proc asks nobody for rights, and namespaces and devices are those of a kernel of the sandbox's own. What could be gained by it
/// is tried beside: `worker_open_file`, `worker_secret`, `namespace_root`, `device_content`.
const HARMLESS_UNDER_GVISOR: [&str; 5] =
    ["worker_environment", "worker_maps", "worker_files", "user_namespace", "device"];
/// A memory bomb and a full disk take their time.
const PATIENCE: Duration = Duration::from_secs(120);
/// With half of a small machine busy next door.
const PROMPT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn nothing_that_a_hostile_agent_tries_succeeds() {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let attack = Turn::terminal("call_1", &format!("bash attacks.sh {port} > results; echo over > over"));
    let turns = vec![attack, Turn::finish("done")];
    let model = Model::start(0, vec![Script::new("[[attack]]", turns)]).await.unwrap();
    let server = a_container_each();
    let client = &server.client;
    let (evil, neighbour) = (conversation(client, &model).await, conversation(client, &model).await);
    client.printed(Some(&neighbour), "echo secret-of-the-neighbour > mine").await;
    client.printed(Some(&evil), &format!("cat > attacks.sh <<'EOF'\n{ATTACKS}\nEOF")).await;
    let workers = server.containers().running();
    client.send(&evil, "[[attack]]", true).await;
    within(PATIENCE, "the end of the attacks", async || {
        let (status, _) = client.get(&download(&evil, "over")).await;
        let ended =
            is_one_process() && server.containers().running().iter().any(|name| !workers.contains(name));
        (status.is_success() || ended).then_some(())
    })
    .await;
    let results = client.printed(Some(&evil), "cat results").await;
    println!("{results}");
    let tried = ATTACKS.lines().filter(|line| line.starts_with("try ")).count();
    let told = tried - usize::from(is_one_process());
    assert_eq!(results.lines().count(), told, "each attempt has a result");
    for line in results.lines() {
        let (name, outcome) = line.split_once(' ').unwrap();
        let is_harmless = is_one_process() && HARMLESS_UNDER_GVISOR.contains(&name);
        let expected = if name.starts_with("can_") { "yes" } else { "no" };
        assert!(outcome == expected || is_harmless, "{results}");
    }
    let seen =
        client.printed(Some(&evil), "grep -rs of-the-neighbour /workspace /tmp /home /run | wc -l").await;
    assert_eq!(seen, "0\n");
    assert_eq!(client.printed(Some(&neighbour), "cat mine").await, "secret-of-the-neighbour\n");
}

#[tokio::test]
async fn what_reads_files_for_a_client_is_not_led_astray() {
    let model = Model::start(0, Vec::new()).await.unwrap();
    let server = a_container_each();
    let client = &server.client;
    let id = conversation(client, &model).await;
    // Only the worker could read the first; the second would run with its rights.
    let tricks = "git init -q . && ln -s /etc/shadow shadow && ln -s / everything \
        && git config core.fsmonitor 'id -u >> /tmp/who; false'";
    client.printed(Some(&id), tricks).await;
    for path in ["shadow", "everything/etc/shadow", "../../etc/shadow"] {
        let (status, answer) = client.get(&download(&id, path)).await;
        assert!(status.is_client_error(), "{path}: {status} {answer}");
    }
    let base = format!("/api/conversations/{id}");
    for archive in ["git/changes?", "git/diff?", "file/archive?format=git-delta&"] {
        let (_, answer) = client.get(&format!("{base}/{archive}path={PROJECT}")).await;
        assert!(!answer.to_string().contains("root:"), "{archive}: {answer}");
    }
    let who = client.printed(Some(&id), "sort -u /tmp/who 2>/dev/null || true").await;
    assert!(!who.lines().any(|user| user != "10001"), "git has run a program of the repository as {who}");
}

#[tokio::test]
async fn a_fork_bomb_harms_no_neighbour_and_goes_with_its_conversation() {
    let model = Model::start(0, Vec::new()).await.unwrap();
    let server = a_container_each();
    let client = &server.client;
    let (evil, neighbour) = (conversation(client, &model).await, conversation(client, &model).await);
    for id in [&evil, &neighbour] {
        client.printed(Some(id), "true").await;
    }
    // This shell, unlike the smallest, tries again when it cannot fork.
    let bomb = "bash -c 'bomb() { bomb | bomb & }; bomb; sleep 20'";
    let exploding = tokio::spawn({
        let (client, evil) = (client.clone(), evil.clone());
        async move { client.run(Some(&evil), bomb).await }
    });
    let commands = format!("/api/conversations/{evil}/bash/execute_bash_command");
    until(async || {
        let (status, refused) = client.post(&commands, &json!({ "command": "true", "timeout": 60 })).await;
        let says_why = refused["stderr"].as_str().unwrap_or_default();
        // One process has no thread left for itself, either, and ends.
        says_why.contains("Resource temporarily unavailable") || is_one_process() && status == 503
    })
    .await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(5) {
        let asked = Instant::now();
        assert_eq!(client.printed(Some(&neighbour), "echo well").await, "well\n");
        assert!(asked.elapsed() < PROMPT, "the neighbour waited for {:?}", asked.elapsed());
    }
    // Whatever it answers: a sandbox without room for a process is of no use to its owner.
    exploding.abort();
    let (status, answer) = client.delete(&format!("/api/conversations/{evil}")).await;
    assert!(status.is_success(), "{answer}");
    until(async || server.containers().running().len() == 1).await;
    assert_eq!(client.printed(Some(&neighbour), "echo well").await, "well\n");
}

/// Under gVisor a sandbox is one process of the machine: the last attack, which takes all memory, ends it as a whole, and another
/// takes its place.
fn is_one_process() -> bool {
    runtime().is_some_and(|name| name.starts_with("runsc"))
}

async fn conversation(client: &Client, model: &Model) -> String {
    client.create(&model.base_url(), PROJECT).await
}

fn download(conversation: &str, name: &str) -> String {
    format!("/api/conversations/{conversation}/file/download?path={PROJECT}/{name}")
}
