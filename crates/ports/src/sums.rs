//! Values of a bucket that several change at the same time.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Expect, Kv, Result};

/// How often a value that others change too is tried to be changed.
const ATTEMPTS: usize = 32;

/// Changes the value of a key, made with its default where there is none, and answers what it is then. `change` is
/// called again when somebody else wrote first.
///
/// # Errors
/// Those of the store; `Unavailable` where others write all the time.
pub async fn change<T>(
    kv: &dyn Kv,
    bucket: &str,
    key: &str,
    mut change: impl FnMut(&mut T) + Send,
) -> Result<T>
where
    T: Default + Serialize + DeserializeOwned + Send,
{
    for _ in 0..ATTEMPTS {
        let (known, expect) = read::<T>(kv, bucket, key).await?;
        let mut value = known.unwrap_or_default();
        change(&mut value);
        let bytes = serde_json::to_vec(&value).map_err(|error| Error::Internal(error.to_string()))?;
        match kv.put(bucket, key, bytes.into(), expect).await {
            Err(Error::Conflict { .. }) => {}
            outcome => return outcome.map(|_| value),
        }
    }
    Err(Error::Unavailable("the value is changed too often".to_owned()))
}

/// The value of a key.
///
/// # Errors
/// Those of the store; `Internal` for another kind of value.
pub async fn value<T: DeserializeOwned>(kv: &dyn Kv, bucket: &str, key: &str) -> Result<Option<T>> {
    Ok(read(kv, bucket, key).await?.0)
}

async fn read<T: DeserializeOwned>(kv: &dyn Kv, bucket: &str, key: &str) -> Result<(Option<T>, Expect)> {
    let Some(entry) = kv.get(bucket, key).await? else { return Ok((None, Expect::Absent)) };
    let value = serde_json::from_slice(&entry.value).map_err(|error| Error::Internal(error.to_string()))?;
    Ok((Some(value), Expect::Revision(entry.revision)))
}
