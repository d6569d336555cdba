//! What was acknowledged is there after SIGKILL at any moment, and what was cut off has an end.

use serde_json::json;
use testing::eventually;
use testing::history::{Tally, id_of};
use testing::model::Model;
use testing::process::is_alive;
use testing::random::Random;
use testing::script::{Script, Turn};
use testing::server::{Server, Start};
use testing::socket::Socket;

const BINARY: &str = env!("CARGO_BIN_EXE_manyhands");
const ROUNDS: u64 = 50;
/// A cluster takes longer to come back.
const ROUNDS_OF_A_CLUSTER: u64 = 5;
const STEPS: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_in_the_middle_of_a_run_loses_doubles_and_reorders_nothing() {
    let steps = (0..STEPS).map(|i| Turn::terminal(&format!("call_{i}"), &format!("echo {i}"))).collect();
    let model = Model::start(0, vec![Script::new("[[fifty]]", steps)]).await.unwrap();
    let mut server = Start::new(BINARY).start();
    let (mut random, mut tally) = (Random::seeded(), Tally::default());
    let rounds = if server.is_cluster() { ROUNDS_OF_A_CLUSTER } else { ROUNDS };
    for round in 0..rounds {
        server = kill_in_the_middle(server, &model, &mut random, &mut tally).await;
        if round % 10 == 9 {
            println!("round {}: {} events acknowledged so far", round + 1, tally.acknowledged);
        }
    }
    println!("{rounds} kills: {tally}");
    assert!(tally.acknowledged > 0 && tally.is_clean());
}

async fn kill_in_the_middle(server: Server, model: &Model, random: &mut Random, tally: &mut Tally) -> Server {
    let work = server.project().join("work").display().to_string();
    let id = server.client.create(&model.base_url(), &work).await;
    let mut socket = server.client.socket(&format!("/sockets/events/{id}")).await;
    let enough = 1 + random.below(STEPS as u64) as usize;
    server.client.send(&id, "Count. [[fifty]]", true).await;
    let seen = observations(&mut socket, enough).await;

    let server = server.killed_and_restarted();
    let stored: Vec<String> = server.client.events(&id).await.iter().map(id_of).collect();
    tally.count(&seen, &stored);

    eventually("the server is ready", || async {
        server.client.get("/ready").await.0.is_success().then_some(())
    })
    .await;
    let info = server.client.get_ok(&format!("/api/conversations/{id}")).await;
    assert_ne!(
        info["execution_status"], "running",
        "a server that is ready has closed the runs that were cut off"
    );
    server.client.post_ok(&format!("/api/conversations/{id}/run"), &json!({})).await;
    server.client.wait_for_status(&id, "finished").await;
    let events = server.client.events(&id).await;
    tally.examine(&events);
    let after: Vec<String> = events.iter().map(id_of).collect();
    assert_eq!(after[..stored.len()], stored, "what was there stays as it was");
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_has_an_end_after_kill_9_and_nothing_of_it_runs() {
    let mut server = Start::new(BINARY).start();
    let script = "(sleep 1000; true) & setsid sleep 1000 & echo $$ $!; wait; true";
    let started = server.client.post_ok("/api/bash/start_bash_command", &json!({"command": script})).await;
    let id = started["id"].as_str().unwrap().to_owned();
    let outputs = format!("/api/bash/bash_events/search?command_id__eq={id}");
    let printed = eventually("the command has begun", || async {
        server.client.get_ok(&outputs).await["items"][0]["stdout"].as_str().map(str::to_owned)
    })
    .await;

    server = server.killed_and_restarted();

    let end = eventually("the command has an end", || async {
        let items = server.client.get_ok(&outputs).await["items"].as_array().unwrap().clone();
        items.last().filter(|last| !last["exit_code"].is_null()).cloned()
    })
    .await;
    assert_eq!((&end["exit_code"], &end["order"]), (&json!(-1), &json!(1)));
    // Those of a container go with it, and have other numbers here.
    if !server.is_in_containers() {
        for pid in printed.split_whitespace() {
            eventually("its processes are gone", || async { (!is_alive(pid)).then_some(()) }).await;
        }
    }
    let stopped = server.client.post_ok(&format!("/api/bash/bash_commands/{id}/stop"), &json!({})).await;
    assert_eq!(stopped, json!({"success": true}), "it is over");
}

/// Before it begins, while it runs, and after it has ended but before that is stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_has_one_end_and_nothing_of_it_runs_whenever_the_server_is_killed() {
    let mut server = Start::new(BINARY).start();
    let mut random = Random::seeded();
    let mut all = Vec::new();
    for _ in 0..10 {
        for pause in ["", "sleep 0.01;", "sleep 0.04;", "sleep 1000;"] {
            let script = format!("echo $$; {pause} echo more >&2; exit 3");
            let started =
                server.client.post_ok("/api/bash/start_bash_command", &json!({"command": script})).await;
            all.push((started["id"].as_str().unwrap().to_owned(), pause.contains("1000")));
        }
        tokio::time::sleep(std::time::Duration::from_millis(random.below(40))).await;
        server = server.killed_and_restarted();
    }
    for (id, is_cut_off) in all {
        let stopped = server.client.post_ok(&format!("/api/bash/bash_commands/{id}/stop"), &json!({})).await;
        assert_eq!(stopped, json!({"success": true}), "it is over");
        let outputs = format!("/api/bash/bash_events/search?kind__eq=BashOutput&command_id__eq={id}");
        let items = server.client.get_ok(&outputs).await["items"].as_array().unwrap().clone();
        let codes: Vec<_> = items.iter().filter_map(|item| item["exit_code"].as_i64()).collect();
        assert!(matches!(codes[..], [3 | -1]) && !(is_cut_off && codes == [3]), "{items:?}");
        assert!(!items.last().unwrap()["exit_code"].is_null(), "nothing comes after the end: {items:?}");
        let orders: Vec<_> = items.iter().filter_map(|item| item["order"].as_u64()).collect();
        assert_eq!(orders, (0..orders.len() as u64).collect::<Vec<_>>(), "{items:?}");
        let pid = items[0]["stdout"].as_str().and_then(|text| text.lines().next()).unwrap_or("none");
        assert!(server.is_in_containers() || !is_alive(pid), "{items:?}");
    }
}

/// The ids of the stored events that the socket brought, until it has brought `enough` observations.
async fn observations(socket: &mut Socket, enough: usize) -> Vec<String> {
    let mut observed = 0;
    let mut seen = Vec::new();
    while observed < enough {
        let event = socket.next().await;
        observed += usize::from(event["kind"] == "ObservationEvent");
        if event["key"] != "full_state" {
            seen.push(id_of(&event));
        }
    }
    seen
}

#[tokio::test]
async fn a_server_that_says_it_is_ready_takes_commands() {
    let mut server = Start::new(BINARY).start();
    for _ in 0..20 {
        let request = json!({ "command": "echo here" });
        let output = server.client.post_ok("/api/bash/execute_bash_command", &request).await;
        assert_eq!(output["stdout"], "here\n");
        server = server.killed_and_restarted();
    }
}
