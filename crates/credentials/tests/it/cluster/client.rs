//! A connection that remembers what the server said to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_nats::{AuthError, ConnectError, ConnectOptions, Event, RequestErrorKind};
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
    /// Errors the server sent; when there are very many the client forgets some.
    pub fn refusals(&self) -> usize {
        self.refusals.load(Ordering::Relaxed)
    }

    pub fn disconnects(&self) -> usize {
        self.disconnects.load(Ordering::Relaxed)
    }
}

/// # Panics
/// When the server does not let it in.
pub async fn connect(url: &str, credentials: &Credentials) -> Client {
    open(url, credentials).await.unwrap()
}

/// Whether the server does what the holder of `credentials` asks. `call`: a subject it may publish to.
pub async fn is_let_in(url: &str, credentials: &Credentials, call: &'static str) -> bool {
    // The client takes the server's second greeting for a welcome, before it is turned away.
    let Ok(client) = open(url, credentials).await else { return false };
    tokio::select! {
        answer = client.nats.request(call, "".into()) => match answer {
            Ok(_) => true,
            Err(error) => error.kind() == RequestErrorKind::NoResponders,
        },
        () = testing::until(async || client.disconnects() + client.refusals() > 0) => false,
    }
}

async fn open(url: &str, credentials: &Credentials) -> Result<Client, ConnectError> {
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
        .await?;
    Ok(Client { nats, inbox: credentials.inbox_prefix.clone(), refusals, disconnects })
}
