use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_nats::{AuthError, ConnectErrorKind, ConnectOptions, Event};
use nkeys::KeyPair;
use types::placement::Credentials;

/// A connection, and what the server said to it.
#[derive(Clone)]
pub struct Client {
    pub nats: async_nats::Client,
    pub inbox: String,
    refusals: Arc<AtomicUsize>,
    disconnects: Arc<AtomicUsize>,
}

impl Client {
    /// Errors the server sent.
    pub fn refusals(&self) -> usize {
        self.refusals.load(Ordering::Relaxed)
    }

    pub fn disconnects(&self) -> usize {
        self.disconnects.load(Ordering::Relaxed)
    }
}

pub async fn connect(url: &str, credentials: &Credentials) -> Client {
    try_connect(url, credentials).await.unwrap()
}

pub async fn try_connect(url: &str, credentials: &Credentials) -> Result<Client, ConnectErrorKind> {
    let (refusals, disconnects) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (refused, disconnected) = (refusals.clone(), disconnects.clone());
    let key = Arc::new(KeyPair::from_seed(&credentials.seed).unwrap());
    let options = ConnectOptions::with_jwt(credentials.jwt.clone(), move |nonce| {
        let key = key.clone();
        async move { key.sign(&nonce).map_err(AuthError::new) }
    });
    let nats = options
        .custom_inbox_prefix(&credentials.inbox_prefix)
        .skip_subject_validation(true)
        .event_callback(move |event| {
            let counter = match event {
                Event::ServerError(_) => Some(refused.clone()),
                Event::Disconnected => Some(disconnected.clone()),
                _ => None,
            };
            async move {
                if let Some(counter) = counter {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
        .connect(url)
        .await
        .map_err(|error| error.kind())?;
    Ok(Client { nats, inbox: credentials.inbox_prefix.clone(), refusals, disconnects })
}
