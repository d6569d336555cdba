//! An address in front of others: each connection goes to the next of them that takes it. Connections can be
//! cut, also at a chosen moment, kept away and slowed down.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Serves for as long as the process lives.
#[derive(Clone)]
pub struct Proxy {
    address: SocketAddr,
    connections: Arc<Connections>,
}

#[derive(Default)]
struct Connections {
    open: Mutex<HashMap<u64, Arc<Pair>>>,
    delay_ms: AtomicU64,
    are_refused: AtomicBool,
    fault: Mutex<Option<Fault>>,
}

/// What becomes of a connection once its client has sent `text`.
struct Fault {
    text: &'static str,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// It is cut when the server has got it.
    Delivered,
    /// It is cut before.
    Lost,
    /// It stays open, and nothing comes of it.
    Held,
}

struct Pair {
    client: TcpStream,
    server: TcpStream,
    has_met_fault: AtomicBool,
    is_socket: AtomicBool,
    is_mute: AtomicBool,
}

impl Proxy {
    /// On a free port of loopback.
    ///
    /// # Errors
    /// When there is none.
    pub fn to(backends: Vec<SocketAddr>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let connections = Arc::new(Connections::default());
        let accepting = connections.clone();
        thread::spawn(move || {
            for (number, client) in (0_u64..).zip(listener.incoming()) {
                if accepting.are_refused.load(Ordering::SeqCst) {
                    continue;
                }
                let first = number as usize % backends.len();
                let turns = backends.iter().cycle().skip(first).take(backends.len());
                // Where nobody takes it, the client sees its connection end.
                let (Ok(client), Some(server)) = (client, turns.flat_map(TcpStream::connect).next()) else {
                    continue;
                };
                let pair = Arc::new(Pair::new(client, server));
                let connections = accepting.clone();
                connections.open.lock().unwrap().insert(number, pair.clone());
                thread::spawn(move || {
                    pair.join(&connections);
                    connections.open.lock().unwrap().remove(&number);
                });
            }
        });
        Ok(Self { address, connections })
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends the open connections that `chosen` chooses; answers how many.
    pub fn cut(&self, mut chosen: impl FnMut() -> bool) -> usize {
        let mut cut = self.connections.open.lock().unwrap().values().cloned().collect::<Vec<_>>();
        cut.retain(|_| chosen());
        cut.iter().for_each(|pair| pair.end());
        cut.len()
    }

    /// Lets nothing through any more of what the server says on the WebSockets that are open, which stay so; answers how many.
    pub fn mute_sockets(&self) -> usize {
        let open = self.connections.open.lock().unwrap();
        let sockets = open.values().filter(|pair| pair.is_socket.load(Ordering::SeqCst));
        sockets.inspect(|pair| pair.is_mute.store(true, Ordering::SeqCst)).count()
    }

    /// Ends all connections and takes no new ones until [`Proxy::open`].
    pub fn close(&self) {
        self.connections.are_refused.store(true, Ordering::SeqCst);
        self.cut(|| true);
    }

    pub fn open(&self) {
        self.connections.are_refused.store(false, Ordering::SeqCst);
    }

    /// Cuts once, when a client has sent `text`: the server has got it, but its answer reaches nobody.
    pub fn cut_after(&self, text: &'static str) {
        *self.connections.fault.lock().unwrap() = Some(Fault { text, end: End::Delivered });
    }

    /// The same, but the server does not get it either.
    pub fn cut_before(&self, text: &'static str) {
        *self.connections.fault.lock().unwrap() = Some(Fault { text, end: End::Lost });
    }

    /// Once a client has sent `text`, it is neither answered nor cut.
    pub fn hold(&self, text: &'static str) {
        *self.connections.fault.lock().unwrap() = Some(Fault { text, end: End::Held });
    }

    /// Whether the last one that was asked for in this way has happened.
    #[must_use]
    pub fn has_cut(&self) -> bool {
        self.connections.fault.lock().unwrap().is_none()
    }

    /// From now on everything takes so much longer, in each direction.
    pub fn delay(&self, by: Duration) {
        self.connections.delay_ms.store(u64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

impl Pair {
    fn new(client: TcpStream, server: TcpStream) -> Self {
        let flag = || AtomicBool::new(false);
        Self { client, server, has_met_fault: flag(), is_socket: flag(), is_mute: flag() }
    }

    /// Until both directions have ended.
    fn join(&self, connections: &Connections) {
        for stream in [&self.client, &self.server] {
            let _ = stream.set_nodelay(true);
        }
        thread::scope(|scope| {
            scope.spawn(|| self.ask(connections));
            self.answer(connections);
        });
    }

    fn ask(&self, connections: &Connections) {
        let (mut client, mut server) = (&self.client, &self.server);
        let mut buffer = vec![0; 64 << 10];
        while let Ok(size @ 1..) = client.read(&mut buffer) {
            connections.delay();
            if contains(&buffer[..size], "upgrade: websocket") {
                self.is_socket.store(true, Ordering::SeqCst);
            }
            let fault =
                connections.fault.lock().unwrap().take_if(|fault| contains(&buffer[..size], fault.text));
            let end = fault.map(|fault| fault.end);
            if end == Some(End::Held) {
                while let Ok(1..) = client.read(&mut buffer) {}
                break;
            }
            if end.is_some() {
                // First, so that no answer passes.
                self.has_met_fault.store(true, Ordering::SeqCst);
                let _ = client.shutdown(Shutdown::Both);
            }
            if end == Some(End::Lost) || server.write_all(&buffer[..size]).is_err() || end.is_some() {
                let _ = client.shutdown(Shutdown::Read);
                break;
            }
        }
        let _ = server.shutdown(Shutdown::Write);
    }

    fn answer(&self, connections: &Connections) {
        let (mut client, mut server) = (&self.client, &self.server);
        let mut buffer = vec![0; 64 << 10];
        while let Ok(size @ 1..) = server.read(&mut buffer) {
            connections.delay();
            if self.is_mute.load(Ordering::SeqCst) {
                continue;
            }
            // A connection closed with answers unread is reset, and what was sent on it perhaps lost.
            if client.write_all(&buffer[..size]).is_err() && !self.has_met_fault.load(Ordering::SeqCst) {
                let _ = server.shutdown(Shutdown::Read);
                break;
            }
        }
        let _ = client.shutdown(Shutdown::Write);
    }

    fn end(&self) {
        for stream in [&self.client, &self.server] {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Connections {
    fn delay(&self) {
        thread::sleep(Duration::from_millis(self.delay_ms.load(Ordering::Relaxed)));
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(bytes, text.as_bytes()).is_some()
}
