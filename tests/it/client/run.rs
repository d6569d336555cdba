//! One command, and an agent is seen at work.

use std::io::{BufRead, Read, Write};

use serde_json::json;
use testing::proxy::Proxy;
use testing::script::Turn;
use testing::server::Start;

use super::{BINARY, KEY, User, given, holds, kinds};

fn two_steps() -> Vec<Turn> {
    vec![Turn::terminal("call_1", "echo hello | tee made.txt"), Turn::finish("It is made.")]
}

#[tokio::test(flavor = "multi_thread")]
async fn one_command_shows_an_agent_at_work_in_the_current_folder() {
    let user = User::with(two_steps()).await;
    let ended = user.runs(&["run", "Make a file. [[task]]"]).await.with(0);
    assert_eq!(ended.out, "$ echo hello | tee made.txt\nhello\nIt is made.\n", "{}", ended.err);
    assert!(ended.err.contains("tokens read"), "{}", ended.err);
    let inside: Vec<_> = user.work().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(holds(&user.work(), "made.txt") && !inside.contains(&"workspace".into()), "{inside:?}");
    assert!(holds(user.home.path(), ".local/state/manyhands/conversations"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_is_told_by_the_status_how_a_run_ended() {
    let user = User::with(vec![Turn::failure(401, "no such key")]).await;
    let failed = user.runs(&["run", "Fail. [[task]]"]).await.with(1);
    assert!(failed.out.contains("LLMAuthenticationError"), "{failed:?}");

    user.model.will((0..3).map(|n| Turn::terminal(&format!("call_{n}"), &format!("echo {n}"))));
    user.runs(&["run", "--max-iterations", "2", "Go on."]).await.with(3);

    user.model.will([Turn::hang()]);
    let late = user.runs(&["run", "--timeout", "1", "Wait."]).await.with(3);
    assert!(late.err.contains("the time is over"), "{late:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_cannot_be_meant_says_what_to_do_and_starts_nothing() {
    let user = User::with(two_steps()).await;
    let nameless = super::ended(user.command(&["run", "Look. [[task]]"])).await.with(2);
    assert!(nameless.err.contains("LLM_API_KEY") && nameless.err.contains("--profile"), "{}", nameless.err);
    for arguments in [
        &["run"][..],
        &["run", " "],
        &["run", "--server", "127.0.0.1:8000", "Look."],
        &["run", "--continue", "zz", "Look."],
        &["run", "--json", "--quiet", "Look."],
    ] {
        user.runs(arguments).await.with(2);
    }
    assert_eq!(user.model.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_lines_of_json_and_all_else_is_on_standard_error() {
    let user = User::with(two_steps()).await;
    let ended = user.runs(&["run", "--json", "Make a file. [[task]]"]).await.with(0);
    let events = ended.lines();
    let expected = [
        "SystemPromptEvent",
        "MessageEvent",
        "ActionEvent",
        "ObservationEvent",
        "ActionEvent",
        "ObservationEvent",
    ];
    assert_eq!(kinds(&events), expected);
    assert!(ended.err.contains("conversation "), "{}", ended.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_from_standard_input_is_answered_with_the_last_word_alone() {
    let user = User::with(vec![Turn::terminal("call_1", "echo noise"), Turn::text("42")]).await;
    let ended = given(user.with_model(&["run", "--quiet", "-"]), "What is it? [[task]]\n").await.with(0);
    assert_eq!(ended.out, "42\n");
    assert!(user.model.requests()[0].to_string().contains("What is it?"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_an_agent_writes_is_obeyed_by_the_terminal() {
    let printing = r"printf 'a\033]0;owned\007b\033[2Jc\033]52;c;eA==\033\\d\n'";
    let turns = vec![Turn::terminal("call_1", printing), Turn::text("done\u{1b}[8m \u{202e}here\u{9b}2J")];
    let user = User::with(turns).await;
    let ended = user.runs(&["run", "Print. [[task]]"]).await.with(0);
    assert!(ended.out.contains("abcd\n") && ended.out.contains("done here"), "{:?}", ended.out);
    let obeyed = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!ended.out.contains(obeyed) && !ended.err.contains(obeyed), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_goes_on_by_the_beginning_of_its_id_and_remembers() {
    let user = User::with(vec![Turn::text("First."), Turn::text("Second.")]).await;
    let first = user.runs(&["run", "Begin. [[task]]"]).await.with(0);
    let id = first.err.lines().find_map(|line| line.strip_prefix("conversation ")).unwrap();
    let second = user.runs(&["run", "--continue", &id[..8], "Go on."]).await.with(0);
    assert_eq!(second.out, "Second.\n", "{}", second.err);
    let asked = user.model.requests().pop().unwrap().to_string();
    assert!(asked.contains("Begin.") && asked.contains("Go on."), "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_shown_as_what_it_changes() {
    let user = User::with(Vec::new()).await;
    let path = user.work().join("a.txt").display().to_string();
    std::fs::write(&path, "one\ntwo\nthree\n").unwrap();
    let edit = json!({"command": "str_replace", "path": path, "old_str": "two", "new_str": "2"});
    user.model.will([Turn::call("call_1", "file_editor", edit), Turn::finish("Changed.")]);
    let ended = user.runs(&["run", "Change it."]).await.with(0);
    assert_eq!(ended.out, format!("str_replace {path}\n  one\n- two\n+ 2\n  three\nChanged.\n"));
}

/// Also for the superuser, who may read it.
#[tokio::test(flavor = "multi_thread")]
async fn commands_find_no_key_of_the_model_in_any_environment() {
    let look = "env; for file in /proc/$PPID/environ /proc/$PPID/cmdline $(find /proc/$$/fd -lname '*memfd*'); do \
        tr '\\0' '\\n' < $file; done; echo looked";
    let user = User::with(vec![Turn::terminal("call_1", look), Turn::text("Nothing.")]).await;
    let ended = user.runs(&["run", "--full", "Look. [[task]]"]).await.with(0);
    assert!(ended.out.contains("manyhands\nrun\n"), "the parent is the server: {}", ended.out);
    assert!(ended.out.contains("\nlooked\n"), "{}", ended.out);
    assert!(!ended.out.contains(KEY), "{}", ended.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_lost_costs_no_event_and_doubles_none() {
    let steps = (0..12).map(|n| Turn::terminal(&format!("call_{n}"), &format!("echo {n}")).after(100));
    let user = User::with(steps.chain([Turn::finish("Done.")]).collect()).await;
    let server = Start::new(BINARY).with_key("server-key").start();
    let proxy = Proxy::to(vec![server.url.trim_start_matches("http://").parse().unwrap()]).unwrap();
    let url = format!("http://{}", proxy.address());
    let folder = server.project().display().to_string();
    let mut command = user.with_model(&["run", "--json", "--server", &url, "-C", &folder, "Count. [[task]]"]);
    command.env("MANYHANDS_KEY", "server-key");
    let running = tokio::spawn(super::ended(command));
    for asked in [2, 5, 8] {
        testing::until(async || user.model.asked() > asked).await;
        proxy.cut(|| true);
    }
    let ended = running.await.unwrap().with(0);
    let told: Vec<_> = ended.lines().iter().map(|event| event["id"].clone()).collect();
    let id = ended.err.lines().find_map(|line| line.strip_prefix("conversation ")).unwrap();
    let stored: Vec<_> = server.client.events(id).await.iter().map(|event| event["id"].clone()).collect();
    assert_eq!(told, stored);
    assert!(ended.err.contains("connected again"), "{}", ended.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_a_run_is_told_before_its_end_though_the_connection_falls_silent() {
    let steps = [Turn::terminal("call_1", "echo one"), Turn::terminal("call_2", "echo two").after(1_000)];
    let user = User::with(steps.into_iter().chain([Turn::finish("Done.")]).collect()).await;
    let server = Start::new(BINARY).start();
    let proxy = Proxy::to(vec![server.url.trim_start_matches("http://").parse().unwrap()]).unwrap();
    let url = format!("http://{}", proxy.address());
    let folder = server.project().display().to_string();
    let command = user.with_model(&["run", "--json", "--server", &url, "-C", &folder, "Count. [[task]]"]);
    let running = tokio::spawn(super::ended(command));
    testing::until(async || user.model.asked() > 1).await;
    assert!(proxy.mute_sockets() > 0);
    let ended = running.await.unwrap().with(0);
    let told: Vec<_> = ended.lines().iter().map(|event| event["id"].clone()).collect();
    let id = ended.err.lines().find_map(|line| line.strip_prefix("conversation ")).unwrap();
    let stored: Vec<_> = server.client.events(id).await.iter().map(|event| event["id"].clone()).collect();
    assert_eq!(told, stored);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_to_come_again_at_the_end_of_time_is_not_waited_for() {
    let user = User::with(Vec::new()).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let _ = connection.read(&mut [0; 4096]);
            let answer =
                "HTTP/1.1 503 Busy\r\nRetry-After: 18446744073709551615\r\nContent-Length: 0\r\n\r\n";
            let _ = connection.write_all(answer.as_bytes());
        }
    });
    let refused = user.runs(&["conversations", "--server", &url]).await.with(1);
    assert!(refused.err.contains("503"), "{}", refused.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_worked_in_says_nothing_of_the_server() {
    let user = User::with(two_steps()).await;
    let folder = user.work().join("workspace");
    std::fs::create_dir(&folder).unwrap();
    let settings = r#"{"pass_env": ["A_SECRET"], "conversations_path": "workspace/conversations"}"#;
    std::fs::write(folder.join("openhands_agent_server_config.json"), settings).unwrap();
    user.model.will([Turn::terminal("call_1", "echo \"<$A_SECRET>\""), Turn::text("Done.")]);
    let mut command = user.with_model(&["run", "Look."]);
    command.env("A_SECRET", "of-the-user");
    let ended = super::ended(command).await.with(0);
    assert!(ended.out.contains("\n<>\n"), "{ended:?}");
    assert!(!holds(&folder, "conversations"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_users_folder_becomes_no_repository_and_a_folder_that_is_not_there_is_none() {
    let user = User::with(two_steps()).await;
    user.runs(&["run", "Make a file. [[task]]"]).await.with(0);
    assert!(holds(&user.work(), "made.txt") && !holds(&user.work(), ".git"));
    std::fs::write(user.work().join("a-file"), "").unwrap();
    for name in ["nowhere", "a-file"] {
        let refused = user.runs(&["run", "-C", name, "Make a file."]).await.with(2);
        assert!(refused.err.contains(name) && refused.err.contains("no such folder"), "{}", refused.err);
    }
    assert!(!holds(&user.work(), "nowhere") && user.model.asked() == 2, "nothing was begun");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_beginning_is_told_to_nobody_is_followed_all_the_same() {
    let user = User::with(two_steps()).await;
    let server = Start::new(BINARY).start();
    let proxy = Proxy::to(vec![server.url.trim_start_matches("http://").parse().unwrap()]).unwrap();
    proxy.cut_after("/run HTTP/1.1");
    let url = format!("http://{}", proxy.address());
    let folder = server.project().display().to_string();
    let ended = user.runs(&["run", "--server", &url, "-C", &folder, "Make it. [[task]]"]).await.with(0);
    assert!(proxy.has_cut() && ended.out.ends_with("It is made.\n"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_wants_a_key_is_told_none_in_vain() {
    let user = User::with(two_steps()).await;
    let server = Start::new(BINARY).with_key("server-key").start();
    let refused = user.runs(&["run", "--server", &server.url, "Look. [[task]]"]).await.with(1);
    assert!(refused.err.contains("401") && refused.err.contains("MANYHANDS_KEY"), "{}", refused.err);
    let file = user.home.path().join("key");
    std::fs::write(&file, "server-key\n").unwrap();
    let key = ["--key-file", file.to_str().unwrap()];
    let ended =
        user.runs(&[&["run", "--server", &server.url], &key[..], &["Look. [[task]]"]].concat()).await.with(0);
    assert!(ended.out.contains("It is made."), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_llm_profile_of_the_server_is_a_model() {
    let user = User::with(two_steps()).await;
    let server = Start::new(BINARY).start();
    let llm = json!({"llm": {"model": "openai/scripted", "api_key": "k", "base_url": user.model.base_url()}});
    server.client.post_ok("/api/profiles/mine", &llm).await;
    let folder = server.project().display().to_string();
    let arguments =
        ["run", "--server", &server.url, "-C", &folder, "--profile", "mine", "--quiet", "Make it. [[task]]"];
    let ended = super::ended(user.command(&arguments)).await.with(0);
    assert_eq!(ended.out, "It is made.\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_not_there_is_told_of_at_once_and_again_when_the_time_is_over() {
    let user = User::with(Vec::new()).await;
    let mut command = user.with_model(&["run", "--timeout", "8", "Look."]);
    command.env("LLM_BASE_URL", "http://127.0.0.1:1/v1");
    let late = super::ended(command).await.with(3);
    let (first, last) = late.err.split_once("the time is over").expect(&late.err);
    assert!(first.contains("attempt 1 to ask the model") && first.contains("refused"), "{}", late.err);
    assert!(last.lines().next().unwrap().contains("refused"), "{}", late.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_says_nothing_is_told_of_when_the_time_is_over() {
    let user = User::with(vec![Turn::hang()]).await;
    let late = user.runs(&["run", "--timeout", "6", "Wait. [[task]]"]).await.with(3);
    assert!(late.err.contains("has said nothing"), "{}", late.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_told_of_while_it_is_sought() {
    let user = User::with(Vec::new()).await;
    let mut command = user.command(&["conversations", "--server", "http://127.0.0.1:1"]);
    let mut process = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut told = std::io::BufReader::new(process.stderr.take().unwrap());
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    let still_seeks = process.try_wait().unwrap().is_none();
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(still_seeks && line.contains("cannot be reached") && line.contains("30 seconds"), "{line}");
}
