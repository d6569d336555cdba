//! Secrets reach the commands that name them, and nobody else.

use crate::support::{World, finish, secret, terminal, until};
use futures_util::StreamExt;
use ports::Delivery;
use serde_json::json;
use testing::script::Turn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use types::calls::{Command, Live};
use types::secrets::SecretSource;
use types::subjects;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_exported_and_masked() {
    let world = World::start().await;
    let id = world.create_with(|copy| {
        copy.secrets.insert("DEPLOY_KEY".to_owned(), secret("s3cr3t-one"));
    });
    world
        .call(id, Command::AddSecrets { secrets: [("LATER".to_owned(), secret("s3cr3t-two"))].into() })
        .await
        .unwrap();
    world.model.will([
        terminal("echo one=$DEPLOY_KEY two=$LATER; echo -n $DEPLOY_KEY | wc -c"),
        Turn::text("the key is s3cr3t-one"),
    ]);
    world.say(id, "show the keys", true).await.unwrap();
    world.wait_status(id, "finished").await;
    let observation = world.kinds(id, "ObservationEvent").await[0].to_string();
    assert!(observation.contains("one=<secret-hidden> two=<secret-hidden>"), "{observation}");
    assert!(observation.contains("10"), "{observation}");
    let log = format!("{:?}", world.events(id).await);
    assert!(!log.contains("s3cr3t"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_is_printed_slowly_is_hidden_also_where_the_agent_looks_in_between() {
    let world = World::start().await;
    let id = world.create_with(|copy| {
        copy.secrets.insert("DEPLOY_KEY".to_owned(), secret("s3cr3t-one"));
    });
    let look = |id: &str, command: &str, timeout: f64| {
        Turn::call(id, "terminal", json!({"command": command, "timeout": timeout}))
    };
    world.model.will([
        look("a", "printf 'so: s3c''r3t'; read -r line; echo -one, and more", 1.0),
        look("b", "", 0.2),
        Turn::call("c", "terminal", json!({"command": "go on", "is_input": true})),
        finish(),
    ]);
    world.say(id, "show", true).await.unwrap();
    world.wait_status(id, "finished").await;
    let seen = world.kinds(id, "ObservationEvent").await;
    let texts: Vec<_> =
        seen.iter().filter_map(|event| event["observation"]["content"][0]["text"].as_str()).collect();
    assert_eq!(texts[..3], ["so:", "", "<secret-hidden>, and more"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_does_not_name_a_secret_does_not_get_it() {
    let world = World::start().await;
    let id = world.create_with(|copy| {
        copy.secrets.insert("DEPLOY_KEY".to_owned(), secret("s3cr3t-one"));
    });
    world.model.will([terminal("env | grep -c s3cr''3t"), finish()]);
    world.say(id, "show", true).await.unwrap();
    world.wait_status(id, "finished").await;
    let observation = world.kinds(id, "ObservationEvent").await[0].clone();
    assert_eq!(observation["observation"]["exit_code"], json!(1), "{observation}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_looked_up_when_it_is_named() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/value", server.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut socket, _) = server.accept().await.unwrap();
        let mut head = vec![0; 4096];
        let read = socket.read(&mut head).await.unwrap();
        let known = String::from_utf8_lossy(&head[..read]).to_lowercase().contains("x-token: let-me-in");
        let body = if known { "looked-up" } else { "refused!!" };
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        socket.write_all(answer.as_bytes()).await.unwrap();
    });
    let world = World::start().await;
    let headers = [("X-Token".to_owned(), "let-me-in".to_owned())].into();
    let source = SecretSource::LookupSecret { description: None, url, headers };
    let id = world.create_with(|copy| {
        copy.secrets.insert("REMOTE".to_owned(), source);
    });
    world.model.will([terminal("echo value=$REMOTE; test $REMOTE = looked''-up"), finish()]);
    world.say(id, "show", true).await.unwrap();
    world.wait_status(id, "finished").await;
    let observation = world.kinds(id, "ObservationEvent").await[0].clone();
    assert!(observation.to_string().contains("value=<secret-hidden>"), "{observation}");
    assert_eq!(observation["observation"]["exit_code"], json!(0), "{observation}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_the_server_keeps_is_asked_of_it() {
    let world = World::start().await;
    let url = "/api/settings/secrets/KEPT".to_owned();
    let source = SecretSource::LookupSecret { description: None, url, headers: [].into() };
    let id = world.create_with(|copy| {
        copy.secrets.insert("TOKEN".to_owned(), source);
    });
    let kept = (id, "TOKEN".to_owned());
    world.records.lock().unwrap().kept_secrets.insert(kept, "kept-here".to_owned());
    world.model.will([terminal("echo value=$TOKEN; test $TOKEN = kept''-here"), finish()]);
    world.say(id, "show", true).await.unwrap();
    world.wait_status(id, "finished").await;
    let observation = world.kinds(id, "ObservationEvent").await[0].clone();
    assert!(observation.to_string().contains("value=<secret-hidden>"), "{observation}");
    assert_eq!(observation["observation"]["exit_code"], json!(0), "{observation}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_was_looked_up_stays_hidden_from_the_next_worker() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/value", server.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut socket, _) = server.accept().await.unwrap();
        let mut head = vec![0; 4096];
        let _ = socket.read(&mut head).await.unwrap();
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nlooked-up").await.unwrap();
    });
    let mut world = World::start().await;
    let source = SecretSource::LookupSecret { description: None, url, headers: [].into() };
    let id = world.create_with(|copy| {
        copy.secrets.insert("REMOTE".to_owned(), source);
    });
    world.model.will([terminal("echo \"key: $REMOTE\" > .env; wc -c < .env"), finish()]);
    world.say(id, "write it down", true).await.unwrap();
    world.wait_status(id, "finished").await;
    let written = world.kinds(id, "ObservationEvent").await[0].to_string();
    assert!(written.contains("15"), "{written}");

    world.stop_worker().await;
    world.start_worker().await;
    world.model.will([terminal("cat .env"), finish()]);
    world.say(id, "read it", true).await.unwrap();
    world.wait_status(id, "finished").await;
    let log = format!("{:?}", world.events(id).await);
    assert!(log.contains("key: <secret-hidden>") && !log.contains("looked-up"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streamed_pieces_are_published_masked() {
    let world = World::start().await;
    let id = world.create_with(|copy| {
        copy.agent["llm"]["stream"] = json!(true);
        copy.secrets.insert("DEPLOY_KEY".to_owned(), secret("s3cr3t-one"));
    });
    let subject = subjects::live(&world.config.sandbox, id);
    let mut live = world.ports.bus.subscribe(&subject, None).await.unwrap();
    world.model.will([Turn::text("it is s3cr3t-one, really")]);
    world.say(id, "tell me", true).await.unwrap();
    world.wait_status(id, "finished").await;

    let (mut text, mut item) = (String::new(), None);
    until(async || {
        let Some(Delivery::Message(message)) = live.next().await else { panic!("nothing is published") };
        match serde_json::from_slice(&message.parcel.json).unwrap() {
            Live::ItemStarted { item_id, .. } => item = Some(item_id),
            Live::Delta { content, .. } => text.push_str(&content),
            Live::ItemAborted { reason, .. } => panic!("{reason}"),
        }
        assert!(!text.contains("s3c"), "{text}");
        text.ends_with("really")
    })
    .await;
    assert_eq!(text, "it is <secret-hidden>, really");
    let answers = world.kinds(id, "MessageEvent").await;
    assert_eq!(answers.last().unwrap()["id"], json!(item.unwrap()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_without_its_secret_ends_with_the_reason() {
    let world = World::start().await;
    let id = world.create_with(|copy| copy.broken_secret = Some("The key is lost.".to_owned()));
    world.say(id, "go", true).await.unwrap();
    world.wait_status(id, "error").await;
    let errors = world.kinds(id, "ConversationErrorEvent").await;
    assert_eq!(
        (&errors[0]["code"], &errors[0]["detail"]),
        (&json!("SecretUnavailable"), &json!("The key is lost."))
    );
    assert!(world.model.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_agent_says_when_it_finishes_is_masked() {
    let world = World::start().await;
    let id = world.create_with(|copy| {
        copy.secrets.insert("API_TOKEN".to_owned(), secret("model-said-1234"));
    });
    world.model.will([Turn::finish("The token is model-said-1234.")]);
    world.say(id, "tell me", true).await.unwrap();
    world.wait_status(id, "finished").await;
    let action = world.kinds(id, "ActionEvent").await[0].clone();
    assert_eq!(action["action"]["message"], json!("The token is <secret-hidden>."));
    let log = format!("{:?}", world.events(id).await);
    assert!(!log.contains("model-said"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_of_several_lines_is_masked_however_it_is_printed() {
    let world = World::start().await;
    let id = world.create_with(|copy| {
        copy.secrets.insert("PEM".to_owned(), secret("first-line-of-it\nsecond-line-of-it\n"));
    });
    let prints =
        "echo $PEM; echo \"$PEM\"; printf 'x%s' \"$PEM\" | base64 -w0; echo; printf '%q\\n' \"$PEM\"";
    world.model.will([terminal(prints), finish()]);
    world.say(id, "show", true).await.unwrap();
    world.wait_status(id, "finished").await;
    let observation = world.kinds(id, "ObservationEvent").await[0].to_string();
    for part in ["line-of-it", "Zmlyc3Q", "ZpcnN0", "Wlyc3Qt"] {
        assert!(!observation.contains(part), "{part}: {observation}");
    }
    assert!(observation.matches("<secret-hidden>").count() >= 4, "{observation}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_secret_is_exported_and_shreds_nothing() {
    let world = World::start().await;
    let id = world.create_with(|copy| {
        copy.secrets.insert("ON_FLAG".to_owned(), secret("1"));
        copy.secrets.insert("LETTER".to_owned(), secret("e"));
    });
    world.model.will([terminal("echo hello 11 entries $ON_FLAG$LETTER"), finish()]);
    world.say(id, "show", true).await.unwrap();
    world.wait_status(id, "finished").await;
    let observation = world.kinds(id, "ObservationEvent").await[0].to_string();
    assert!(observation.contains("hello 11 entries 1e"), "{observation}");
}
