//! Placement records with the revision they were read at.

use std::collections::{BTreeMap, BTreeSet};

use ports::{Bucket, Error, Expect, Kv, Result, Value, Versioned};
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
/// As [`Bucket::list`].
pub async fn list<T: Value>(
    kv: &dyn Kv,
    bucket: &str,
    damaged: &mut BTreeSet<SandboxId>,
) -> Result<BTreeMap<SandboxId, Record<T>>> {
    read(kv, bucket, |sandbox, error| {
        tell_of_damage(&sandbox, bucket, &error);
        damaged.insert(sandbox);
    })
    .await
}

pub fn tell_of_damage(sandbox: &SandboxId, bucket: &str, error: &Error) {
    tracing::error!(sandbox.id = %sandbox, bucket, %error, "a record is damaged");
}

/// The records of a bucket in which workers have a say: what cannot be read is as good as not there.
///
/// # Errors
/// As [`Bucket::list`].
pub async fn list_readable<T: Value>(kv: &dyn Kv, bucket: &str) -> Result<BTreeMap<SandboxId, Record<T>>> {
    read(kv, bucket, |sandbox, error| {
        tracing::debug!(sandbox.id = %sandbox, bucket, %error, "a record cannot be read");
    })
    .await
}

/// The record of one sandbox. Within it, why it cannot be read.
///
/// # Errors
/// As [`Kv::get`].
pub async fn get<T: Value>(
    kv: &dyn Kv,
    bucket: &str,
    sandbox: &SandboxId,
) -> Result<Option<Result<Record<T>>>> {
    let entry = kv.get(bucket, sandbox.as_str()).await?;
    Ok(entry.map(|entry| {
        let value = T::decode(&entry.value)?;
        Ok(Record { value, expect: Expect::Revision(entry.revision) })
    }))
}

async fn read<T: Value>(
    kv: &dyn Kv,
    bucket: &str,
    mut unreadable: impl FnMut(SandboxId, Error) + Send,
) -> Result<BTreeMap<SandboxId, Record<T>>> {
    let mut records = BTreeMap::new();
    let all = Bucket::<T>::new(kv, bucket).list().await?;
    for (key, stored) in all.into_iter().filter(|(key, _)| !key.starts_with('_')) {
        let Some(sandbox) = SandboxId::parse(&key) else { continue };
        match stored {
            Ok(Versioned { value, revision }) => {
                records.insert(sandbox, Record { value, expect: Expect::Revision(revision) });
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
pub async fn put<T: Value>(
    kv: &dyn Kv,
    bucket: &str,
    sandbox: &SandboxId,
    value: &T,
    expect: Expect,
) -> Result<u64> {
    let revision = Bucket::new(kv, bucket).put(sandbox.as_str(), value, expect).await?;
    revision.ok_or(Error::Conflict { tail: None })
}
