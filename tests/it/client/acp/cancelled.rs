//! What was cancelled is interrupted, whatever the server does not answer and whoever else has a say.

use serde_json::{Value, json};
use testing::proxy::Proxy;
use testing::script::Turn;
use testing::server::{Server, Start};

use super::super::{BINARY, User, holds};
use super::{Editor, prompt};

fn touch(name: &str) -> Turn {
    Turn::terminal("c", &format!("touch {name}"))
}

/// An editor that has its server by way of a proxy, and a session of it.
pub fn behind(user: &User, server: &str) -> (Proxy, Editor, String) {
    let proxy = Proxy::to(vec![server.trim_start_matches("http://").parse().unwrap()]).unwrap();
    let mut editor = Editor::start(user, &["--confirm", "--server", &format!("http://{}", proxy.address())]);
    let session = editor.session(&user.work());
    (proxy, editor, session)
}

impl Editor {
    fn cancels(&mut self, session: &str) {
        self.write(&json!({"jsonrpc": "2.0", "method": "session/cancel", "params": {"sessionId": session}}));
    }
}

async fn status(server: &Server, session: &str) -> Value {
    server.client.get_ok(&format!("/api/conversations/{session}")).await["execution_status"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_closed_is_opened_once_its_prompt_is_over() {
    let user = User::with(Vec::new()).await;
    let server = Start::new(BINARY).start();
    let (proxy, mut editor, session) = behind(&user, &server.url);
    user.model.will([Turn::hang()]);
    let asked = editor.begin("session/prompt", &prompt(&session, "Wait."));
    testing::until(async || user.model.asked() > 0).await;
    proxy.hold("/interrupt");
    assert_eq!(editor.call("session/close", &json!({"sessionId": session}))["result"], json!({}));
    testing::until(async || proxy.has_cut()).await;
    let resumed = editor.begin("session/resume", &json!({"sessionId": session, "cwd": user.work()}));
    let held = proxy.clone();
    // Until then the run goes on, and the session could be opened.
    let released = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_secs(1));
        held.cut(|| true)
    });
    let answers = std::iter::from_fn(|| Some(editor.next())).filter(|message| message["method"].is_null());
    let ids: Vec<_> = answers.take(2).map(|answer| answer["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, [asked, resumed]);
    assert!(released.join().unwrap() > 0);
    user.model.will([Turn::text("Open.")]);
    assert_eq!(editor.prompt(&session, "Again.")["result"]["stopReason"], "end_turn");
    assert_eq!(editor.said("agent_message_chunk"), "Open.");
    editor.leaves();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cancels_is_heard_whatever_the_server_does_not_answer() {
    for held in ["/events/search", "/run", "/respond_to_confirmation"] {
        let user = User::with(Vec::new()).await;
        let server = Start::new(BINARY).start();
        let (proxy, mut editor, session) = behind(&user, &server.url);
        user.model.will([touch("unseen"), Turn::text("Done.")]);
        editor.permissions = vec!["reject"];
        proxy.hold(held);
        let asked = editor.begin("session/prompt", &prompt(&session, "Make a file."));
        let told = std::time::Instant::now();
        while !proxy.has_cut() {
            assert!(told.elapsed() < std::time::Duration::from_secs(60), "{held} is never asked for");
            if held == "/respond_to_confirmation" && editor.asked.is_empty() {
                editor.next();
            }
            tokio::task::yield_now().await;
        }
        let cancelled = std::time::Instant::now();
        editor.cancels(&session);
        assert_eq!(editor.answer_to(asked)["result"]["stopReason"], "cancelled", "{held}");
        assert!(cancelled.elapsed() < std::time::Duration::from_secs(20), "{held}");
        assert!(!holds(&user.work(), "unseen"));
        editor.leaves();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cancels_at_a_question_that_somebody_else_has_answered_interrupts_what_runs() {
    let user = User::with(Vec::new()).await;
    let server = Start::new(BINARY).start();
    let mut editor = Editor::start(&user, &["--confirm", "--server", &server.url]);
    let session = editor.session(&user.work());
    user.model.will([touch("first"), Turn::hang()]);
    let asked = editor.begin("session/prompt", &prompt(&session, "Make a file."));
    editor.until_asked();
    let path = format!("/api/conversations/{session}/events/respond_to_confirmation");
    server.client.post_ok(&path, &json!({"accept": true})).await;
    testing::until(async || user.model.asked() > 1).await;
    editor.cancels(&session);
    assert_eq!(editor.answer_to(asked)["result"]["stopReason"], "cancelled");
    assert_eq!(status(&server, &session).await, "paused");
    editor.leaves();
}
