//! A container for each conversation, and what is in which.

use futures_util::future::join_all;
use testing::model::Model;
use testing::script::{Script, Turn};
use testing::until;

use super::{PROJECT, a_container_each};

const CONVERSATIONS: usize = 10;

#[tokio::test]
async fn ten_conversations_have_ten_containers_and_each_sees_its_own_files_alone() {
    let server = a_container_each();
    let client = &server.client;
    let ids = join_all((0..CONVERSATIONS).map(|_| client.create("http://127.0.0.1:9/v1", PROJECT))).await;
    join_all(ids.iter().map(async |id| {
        let command = format!("git init -q . && echo {id} > mine");
        client.printed(Some(id), &command).await;
    }))
    .await;
    assert_eq!(server.containers().running().len(), CONVERSATIONS);
    for id in &ids {
        let base = format!("/api/conversations/{id}");
        assert_eq!(client.printed(Some(id), "cat mine; ls").await, format!("{id}\nmine\n"));
        let file = client.get_ok(&format!("{base}/file/download?path={PROJECT}/mine")).await;
        assert_eq!(file.as_str().unwrap(), format!("{id}\n"));
        let changes = client.get_ok(&format!("{base}/git/changes?path={PROJECT}")).await;
        assert_eq!(changes[0]["path"], "mine", "{changes}");
    }
    assert_eq!(client.printed(None, "pwd; ls").await, format!("{PROJECT}\n"));
    let (status, _) = client.get(&format!("/api/file/download?path={PROJECT}/mine")).await;
    assert_eq!(status, 404);
    assert_eq!(server.containers().running().len(), CONVERSATIONS + 1);

    let volumes = server.containers().volumes().len();
    let (deleted, kept) = ids.split_at(1);
    let (status, answer) = client.delete(&format!("/api/conversations/{}", deleted[0])).await;
    assert!(status.is_success(), "{answer}");
    until(async || server.containers().running().len() == CONVERSATIONS).await;
    until(async || server.containers().volumes().len() == volumes - 1).await;
    assert_eq!(client.printed(Some(&kept[0]), "cat mine").await, format!("{}\n", kept[0]));
}

#[tokio::test]
async fn an_agents_tools_and_a_clients_calls_make_files_of_the_same_user() {
    let model = Model::start(0, vec![Script::new("[[tools]]", turns())]).await.unwrap();
    let server = a_container_each();
    let client = &server.client;
    let id = client.create(&model.base_url(), PROJECT).await;
    client.send(&id, "[[tools]]", true).await;
    client.wait_for_status(&id, "finished").await;
    let events = serde_json::to_string(&client.events(&id).await).unwrap();
    assert!(events.contains("uid=10001 home=/home/agent"), "{events}");
    let owners = client.printed(Some(&id), "git add . && stat -c '%n %u' * && echo more >> by_editor").await;
    assert_eq!(owners, "by_editor 10001\nby_terminal 10001\n");
}

fn turns() -> Vec<Turn> {
    let create = serde_json::json!({ "command": "create", "path": format!("{PROJECT}/by_editor"), "file_text": "text\n" });
    vec![
        Turn::call("call_1", "file_editor", create),
        Turn::terminal("call_2", "git init -q . && touch by_terminal && echo uid=$(id -u) home=$HOME"),
        Turn::finish("done"),
    ]
}
