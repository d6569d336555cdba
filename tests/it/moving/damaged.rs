//! What cannot be read, or should not be, is told by its name and left out; all else is moved.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::Value;
use testing::model::Model;

use super::python::Python;
use super::{FORKED, KEY, Mover, WAITING, WORKING};

const NOWHERE: &str = "http://127.0.0.1:9/v1";

/// The file of an event, by its number.
pub fn event(mover: &Mover, id: &str, number: usize) -> std::path::PathBuf {
    let folder = mover.conversation(id).join("events");
    let begin = format!("event-{number:05}-");
    let mut files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&begin)).unwrap()
}

#[tokio::test]
async fn damaged_files_are_told_by_name_and_the_rest_is_moved() {
    let model = Model::start(0, Vec::new()).await.unwrap();
    let mover = Mover::new(&model.base_url());
    // An observation, below which the next action hangs.
    let torn = event(&mover, WORKING, 7);
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
    let mut server = mover.start.start();
    assert_eq!(server.client.events(WORKING).await.len(), 15);
    assert_eq!(server.client.events(FORKED).await.len(), 16);
    assert_eq!(server.client.get(&format!("/api/conversations/{WAITING}")).await.0, 404);

    // Nobody forgets what was before it.
    server.client.send(WORKING, "Go on.", true).await;
    server.client.wait_for_status(WORKING, "finished").await;
    assert!(server.terminate().success());
    let asked = model.requests().last().unwrap().to_string();
    assert!(asked.contains("Write a note.") && asked.contains("Go on."), "{asked}");
    let python = Python::find().await;
    let folder = python.folder();
    mover.export(&folder).whole();
    python.open(&folder, WORKING, KEY, &model.lenient_url(), Some("And on.")).await;
    let asked = model.requests().last().unwrap().to_string();
    assert!(asked.contains("Write a note.") && asked.contains("And on."), "{asked}");
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
    // Nobody writes to these.
    for pipe in [event(&mover, WORKING, 6), mover.peer().join("home/settings.json")] {
        fs::remove_file(&pipe).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
    }
    let elsewhere = mover.start.folder().join("elsewhere");
    fs::rename(mover.peer().join("home/profiles"), &elsewhere).unwrap();
    symlink(&elsewhere, mover.peer().join("home/profiles")).unwrap();
    let many = mover.peer().join("home/agent-profiles");
    let large = format!("[{}{{}}]", "[],".repeat(5 << 20));
    for number in 0..300 {
        fs::write(many.join(format!("x{number}.json")), if number == 0 { &large } else { "{}" }).unwrap();
    }
    let mut below = mover.peer().join("home/plugins/installed/helper");
    for _ in 0..100 {
        below.push("d");
    }
    fs::create_dir_all(below).unwrap();

    let began = std::time::Instant::now();
    let told = mover.import();
    assert!(began.elapsed() < std::time::Duration::from_secs(60), "{:?}", began.elapsed());
    assert!(!told.is_success, "{told:#?}");
    for name in [&linked, &huge, &deep].map(|path| path.file_name().unwrap().to_str().unwrap()) {
        assert!(told.errors.contains(name), "{name}: {told:#?}");
    }
    for name in ["44444444-4444-4444-4444-444444444444", "secrets.json", "helper", "settings.json", "x0.json"]
    {
        assert!(told.errors.contains(name), "{name}: {told:#?}");
    }
    assert!(
        told.errors.contains("profiles: it is a link") && told.errors.contains("more than are read"),
        "{told:#?}"
    );
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
    let of_connection = told.errors.lines().find(|line| line.contains("provider connection Mine")).unwrap();
    assert!(of_connection.contains("OH_PREVIOUS_SECRET_KEYS_0"), "{told:#?}");
    let told =
        super::Told::of(with_another_key().env("OH_PREVIOUS_SECRET_KEYS_0", super::KEY).output().unwrap());
    let told = told.whole();
    assert_eq!((told.count("conversations"), told.count("secrets")), ((2, 1, 0), (2, 0, 0)), "{told:#?}");
}

#[tokio::test]
async fn what_is_nested_too_deeply_to_be_read_again_is_told_and_never_stored() {
    let mover = Mover::new(NOWHERE);
    let deep: Value = serde_json::from_str(&format!("{}{}", "[".repeat(123), "]".repeat(123))).unwrap();
    let set = |id: &str, set: &dyn Fn(&mut Value)| {
        let path = mover.conversation(id).join("base_state.json");
        let mut state = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        set(&mut state);
        fs::write(&path, state.to_string()).unwrap();
    };
    set(FORKED, &|state| state["agent"]["llm"]["litellm_extra_body"] = serde_json::json!({"a": deep}));
    set(WORKING, &|state| state["invoked_skills"] = serde_json::json!([[deep]]));
    let told = mover.import();
    assert_eq!((told.is_success, told.count("conversations")), (false, (2, 0, 1)), "{told:#?}");
    assert_eq!(told.count("fields"), (0, 0, 1), "{told:#?}");
    assert!(told.errors.contains(FORKED) && told.errors.contains(WORKING), "{told:#?}");
    let mut server = mover.start.start();
    let info = server.client.get_ok(&format!("/api/conversations/{WORKING}")).await;
    assert_eq!(info["execution_status"], "finished");
    assert!(info["stats"]["usage_to_metrics"]["agent"].is_object(), "{info}");
    assert!(server.terminate().success());
    assert_eq!(mover.import().count("conversations"), (0, 2, 1));
    let told = mover.export(&mover.start.folder().join("out")).whole();
    assert_eq!(told.count("conversations"), (2, 0, 0), "{told:#?}");
}
