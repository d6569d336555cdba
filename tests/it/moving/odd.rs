//! Folders in which things are there twice, are called otherwise, or lead elsewhere.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Stdio;

use serde_json::Value;

use super::damaged::event;
use super::{Mover, Told, WAITING, WORKING};

const NOWHERE: &str = "http://127.0.0.1:9/v1";

#[tokio::test]
async fn what_is_there_twice_comes_once() {
    let mover = Mover::new(NOWHERE);
    let once = event(&mover, WORKING, 7);
    let twice = once.to_str().unwrap().replace("event-00007-", "event-00016-");
    fs::copy(&once, &twice).unwrap();
    let commands = mover.peer().join("workspace/bash_events");
    for entry in fs::read_dir(&commands).unwrap() {
        let name = entry.unwrap().path().display().to_string();
        fs::copy(&name, format!("{name}0")).unwrap();
    }
    // Its name says a later time than it has itself.
    let late = r#"{"id": "0", "kind": "BashCommand", "timestamp": "2020-01-01T00:00:00.000000Z", "command": "true"}"#;
    fs::write(commands.join("20991231000000000000_BashCommand_0"), late).unwrap();
    let told = mover.import();
    assert_eq!((told.count("conversations"), told.count("events")), ((3, 0, 0), (0, 0, 1)), "{told:#?}");
    assert!(told.errors.contains("event-00016-"), "{told:#?}");
    assert_eq!(told.count("bash events"), (2, 2, 1), "{told:#?}");

    let mut server = mover.start.start();
    let events = server.client.events(WORKING).await;
    let mut ids: Vec<&Value> = events.iter().map(|event| &event["id"]).collect();
    assert_eq!(ids.len(), 16);
    ids.sort_by_key(|id| id.to_string());
    ids.dedup();
    assert_eq!(ids.len(), 16);
    let commands = server.client.get_ok("/api/bash/bash_events/search?limit=100").await;
    assert_eq!(commands["items"].as_array().unwrap().len(), 2, "{commands}");
    assert!(server.terminate().success());
    mover.export(&mover.start.folder().join("out")).whole();
}

#[tokio::test]
async fn an_event_that_no_file_can_be_called_by_is_told_and_the_peer_finds_all_others() {
    let mover = Mover::new(NOWHERE);
    let read = |number| -> Value {
        serde_json::from_str(&fs::read_to_string(event(&mover, WORKING, number)).unwrap()).unwrap()
    };
    let (before, odd) = (read(6)["id"].clone(), read(7)["id"].clone());
    let is_below =
        |number: &usize| read(*number)["kind"] == "ActionEvent" && read(*number)["parent_id"] == odd;
    let below = (8..16).find(is_below).unwrap();
    for number in 7..16 {
        let (path, text) = (event(&mover, WORKING, number), read(number).to_string());
        fs::write(path, text.replace(odd.as_str().unwrap(), "no digits")).unwrap();
    }
    mover.import().whole();
    let out = mover.start.folder().join("out");
    let told = mover.export(&out);
    assert_eq!((told.is_success, told.count("events")), (false, (0, 0, 1)), "{told:#?}");
    assert_eq!(told.count("conversations"), (3, 0, 0), "{told:#?}");
    let events = out.join("conversations").join(WORKING.replace('-', "")).join("events");
    let mut names: Vec<String> = fs::read_dir(&events)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names.len(), 15);
    assert!(names.iter().enumerate().all(|(number, name)| name.starts_with(&format!("event-{number:05}-"))));
    let text = fs::read_to_string(events.join(&names[below - 1])).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["parent_id"], before);
}

#[tokio::test]
async fn no_link_is_followed_whoever_it_is_brought_for_and_whatever_is_here() {
    let mover = Mover::new(NOWHERE);
    mover.import().whole();
    let elsewhere = mover.start.folder().join("elsewhere");
    fs::rename(mover.conversation(WORKING), &elsewhere).unwrap();
    fs::create_dir(elsewhere.join("observations")).unwrap();
    fs::write(elsewhere.join("observations/stolen.txt"), "stolen").unwrap();
    symlink(&elsewhere, mover.conversation(WORKING)).unwrap();
    let told = mover.import();
    assert_eq!((told.is_success, told.count("conversations")), (false, (0, 2, 1)), "{told:#?}");
    let here = mover.start.folder().join("workspace/conversations").join(WORKING.replace('-', ""));
    assert!(!here.join("observations").exists());

    // As somebody may have put it into a folder that another is to bring.
    let workspace = mover.peer().join("workspace");
    symlink(mover.peer().join("home"), workspace.join(".openhands")).unwrap();
    let told = Told::of(mover.command(&["import", "--tenant", "b"]).arg(&workspace).output().unwrap());
    assert_eq!((told.is_success, told.count("secrets")), (false, (0, 0, 1)), "{told:#?}");
    assert_eq!((told.count("skills"), told.count("plugins")), ((0, 0, 1), (0, 0, 1)), "{told:#?}");
    assert!(told.errors.contains("secrets.json: it is a link"), "{told:#?}");
}

#[tokio::test]
async fn what_the_peer_has_still_is_brought_when_it_has_let_go() {
    let mover = Mover::new(NOWHERE);
    let lease = mover.conversation(WORKING).join("owner_lease.json");
    fs::write(&lease, r#"{"owner_instance_id": "a", "generation": 1, "expires_at": 99999999999.5}"#).unwrap();
    let told = mover.import();
    assert_eq!((told.is_success, told.count("conversations")), (false, (2, 0, 1)), "{told:#?}");
    assert!(told.errors.contains("stop that one"), "{told:#?}");
    fs::remove_file(lease).unwrap();
    assert_eq!(mover.import().whole().count("conversations"), (1, 2, 0));
}

#[tokio::test]
async fn a_folder_that_spells_its_id_otherwise_is_brought() {
    let mover = Mover::new(NOWHERE);
    let folder = mover.conversation(WAITING);
    fs::rename(&folder, folder.with_file_name(WAITING.to_uppercase())).unwrap();
    let told = mover.import().whole();
    assert_eq!(told.count("conversations"), (3, 0, 0), "{told:#?}");
    let server = mover.start.start();
    assert_eq!(server.client.events(WAITING).await.len(), 9);
}

#[tokio::test]
async fn everything_is_moved_also_where_nobody_reads_what_came_of_it() {
    let mover = Mover::new(NOWHERE);
    let mut command = mover.import_command();
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop((process.stdout.take(), process.stderr.take()));
    assert!(process.wait().unwrap().success());
    assert_eq!(mover.import().whole().count("conversations"), (0, 3, 0));
}
