//! The recordings: the real SDK's requests, replayed with the model's recorded answers, give the events that the
//! peer gave: kinds, order, and fields. `traces/reduce.py` made the fixtures.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use testing::client::Client;
use testing::recorded::{self, Answers};
use testing::server::Start;

/// The fields of an event that are compared by value.
const TELLING: [&str; 9] = [
    "key",
    "tool_name",
    "tool_call_id",
    "code",
    "rejection_source",
    "security_risk",
    "analyzer",
    "policy",
    "classification",
];

const SMALLEST_PNG: &[u8] = include_bytes!("../traces/p.png");

/// Where this server is better on purpose: events the peer's recording does not have.
/// A call that a `finish` cuts off is answered, instead of staying open until the next run.
const MORE: [(&str, usize, usize, &str); 1] = [("e_model_misbehaves", 5, 6, "AgentErrorEvent")];

/// And where an event has other fields: the peer's terminal shows escape sequences and an echoed `^C` where the
/// command printed nothing; ours shows nothing, and so has no place where the output was saved.
const OTHERWISE: [(&str, usize, usize); 2] =
    [("b_terminal_subprocess", 0, 17), ("b_terminal_subprocess", 0, 19)];

/// One recorded command says nothing for 30 seconds.
const SLOWEST_RUN: Duration = Duration::from_secs(90);

#[derive(Deserialize)]
struct Recording {
    create: Value,
    calls: Vec<Call>,
    model: Answers,
    events: Vec<Value>,
}

#[derive(Deserialize)]
struct Call {
    method: String,
    path: String,
    body: Value,
    status: u16,
}

async fn replay(name: &str, fixture: &str) {
    let recordings: Vec<Recording> = serde_json::from_str(fixture).unwrap();
    let server = Start::new(env!("CARGO_BIN_EXE_manyhands")).start();
    for (index, recording) in recordings.into_iter().enumerate() {
        let work = server.project().join(format!("w{index}")).display().to_string();
        let expected = recording.events.clone();
        let mut outlines = replay_one(&server.client, recording, &work).await;
        for (_, _, at, kind) in MORE.iter().filter(|more| more.0 == name && more.1 == index) {
            assert_eq!(outlines.remove(*at)["kind"], **kind);
        }
        let (got, expected) = (lines(&outlines), lines(&expected));
        if let Some(at) = (0..got.len().max(expected.len()))
            .find(|at| got.get(*at) != expected.get(*at) && !OTHERWISE.contains(&(name, index, *at)))
        {
            let kinds = |lines: &[Value]| {
                lines.iter().map(|l| format!("\n  {} {}", l["kind"], l["value"])).collect::<String>()
            };
            panic!(
                "{name}, conversation {index}, event {at}\nours:      {:?}\nthe peer's: {:?}\nall of ours:{}",
                got.get(at),
                expected.get(at),
                kinds(&outlines)
            );
        }
    }
}

fn lines(outlines: &[Value]) -> Vec<String> {
    outlines.iter().map(Value::to_string).collect()
}

async fn replay_one(client: &Client, recording: Recording, work: &str) -> Vec<Value> {
    let model = recorded::start(recording.model.in_folder("/workspace/w", work)).await.unwrap();
    let here = |value: &Value| -> Value {
        let text = value.to_string().replace("http://llm.test/v1", &model).replace("/workspace/w", work);
        serde_json::from_str(&text).unwrap()
    };
    let create = here(&recording.create);
    let made = client.post_ok("/api/conversations", &create).await;
    let id = made["id"].as_str().unwrap().to_owned();
    // One recording looks at a picture that lay in the workspace.
    let picture: String = SMALLEST_PNG.iter().map(|byte| format!("\\{byte:03o}")).collect();
    client.printed(Some(&id), &format!("printf '{picture}' > p.png")).await;
    for call in &recording.calls {
        resting(client, &id).await;
        let method = call.method.parse().unwrap();
        let mut request = client.request(method, &format!("/api/conversations/{id}/{}", call.path));
        if !call.body.is_null() {
            request = request.json(&here(&call.body));
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        // Where the peer breaks (500), a clear refusal is right.
        // And a run the peer still had under way when the next call came (409) may be over here.
        let better = match call.status {
            500 => (400..500).contains(&status),
            409 => status == 200,
            _ => false,
        };
        let same = status == call.status || better;
        assert!(
            same,
            "{} {}: {status}, the peer {}: {}",
            call.method,
            call.path,
            call.status,
            response.text().await.unwrap()
        );
    }
    resting(client, &id).await;
    let events = client.events(&id).await;
    assert_timestamps_rise(&events);
    events.iter().filter(|event| event["key"] != "stats").map(outline).collect()
}

async fn resting(client: &Client, id: &str) {
    testing::within(SLOWEST_RUN, "the run is over", || async {
        let info = client.get_ok(&format!("/api/conversations/{id}")).await;
        (info["execution_status"] != "running").then_some(())
    })
    .await;
}

fn assert_timestamps_rise(events: &[Value]) {
    let stamps: Vec<&str> = events.iter().map(|event| event["timestamp"].as_str().unwrap()).collect();
    assert!(stamps.windows(2).all(|pair| pair[0] < pair[1]), "{stamps:?}");
}

/// The same reduction as `reduce.py`.
fn outline(event: &Value) -> Value {
    let mut told = serde_json::Map::new();
    for name in ["kind", "source"].into_iter().chain(TELLING) {
        if let Some(value) = event.get(name) {
            told.insert(name.to_owned(), value.clone());
        }
    }
    if event["key"] == "execution_status" {
        told.insert("value".to_owned(), event["value"].clone());
    }
    let names = |value: &Value| {
        let mut names: Vec<&String> = value.as_object().unwrap().keys().collect();
        names.sort();
        json!(names)
    };
    let mut fields = event.clone();
    fields.as_object_mut().unwrap().retain(|name, _| name != "id" && name != "timestamp");
    told.insert("fields".to_owned(), names(&fields));
    for name in ["action", "observation", "llm_message"] {
        if event[name].is_object() {
            told.insert(name.to_owned(), names(&event[name]));
            told.insert(format!("{name}_kind"), event[name]["kind"].clone());
        }
    }
    told.sort_keys();
    Value::Object(told)
}

macro_rules! recordings {
    ($($name:ident),+ $(,)?) => {
        $(#[tokio::test] async fn $name() {
            replay(stringify!($name), include_str!(concat!("../traces/", stringify!($name), ".json"))).await;
        })+
    };
}

recordings!(
    a_quickstart,
    b_terminal_subprocess,
    c_confirmation,
    e_llm_auth_error,
    e_llm_context_window,
    e_llm_rate_limit,
    e_max_iterations,
    e_model_misbehaves,
    e_stuck,
    f_secrets,
    i_images,
    k_task_tracker_think,
);
