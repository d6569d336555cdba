//! What was exported is somebody's from then on: the peer may go on there.

use std::fs;
use std::path::Path;

use serde_json::Value;
use testing::model::Model;

use super::python::Python;
use super::there::plain;
use super::{FORKED, KEY, Mover, WAITING, WORKING, folders};

const NOWHERE: &str = "http://127.0.0.1:9/v1";

#[tokio::test]
async fn what_the_peer_has_done_since_an_export_is_not_written_over() {
    let model = Model::start(0, Vec::new()).await.unwrap();
    let mover = Mover::new(&model.base_url());
    mover.import().whole();
    let python = Python::find().await;
    let folder = python.folder();
    mover.export(&folder).whole();

    // What has gone on here alone goes out again.
    let mut server = mover.start.start();
    server.client.send(WORKING, "Go on.", true).await;
    server.client.wait_for_status(WORKING, "finished").await;
    let events = server.client.events(WORKING).await.len() as u64;
    assert!(server.terminate().success());
    let told = mover.export(&folder).whole();
    assert_eq!(told.count("conversations"), (3, 0, 0), "{told:#?}");
    let gone_on = python.open(&folder, WORKING, KEY, &model.lenient_url(), Some("And on.")).await;
    assert_eq!((gone_on["events"].as_u64(), &gone_on["status_after"]), (Some(events), &"finished".into()));

    // What has gone on there stays there, also where both have.
    fs::write(folder.join(".openhands/settings.json"), "{\"theirs\": true}").unwrap();
    let mut server = mover.start.start();
    server.client.send(WORKING, "Go on once more.", true).await;
    server.client.wait_for_status(WORKING, "finished").await;
    assert!(server.terminate().success());
    let theirs = |id: &str| folders::content(&folder.join("conversations").join(id.replace('-', "")));
    let before = theirs(WORKING);
    let told = mover.export(&folder);
    assert_eq!((told.is_success, told.count("conversations")), (false, (2, 0, 1)), "{told:#?}");
    assert!(told.errors.contains(WORKING) && told.errors.contains("settings.json"), "{told:#?}");
    assert_eq!(theirs(WORKING), before);
    assert_eq!(fs::read_to_string(folder.join(".openhands/settings.json")).unwrap(), "{\"theirs\": true}");
    let asked = model.requests().len();
    let again = python.open(&folder, WORKING, KEY, &model.lenient_url(), Some("And further.")).await;
    assert_eq!(again["status_after"], "finished");
    let asked = model.requests().split_off(asked).last().unwrap().to_string();
    for said in ["Write a note.", "Go on.", "And on.", "And further."] {
        assert!(asked.contains(said), "{said}");
    }
}

#[tokio::test]
async fn one_event_or_a_lease_of_the_peer_is_enough_to_leave_a_conversation_alone() {
    let mover = Mover::new(NOWHERE);
    mover.import().whole();
    let out = mover.start.folder().join("out");
    mover.export(&out).whole();
    let of = |id: &str, name: &str| out.join("conversations").join(id.replace('-', "")).join(name);
    fs::write(of(WORKING, "events/event-00016-0305bc09-6a80-43e7-8d71-c9ac70e30dd6.json"), "{}").unwrap();
    fs::write(of(WAITING, "owner_lease.json"), "{}").unwrap();
    let before = folders::content(&out.join("conversations"));
    let told = mover.export(&out);
    assert_eq!((told.is_success, told.count("conversations")), (false, (1, 0, 2)), "{told:#?}");
    let mut after = folders::content(&out.join("conversations"));
    // Tokens are made anew each time.
    after.retain(|path, _| !path.to_str().unwrap().contains(&FORKED.replace('-', "")));
    assert!(after.iter().all(|(path, content)| before.get(path) == Some(content)));
}

#[tokio::test]
async fn a_folder_that_nothing_was_exported_to_is_not_written_to() {
    let mover = Mover::new(NOWHERE);
    mover.import().whole();
    let refused = |folder: &Path, names: &str| {
        let before = folders::content(folder);
        let told = mover.export(folder);
        assert!(!told.is_success && told.errors.contains(names), "{told:#?}");
        assert_eq!(folders::content(folder), before);
    };
    let thesis = mover.start.folder().join("mine");
    fs::create_dir_all(&thesis).unwrap();
    fs::write(thesis.join("thesis.tex"), "mine").unwrap();
    refused(&thesis, "thesis.tex");
    refused(&mover.peer().join("workspace"), "bash_events");
    let out = mover.start.folder().join("out");
    mover.export(&out).whole();
    let told = super::Told::of(mover.command(&["export", "--tenant", "other"]).arg(&out).output().unwrap());
    assert!(!told.is_success && told.errors.contains("another tenant"), "{told:#?}");
}

#[tokio::test]
async fn what_goes_out_is_what_came_in() {
    let mover = Mover::new(NOWHERE);
    mover.import().whole();
    let out = mover.start.folder().join("out");
    mover.export(&out).whole();
    // Made anew: where it lies, when it was written, whatever has tokens in it, and what a fork has from its source.
    let anew = [
        "persistence_dir",
        "updated_at",
        "agent",
        "secrets",
        "secret_registry",
        "initial_message",
        "conversation_id",
    ];
    for id in [WORKING, WAITING, FORKED] {
        for name in ["meta.json", "base_state.json"] {
            let read = |folder: &Path| -> Value {
                serde_json::from_str(&fs::read_to_string(folder.join(name)).unwrap()).unwrap()
            };
            let ours = read(&out.join("conversations").join(id.replace('-', "")));
            let theirs = read(&mover.conversation(id));
            for (field, value) in theirs.as_object().unwrap() {
                if anew.contains(&field.as_str()) {
                    assert!(ours.get(field).is_some(), "{id} {name} {field}");
                } else {
                    assert_eq!(plain(&ours[field]), plain(value), "{id} {name} {field}");
                }
            }
            let more: Vec<_> =
                ours.as_object().unwrap().keys().filter(|key| theirs.get(key).is_none()).collect();
            assert_eq!(more, [""; 0], "{id} {name}");
        }
    }
}
