//! An editor has this program as its agent, over the Agent Client Protocol.

mod cancelled;
mod sessions;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::{Value, json};
use testing::proxy::Proxy;
use testing::script::Turn;

use super::{User, holds};

/// An editor: asks, and answers what it is asked.
struct Editor {
    agent: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    last: u64,
    /// What it has been told, in order.
    updates: Vec<Value>,
    /// What it says of actions: one option after the other; then nothing.
    permissions: Vec<&'static str>,
    asked: Vec<Value>,
}

impl Editor {
    fn start(user: &User, arguments: &[&str]) -> Self {
        let mut command = user.with_model(&[&["acp"], arguments].concat());
        let mut agent = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (agent.stdin.take().unwrap(), BufReader::new(agent.stdout.take().unwrap()));
        Self {
            agent,
            input,
            output,
            last: 0,
            updates: Vec::new(),
            permissions: Vec::new(),
            asked: Vec::new(),
        }
    }

    fn write(&mut self, message: &Value) {
        writeln!(self.input, "{message}").unwrap();
    }

    fn begin(&mut self, method: &str, params: &Value) -> u64 {
        self.last += 1;
        let id = self.last;
        self.write(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        id
    }

    /// The next message that is no question; those are answered.
    fn next(&mut self) -> Value {
        let mut line = String::new();
        assert!(self.output.read_line(&mut line).unwrap() > 0, "the agent has gone");
        let message: Value = serde_json::from_str(&line).expect(&line);
        assert_eq!(message["jsonrpc"], "2.0");
        if message["method"] == "session/update" {
            self.updates.push(message["params"]["update"].clone());
        }
        if message["method"] == "session/request_permission" {
            self.asked.push(message["params"].clone());
            if self.permissions.is_empty() {
                return message;
            }
            let outcome = match self.permissions.remove(0) {
                "cancelled" => json!({"outcome": "cancelled"}),
                option => json!({"outcome": "selected", "optionId": option}),
            };
            self.write(&json!({"jsonrpc": "2.0", "id": message["id"], "result": {"outcome": outcome}}));
        }
        message
    }

    fn answer_to(&mut self, id: u64) -> Value {
        loop {
            let message = self.next();
            if message["id"] == id && message.get("method").is_none() {
                return message;
            }
        }
    }

    fn call(&mut self, method: &str, params: &Value) -> Value {
        let id = self.begin(method, params);
        self.answer_to(id)
    }

    /// Says hello, and opens a session in `folder`.
    fn session(&mut self, folder: &Path) -> String {
        let us = json!({"protocolVersion": 1, "clientCapabilities": {"fs": {"readTextFile": true, "writeTextFile": true}}});
        let said = self.call("initialize", &us);
        assert_eq!(said["result"]["protocolVersion"], 1);
        assert_eq!(said["result"]["agentCapabilities"]["loadSession"], true);
        let made = self.call("session/new", &json!({"cwd": folder, "mcpServers": []}));
        made["result"]["sessionId"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned()
    }

    fn prompt(&mut self, session: &str, text: &str) -> Value {
        self.call("session/prompt", &prompt(session, text))
    }

    /// Opens a session of another editor; what was said in it is forgotten here.
    fn load(&mut self, user: &User, session: &str) {
        self.call("initialize", &json!({"protocolVersion": 1}));
        let params = json!({"sessionId": session, "cwd": user.work(), "mcpServers": []});
        let loaded = self.call("session/load", &params);
        assert!(loaded.get("error").is_none(), "{loaded}");
        self.updates.clear();
    }

    fn of_kind(&self, kind: &str) -> Vec<&Value> {
        self.updates.iter().filter(|update| update["sessionUpdate"] == kind).collect()
    }

    /// What was said in pieces.
    fn said(&self, kind: &str) -> String {
        self.of_kind(kind).iter().filter_map(|update| update["content"]["text"].as_str()).collect()
    }

    /// Waits until something is asked that is not answered.
    fn until_asked(&mut self) {
        while self.next()["method"] != "session/request_permission" {}
    }

    /// Ends without a word, and the agent with it.
    fn dies(mut self) {
        self.agent.kill().unwrap();
        self.agent.wait().unwrap();
    }

    /// Hangs up, and waits for the agent's end.
    fn leaves(mut self) {
        drop(self.input);
        assert_eq!(self.agent.wait().unwrap().code(), Some(0));
    }
}

fn prompt(session: &str, text: &str) -> Value {
    json!({"sessionId": session, "prompt": [{"type": "text", "text": text}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_editor_sees_what_the_agent_says_runs_edits_and_plans() {
    let user = User::with(Vec::new()).await;
    let path = user.work().join("a.txt").display().to_string();
    user.model.will([
        Turn::call(
            "c1",
            "task_tracker",
            json!({"command": "plan", "task_list": [{"title": "Write", "status": "in_progress"}]}),
        ),
        Turn {
            text: Some("I write it now.".to_owned()),
            ..Turn::call(
                "c1",
                "file_editor",
                json!({"command": "create", "path": path, "file_text": "one\n"}),
            )
        },
        Turn::terminal("c1", "cat a.txt; exit 3"),
        Turn::text("It is written."),
    ]);
    let mut editor = Editor::start(&user, &[]);
    let session = editor.session(&user.work());
    let answer = editor.prompt(&session, "Write a file.");
    assert_eq!(answer["result"]["stopReason"], "end_turn", "{answer}");
    assert_eq!(
        editor.of_kind("plan")[0]["entries"][0],
        json!({"content": "Write", "priority": "medium", "status": "in_progress"})
    );
    assert_eq!(editor.said("agent_message_chunk"), "I write it now.It is written.");
    let calls = editor.of_kind("tool_call");
    let told: Vec<_> =
        calls.iter().map(|call| (call["kind"].as_str().unwrap(), call["status"].as_str().unwrap())).collect();
    assert_eq!(told, [("edit", "in_progress"), ("execute", "in_progress")]);
    assert_eq!(calls[0]["locations"][0]["path"], path.as_str());
    let results = editor.of_kind("tool_call_update");
    assert_eq!(
        results[0]["content"][0],
        json!({"type": "diff", "path": path, "oldText": null, "newText": "one\n"})
    );
    assert!(results[1]["content"][0]["content"]["text"].as_str().unwrap().contains("one"));
    let named = |update: &&Value| (update["toolCallId"].clone(), update["status"].clone());
    let ids: Vec<_> = calls.iter().map(|call| call["toolCallId"].clone()).collect();
    assert_eq!(
        results.iter().map(named).collect::<Vec<_>>(),
        [(ids[0].clone(), json!("completed")), (ids[1].clone(), json!("failed"))]
    );
    editor.leaves();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_that_is_cancelled_ends_so_and_another_may_follow() {
    let user = User::with(Vec::new()).await;
    user.model.will([Turn::hang()]);
    let mut editor = Editor::start(&user, &[]);
    let session = editor.session(&user.work());
    let first = editor.begin("session/prompt", &prompt(&session, "Wait."));
    let busy = editor.prompt(&session, "At once.");
    assert!(busy["error"]["message"].as_str().unwrap().contains("under way"), "{busy}");
    testing::until(async || user.model.asked() > 0).await;
    editor.write(&json!({"jsonrpc": "2.0", "method": "session/cancel", "params": {"sessionId": session}}));
    assert_eq!(editor.answer_to(first)["result"]["stopReason"], "cancelled");
    user.model.will([Turn::text("Now.")]);
    assert_eq!(editor.prompt(&session, "Again.")["result"]["stopReason"], "end_turn");
    assert_eq!(editor.said("agent_message_chunk"), "Now.");
    editor.leaves();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_runs_that_the_editor_does_not_permit() {
    let user = User::with(Vec::new()).await;
    let touch = |name: &str| Turn::terminal("c", &format!("touch {name}"));
    let mut editor = Editor::start(&user, &["--confirm"]);
    let session = editor.session(&user.work());
    user.model.will([touch("allowed"), touch("refused"), Turn::text("Done.")]);
    editor.permissions = vec!["allow", "reject"];
    assert_eq!(editor.prompt(&session, "Make files.")["result"]["stopReason"], "end_turn");
    assert_eq!(editor.asked[0]["toolCall"]["rawInput"]["command"], "touch allowed");
    assert!(holds(&user.work(), "allowed") && !holds(&user.work(), "refused"));
    user.model.will([touch("cancelled")]);
    editor.permissions = vec!["cancelled"];
    assert_eq!(editor.prompt(&session, "Another.")["result"]["stopReason"], "cancelled");
    user.model.will([touch("always"), touch("unasked"), Turn::text("Done.")]);
    editor.permissions = vec!["allow_always"];
    assert_eq!(editor.prompt(&session, "Go on.")["result"]["stopReason"], "end_turn");
    assert!(holds(&user.work(), "always") && holds(&user.work(), "unasked"));
    assert!(!holds(&user.work(), "cancelled"), "what was cancelled does not run later");
    editor.leaves();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_loaded_with_all_that_was_said() {
    let user =
        User::with(vec![Turn::terminal("c", "echo hello"), Turn::text("First."), Turn::text("Second.")])
            .await;
    let mut editor = Editor::start(&user, &[]);
    let session = editor.session(&user.work());
    editor.prompt(&session, "Begin. [[task]]");
    editor.leaves();
    let mut editor = Editor::start(&user, &[]);
    editor.call("initialize", &json!({"protocolVersion": 1}));
    let unknown = json!({"sessionId": "00000000-0000-4000-8000-000000000000", "cwd": "/", "mcpServers": []});
    assert_eq!(editor.call("session/load", &unknown)["error"]["code"], -32_002);
    let loaded =
        editor.call("session/load", &json!({"sessionId": session, "cwd": user.work(), "mcpServers": []}));
    assert!(loaded.get("error").is_none(), "{loaded}");
    assert_eq!(editor.said("user_message_chunk"), "Begin. [[task]]");
    assert_eq!(editor.of_kind("tool_call_update")[0]["status"], "completed");
    editor.prompt(&session, "Go on.");
    assert_eq!(editor.said("agent_message_chunk"), "First.Second.");
    editor.leaves();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_since_an_editor_died_does_not_run_with_the_next_prompt() {
    let user = User::with(Vec::new()).await;
    user.model.will([Turn::terminal("c", "touch forgotten"), Turn::text("Something else.")]);
    let mut editor = Editor::start(&user, &["--confirm"]);
    let session = editor.session(&user.work());
    editor.begin("session/prompt", &prompt(&session, "Make a file."));
    editor.until_asked();
    editor.dies();
    let mut editor = Editor::start(&user, &[]);
    editor.load(&user, &session);
    assert_eq!(editor.prompt(&session, "Do something else.")["result"]["stopReason"], "end_turn");
    assert_eq!(editor.said("agent_message_chunk"), "Something else.");
    assert!(!holds(&user.work(), "forgotten"));
    editor.leaves();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_in_a_session_that_is_loaded_is_asked_for_whatever_was_permitted_before() {
    let touch = |name: &str| Turn::terminal("c", &format!("touch {name}"));
    for (before, permissions) in [(&[][..], vec![]), (&["--confirm"], vec!["allow_always"])] {
        let user = User::with(Vec::new()).await;
        user.model.will([touch("before"), Turn::text("Done.")]);
        let mut editor = Editor::start(&user, before);
        editor.permissions = permissions;
        let session = editor.session(&user.work());
        editor.prompt(&session, "Make a file.");
        assert!(holds(&user.work(), "before"));
        editor.leaves();
        let mut editor = Editor::start(&user, &["--confirm"]);
        editor.load(&user, &session);
        user.model.will([touch("after"), Turn::text("Done.")]);
        editor.permissions = vec!["reject"];
        editor.prompt(&session, "Another.");
        assert_eq!(editor.asked.len(), 1);
        assert!(!holds(&user.work(), "after"));
        editor.leaves();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_is_asked_for_though_the_connection_has_told_nothing_of_it() {
    let user = User::with(Vec::new()).await;
    let server = testing::server::Start::new(super::BINARY).start();
    let proxy = Proxy::to(vec![server.url.trim_start_matches("http://").parse().unwrap()]).unwrap();
    let url = format!("http://{}", proxy.address());
    user.model.will([Turn::terminal("c", "touch unseen").after(1_000), Turn::text("Done.")]);
    let mut editor = Editor::start(&user, &["--confirm", "--server", &url]);
    let session = editor.session(&user.work());
    let asked = editor.begin("session/prompt", &prompt(&session, "Make a file."));
    testing::until(async || user.model.asked() > 0).await;
    assert!(proxy.mute_sockets() > 0);
    editor.permissions = vec!["reject"];
    assert_eq!(editor.answer_to(asked)["result"]["stopReason"], "end_turn");
    assert_eq!(editor.asked[0]["toolCall"]["rawInput"]["command"], "touch unseen");
    assert!(!holds(&user.work(), "unseen"));
    editor.leaves();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_told_so_and_harms_nobody() {
    let user = User::with(Vec::new()).await;
    let mut editor = Editor::start(&user, &[]);
    for (line, code) in [("hello", -32_700), ("[]", -32_600)] {
        writeln!(editor.input, "{line}").unwrap();
        assert_eq!(editor.next()["error"]["code"], code, "{line}");
    }
    assert_eq!(editor.call("no/such", &json!({}))["error"]["code"], -32_601);
    assert_eq!(editor.call("session/new", &json!({"cwd": "relative"}))["error"]["code"], -32_602);
    assert_eq!(editor.call("session/prompt", &prompt("none", "Hi."))["error"]["code"], -32_002);
    user.model.will([Turn::failure(401, "no such key")]);
    let session = editor.session(&user.work());
    let failed = editor.prompt(&session, "Fail.");
    assert!(failed["error"]["message"].as_str().unwrap().contains("LLMAuthenticationError"), "{failed}");
    editor.leaves();
}
