//! Lists of folders that are longer than any that is kept.

use std::sync::Arc;
use std::time::{Duration, Instant};

use embedded::{Fsync, Options};
use telemetry::metrics::Metrics;
use types::TenantId;
use vault::Vault;

use super::{Folder, List, Workspaces};
use crate::Refusal;
use crate::shelf::Shelves;

#[tokio::test]
async fn more_folders_than_are_kept_are_refused_before_they_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, _store) = embedded::open(Options::within(folder.path(), Fsync::Always)).await.unwrap();
    let vault = Arc::new(Vault::new(&"k".into(), &[]));
    let workspaces = Workspaces { shelves: Shelves::new(ports.kv, vault, Metrics::default().work) };
    let folder = |number: usize| Folder::new(number.to_string(), "n".to_owned(), format!("/{number}"), None);
    let many: Vec<Folder> = (0..50_000).map(folder).collect();

    // Comparing each with all others takes some ten seconds.
    let begun = Instant::now();
    let refused = workspaces.add(&TenantId::default(), List::Workspaces, &many).await;
    assert!(matches!(refused, Err(Refusal::TooLarge(_))), "{refused:?}");
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}
