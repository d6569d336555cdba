//! Listens, and stops listening where nobody should answer.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::answer::{Door, answer};
use crate::faults::Away;

/// Serves on a free port of loopback until the runtime ends.
pub async fn listen(door: Arc<Door>) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(serve(door, listener, address));
    address
}

async fn serve(door: Arc<Door>, listener: TcpListener, address: SocketAddr) {
    let mut away = door.faults.away();
    let mut listener = Some(listener);
    loop {
        let mut connections = JoinSet::new();
        while *away.borrow_and_update() != Some(Away::Refused) {
            let listening = match listener.take() {
                Some(listening) => listening,
                None => again(address).await,
            };
            tokio::select! {
                accepted = listening.accept() => {
                    if let Ok((stream, _)) = accepted {
                        connections.spawn(connection(door.clone(), stream));
                    }
                }
                _ = away.changed() => {}
                _ = connections.join_next(), if !connections.is_empty() => {}
            }
            listener = Some(listening);
        }
        drop(listener.take());
        connections.shutdown().await;
        if away.changed().await.is_err() {
            return;
        }
    }
}

/// On the same port.
async fn again(address: SocketAddr) -> TcpListener {
    loop {
        let socket = TcpSocket::new_v4().expect("a socket");
        let bound = socket.set_reuseaddr(true).and_then(|()| socket.bind(address));
        if let Ok(listener) = bound.and_then(|()| socket.listen(1024)) {
            return listener;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

async fn connection(door: Arc<Door>, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| answer(door.clone(), request));
    let serving = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let _ = serving.with_upgrades().await;
}
