//! An editor in the browser is started when it is asked for, and ends with the worker.

use std::os::unix::fs::MetadataExt;

use bytes::Bytes;
use testing::eventually;
use testing::process::is_alive;
use types::calls::{EditorCall, EditorState};

use crate::services::World;

/// Notes how it was called and its token, begins something of its own, and says that it can be opened.
const EDITOR: &str = r#"#!/bin/sh
echo "$@" >> "$(dirname "$0")/called"
while [ $# -gt 0 ]; do
    [ "$1" = --connection-token-file ] && cp -p "$2" "$(dirname "$0")/token"
    shift
done
sleep 1000 &
echo $! > "$(dirname "$0")/helper"
echo "Web UI available at http://localhost:8765"
wait
"#;

async fn ask(world: &World, call: EditorCall) -> EditorState {
    world.call(&call, Bytes::new()).await.unwrap().0
}

fn noted(world: &World, name: &str) -> String {
    std::fs::read_to_string(world.path("..").join(name)).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_editor_runs_once_somebody_wants_it_and_once_only() {
    let world = World::with_editor(EDITOR).await;
    assert!(!ask(&world, EditorCall::Status {}).await.running);
    assert_eq!(noted(&world, "called"), "");
    let (one, other) = tokio::join!(ask(&world, EditorCall::Start {}), ask(&world, EditorCall::Start {}));
    let token = one.token.unwrap();
    assert_eq!((token.len(), other.token.as_deref()), (64, Some(token.as_str())));
    let called = noted(&world, "called");
    assert_eq!(called.lines().count(), 1);
    for part in ["--port 8765", "--server-base-path /e"] {
        assert!(called.contains(part), "{called}");
    }
    assert!(ask(&world, EditorCall::Status {}).await.running);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_user_of_the_machine_sees_the_token() {
    let world = World::with_editor(EDITOR).await;
    let token = ask(&world, EditorCall::Start {}).await.token.unwrap();
    assert_eq!(noted(&world, "token"), token);
    let mode = std::fs::metadata(world.path("..").join("token")).unwrap().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!noted(&world, "called").contains(&token));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_editor_has_started_ends_with_the_worker() {
    let world = World::with_editor(EDITOR).await;
    ask(&world, EditorCall::Start {}).await;
    let helper = noted(&world, "helper");
    assert!(is_alive(&helper), "{helper}");
    world.stop().await;
    eventually("the helper ends", async || (!is_alive(&helper)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_editor_that_has_ended_is_started_anew() {
    let script = "#!/bin/sh\necho x >> \"$(dirname \"$0\")/called\"\necho Server bound to a port\n";
    let world = World::with_editor(script).await;
    for times in 1..3 {
        let state = ask(&world, EditorCall::Start {}).await;
        assert!(state.running);
        assert_eq!(noted(&world, "called").lines().count(), times);
        let ended = async || (!ask(&world, EditorCall::Status {}).await.running).then_some(());
        eventually("it has ended", ended).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_there_is_no_editor_none_runs() {
    for world in [World::start().await, World::with_editor("#!/bin/sh\nexit 1\n").await] {
        let state = ask(&world, EditorCall::Start {}).await;
        assert!(!state.running && state.token.is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_editor_of_a_killed_worker_has_left_ends_with_the_next_one() {
    // It is not found by what an orderly end looks for, as if there were none.
    let script = EDITOR.replace("sleep 1000 &", "env -u MANYHANDS_EDITOR setsid sleep 1000 &");
    let mut world = World::with_editor(&script).await;
    ask(&world, EditorCall::Start {}).await;
    let helper = noted(&world, "helper");
    let comm = format!("/proc/{}/comm", helper.trim());
    let is_on_its_own = async || (std::fs::read_to_string(&comm).ok()? == "sleep\n").then_some(());
    eventually("it is on its own", is_on_its_own).await;
    world.stop().await;
    assert!(is_alive(&helper), "{helper}");
    (world.shutdown, world.tracker) = Default::default();
    world.serve(None).await;
    eventually("the helper ends", async || (!is_alive(&helper)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_editor_that_says_too_much_is_not_waited_for() {
    let script =
        "#!/bin/sh\nhead -c 3000000 /dev/zero | tr '\\0' x\necho\necho Server bound to a port\nsleep 1000\n";
    let world = World::with_editor(script).await;
    assert!(!ask(&world, EditorCall::Start {}).await.running);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_editor_has_started_ends_with_it_though_its_mark_is_gone() {
    let world = World::with_editor(&EDITOR.replace("sleep 1000 &", "env -i sleep 1000 &")).await;
    ask(&world, EditorCall::Start {}).await;
    let helper = noted(&world, "helper");
    assert!(is_alive(&helper), "{helper}");
    world.stop().await;
    assert!(!is_alive(&helper), "{helper}");
}
