//! What a server may have this process call.

use std::net::IpAddr;
use std::time::Duration;

use outbound::Outbound;
use reqwest::Url;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::{Wish, begin};
use crate::{Challenge, Error};

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    (listener, address)
}

/// What is asked for: the first line.
async fn asked(stream: &mut TcpStream) -> String {
    let mut request = vec![0; 8 << 10];
    let length = stream.read(&mut request).await.unwrap();
    String::from_utf8_lossy(&request[..length]).lines().next().unwrap_or_default().to_owned()
}

/// A server that describes itself so, whatever it is asked.
async fn describing(listener: TcpListener, description: Value) {
    let body = description.to_string();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        asked(&mut stream).await;
        let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn a_public_server_has_nothing_called_on_the_own_network() {
    let ((listener, address), (inside, provider)) = (listen().await, listen().await);
    let resource = format!("{address}/mcp");
    tokio::spawn(describing(listener, json!({"resource": resource, "authorization_servers": [provider]})));
    let (server, redirect) =
        (Url::parse(&resource).unwrap(), Url::parse("http://localhost:1/callback").unwrap());
    let login = async |from: IpAddr| {
        // Not even to describe the server.
        let metadata = Some(format!("{provider}/marked"));
        let wish = Wish {
            server: &server,
            authentication: &Value::Null,
            known: None,
            challenge: Challenge { metadata, from: Some(from), scope: None },
            redirect: &redirect,
        };
        begin(&Outbound::default(), wish).await
    };
    let Err(Error::Login(why)) = login([1, 1, 1, 1].into()).await else { panic!("it was called") };
    assert_eq!(why, "is at an address that is not called for this server");
    let called = async {
        let (mut stream, _) = inside.accept().await.unwrap();
        asked(&mut stream).await
    };
    let (_, called) = tokio::join!(login([127, 0, 0, 1].into()), timeout(Duration::from_secs(20), called));
    // The first that has come, of a server on the own network.
    assert_eq!(called.unwrap(), "GET /.well-known/oauth-authorization-server HTTP/1.1");
}
