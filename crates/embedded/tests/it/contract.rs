//! The files-and-channels adapter keeps the promises of the ports.

use manyhands_embedded::{Fsync, Guard, Options};
use ports::Ports;
use tempfile::TempDir;

async fn open() -> (Ports, (Guard, TempDir)) {
    let folder = tempfile::tempdir().unwrap();
    let options = Options::within(folder.path(), Fsync::Always);
    let (ports, guard) = manyhands_embedded::open(options).await.unwrap();
    (ports, (guard, folder))
}

ports::contract_tests!(open);
