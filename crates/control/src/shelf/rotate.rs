//! After the secret key was changed: what only a previous one opens is sealed with the current one, so that the previous one can
//! be given up. What is over is dropped.

use std::future::ready;

use futures_util::TryStreamExt;
use types::TenantId;

use super::{Change, Kept, Shelves};
use crate::Refusal;

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotated {
    pub renewed: u64,
    /// Neither the current key nor a previous one opens them.
    pub unopened: u64,
}

impl Shelves {
    /// Seals anew what all tenants keep of one kind. What cannot be opened stays as it is.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn rotate<T: Kept>(&self) -> Result<Rotated, Refusal> {
        let mut rotated = Rotated::default();
        for tenant in self.tenants::<T>().await? {
            let one = self.rotate_one::<T>(&tenant).await?;
            if one.unopened > 0 {
                tracing::error!(%tenant, bucket = T::BUCKET, secrets = one.unopened, "stored secrets cannot be opened: \
                    set the key that they were sealed with as OH_SECRET_KEY, or add it to OH_PREVIOUS_SECRET_KEYS");
            }
            if one.renewed > 0 {
                tracing::info!(%tenant, bucket = T::BUCKET, secrets = one.renewed, "secrets are sealed with the new key");
            }
            rotated.renewed += one.renewed;
            rotated.unopened += one.unopened;
        }
        Ok(rotated)
    }

    /// The tenants of whose secrets some do not open, and how many; `None`: what they keep cannot be read at all. Nothing is written.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn unopened<T: Kept>(&self) -> Result<Vec<(TenantId, Option<u64>)>, Refusal> {
        let mut each = self.each::<T>();
        let mut found = Vec::new();
        while let Some((tenant, kept)) = each.try_next().await? {
            let count = kept.map(|mut kept| self.unopened_of(&tenant, &mut kept));
            if count != Some(0) {
                found.push((tenant, count));
            }
        }
        Ok(found)
    }

    fn unopened_of<T: Kept>(&self, tenant: &TenantId, kept: &mut T) -> u64 {
        let sealing = self.sealing::<T>(tenant);
        let mut count = 0;
        kept.each_sealed(&mut |sealed| count += u64::from(sealing.open(sealed).is_err()));
        count
    }

    /// Those who keep something of this kind; who keeps what cannot be read is left out.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn tenants<T: Kept>(&self) -> Result<Vec<TenantId>, Refusal> {
        let tenants = self.each::<T>().try_filter_map(|(tenant, kept)| ready(Ok(kept.map(|_| tenant))));
        Ok(tenants.try_collect().await?)
    }

    async fn rotate_one<T: Kept>(&self, tenant: &TenantId) -> Result<Rotated, Refusal> {
        let sealing = self.sealing::<T>(tenant);
        self.change(tenant, |kept: &mut T| {
            let mut rotated = Rotated::default();
            // What nobody is shown any more needs no key.
            let has_dropped = kept.drop_what_is_over();
            kept.each_sealed(&mut |sealed| match sealing.renewed(sealed) {
                Ok(None) => {}
                Ok(Some(renewed)) => {
                    *sealed = renewed;
                    rotated.renewed += 1;
                }
                Err(_) => rotated.unopened += 1,
            });
            let writes = rotated.renewed > 0 || has_dropped;
            Ok(if writes { Change::Write(rotated) } else { Change::Nothing(rotated) })
        })
        .await
    }
}
