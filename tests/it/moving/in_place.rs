//! The folder that the peer was started in is the server's own: nothing of the peer's is lost in it.

use std::fs;

use testing::until;

use super::{Mover, Told, WORKING, folders};

#[tokio::test]
async fn the_folder_of_the_peer_can_be_that_of_the_server() {
    let mover = Mover::new("http://127.0.0.1:9/v1");
    let workspace = mover.start.folder().join("workspace");
    folders::copy(&mover.peer().join("workspace"), &workspace, &str::to_owned);
    let of_tools = workspace.join("conversations").join(WORKING.replace('-', ""));
    fs::create_dir(of_tools.join("observations")).unwrap();
    fs::write(of_tools.join("observations/1.txt"), "all of an output").unwrap();
    fs::write(of_tools.join("TASKS.json"), "[]").unwrap();
    let written = folders::content(&workspace);
    let is_whole = || {
        let there = folders::content(&workspace);
        written.iter().all(|(path, content)| there.get(path) == Some(content))
    };
    // Who starts it first and thinks of the import later has lost nothing, when what tools have left is swept.
    let swept = workspace.join("conversations").join("5".repeat(32));
    let leave = || fs::create_dir_all(swept.join("observations")).unwrap();
    leave();
    let mut server = mover.start.start();
    until(async || !swept.exists()).await;
    assert_eq!(server.client.get_ok("/api/conversations/count").await, 0);
    server.client.printed(None, "true").await;
    assert!(server.terminate().success());
    assert!(is_whole());

    let import = || {
        let mut command = mover.command(&["import", "workspace"]);
        Told::of(command.arg("--home").arg(mover.peer().join("home")).output().unwrap())
    };
    let told = import();
    assert_eq!(told.count("conversations"), (3, 0, 0), "{told:#?}");
    // Commands that were run here already keep those of the peer out, for they are older.
    assert!(!told.is_success && told.errors.contains("bash_events"), "{told:#?}");
    assert!(is_whole());
    assert_eq!(import().count("conversations"), (0, 3, 0));
    leave();
    let server = mover.start.start();
    until(async || !swept.exists()).await;
    assert_eq!(server.client.events(WORKING).await.len(), 16);
    assert!(is_whole());
}
