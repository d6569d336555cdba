//! What commands of agents have started ends with its conversation, and with the server, wherever it has gone.

use std::path::Path;

use testing::eventually;
use testing::model::Model;
use testing::process::is_alive;
use testing::script::{Script, Turn};
use testing::server::{Server, Start};

const BINARY: &str = env!("CARGO_BIN_EXE_manyhands");

/// A program in a session of its own, and one that has done as daemons do and cares for no signal.
const START: &str = r#"setsid sh -c 'echo $$ > left; exec sleep 300' &
setsid sh -c "trap '' HUP TERM; exec sh -c 'echo \$\$ > daemon; exec sleep 300' &" </dev/null >/dev/null 2>&1"#;

/// A conversation whose shell has started the two, and a command of the API as well; and their numbers.
async fn conversation(server: &Server) -> (String, Vec<u32>) {
    let turns = vec![Turn::terminal("call_1", START), Turn::text("Done.")];
    let model = Model::start(0, vec![Script::new("[[start]]", turns)]).await.unwrap();
    let work = server.folder().join("work");
    let id = server.client.create(&model.base_url(), &work.display().to_string()).await;
    server.client.send(&id, "Start them. [[start]]", true).await;
    server.client.wait_for_status(&id, "finished").await;
    let mut pids = begun(&work).await;
    server.client.run(Some(&id), START).await;
    pids.extend(begun(&work).await);
    (id, pids)
}

/// The numbers of the programs that have begun in `folder` since they were asked for.
async fn begun(folder: &Path) -> Vec<u32> {
    let mut pids = Vec::new();
    for path in ["left", "daemon"].map(|file| folder.join(file)) {
        let number = async || std::fs::read_to_string(&path).ok()?.trim().parse().ok();
        let pid = eventually("the program has begun", number).await;
        assert!(is_alive(pid), "{path:?} runs on");
        std::fs::remove_file(&path).unwrap();
        pids.push(pid);
    }
    pids
}

#[tokio::test]
async fn a_program_that_left_its_session_ends_with_its_conversation() {
    let server = Start::new(BINARY).start();
    let (id, pids) = conversation(&server).await;
    let (other_id, other_pids) = conversation(&server).await;
    end_with(&server, &id, pids).await;
    assert!(other_pids.iter().copied().all(is_alive), "those of another conversation run on");
    end_with(&server, &other_id, other_pids).await;
}

async fn end_with(server: &Server, id: &str, pids: Vec<u32>) {
    let (status, _) = server.client.delete(&format!("/api/conversations/{id}")).await;
    assert!(status.is_success(), "{status}");
    for pid in pids {
        eventually("it has ended", async || (!is_alive(pid)).then_some(())).await;
    }
}

#[tokio::test]
async fn a_program_that_left_its_session_ends_with_the_server() {
    let mut server = Start::new(BINARY).start();
    let (_, pids) = conversation(&server).await;
    assert!(server.terminate().success());
    assert!(!pids.into_iter().any(is_alive));
}

#[tokio::test]
async fn what_a_killed_server_has_left_ends_with_the_next_one() {
    let server = Start::new(BINARY).start();
    let (_, pids) = conversation(&server).await;
    let server = server.killed_and_restarted();
    for pid in pids {
        eventually("it has ended", async || (!is_alive(pid)).then_some(())).await;
    }
    drop(server);
}
