//! Sessions are found again, gone on with, closed, and have modes.

use serde_json::{Value, json};
use testing::script::Turn;
use testing::server::Start;

use super::super::{BINARY, User, holds};
use super::cancelled::behind;
use super::{Editor, prompt};

fn touch(name: &str, risk: &str) -> Turn {
    Turn::call("c", "terminal", json!({"command": format!("touch {name}"), "security_risk": risk}))
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_listed_and_gone_on_with_though_nothing_is_told_again() {
    let user = User::with(Vec::new()).await;
    user.model.will([Turn::text("First."), Turn::text("Second.")]);
    let mut editor = Editor::start(&user, &[]);
    let elsewhere = editor.session(user.home.path());
    let session = editor.session(&user.work());
    editor.prompt(&session, "Begin.");
    editor.leaves();
    let mut editor = Editor::start(&user, &[]);
    let able =
        editor.call("initialize", &json!({"protocolVersion": 1}))["result"]["agentCapabilities"].clone();
    for capability in ["list", "resume", "close"] {
        assert_eq!(able["sessionCapabilities"][capability], json!({}), "{able}");
    }
    let ids = |listed: &Value| {
        let sessions = listed["result"]["sessions"].as_array().unwrap_or_else(|| panic!("{listed}"));
        sessions.iter().map(|session| session["sessionId"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let listed = editor.call("session/list", &json!({}));
    assert_eq!(ids(&listed), [session.clone(), elsewhere], "what was changed last comes first");
    let listed = editor.call("session/list", &json!({"cwd": user.work(), "cursor": null}));
    assert_eq!(ids(&listed), [session.as_str()]);
    let one = &listed["result"]["sessions"][0];
    assert_eq!(one["cwd"], user.work().display().to_string());
    assert!(one["updatedAt"].as_str().unwrap().contains('T') && one["title"].is_string(), "{one}");
    assert_eq!(editor.call("session/list", &json!({"cursor": "a&b"}))["error"]["code"], -32_602);
    assert_eq!(editor.call("session/prompt", &prompt(&session, "Too early."))["error"]["code"], -32_002);
    let resumed = editor.call("session/resume", &json!({"sessionId": session, "cwd": user.work()}));
    assert_eq!(resumed["result"]["modes"]["currentModeId"], "never", "{resumed}");
    assert!(editor.updates.is_empty(), "{:?}", editor.updates);
    editor.prompt(&session, "Go on.");
    assert_eq!(editor.said("agent_message_chunk"), "Second.");
    assert!(user.model.requests().pop().unwrap().to_string().contains("Begin."));
    editor.leaves();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_sessions_is_told_in_pages() {
    let user = User::with(Vec::new()).await;
    let server = Start::new(BINARY).start();
    for _ in 0..101 {
        server.client.create(&user.model.base_url(), &user.work().display().to_string()).await;
    }
    let mut editor = Editor::start(&user, &["--server", &server.url]);
    let first = editor.call("session/list", &json!({}));
    let next = first["result"]["nextCursor"].clone();
    let second = editor.call("session/list", &json!({ "cursor": next }));
    let count = |page: &Value| page["result"]["sessions"].as_array().unwrap().len();
    assert_eq!((count(&first), count(&second)), (100, 1));
    assert!(second["result"].get("nextCursor").is_none(), "{second}");
    editor.leaves();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mode_says_which_actions_the_user_is_asked_about() {
    let user = User::with(Vec::new()).await;
    let mut editor = Editor::start(&user, &["--confirm"]);
    let session = editor.session(&user.work());
    let mut in_mode = |mode: &str, permissions: &[&'static str], turns: Vec<Turn>| {
        let set = editor.call("session/set_mode", &json!({"sessionId": session, "modeId": mode}));
        assert_eq!(set["result"], json!({}), "{set}");
        user.model.will(turns.into_iter().chain([Turn::text("Done.")]));
        editor.permissions = permissions.to_vec();
        editor.asked.clear();
        assert_eq!(editor.prompt(&session, "Make files.")["result"]["stopReason"], "end_turn");
        editor.asked.iter().map(|asked| asked["toolCall"]["title"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(in_mode("never", &[], vec![touch("a", "HIGH")]), Vec::<Value>::new());
    let asked = in_mode("risky", &["reject"], vec![touch("b", "LOW"), touch("c", "HIGH")]);
    assert_eq!(asked, ["touch c"]);
    assert_eq!(in_mode("always", &["allow_always"], vec![touch("d", "LOW"), touch("e", "LOW")]), ["touch d"]);
    let asked = in_mode("always", &["reject"], vec![touch("f", "LOW")]);
    assert_eq!(asked, ["touch f"], "who sets a mode takes back what was permitted");
    for (name, is_made) in [("a", true), ("b", true), ("c", false), ("d", true), ("e", true), ("f", false)] {
        assert_eq!(holds(&user.work(), name), is_made, "{name}");
    }
    let unknown = editor.call("session/set_mode", &json!({"sessionId": session, "modeId": "whatever"}));
    assert_eq!(unknown["error"]["code"], -32_602);
    assert_eq!(
        editor.call("session/set_mode", &json!({"sessionId": "x", "modeId": "never"}))["error"]["code"],
        -32_002
    );
    editor.leaves();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_closed_works_no_more_and_can_be_opened_again() {
    let user = User::with(Vec::new()).await;
    user.model.will([Turn::hang()]);
    let mut editor = Editor::start(&user, &[]);
    let session = editor.session(&user.work());
    let asked = editor.begin("session/prompt", &prompt(&session, "Wait."));
    testing::until(async || user.model.asked() > 0).await;
    let closing = editor.begin("session/close", &json!({"sessionId": session}));
    let answers = [editor.next(), editor.next()];
    let answer = |id: u64| answers.iter().find(|answer| answer["id"] == id).unwrap();
    assert_eq!(answer(closing)["result"], json!({}));
    assert_eq!(answer(asked)["result"]["stopReason"], "cancelled");
    assert_eq!(editor.call("session/close", &json!({"sessionId": session}))["error"]["code"], -32_002);
    assert_eq!(editor.prompt(&session, "Closed.")["error"]["code"], -32_002);
    editor.load(&user, &session);
    user.model.will([Turn::text("Open.")]);
    assert_eq!(editor.prompt(&session, "Again.")["result"]["stopReason"], "end_turn");
    editor.leaves();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_of_an_editor_are_kept_with_the_conversation_and_their_secrets_are_not_shown() {
    let user = User::with(Vec::new()).await;
    let server = Start::new(BINARY).start();
    let mut editor = Editor::start(&user, &["--server", &server.url]);
    let servers = json!([{"name": "files", "command": "/bin/files", "args": ["--all"],
        "env": [{"name": "TOKEN", "value": "very-secret"}]}]);
    let made = editor.call("session/new", &json!({"cwd": user.work(), "mcpServers": servers}));
    let id = made["result"]["sessionId"].as_str().unwrap_or_else(|| panic!("{made}"));
    let info = server.client.get_ok(&format!("/api/conversations/{id}")).await;
    let kept = info["agent"]["mcp_config"].to_string();
    assert!(kept.contains("/bin/files") && kept.contains("--all") && kept.contains("TOKEN"), "{kept}");
    assert!(!info.to_string().contains("very-secret"), "{kept}");
    editor.leaves();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mode_that_was_asked_for_last_holds_also_in_a_session_that_was_closed_meanwhile() {
    let user = User::with(Vec::new()).await;
    let server = Start::new(BINARY).start();
    let (proxy, mut editor, session) = behind(&user, &server.url);
    proxy.hold("/confirmation_policy");
    let set = editor.begin("session/set_mode", &json!({"sessionId": session, "modeId": "never"}));
    testing::until(async || proxy.has_cut()).await;
    assert_eq!(editor.call("session/close", &json!({"sessionId": session}))["result"], json!({}));
    // Where everything is asked for.
    let resumed = editor.begin("session/resume", &json!({"sessionId": session, "cwd": user.work()}));
    let held = proxy.clone();
    // Until then the session could be opened.
    let released = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_secs(1));
        held.cut(|| true)
    });
    let answers = [editor.next(), editor.next()];
    let ids: Vec<_> = answers.iter().map(|answer| answer["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, [set, resumed]);
    assert!(released.join().unwrap() > 0);
    let info = server.client.get_ok(&format!("/api/conversations/{session}")).await;
    assert_eq!(info["confirmation_policy"]["kind"], "AlwaysConfirm");
    editor.leaves();
}
