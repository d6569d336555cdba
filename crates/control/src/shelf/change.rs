//! Reading a shelf, and changing it.

use std::time::Duration;

use ports::{Bucket, Value as _};
use types::TenantId;

use super::Shelves;
use super::document::{Kept, Stored};
use crate::Refusal;

/// What the store may take for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

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
    /// What `change` refuses; `TooLarge`; as [`Shelves::read`].
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
            if matches!(changed, Change::Write(_)) && stored.encode()?.len() > T::MOST {
                return Err(Refusal::TooLarge(T::TOO_LARGE));
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

    pub(super) fn bucket<T: Kept>(&self) -> Bucket<'_, Stored<T>> {
        Bucket::new(&*self.kv, T::BUCKET).in_time(PATIENCE)
    }
}
