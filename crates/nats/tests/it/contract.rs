//! The control plane's ports on NATS keep the promises of the ports.

use manyhands_nats::Connection;
use ports::Ports;
use testing::nats::Nats;

async fn make() -> (Ports, (Nats, Connection)) {
    let (server, connection) = crate::common::cluster().await;
    (connection.control().await.unwrap(), (server, connection))
}

ports::contract_tests!(make);
