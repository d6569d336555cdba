//! An API server that says to everything the same, or one thing after the other, and notes what it was asked.

use std::sync::{Arc, Mutex};

use manyhands_kubernetes::{Access, Client};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

pub struct Server {
    requests: Arc<Mutex<Vec<String>>>,
    url: String,
}

impl Server {
    /// `None`: it takes connections, and never answers.
    pub async fn start(answer: Option<&'static str>) -> Self {
        Self::answering(move |_| answer.map(str::to_owned)).await
    }

    /// By how many requests were there before.
    pub async fn answering(answer: impl Fn(usize) -> Option<String> + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = requests.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (noted, answer) = (noted.clone(), answer.clone());
                tokio::spawn(async move {
                    let mut request = vec![0; 64 * 1024];
                    while let Ok(read @ 1..) = stream.read(&mut request).await {
                        let line = String::from_utf8_lossy(&request[..read]);
                        let line = line.lines().next().unwrap_or_default().to_owned();
                        let before = {
                            let mut noted = noted.lock().unwrap();
                            noted.push(line);
                            noted.len() - 1
                        };
                        let Some(answer) = answer(before) else { continue };
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                });
            }
        });
        Self { requests, url }
    }

    pub async fn client(&self) -> Client {
        client(&self.url).await
    }

    pub fn asked(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    /// The first line of each.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

pub async fn client(url: &str) -> Client {
    let access = Access::Token { url: url.to_owned(), token: "token".into() };
    Client::new(access, Some("here".to_owned())).await.unwrap()
}
