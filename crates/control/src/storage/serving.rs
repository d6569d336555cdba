//! Says that workers are served, for as long as they are: the supervisor gives up nobody whose lease could not be renewed.
//! Nothing is said in the beginning: until all have come back, the silence of a worker means nothing.

use std::time::Duration;

use bytes::Bytes;
use ports::{Expect, Kv};
use types::buckets::{DEPUTIES_KEY, LEASES, SERVING_EVERY};

/// Workers try again each second or two.
const BEGINNING: Duration = Duration::from_secs(10);

/// Never returns.
pub(super) async fn keep_saying_so(kv: &dyn Kv) {
    tokio::time::sleep(BEGINNING).await;
    loop {
        let note = Bytes::from_static(b"{}");
        if let Err(error) = kv.put(LEASES, DEPUTIES_KEY, note, Expect::Anything).await {
            tracing::debug!(%error, "it is not said that workers are served");
        }
        tokio::time::sleep(SERVING_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[tokio::test]
    async fn it_is_said_again_and_again_but_not_in_the_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let options = embedded::Options::within(folder.path(), embedded::Fsync::Interval);
        let (ports, _guard) = embedded::open(options).await.unwrap();
        tokio::time::pause();
        let begun = tokio::time::Instant::now();
        let heard = async {
            let mut revisions = BTreeSet::new();
            while revisions.len() < 3 {
                // Where time has passed the disk by, the next time.
                let note = ports.kv.get(LEASES, DEPUTIES_KEY).await.ok().flatten();
                assert!(note.is_none() || begun.elapsed() >= BEGINNING);
                revisions.extend(note.map(|note| note.revision));
                tokio::time::sleep(SERVING_EVERY / 4).await;
            }
        };
        tokio::select! {
            () = keep_saying_so(ports.kv.as_ref()) => {}
            () = heard => {}
        }
    }
}
