//! Placement records with the revision they were read at.

use std::collections::{BTreeMap, BTreeSet};

use ports::{Error, Expect, Kv, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use types::SandboxId;

pub struct Record<T> {
    pub value: T,
    /// What a write must expect to lose nobody's change.
    pub expect: Expect,
}

impl<T> Record<T> {
    pub fn revision(&self) -> Option<u64> {
        match self.expect {
            Expect::Revision(revision) => Some(revision),
            Expect::Absent | Expect::Anything => None,
        }
    }
}

impl<T: Default> Default for Record<T> {
    fn default() -> Self {
        Self { value: T::default(), expect: Expect::Absent }
    }
}

/// The records of a bucket that trusted parts write. Those that cannot be read are logged and their sandboxes added to
/// `damaged`. Keys that begin with `_` are not sandboxes'.
///
/// # Errors
/// As [`Kv::list`].
pub async fn list<T: DeserializeOwned>(
    kv: &dyn Kv,
    bucket: &str,
    damaged: &mut BTreeSet<SandboxId>,
) -> Result<BTreeMap<SandboxId, Record<T>>> {
    read(kv, bucket, |sandbox, error| {
        tracing::error!(sandbox.id = %sandbox, bucket, %error, "a record is damaged");
        damaged.insert(sandbox);
    })
    .await
}

/// The records of a bucket in which workers have a say: what cannot be read is as good as not there.
///
/// # Errors
/// As [`Kv::list`].
pub async fn list_readable<T: DeserializeOwned>(
    kv: &dyn Kv,
    bucket: &str,
) -> Result<BTreeMap<SandboxId, Record<T>>> {
    read(kv, bucket, |sandbox, error| {
        tracing::debug!(sandbox.id = %sandbox, bucket, %error, "a record cannot be read");
    })
    .await
}

async fn read<T: DeserializeOwned>(
    kv: &dyn Kv,
    bucket: &str,
    mut unreadable: impl FnMut(SandboxId, serde_json::Error) + Send,
) -> Result<BTreeMap<SandboxId, Record<T>>> {
    let entries = kv.list(bucket).await?;
    let mut records = BTreeMap::new();
    for (key, entry) in entries.into_iter().filter(|(key, _)| !key.starts_with('_')) {
        let Some(sandbox) = SandboxId::parse(&key) else { continue };
        match serde_json::from_slice(&entry.value) {
            Ok(value) => {
                records.insert(sandbox, Record { value, expect: Expect::Revision(entry.revision) });
            }
            Err(error) => unreadable(sandbox, error),
        }
    }
    Ok(records)
}

/// Answers the new revision.
///
/// # Errors
/// As [`Kv::put`].
pub async fn put<T: Serialize + Sync>(
    kv: &dyn Kv,
    bucket: &str,
    sandbox: &SandboxId,
    value: &T,
    expect: Expect,
) -> Result<u64> {
    let value = serde_json::to_vec(value).map_err(|error| Error::Internal(error.to_string()))?;
    kv.put(bucket, sandbox.as_str(), value.into(), expect).await
}
