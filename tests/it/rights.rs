//! The table of what the parts of a cluster may do on NATS, against what they do: real processes on a server that
//! writes down every subject.

use std::collections::BTreeSet;
use std::process::Command;

use credentials::{Permissions, Role};
use serde_json::json;
use testing::client::{Client, conversation};
use testing::cluster::Cluster;
use testing::model::Model;
use testing::script::{Script, Turn};
use testing::server::Start;
use types::subjects;

/// Payloads may be long, and are not looked at.
const TRACE: &str = "trace: true\nmax_traced_msg_len: 8";
/// Rights that this cluster does not come to use: a worker is asked whether it rests only when it was idle for long, and gets
/// new credentials only after hours.
const SELDOM: [&str; 3] = ["mh.cmd.*.rest.*", "mh.ans.*.*.rest.*", "mh.ans.*.*.creds.*"];
/// More than a message holds: its body is stored in pieces, and the model is sent it in several.
const LARGE: usize = 1 << 20;

/// What a part was seen to do.
#[derive(Debug, Default)]
struct Done {
    published: BTreeSet<String>,
    subscribed: BTreeSet<String>,
}

impl Done {
    /// Of the connections whose name begins with `name`, from the server's own log.
    fn of(name: &str, log: &str) -> Self {
        let mut done = Self::default();
        for line in log.lines() {
            let Some((connection, command)) = line.split_once(" - <<- [") else { continue };
            if !connection.contains(&format!(":{name}")) {
                continue;
            }
            let mut words = command.trim_end_matches(']').split(' ');
            match (words.next(), words.next()) {
                (Some("PUB" | "HPUB"), Some(subject)) => done.published.insert(subject.to_owned()),
                (Some("SUB"), Some(subject)) => done.subscribed.insert(subject.to_owned()),
                _ => continue,
            };
        }
        done
    }

    /// Nothing without a right, but answers; no right without a use.
    fn fits(&self, part: &str, rights: &Permissions, own: impl Fn(&str) -> String) {
        let sides = [(rights.publish(), &self.published), (rights.subscribe(), &self.subscribed)];
        for (rights, done) in sides {
            assert!(!done.is_empty(), "{part} was not seen");
            let rights: Vec<String> = rights.iter().map(|right| own(right)).collect();
            for right in &rights {
                let is_used = done.iter().any(|subject| subjects::covers(right, subject));
                assert!(
                    is_used || SELDOM.contains(&right.as_str()),
                    "{part} has no use for {right}: {self:#?}"
                );
            }
            for subject in done.iter().filter(|subject| !subject.starts_with("_INBOX_")) {
                let may = rights.iter().any(|right| subjects::covers(right, subject));
                assert!(may, "{part} may not {subject}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_right_has_a_use_and_every_use_a_right() {
    let start = Start::new(env!("CARGO_BIN_EXE_manyhands")).with("OH_WARM_WORKERS", "1").with_nats(TRACE);
    let cluster = start.start_cluster();
    converse(&cluster).await;
    examine(&start, &cluster);

    let log = std::fs::read_to_string(cluster.nats.folder().join("server.log")).unwrap();
    assert!(!log.contains("Violation"), "{:?}", log.lines().find(|line| line.contains("Violation")));
    let as_it_is = str::to_owned;
    Done::of("manyhands gateway", &log).fits("a gateway", &Role::Gateway.permissions(), as_it_is);
    Done::of("manyhands supervisor", &log).fits("the supervisor", &Role::Supervisor.permissions(), as_it_is);
    let (sandbox, epoch) = who_conversed(&log);
    let own = |right: &str| right.replace("{{tag(sandbox)}}", &sandbox).replace("{{tag(epoch)}}", &epoch);
    let worker = Done::of(&format!("manyhands worker {sandbox} {epoch}\""), &log);
    worker.fits("a worker", &Permissions::of_workers(), own);
}

/// The worker that streamed an answer; others were only ready.
fn who_conversed(log: &str) -> (String, String) {
    let streamed = log.lines().find(|line| line.contains("[PUB mh.live.") || line.contains("[HPUB mh.live."));
    let name = streamed.and_then(|line| line.split("manyhands worker ").nth(1)).expect("a worker streamed");
    let (sandbox, epoch) = name.split('"').next().and_then(|name| name.split_once(' ')).expect("its name");
    (sandbox.to_owned(), epoch.to_owned())
}

/// Runs an agent whose answers are streamed to a socket and whose history outgrows a message, runs a command, and
/// removes what that left.
async fn converse(cluster: &Cluster) {
    let project = cluster.workspaces().join("project");
    let turns = vec![Turn::terminal("call_1", "echo done"), Turn::finish("done")];
    let model = Model::start(0, vec![Script::new("[[rights]]", turns)]).await.unwrap();
    let client = Client::new(&cluster.url(), None);
    let mut body = conversation(&model.base_url(), &project.to_string_lossy());
    body["agent"]["llm"]["stream"] = json!(true);
    let id = client.post_ok("/api/conversations", &body).await["id"].as_str().unwrap().to_owned();
    let socket = client.socket(&format!("/sockets/events/{id}")).await;
    client.send(&id, &format!("[[rights]] {}", "x".repeat(LARGE)), true).await;
    client.wait_for_status(&id, "finished").await;
    drop(socket);
    assert_eq!(client.printed(None, "echo shell").await.trim(), "shell");
    let (status, answer) = client.delete(&format!("/api/conversations/{id}")).await;
    assert!(status.is_success(), "{answer}");
}

#[test]
fn a_gateway_whose_settings_cannot_work_ends_before_it_looks_for_its_cluster() {
    let folder = Start::new(env!("CARGO_BIN_EXE_manyhands"));
    let mut gateway = Command::new(env!("CARGO_BIN_EXE_manyhands"));
    gateway.current_dir(folder.folder()).args(["gateway", "--host", "127.0.0.1", "--port", "0"]);
    // Nobody listens there.
    gateway.env("OH_NATS_URL", "nats://127.0.0.1:1").env("OH_SECRET_KEY", "secret");
    let output = gateway.env("OH_ALLOW_CORS_ORIGIN_REGEX", "(").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("OH_ALLOW_CORS_ORIGIN_REGEX must be a regular"),
        "{said}"
    );
}

/// The variable is set in images, where it is meant for the server of one process.
#[test]
fn a_gateway_without_keys_listens_beyond_loopback_only_by_its_flag() {
    let folder = Start::new(env!("CARGO_BIN_EXE_manyhands"));
    let mut gateway = Command::new(env!("CARGO_BIN_EXE_manyhands"));
    gateway.current_dir(folder.folder()).args(["gateway", "--port", "0"]);
    gateway.env("OH_HOST", "0.0.0.0").env("OH_ALLOW_OPEN_SERVER", "true");
    // It would go no further with it: gateways of a cluster know no tickets.
    gateway.env("OH_NATS_URL", "nats://127.0.0.1:1").env("OH_SECRET_KEY", "secret").arg("--ticket");
    let said =
        |gateway: &mut Command| String::from_utf8_lossy(&gateway.output().unwrap().stderr).into_owned();
    let refused = said(&mut gateway);
    assert!(refused.contains("refusing to listen on 0.0.0.0"), "{refused}");
    let allowed = said(gateway.arg("--allow-open-server"));
    assert!(allowed.contains("--ticket goes with a server of one process"), "{allowed}");
}

/// `manyhands doctor` with the keys of a supervisor alone.
fn examine(start: &Start, cluster: &Cluster) {
    let keys = start.folder().join("supervisor-only");
    std::fs::create_dir(&keys).unwrap();
    std::os::unix::fs::symlink(start.folder().join("keys/supervisor"), keys.join("supervisor")).unwrap();
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_manyhands"));
    doctor.current_dir(start.folder()).arg("doctor").env("OH_KEYS_DIR", &keys);
    doctor.env("OH_SANDBOX_DRIVER", "process");
    let output = doctor.env("OH_NATS_URL", format!("nats://{}", cluster.network.address())).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("JetStream holds the cluster's streams"), "{said}");
}
