//! A gateway that listens on a loopback port, until it is dropped or told to stop.

use std::ops::Deref;

use control::Tasks;
use manyhands_gateway::Error;
use ports::Ports;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::client::Client;
use super::config::{self, Config};

pub struct Gateway {
    client: Client,
    stop: CancellationToken,
    _stop: DropGuard,
    desks: Tasks,
    task: JoinHandle<Result<(), Error>>,
}

impl Deref for Gateway {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Gateway {
    pub async fn start(ports: Ports, config: Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::of(listener.local_addr().unwrap().to_string());
        let stop = CancellationToken::new();
        let desks = Tasks::default();
        let task = tokio::spawn(config::serve(config, ports, listener, stop.clone(), desks.clone()));
        Self { client, _stop: stop.clone().drop_guard(), stop, desks, task }
    }

    /// Stops it as a signal would.
    pub fn begin_stop(&self) {
        self.stop.cancel();
    }

    /// As if a part that must go on had ended; answers how the gateway does.
    pub async fn lose_a_part(self) -> Result<(), Error> {
        self.desks.drain.cancel();
        tokio::time::timeout(testing::PATIENCE, self.task).await.unwrap().unwrap()
    }

    /// Stops it and waits until it has ended.
    pub async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(testing::PATIENCE, self.task).await.unwrap().unwrap().unwrap();
    }
}
