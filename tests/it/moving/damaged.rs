//! What cannot be read, or should not be, is told by its name and left out; all else is moved.

use std::fs;
use std::os::unix::fs::symlink;

use super::{FORKED, Mover, WAITING, WORKING};

const NOWHERE: &str = "http://127.0.0.1:9/v1";

/// The file of an event, by its number.
fn event(mover: &Mover, id: &str, number: usize) -> std::path::PathBuf {
    let folder = mover.conversation(id).join("events");
    let begin = format!("event-{number:05}-");
    let mut files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&begin)).unwrap()
}

#[tokio::test]
async fn damaged_files_are_told_by_name_and_the_rest_is_moved() {
    let mover = Mover::new(NOWHERE);
    let torn = event(&mover, WORKING, 5);
    fs::write(&torn, "{\"id\": \"sk-secret\"").unwrap();
    fs::write(mover.conversation(WAITING).join("base_state.json"), "{torn").unwrap();
    fs::write(mover.peer().join("home/profiles/own.json"), "[\"sk-secret\"]").unwrap();
    let told = mover.import();
    assert!(!told.is_success, "{told:#?}");
    for name in [torn.file_name().unwrap().to_str().unwrap(), WAITING, "own.json"] {
        assert!(told.errors.contains(name), "{name}: {told:#?}");
    }
    assert!(!told.errors.contains("sk-secret") && !told.out.contains("sk-secret"), "{told:#?}");
    assert_eq!(told.count("conversations"), (2, 0, 1), "{told:#?}");
    let server = mover.start.start();
    assert_eq!(server.client.events(WORKING).await.len(), 15);
    assert_eq!(server.client.events(FORKED).await.len(), 16);
    assert_eq!(server.client.get(&format!("/api/conversations/{WAITING}")).await.0, 404);
}

#[tokio::test]
async fn a_hostile_folder_leads_nowhere_and_costs_little() {
    let mover = Mover::new(NOWHERE);
    let conversations = mover.peer().join("workspace/conversations");
    let secret = mover.start.folder().join("secret.json");
    fs::write(&secret, r#"{"id": "stolen", "kind": "X", "timestamp": "t"}"#).unwrap();

    let linked = event(&mover, WORKING, 2);
    fs::remove_file(&linked).unwrap();
    symlink(&secret, &linked).unwrap();
    let huge = event(&mover, WORKING, 3);
    fs::File::create(&huge).unwrap().set_len(2 << 30).unwrap();
    let deep = event(&mover, WORKING, 4);
    let nested = format!(
        r#"{{"id":"d","kind":"X","timestamp":"t","v":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    fs::write(&deep, nested).unwrap();
    symlink("/proc/self", conversations.join("4".repeat(32))).unwrap();
    fs::remove_file(mover.peer().join("home/secrets.json")).unwrap();
    symlink("/etc/passwd", mover.peer().join("home/secrets.json")).unwrap();
    symlink("/", mover.peer().join("home/skills/installed/greeter/out")).unwrap();
    let mut below = mover.peer().join("home/plugins/installed/helper");
    for _ in 0..100 {
        below.push("d");
    }
    fs::create_dir_all(below).unwrap();

    let told = mover.import();
    assert!(!told.is_success, "{told:#?}");
    for name in [&linked, &huge, &deep].map(|path| path.file_name().unwrap().to_str().unwrap()) {
        assert!(told.errors.contains(name), "{name}: {told:#?}");
    }
    for name in ["44444444-4444-4444-4444-444444444444", "secrets.json", "helper"] {
        assert!(told.errors.contains(name), "{name}: {told:#?}");
    }
    assert_eq!((told.count("conversations"), told.count("skills")), ((3, 0, 1), (1, 0, 0)), "{told:#?}");
    let server = mover.start.start();
    let path = format!("/api/conversations/{WORKING}/events/search?limit=100");
    let (status, answer) = server.client.get(&path).await;
    assert!(status.is_success() && !answer.to_string().contains("stolen"), "{status}");
    assert!(!mover.start.folder().join("user/.openhands/skills/installed/greeter/out").exists());
}

#[tokio::test]
async fn a_key_that_is_not_known_is_told_and_can_be_given_later() {
    let mover = Mover::new(NOWHERE);
    let with_another_key = || {
        let mut command = mover.import_command();
        command.env("OH_SECRET_KEY", "a new key");
        command
    };
    let told = super::Told::of(with_another_key().output().unwrap());
    assert!(!told.is_success && told.errors.contains("OH_PREVIOUS_SECRET_KEYS_0"), "{told:#?}");
    assert_eq!((told.count("conversations"), told.count("secrets")), ((1, 0, 2), (0, 0, 2)), "{told:#?}");
    let told =
        super::Told::of(with_another_key().env("OH_PREVIOUS_SECRET_KEYS_0", super::KEY).output().unwrap());
    let told = told.whole();
    assert_eq!((told.count("conversations"), told.count("secrets")), ((2, 1, 0), (2, 0, 0)), "{told:#?}");
}

#[tokio::test]
async fn a_folder_with_something_else_in_it_is_not_written_to() {
    let mover = Mover::new(NOWHERE);
    let folder = mover.start.folder().join("mine");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("thesis.tex"), "mine").unwrap();
    let told = mover.export(&folder);
    assert!(!told.is_success && told.errors.contains("thesis.tex"), "{told:#?}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
}
