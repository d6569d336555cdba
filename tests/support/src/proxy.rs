//! An address in front of others: each connection goes to the next of them that takes it. Connections can be
//! cut and slowed down.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
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
}

struct Pair {
    client: TcpStream,
    server: TcpStream,
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
                let first = number as usize % backends.len();
                let turns = backends.iter().cycle().skip(first).take(backends.len());
                // Where nobody takes it, the client sees its connection end.
                let (Ok(client), Some(server)) = (client, turns.flat_map(TcpStream::connect).next()) else {
                    continue;
                };
                let (pair, connections) = (Arc::new(Pair { client, server }), accepting.clone());
                connections.open.lock().unwrap().insert(number, pair.clone());
                thread::spawn(move || {
                    pair.join(&connections.delay_ms);
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

    /// From now on everything takes so much longer, in each direction.
    pub fn delay(&self, by: Duration) {
        self.connections.delay_ms.store(u64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

impl Pair {
    /// Until both directions have ended.
    fn join(&self, delay_ms: &AtomicU64) {
        for stream in [&self.client, &self.server] {
            let _ = stream.set_nodelay(true);
        }
        thread::scope(|scope| {
            scope.spawn(|| pump(&self.client, &self.server, delay_ms));
            pump(&self.server, &self.client, delay_ms);
        });
    }

    fn end(&self) {
        for stream in [&self.client, &self.server] {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn pump(mut from: &TcpStream, mut to: &TcpStream, delay_ms: &AtomicU64) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(size @ 1..) = from.read(&mut buffer) {
        thread::sleep(Duration::from_millis(delay_ms.load(Ordering::Relaxed)));
        if to.write_all(&buffer[..size]).is_err() {
            let _ = from.shutdown(Shutdown::Read);
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
