//! To move something twice, or again after it was cut off, is to move it once.

use std::time::Duration;

use serde_json::json;

use super::{FORKED, Mover, WAITING, WORKING, folders};

const NOWHERE: &str = "http://127.0.0.1:9/v1";

#[tokio::test]
async fn a_second_import_changes_nothing() {
    let mover = Mover::new(NOWHERE);
    mover.import().whole();
    let stored = || {
        let store = mover.start.folder().join("workspace");
        let mut all = folders::content(&store);
        // Its journal and the lock tell of the process that had it.
        all.retain(|path, _| {
            !path.to_str().unwrap().contains("/.manyhands/journal") && !path.ends_with("lock")
        });
        all
    };
    let before = stored();
    let told = mover.import().whole();
    for kind in [
        "conversations",
        "secrets",
        "settings and profiles",
        "workspaces",
        "skills",
        "plugins",
        "bash events",
    ] {
        let (moved, there, left_out) = told.count(kind);
        assert!(moved == 0 && there > 0 && left_out == 0, "{kind}: {told:#?}");
    }
    assert_eq!(stored(), before);

    // Nor does one after a server has used what was moved in.
    let mut server = mover.start.start();
    server.client.printed(None, "echo here").await;
    let events = server.client.events(WORKING).await;
    assert!(server.terminate().success());
    let told = mover.import().whole();
    assert_eq!((told.count("conversations").0, told.count("bash events")), (0, (0, 2, 0)), "{told:#?}");
    let server = mover.start.start();
    assert_eq!(server.client.events(WORKING).await, events);
}

#[tokio::test]
async fn an_import_that_was_cut_off_goes_on() {
    let mover = Mover::new(NOWHERE);
    let stored = mover.start.folder().join("workspace");
    let log = |id: &str| stored.join("conversations").join(id.replace('-', "")).join("events.jsonl");
    for begun in [stored.join(".manyhands"), log(WORKING), log(WAITING), log(FORKED)] {
        let mut process = mover.import_command().stdout(std::process::Stdio::null()).spawn().unwrap();
        // Wherever it is then, the next one goes on from there.
        while !begun.exists() && process.try_wait().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let _ = process.kill();
        process.wait().unwrap();
    }
    let told = mover.import().whole();
    let (moved, there, left_out) = told.count("conversations");
    assert_eq!((moved + there, left_out), (3, 0), "{told:#?}");
    let server = mover.start.start();
    for (id, count) in [(WORKING, 16), (WAITING, 9), (FORKED, 16)] {
        assert_eq!(server.client.events(id).await.len(), count);
    }
    let commands = server.client.get_ok("/api/bash/bash_events/search?limit=100").await;
    assert_eq!(commands["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn nobody_sees_a_conversation_before_all_of_it_is_here() {
    const EVENTS: usize = 3_000;
    let mover = Mover::new(NOWHERE);
    let events = mover.conversation(WORKING).join("events");
    for number in 16..EVENTS {
        let id = format!("00000000-0000-4000-8000-{number:012}");
        let event =
            json!({"kind": "FromTheFuture", "id": id, "timestamp": "2026-11-29T18:39:12", "source": "user"});
        std::fs::write(events.join(format!("event-{number:05}-{id}.json")), event.to_string()).unwrap();
    }
    let log = mover.start.folder().join("workspace/conversations").join(WORKING.replace('-', ""));
    let is_begun = || log.join("events.jsonl").metadata().is_ok_and(|log| log.len() > 0);
    let mut process = mover.import_command().stdout(std::process::Stdio::null()).spawn().unwrap();
    while !is_begun() && process.try_wait().unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let _ = process.kill();
    process.wait().unwrap();
    let path = format!("/api/conversations/{WORKING}/events/count");
    let mut server = mover.start.start();
    let (status, count) = server.client.get(&path).await;
    assert!(status == 404 || count == EVENTS, "{status} {count}");
    assert!(server.terminate().success());
    mover.import().whole();
    assert_eq!(mover.start.start().client.get_ok(&path).await, EVENTS);
}

#[tokio::test]
async fn nothing_is_moved_while_a_server_has_the_files() {
    let mover = Mover::new(NOWHERE);
    let server = mover.start.start();
    for told in [mover.import(), mover.export(&mover.start.folder().join("out"))] {
        let names_it = told.errors.contains(&server.pid().to_string());
        assert!(!told.is_success && names_it && told.errors.contains("stop the server first"), "{told:#?}");
    }
    assert_eq!(server.client.get_ok("/api/conversations/count").await, 0);
}

#[tokio::test]
async fn what_goes_out_comes_in_again_as_it_was() {
    let mover = Mover::new(NOWHERE);
    mover.import().whole();
    let out = mover.start.folder().join("out");
    mover.export(&out).whole();
    let written = folders::content(&out);
    mover.export(&out).whole();
    let names =
        |all: &std::collections::BTreeMap<_, _>| all.keys().cloned().collect::<Vec<std::path::PathBuf>>();
    assert_eq!(names(&folders::content(&out)), names(&written));
    let events = |folder: &std::path::Path| {
        let mut events = folders::content(&folder.join("events"));
        events.retain(|path, _| path.extension().is_some_and(|end| end == "json"));
        events
            .into_iter()
            .map(|(path, text)| (path.file_name().unwrap().to_owned(), text))
            .collect::<Vec<_>>()
    };
    let here = out.join("conversations").join(WORKING.replace('-', ""));
    assert_eq!(events(&here), events(&mover.conversation(WORKING)), "byte for byte");

    let other = Mover::new(NOWHERE);
    let told = other.command(&["import"]).arg(&out).output().unwrap();
    let told = super::Told::of(told).whole();
    assert_eq!((told.count("conversations"), told.count("secrets")), ((3, 0, 0), (2, 0, 0)), "{told:#?}");
    assert_eq!((told.count("skills"), told.count("bash events")), ((1, 0, 0), (2, 0, 0)), "{told:#?}");
}
