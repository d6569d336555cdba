//! Pieces that no list names: what was cut off between writing them and naming them, or between both for removing them.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;
use ports::{Change, Expect};
use types::TenantId;
use types::buckets::EXTENSION_PARTS;

use super::Extensions;
use super::document::Installations;
use super::pieces;
use crate::Refusal;

/// An installation takes no longer.
const ON_ITS_WAY: u128 = 60 * 60 * 1_000;

impl Extensions {
    /// Removes them. Answers how many.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn sweep(&self) -> Result<usize, Refusal> {
        let kv = self.ground.shelves.kv();
        let mut old: BTreeMap<TenantId, Vec<String>> = BTreeMap::new();
        let mut scan = kv.scan(EXTENSION_PARTS);
        while let Some(change) = scan.try_next().await? {
            let Change::Put { key, .. } = change else { continue };
            match pieces::owner_of(&key) {
                Some((tenant, id)) if !pieces::is_recent(id, ON_ITS_WAY) => {
                    old.entry(tenant).or_default().push(key);
                }
                _ => {}
            }
        }
        drop(scan);
        let mut removed = 0;
        for (tenant, keys) in old {
            let installations: Installations = self.ground.shelves.read(&tenant).await?;
            let is_named = |key: &str| {
                let id = pieces::owner_of(key).map(|(_, id)| id);
                installations.all().any(|one| Some(one.id.as_str()) == id)
            };
            for key in keys.iter().filter(|key| !is_named(key)) {
                kv.delete(EXTENSION_PARTS, key, Expect::Anything).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}
