//! Reading a shelf, and changing it.

use std::future::ready;
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use ports::{Bucket, Update, Value as _};
use types::{TenantId, depth};

use super::Shelves;
use super::document::{Kept, Stored};
use crate::Refusal;

/// What the store may take for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// As deep as `serde_json` reads.
const DEEPEST: usize = 127;
const TOO_DEEP: &str = "This is nested too deeply to be kept.";

/// What a change comes to: whether there is something to write, and what is answered.
pub enum Change<R> {
    Write(R),
    Nothing(R),
}

impl Shelves {
    /// What a tenant keeps, its secrets sealed. Reading writes nothing.
    ///
    /// # Errors
    /// Those of the store; `Damaged`.
    pub async fn read<T: Kept>(&self, tenant: &TenantId) -> Result<T, Refusal> {
        match self.bucket().get(tenant.as_str()).await?.map(|stored| stored.value) {
            None => Ok(T::default()),
            Some(Stored::Whole(value)) => Ok(value),
            Some(Stored::Unreadable) => Err(Refusal::Damaged),
        }
    }

    /// Changes what a tenant keeps. `change` is called once a round, with what is stored then; what it refuses is not written.
    ///
    /// # Errors
    /// What `change` refuses; `TooLarge`; `Unfit` where it is too deep to be read again; as [`Shelves::read`].
    pub async fn change<T: Kept, R: Send>(
        &self,
        tenant: &TenantId,
        mut change: impl FnMut(&mut T) -> Result<Change<R>, Refusal> + Send,
    ) -> Result<R, Refusal> {
        let mut answer = None;
        let mut decide = |stored: &mut Option<Stored<T>>| -> Result<Change<R>, Refusal> {
            let stored = stored.get_or_insert_with(|| Stored::Whole(T::default()));
            let Stored::Whole(value) = stored else { return Err(Refusal::Damaged) };
            let changed = change(value)?;
            if matches!(changed, Change::Write(_)) {
                check::<T>(&stored.encode()?)?;
            }
            Ok(changed)
        };
        let bucket = self.bucket::<T>();
        let asked = bucket.change(tenant.as_str(), |stored| {
            let (outcome, writes) = match decide(stored) {
                Ok(Change::Write(answer)) => (Ok(answer), true),
                Ok(Change::Nothing(answer)) => (Ok(answer), false),
                Err(refusal) => (Err(refusal), false),
            };
            answer = Some(outcome);
            writes
        });
        asked.await?;
        answer.unwrap_or_else(|| Err(ports::Error::Internal("nothing was decided".to_owned()).into()))
    }

    /// What each tenant keeps of one kind, `None` where that cannot be read. Writes nothing.
    pub(super) fn each<T: Kept>(&self) -> BoxStream<'_, ports::Result<(TenantId, Option<T>)>> {
        self.bucket().scan().try_filter_map(|update| ready(Ok(told_of(update)))).boxed()
    }

    fn bucket<T: Kept>(&self) -> Bucket<'_, Stored<T>> {
        Bucket::new(&*self.kv, T::BUCKET).in_time(PATIENCE)
    }
}

fn told_of<T>(update: Update<Stored<T>>) -> Option<(TenantId, Option<T>)> {
    let Update::Put { key, stored } = update else { return None };
    let kept = match stored.value {
        Stored::Whole(kept) => Some(kept),
        Stored::Unreadable => None,
    };
    Some((TenantId::parse(&key)?, kept))
}

/// Whether a value could be kept as it is.
///
/// # Errors
/// `TooLarge`; `Unfit` where it is too deep to be read again.
pub fn fits<T: Kept>(value: &T) -> Result<(), Refusal> {
    check::<T>(&serde_json::to_vec(value).map_err(ports::rpc::Fault::internal)?)
}

/// Whether it may be written. What was read as a part of a request lies deeper in the document: what is too deep there could
/// be written, and never be read again.
fn check<T: Kept>(encoded: &[u8]) -> Result<(), Refusal> {
    if encoded.len() > T::MOST {
        return Err(Refusal::TooLarge(T::TOO_LARGE));
    }
    if depth(encoded) > DEEPEST {
        return Err(Refusal::Unfit(TOO_DEEP.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn what_is_as_deep_as_may_be_can_just_be_read() {
        for (levels, is_read) in [(DEEPEST, true), (DEEPEST + 1, false)] {
            let json = format!(r#"{}"\"[{{"{}"#, "[".repeat(levels), "]".repeat(levels));
            assert_eq!(depth(json.as_bytes()), levels);
            assert_eq!(serde_json::from_str::<Value>(&json).is_ok(), is_read, "{levels}");
        }
    }
}
