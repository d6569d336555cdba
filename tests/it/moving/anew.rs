//! An export that finds something else than it has left, or that was cut off itself.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::small_disk::SmallDisk;

use super::{FORKED, Mover, WAITING, WORKING, folders};

const NOWHERE: &str = "http://127.0.0.1:9/v1";

/// The names of all files below a folder.
fn names(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let all = folders::content(folder);
    all.keys().map(|path| path.strip_prefix(folder).unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_conversation_that_was_made_anew_is_not_mixed_with_the_one_that_was_exported() {
    let mover = Mover::new(NOWHERE);
    mover.import().whole();
    let out = mover.start.folder().join("out");
    mover.export(&out).whole();
    let exported = out.join("conversations").join(WORKING.replace('-', ""));
    let before = folders::content(&exported);

    let mut server = mover.start.start();
    let (status, answer) = server.client.delete(&format!("/api/conversations/{WORKING}")).await;
    assert!(status.is_success(), "{answer}");
    let mut body = testing::client::conversation(NOWHERE, &server.project().display().to_string());
    body["conversation_id"] = WORKING.into();
    server.client.post_ok("/api/conversations", &body).await;
    server.client.send(WORKING, "Something else.", false).await;
    assert!(!server.client.events(WORKING).await.is_empty());
    assert!(server.terminate().success());

    let told = mover.export(&out);
    assert_eq!((told.is_success, told.count("conversations")), (false, (2, 0, 1)), "{told:#?}");
    assert!(told.errors.contains(WORKING) && told.errors.contains("another folder"), "{told:#?}");
    assert_eq!(folders::content(&exported), before);
    let told = mover.export(&mover.start.folder().join("new")).whole();
    assert_eq!(told.count("conversations"), (3, 0, 0), "{told:#?}");
}

#[tokio::test]
async fn an_export_that_was_killed_goes_on() {
    let mover = Mover::new(NOWHERE);
    mover.import().whole();
    let (whole, out) = (mover.start.folder().join("whole"), mover.start.folder().join("out"));
    mover.export(&whole).whole();
    let of = |id: &str, name: &str| out.join("conversations").join(id.replace('-', "")).join(name);
    let moments = [
        out.join(".openhands"),
        of(WORKING, "events"),
        of(WORKING, "meta.json"),
        of(FORKED, "events"),
        out.join("bash_events"),
    ];
    for begun in moments {
        let mut process = mover.command(&["export"]).arg(&out).stdout(Stdio::null()).spawn().unwrap();
        // Wherever it is then, the next one goes on from there.
        while !begun.exists() && process.try_wait().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let _ = process.kill();
        process.wait().unwrap();
    }
    let told = mover.export(&out).whole();
    assert_eq!(told.count("conversations"), (3, 0, 0), "{told:#?}");
    assert_eq!(names(&out), names(&whole));
}

#[tokio::test]
async fn an_export_onto_a_full_disk_says_so_and_goes_on_when_there_is_room() {
    let mover = Mover::new(NOWHERE);
    mover.import().whole();
    let (whole, out) = (mover.start.folder().join("whole"), mover.start.folder().join("out"));
    mover.export(&whole).whole();
    let Some(disk) = SmallDisk::mount(&out, "128k") else {
        testing::may_skip("an export onto a full disk", "mounting a small file system needs root");
        return;
    };
    let told = mover.export(&out);
    assert!(!told.is_success && told.errors.contains("No space left"), "{told:#?}");
    assert!(told.errors.contains("the same command goes on"), "{told:#?}");
    disk.grow("16m");
    let told = mover.export(&out).whole();
    assert_eq!(told.count("conversations"), (3, 0, 0), "{told:#?}");
    assert_eq!(names(&out), names(&whole));
}

#[tokio::test]
async fn one_folder_that_cannot_be_written_to_costs_no_other_conversation() {
    let mover = Mover::new(NOWHERE);
    mover.import().whole();
    let out = mover.start.folder().join("out");
    mover.export(&out).whole();
    let of = |id: &str| out.join("conversations").join(id.replace('-', ""));
    fs::write(of(WORKING).join(".manyhands-export"), "{torn").unwrap();
    let elsewhere = mover.start.folder().join("elsewhere");
    fs::remove_dir_all(of(WAITING)).unwrap();
    fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, of(WAITING)).unwrap();
    let told = mover.export(&out);
    assert_eq!((told.is_success, told.count("conversations")), (false, (1, 0, 2)), "{told:#?}");
    assert!(told.errors.contains(WORKING) && told.errors.contains(WAITING), "{told:#?}");
    assert_eq!(told.count("bash events"), (2, 0, 0), "{told:#?}");
    assert_eq!(fs::read_dir(elsewhere).unwrap().count(), 0);
}

#[tokio::test]
async fn a_secret_that_was_deleted_here_goes_from_what_was_exported() {
    let mover = Mover::new(NOWHERE);
    mover.import().whole();
    let out = mover.start.folder().join("out");
    mover.export(&out).whole();
    let mut server = mover.start.start();
    for name in ["TOKEN_A", "TOKEN_B"] {
        let (status, answer) = server.client.delete(&format!("/api/settings/secrets/{name}")).await;
        assert!(status.is_success(), "{answer}");
    }
    assert!(server.terminate().success());
    mover.export(&out).whole();
    let kept = fs::read_to_string(out.join(".openhands/secrets.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&kept).unwrap(), json!({"custom_secrets": {}}));
}

#[tokio::test]
async fn an_extension_that_is_another_by_now_is_told_and_the_one_that_was_exported_stays_on_the_list() {
    let mover = Mover::new(NOWHERE);
    mover.import().whole();
    let out = mover.start.folder().join("out");
    mover.export(&out).whole();
    let source = mover.start.folder().join("source/greeter");
    fs::create_dir_all(&source).unwrap();
    fs::write(source.join("SKILL.md"), "---\nname: greeter\ndescription: Greets.\n---\n\nSay goodbye.\n")
        .unwrap();
    let mut server = mover.start.start();
    let body = json!({"source": source.display().to_string(), "force": true});
    server.client.post_ok("/api/skills/install", &body).await;
    assert!(server.terminate().success());
    let installed = out.join(".openhands/skills/installed");
    let before = folders::content(&installed);
    let told = mover.export(&out);
    assert_eq!((told.is_success, told.count("skills")), (false, (0, 0, 1)), "{told:#?}");
    assert_eq!(folders::content(&installed), before);
}
