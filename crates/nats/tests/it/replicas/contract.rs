//! Three servers keep the promises of the ports as one does.

use manyhands_nats::Connection;
use ports::Ports;

use super::Three;

async fn make() -> (Ports, (Three, Connection)) {
    let three = Three::start().await;
    let connection = three.connection().await;
    (connection.control().await.unwrap(), (three, connection))
}

ports::contract_tests!(together make);
