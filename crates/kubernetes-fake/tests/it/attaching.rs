//! The standard input of a container, its log, and who may have them when.

use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use manyhands_kubernetes_fake::{Pod, Server, Settings};
use serde_json::json;
use testing::until;
use tokio::io::AsyncReadExt;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::client::{Client, NAMESPACE, pod, refusal};

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn attach(
    server: &Server,
    name: &str,
    query: &str,
    protocols: &str,
) -> Result<(Socket, String), Error> {
    let url = format!(
        "{}/api/v1/namespaces/{NAMESPACE}/pods/{name}/attach?{query}",
        server.url().replace("http", "ws")
    );
    let mut request = url.into_client_request().unwrap();
    request
        .headers_mut()
        .insert("authorization", format!("Bearer {}", server.admin_token()).parse().unwrap());
    request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
    let (socket, answer) = tokio_tungstenite::connect_async(request).await?;
    let protocol = answer.headers()["sec-websocket-protocol"].to_str().unwrap().to_owned();
    Ok((socket, protocol))
}

/// Reads its standard input to its end, writes it into its log, and ends.
fn echo(server: &Server) -> Arc<Mutex<String>> {
    let read = Arc::new(Mutex::new(String::new()));
    let kept = read.clone();
    server.on_pod(move |pod: Pod| {
        let kept = kept.clone();
        async move {
            pod.running();
            let mut text = String::new();
            pod.stdin().unwrap().read_to_string(&mut text).await.unwrap();
            pod.write_log(&text);
            *kept.lock().unwrap() = text;
            pod.stopping().await;
        }
    });
    read
}

async fn running(client: &Client, name: &str) {
    client.post("pods", &pod(name)).await;
    until(async || client.get(&format!("pods/{name}")).await.1["status"]["phase"] == "Running").await;
}

#[tokio::test]
async fn the_line_and_its_end_arrive_by_either_protocol() {
    for (known, offered) in [
        ("v5.channel.k8s.io", "v5.channel.k8s.io, v4.channel.k8s.io"),
        ("v4.channel.k8s.io", "v5.channel.k8s.io,v4.channel.k8s.io"),
    ] {
        let server = Server::with(Settings { attach_protocols: vec![known], ..Settings::default() }).await;
        let client = Client::of(server);
        let read = echo(&client.server);
        running(&client, "a").await;
        let (mut socket, protocol) =
            attach(&client.server, "a", "container=worker&stdin=true", offered).await.unwrap();
        assert_eq!(protocol, known);
        for piece in [&b"\0{\"the\":"[..], b"\0 \"line\"}\n"] {
            socket.send(Message::Binary(piece.to_vec().into())).await.unwrap();
        }
        if known.starts_with("v5") {
            socket.send(Message::Binary(vec![255, 0].into())).await.unwrap();
            let end = socket.next().await.unwrap().unwrap().into_data();
            assert_eq!(end[0], 3);
            assert_eq!(serde_json::from_slice::<serde_json::Value>(&end[1..]).unwrap()["status"], "Success");
        } else {
            socket.close(None).await.unwrap();
        }
        until(async || *read.lock().unwrap() == "{\"the\": \"line\"}\n").await;
        let log = client.send(reqwest::Method::GET, "pods/a/log?container=worker", "", &json!(null)).await;
        assert_eq!(log.text().await.unwrap(), "{\"the\": \"line\"}\n");
    }
}

#[tokio::test]
async fn before_it_runs_there_is_nothing_to_attach_to() {
    let client = Client::new().await;
    client.server.on_pod(async |pod| {
        pod.waiting("ImagePullBackOff", "Back-off pulling image \"worker:1\"");
        pod.stopping().await;
    });
    client.post("pods", &pod("a")).await;
    until(async || {
        client.get("pods/a").await.1["status"]["containerStatuses"][0]["state"]["waiting"]["reason"]
            == "ImagePullBackOff"
    })
    .await;
    let Err(Error::Http(refused)) =
        attach(&client.server, "a", "container=worker&stdin=true", "v5.channel.k8s.io").await
    else {
        panic!("it was attached to");
    };
    assert_eq!(refused.status(), 500);
    let body = String::from_utf8(refused.body().clone().unwrap()).unwrap();
    assert!(body.contains("container worker not found in pod a_sandboxes"), "{body}");
    for (name, container, code) in [("none", "worker", 404), ("a", "other", 400)] {
        let query = format!("container={container}&stdin=true");
        let Err(Error::Http(refused)) = attach(&client.server, name, &query, "v5.channel.k8s.io").await
        else {
            panic!("it was attached to");
        };
        assert_eq!(refused.status(), code);
    }
    let log = client.get("pods/a/log").await;
    let words = "container \"worker\" in pod \"a\" is waiting to start: ImagePullBackOff";
    assert_eq!(refusal(&log), (400, "BadRequest", words));
}

#[tokio::test]
async fn who_comes_second_writes_to_nobody() {
    let client = Client::new().await;
    let read = echo(&client.server);
    running(&client, "a").await;
    for line in ["first", "second"] {
        let (mut socket, _) =
            attach(&client.server, "a", "container=worker&stdin=true", "v5.channel.k8s.io").await.unwrap();
        let _ = socket.send(Message::Binary([b"\0", line.as_bytes()].concat().into())).await;
        let _ = socket.send(Message::Binary(vec![255, 0].into())).await;
        while let Some(Ok(_)) = socket.next().await {}
    }
    until(async || *read.lock().unwrap() == "first").await;
}

#[tokio::test]
async fn a_log_can_be_followed_and_cut() {
    let client = Client::new().await;
    client.server.on_pod(async |pod| {
        pod.running();
        pod.write_log("one\ntwo\n");
        pod.stopping().await;
        pod.write_log("three\n");
    });
    running(&client, "a").await;
    until(async || {
        let tail = client.send(reqwest::Method::GET, "pods/a/log?tailLines=1", "", &json!(null)).await;
        tail.text().await.unwrap() == "two\n"
    })
    .await;
    let followed = client.send(reqwest::Method::GET, "pods/a/log?follow=true", "", &json!(null)).await;
    client.delete("pods/a", &json!(null)).await;
    assert_eq!(followed.text().await.unwrap(), "one\ntwo\nthree\n");
}
