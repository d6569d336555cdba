//! An API server that says to everything the same, and counts what it was asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use manyhands_kubernetes::{Access, Client};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

pub struct Server {
    pub asked: Arc<AtomicUsize>,
    url: String,
}

impl Server {
    /// `None`: it takes connections, and never answers.
    pub async fn start(answer: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<AtomicUsize> = Arc::default();
        let count = asked.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let count = count.clone();
                tokio::spawn(async move {
                    let mut request = vec![0; 64 * 1024];
                    while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                        count.fetch_add(1, Ordering::Relaxed);
                        let Some(answer) = answer else { continue };
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                });
            }
        });
        Self { asked, url }
    }

    pub async fn client(&self) -> Client {
        client(&self.url).await
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

pub async fn client(url: &str) -> Client {
    let access = Access::Token { url: url.to_owned(), token: "token".into() };
    Client::new(access, Some("here".to_owned())).await.unwrap()
}
