//! What is the user's own here stays as it is, and its server's key is the only one that anything is sealed with.

use std::fs;

use ports::Expect;
use types::buckets::{KEY_NOTE, PROBE};

use super::{KEY, Mover, Told};

const NOWHERE: &str = "http://127.0.0.1:9/v1";

#[tokio::test]
async fn keys_the_wrong_way_round_are_found_where_nothing_is_sealed_yet() {
    let mover = Mover::new(NOWHERE);
    let own = "the server's own key";
    let mover = Mover { start: mover.start.with("OH_SECRET_KEY", own) };
    let mut server = mover.start.start();
    assert!(server.terminate().success());
    let import = |key: &str, previous: &str| {
        let mut command = mover.import_command();
        command.env("OH_SECRET_KEY", key).env("OH_PREVIOUS_SECRET_KEYS_0", previous);
        Told::of(command.output().unwrap())
    };
    let told = import(KEY, own);
    assert!(!told.is_success && told.errors.contains("OH_PREVIOUS_SECRET_KEYS_0"), "{told:#?}");
    assert_eq!(told.out, "", "nothing was moved");
    let told = import(own, KEY).whole();
    assert_eq!(told.count("secrets"), (2, 0, 0), "{told:#?}");
    let server = mover.start.start();
    let secret =
        server.client.request(reqwest::Method::GET, "/api/settings/secrets/TOKEN_A").send().await.unwrap();
    assert_eq!(secret.text().await.unwrap(), "secret-fixture-a");
}

#[tokio::test]
async fn keys_the_wrong_way_round_are_found_in_a_store_that_has_none_noted() {
    let mover = Mover::new(NOWHERE);
    let own = "the server's own key";
    let import = |key: &str, previous: &str| {
        let mut command = mover.import_command();
        command.env("OH_SECRET_KEY", key).env("OH_PREVIOUS_SECRET_KEYS_0", previous);
        Told::of(command.output().unwrap())
    };
    import(own, KEY).whole();
    // As a release before notes has left it.
    let workspace = mover.start.folder().join("workspace");
    let options = embedded::Options {
        root: workspace.join(".manyhands"),
        conversations: workspace.join("conversations"),
        bash_events: workspace.join("bash_events"),
        fsync: embedded::Fsync::Always,
    };
    let (ports, guard) = embedded::open(options).await.unwrap();
    assert!(ports.kv.get(PROBE, KEY_NOTE).await.unwrap().is_some());
    ports.kv.delete(PROBE, KEY_NOTE, Expect::Anything).await.unwrap();
    guard.close().await;
    let told = import(KEY, own);
    assert!(!told.is_success && told.errors.contains("OH_PREVIOUS_SECRET_KEYS_0"), "{told:#?}");
    assert_eq!(told.out, "", "nothing was moved");
    let told = import(own, KEY).whole();
    assert_eq!(told.count("secrets"), (0, 2, 0), "{told:#?}");
}

#[tokio::test]
async fn a_key_that_is_lost_keeps_nothing_out_once_the_operator_says_that_it_is() {
    let mover = Mover::new(NOWHERE);
    let import = |key: &str, arguments: &[&str]| {
        let mut command = mover.import_command();
        command.env("OH_SECRET_KEY", key).env("OH_PREVIOUS_SECRET_KEYS_0", KEY).args(arguments);
        Told::of(command.output().unwrap())
    };
    import("the key that is lost", &[]).whole();
    let others = ["--tenant", "another"];
    let told = import("a new key", &others);
    assert!(!told.is_success && told.errors.contains("--note-this-key"), "{told:#?}");
    assert_eq!(told.out, "", "nothing was moved");
    let told = import("a new key", &[&others[..], &["--note-this-key"]].concat());
    assert_eq!(told.count("secrets"), (2, 0, 0), "{told:#?}");
    let told = import("a new key", &others);
    assert_eq!(told.count("secrets"), (0, 2, 0), "it is noted: {told:#?}");
}

#[tokio::test]
async fn a_key_that_was_mistyped_at_the_first_start_keeps_nothing_out_after_the_next() {
    let mover = Mover::new(NOWHERE);
    for key in ["mistyped", KEY] {
        let mut server = mover.start.clone().with("OH_SECRET_KEY", key).start_alone();
        assert!(server.terminate().success());
    }
    let told = mover.import().whole();
    assert_eq!(told.count("secrets"), (2, 0, 0), "{told:#?}");
}

#[tokio::test]
async fn a_folder_of_the_users_own_is_not_replaced_by_what_is_installed_elsewhere() {
    let mover = Mover::new(NOWHERE);
    let own = mover.start.folder().join("user/.openhands/skills/installed/greeter");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("SKILL.md"), "mine").unwrap();
    let told = mover.import();
    assert_eq!((told.is_success, told.count("skills")), (false, (0, 0, 1)), "{told:#?}");
    assert!(told.errors.contains(own.to_str().unwrap()), "{told:#?}");
    assert_eq!(fs::read_to_string(own.join("SKILL.md")).unwrap(), "mine");
    fs::rename(&own, own.with_file_name("mine")).unwrap();
    let told = mover.import().whole();
    assert_eq!(told.count("skills"), (1, 0, 0), "{told:#?}");
    assert!(fs::read_to_string(own.join("SKILL.md")).unwrap().contains("Say hello."));
    // One that is on the list comes back where its folder is gone, and nothing else is taken for it.
    fs::remove_dir_all(&own).unwrap();
    assert_eq!(mover.import().whole().count("skills"), (0, 1, 0));
    assert!(own.join("SKILL.md").exists());
}

#[tokio::test]
async fn a_mask_is_no_secret() {
    let mover = Mover::new(NOWHERE);
    let masked =
        serde_json::json!({"custom_secrets": {"TOKEN_A": {"name": "TOKEN_A", "secret": "**********"}}});
    fs::write(mover.peer().join("home/secrets.json"), masked.to_string()).unwrap();
    let told = mover.import();
    assert_eq!((told.is_success, told.count("secrets")), (false, (0, 0, 1)), "{told:#?}");
    assert!(told.errors.contains("TOKEN_A"), "{told:#?}");
}
