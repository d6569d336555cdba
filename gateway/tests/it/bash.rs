//! Commands over the API, and what is found of them afterwards.

use std::time::Duration;

use crate::harness::{Server, eventually, start};
use reqwest::Method;
use serde_json::{Value, json};
use testing::socket::Socket;

async fn run(server: &Server, command: &str) -> Value {
    let (status, output) = server.post("/api/bash/execute_bash_command", &json!({"command": command})).await;
    assert_eq!(status, 200, "{output}");
    output
}

async fn search(server: &Server, query: &str) -> Value {
    let (status, page) = server.get(&format!("/api/bash/bash_events/search?{query}")).await;
    assert_eq!(status, 200, "{page}");
    page
}

fn field<'a>(page: &'a Value, name: &str) -> Vec<&'a Value> {
    page["items"].as_array().unwrap().iter().map(|item| &item[name]).collect()
}

#[tokio::test]
async fn execute_answers_with_all_output_and_the_exit_code() {
    let server = start().await;
    let output = run(&server, "printf '%s\n' '\"a\\é'; echo err >&2; exit 3").await;
    assert_eq!((&output["stdout"], &output["stderr"]), (&json!("\"a\\é\n"), &json!("err\n")));
    assert_eq!((&output["exit_code"], &output["kind"]), (&json!(3), &json!("BashOutput")));
    assert_eq!(run(&server, "true").await["stdout"], Value::Null);
}

#[tokio::test]
async fn a_list_is_no_request() {
    let server = start().await;
    for path in ["start_bash_command", "execute_bash_command"] {
        let (status, answer) = server.post(&format!("/api/bash/{path}"), &json!(["ls"])).await;
        assert_eq!(status, 422, "{answer}");
        assert_eq!(answer["detail"][0]["loc"], json!(["body"]));
    }
    assert_eq!(search(&server, "").await["items"], json!([]));
}

#[tokio::test]
async fn execute_joins_output_that_came_in_pieces() {
    let server = start().await;
    let output = run(&server, "head -c 3500000 /dev/zero | tr '\\0' x").await;
    assert_eq!(output["order"], 3);
    assert_eq!(output["stdout"].as_str().unwrap().len(), 3_500_000);
}

#[tokio::test]
async fn a_little_output_is_answered_in_one_piece_and_much_as_it_is_read() {
    let server = start().await;
    for (command, is_whole) in
        [("echo a; echo b >&2", true), ("head -c 300000 /dev/zero | tr '\\0' x", false)]
    {
        let request = server.request(Method::POST, "/api/bash/execute_bash_command");
        let answer = request.json(&json!({"command": command})).send().await.unwrap();
        assert_eq!(answer.headers().contains_key("content-length"), is_whole, "{command}");
        assert_eq!(answer.json::<Value>().await.unwrap()["exit_code"], 0);
    }
}

#[tokio::test]
async fn many_commands_at_once_get_each_their_own_output() {
    let server = start().await;
    let outputs = futures_util::future::join_all((0..20).map(|i| {
        let server = &server;
        async move { (i, run(server, &format!("sleep 0.0{}; echo {i}", i % 5)).await) }
    }));
    for (i, output) in outputs.await {
        assert_eq!(output["stdout"], format!("{i}\n"));
    }
}

#[tokio::test]
async fn a_started_command_is_found_at_once_and_polled_to_its_end() {
    let server = start().await;
    let command = json!({"command": "head -c 2500000 /dev/zero | tr '\\0' x", "timeout": 30});
    let (status, started) = server.post("/api/bash/start_bash_command", &command).await;
    assert_eq!((status, &started["kind"]), (200, &json!("BashCommand")));
    let id = started["id"].as_str().unwrap().to_owned();
    assert_eq!(field(&search(&server, "kind__eq=BashCommand").await, "id"), [&json!(id)]);

    let (mut seen, mut text) = (-1, String::new());
    eventually("the last output", async || {
        let filter = format!(
            "kind__eq=BashOutput&sort_order=TIMESTAMP&limit=100&command_id__eq={id}&order__gt={seen}"
        );
        let page = search(&server, &filter).await;
        let items = page["items"].as_array().unwrap().clone();
        for item in &items {
            assert!(item["order"].as_i64().unwrap() > seen);
            seen = item["order"].as_i64().unwrap();
            text.push_str(item["stdout"].as_str().unwrap());
        }
        items.last().filter(|item| item["exit_code"] == 0).map(|_| ())
    })
    .await;
    assert_eq!(text, "x".repeat(2_500_000));
}

#[tokio::test]
async fn pages_follow_their_cursor_in_both_orders() {
    let server = start().await;
    for i in 0..7 {
        run(&server, &format!("echo {i}")).await;
    }
    for order in ["TIMESTAMP", "TIMESTAMP_DESC"] {
        let (mut ids, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = search(&server, &format!("limit=5&sort_order={order}{cursor}")).await;
            ids.extend(field(&page, "timestamp").into_iter().cloned());
            let Some(next) = page["next_page_id"].as_str() else { break };
            cursor = format!("&page_id={next}");
        }
        assert_eq!(ids.len(), 14);
        let sorted = ids.is_sorted_by(|a, b| a.as_str() <= b.as_str());
        assert_eq!(sorted, order == "TIMESTAMP");
    }
    let page = search(&server, "page_id=unknown&limit=1&kind__eq=BashOutput").await;
    assert_eq!(field(&page, "stdout"), ["0\n"]);
}

#[tokio::test]
async fn time_bounds_are_utc_unless_they_say_otherwise() {
    let server = start().await;
    run(&server, "echo x").await;
    let all = search(&server, "").await;
    let stamp = all["items"][1]["timestamp"].as_str().unwrap();
    let later = search(&server, &format!("timestamp__gte={}", stamp.trim_end_matches('Z'))).await;
    assert_eq!(field(&later, "id"), [&all["items"][1]["id"]]);
    let earlier = search(&server, &format!("timestamp__lt={stamp}")).await;
    assert_eq!(field(&earlier, "id"), [&all["items"][0]["id"]]);
    assert!(field(&search(&server, "timestamp__gte=2999-01-01T00:00:00%2B02:00").await, "id").is_empty());
}

#[tokio::test]
async fn events_are_found_by_id() {
    let server = start().await;
    let output = run(&server, "echo x").await;
    let id = output["id"].as_str().unwrap();
    let (status, found) = server.get(&format!("/api/bash/bash_events/{id}")).await;
    assert_eq!((status, found), (200, output.clone()));
    for unknown in ["00000000000000000000000000000009", "nothing"] {
        assert_eq!(server.get(&format!("/api/bash/bash_events/{unknown}")).await.0, 404);
    }
    let request = server.request(Method::GET, "/api/bash/bash_events/").json(&json!([id, "nothing"]));
    let found: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(found, json!([output, null]));
    assert_eq!(server.get("/api/bash/bash_events/").await.0, 422);
}

#[tokio::test]
async fn cleared_events_are_gone_and_new_ones_are_found() {
    let server = start().await;
    run(&server, "echo old").await;
    let request = server.request(Method::DELETE, "/api/bash/bash_events");
    assert_eq!(request.send().await.unwrap().json::<Value>().await.unwrap(), json!({"cleared_count": 2}));
    assert_eq!(search(&server, "").await, json!({"items": [], "next_page_id": null}));
    assert_eq!(run(&server, "echo new").await["stdout"], "new\n");
    assert_eq!(field(&search(&server, "kind__eq=BashOutput").await, "stdout"), ["new\n"]);
}

#[tokio::test]
async fn what_comes_while_events_are_cleared_is_told_once() {
    let server = start().await;
    let mut socket = Socket::open(&format!("ws://{}/sockets/bash-events", server.address)).await;
    // What it is told of shows that it listens.
    while socket.next_within(Duration::from_millis(50)).await.is_none() {
        run(&server, "echo and meanwhile").await;
    }
    let request = server.request(Method::DELETE, "/api/bash/bash_events");
    assert_eq!(request.send().await.unwrap().status(), 200);
    run(&server, "echo last").await;
    let frames = socket.until(|frame| frame["command"] == "echo last").await;
    assert_eq!(frames.iter().filter(|frame| frame["command"] == "came meanwhile").count(), 1);
}

#[tokio::test]
async fn commands_are_stopped_by_any_form_of_their_id() {
    let server = start().await;
    let stop = async |id: &str| {
        let path = format!("/api/bash/bash_commands/{id}/stop");
        server.request(Method::POST, &path).send().await.unwrap().status().as_u16()
    };
    assert_eq!(stop("10000000-0000-0000-0000-000000000001").await, 200);
    assert_eq!(stop("10000000000000000000000000000001").await, 200);
    assert_eq!(stop("00000000000000000000000000000001").await, 404);
    assert_eq!(stop("x").await, 422);
    let (status, answer) = server.post("/api/bash/bash_commands/sk-x/stop", Value::Null).await;
    let problem = json!([{"type": "uuid_parsing", "loc": ["path", "command_id"], "msg": "Input should be a valid UUID"}]);
    assert_eq!((status, answer), (422, json!({ "detail": problem })), "it is named, and never shown");
}

#[tokio::test]
async fn a_conversations_commands_have_a_log_of_their_own() {
    let server = start().await;
    let id = server.conversation("w").await;
    let path = format!("/api/conversations/{id}/bash");
    let (status, output) =
        server.post(&format!("{path}/execute_bash_command"), &json!({"command": "echo mine"})).await;
    assert_eq!((status, &output["stdout"]), (200, &json!("mine\n")));
    let (_, page) = server.get(&format!("{path}/bash_events/search?kind__eq=BashOutput")).await;
    assert_eq!(field(&page, "stdout"), ["mine\n"]);
    assert!(field(&search(&server, "").await, "id").is_empty());
    let unknown = "/api/conversations/00000000-0000-0000-0000-000000000009/bash/bash_events/search";
    assert_eq!(server.get(unknown).await, (404, json!({"detail": "Not Found"})));
}
