//! Whose settings and secrets are taken, and with which key.

use std::fs;

use super::{KEY, Mover, Told, WAITING, WORKING, folders};

const NOWHERE: &str = "http://127.0.0.1:9/v1";

#[tokio::test]
async fn secrets_of_whoever_gives_the_command_become_those_of_no_other_tenant() {
    let mover = Mover::new(NOWHERE);
    let home = mover.start.folder().join("user/.openhands");
    fs::create_dir_all(&home).unwrap();
    fs::copy(mover.peer().join("home/secrets.json"), home.join("secrets.json")).unwrap();
    let workspace = mover.peer().join("workspace");
    let import = |arguments: &[&str], from: &std::path::Path| {
        Told::of(mover.command(&["import"]).args(arguments).arg(from).output().unwrap()).whole()
    };
    let told = import(&["--tenant", "b"], &workspace);
    assert_eq!((told.count("secrets"), told.count("conversations")), ((0, 0, 0), (3, 0, 0)), "{told:#?}");
    assert!(told.errors.contains(&workspace.join(".openhands").display().to_string()), "{told:#?}");

    // One that keeps nothing has exported nothing: that is not what is in the home of whoever brings it back.
    let out = mover.start.folder().join("out");
    Told::of(mover.command(&["export", "--tenant", "nobody"]).arg(&out).output().unwrap()).whole();
    let told = import(&[], &out);
    assert_eq!(told.count("secrets"), (0, 0, 0), "{told:#?}");
    let empty = mover.start.folder().join("empty");
    fs::create_dir(&empty).unwrap();
    let told = import(&[], &empty);
    assert_eq!(told.count("secrets"), (2, 0, 0), "{told:#?}");
}

#[tokio::test]
async fn nothing_is_sealed_with_a_key_that_is_not_the_servers() {
    let mover = Mover::new(NOWHERE);
    let import = |variables: &[(&str, &str)]| {
        let mut command = mover.import_command();
        command.env_remove("OH_SECRET_KEY").envs(variables.iter().copied());
        Told::of(command.output().unwrap())
    };
    let stored = || {
        let mut all = folders::content(&mover.start.folder().join("workspace"));
        all.retain(|path, _| {
            !path.to_str().unwrap().contains("/.manyhands/journal") && !path.ends_with("lock")
        });
        all
    };
    // As a server that was started without a key makes one.
    let own = mover.start.folder().join("workspace/.manyhands/secret_key");
    let kept = "a key of its own";
    fs::create_dir_all(own.parent().unwrap()).unwrap();
    fs::write(&own, kept).unwrap();
    let told = import(&[("OH_SECRET_KEY", KEY)]);
    assert!(!told.is_success && told.errors.contains("secret_key"), "{told:#?}");
    assert_eq!(told.count("conversations"), (0, 0, 0), "{told:#?}");
    let told = import(&[("OH_PREVIOUS_SECRET_KEYS_0", KEY)]).whole();
    assert_eq!(told.count("secrets"), (2, 0, 0), "{told:#?}");

    // The keys the wrong way round.
    let before = stored();
    let round = [("OH_SECRET_KEY", KEY), ("OH_PREVIOUS_SECRET_KEYS_0", kept)];
    for variables in [&round[..], &round[..1]] {
        let told = import(variables);
        assert!(!told.is_success && told.errors.contains("OH_PREVIOUS_SECRET_KEYS_0"), "{told:#?}");
    }
    assert_eq!(stored(), before);
}

#[tokio::test]
async fn a_conversation_of_ones_own_under_the_same_id_is_told() {
    let mover = Mover::new(NOWHERE);
    let mut server = mover.start.start();
    let project = server.project().display().to_string();
    let mut body = testing::client::conversation(NOWHERE, &project);
    body["conversation_id"] = WORKING.into();
    server.client.post_ok("/api/conversations", &body).await;
    assert!(server.terminate().success());
    let told = mover.import();
    assert_eq!((told.is_success, told.count("conversations")), (false, (2, 0, 1)), "{told:#?}");
    assert!(told.errors.contains(WORKING) && !told.errors.contains(WAITING), "{told:#?}");
}

#[tokio::test]
async fn outputs_that_were_not_copied_are_told_and_come_with_the_next_import() {
    let mover = Mover::new(NOWHERE);
    let outputs = mover.conversation(WORKING).join("observations");
    fs::create_dir(&outputs).unwrap();
    for name in ["1.txt", "2.txt"] {
        fs::write(outputs.join(name), name).unwrap();
    }
    fs::write(mover.conversation(WORKING).join("TASKS.json"), "[]").unwrap();
    let here = mover.start.folder().join("workspace/conversations").join(WORKING.replace('-', ""));
    fs::create_dir_all(&here).unwrap();
    fs::write(here.join("observations"), "in the way").unwrap();
    let told = mover.import();
    assert!(!told.is_success && told.errors.contains("2.txt"), "{told:#?}");
    assert_eq!((told.count("conversations"), told.count("outputs")), ((3, 0, 0), (0, 0, 2)), "{told:#?}");
    assert!(here.join("TASKS.json").exists());
    fs::remove_file(here.join("observations")).unwrap();
    let told = mover.import().whole();
    assert_eq!(told.count("conversations"), (0, 3, 0), "{told:#?}");
    assert_eq!(fs::read_to_string(here.join("observations/2.txt")).unwrap(), "2.txt");
}
