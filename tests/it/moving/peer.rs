//! With the real peer at both ends: what it writes while the test runs goes on here, goes out, and goes on there.

use serde_json::json;
use testing::model::Model;

use super::python::Python;
use super::there::{expected, is_answered_as};
use super::{Mover, WORKING};

#[tokio::test]
async fn what_the_peer_writes_now_goes_on_here_and_then_at_the_peer() {
    let python = Python::with_the_peer().await;
    let recorded = python.record().await;
    let model = Model::start(0, Vec::new()).await.unwrap();
    let mover = Mover::of(&recorded, &model.base_url());
    let told = mover.import().whole();
    assert_eq!((told.count("conversations"), told.count("secrets")), ((3, 0, 0), (2, 0, 0)), "{told:#?}");
    let mut server = mover.start.start();
    let answered = std::fs::read_to_string(recorded.join("expected.json")).unwrap();
    is_answered_as(&server, &expected(&answered, &mover, &model.base_url())).await;
    server.client.send(WORKING, "Go on.", true).await;
    server.client.wait_for_status(WORKING, "finished").await;
    let events = server.client.events(WORKING).await.len();
    assert!(server.terminate().success());

    let workspace = recorded.with_file_name("there").join("workspace");
    let told = mover.export(&workspace).whole();
    assert_eq!(told.count("conversations"), (3, 0, 0), "{told:#?}");
    let asked = model.requests().len();
    let there = python.go_on(&workspace, WORKING, "And on.").await;
    assert_eq!((&there["conversations"], &there["commands"]), (&json!(3), &json!(2)), "{there}");
    assert_eq!(
        (&there["status"], &there["title"], &there["events"]),
        (&"finished".into(), &"A note".into(), &events.into())
    );
    assert_eq!((&there["secrets"], &there["skills"]), (&json!(["TOKEN_A", "TOKEN_B"]), &json!(["greeter"])));
    assert_eq!(
        (&there["profiles"], &there["model"]["api_key"]),
        (&json!(["linked", "own"]), &"sk-fixture-model".into())
    );
    assert!(there["events_after"].as_u64().unwrap() > events as u64, "{there}");
    let asked = model.requests().split_off(asked).last().unwrap().to_string();
    for said in ["Write a note.", "Go on.", "And on."] {
        assert!(asked.contains(said), "{said}");
    }

    // What it has done there is its own from then on.
    let told = mover.export(&workspace);
    assert!(!told.is_success && told.errors.contains(WORKING), "{told:#?}");
}
