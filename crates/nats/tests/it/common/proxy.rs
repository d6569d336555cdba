//! A TCP proxy in front of a server, whose connections can be cut at a chosen moment.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub struct Proxy {
    port: u16,
    faults: Arc<Mutex<Option<Fault>>>,
    cuts: watch::Sender<u64>,
    accepts: watch::Sender<bool>,
}

/// Cuts a connection once its client has sent `text`.
struct Fault {
    text: &'static str,
    /// Whether the server gets it first.
    delivered: bool,
}

impl Proxy {
    pub async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (cuts, cut) = watch::channel(0);
        let (accepts, accepting) = watch::channel(true);
        let faults = Arc::new(Mutex::new(None));
        let proxy = Self { port, faults: faults.clone(), cuts, accepts };
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                if !*accepting.borrow() {
                    continue;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { continue };
                tokio::spawn(pass(client, server, faults.clone(), cut.clone()));
            }
        });
        proxy
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Ends the connections; new ones are made.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Ends the connections and takes no new ones until [`Proxy::open`].
    pub fn close(&self) {
        self.accepts.send_replace(false);
        self.cut();
    }

    pub fn open(&self) {
        self.accepts.send_replace(true);
    }

    /// Cuts once, when a client has sent `text`: the server has got it, but its answer reaches nobody.
    pub fn cut_after(&self, text: &'static str) {
        *self.faults.lock().unwrap() = Some(Fault { text, delivered: true });
    }

    /// The same, but the server does not get it either.
    pub fn cut_before(&self, text: &'static str) {
        *self.faults.lock().unwrap() = Some(Fault { text, delivered: false });
    }

    /// Whether the last fault that was asked for has happened.
    pub fn has_cut(&self) -> bool {
        self.faults.lock().unwrap().is_none()
    }
}

/// One direction at a time, so that no answer passes a cut.
async fn pass(
    mut client: TcpStream,
    mut server: TcpStream,
    faults: Arc<Mutex<Option<Fault>>>,
    mut cut: watch::Receiver<u64>,
) {
    cut.mark_unchanged();
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(length @ 1..) = read else { return };
                let sent = &asked[..length];
                let met = faults.lock().unwrap().take_if(|fault| contains(sent, fault.text));
                if met.as_ref().is_none_or(|fault| fault.delivered) && server.write_all(sent).await.is_err() {
                    return;
                }
                if met.is_some() {
                    drop(client);
                    // A connection closed with answers unread is reset, and what was sent on it perhaps lost.
                    while server.read(&mut answered).await.is_ok_and(|length| length > 0) {}
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(length @ 1..) = read else { return };
                if client.write_all(&answered[..length]).await.is_err() {
                    return;
                }
            }
            _ = cut.changed() => return,
        }
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
