//! Which key what is kept was sealed with: who writes beside a server has to have the same one.

use std::ops::Add;

use futures_util::TryStreamExt;

use super::{Kept, Shelves};
use crate::Refusal;

/// How many sealed texts there are, by what opens them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SealedWith {
    pub current: u64,
    pub previous: u64,
    pub unknown: u64,
}

impl Add for SealedWith {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            current: self.current + other.current,
            previous: self.previous + other.previous,
            unknown: self.unknown + other.unknown,
        }
    }
}

impl SealedWith {
    /// Whether there is something, and the current key has sealed nothing of it: then it is not the key of whoever wrote it.
    #[must_use]
    pub fn is_strange(&self) -> bool {
        self.current == 0 && self.previous + self.unknown > 0
    }
}

impl Shelves {
    /// What all tenants keep of one kind. Writes nothing.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn sealed_with<T: Kept>(&self) -> Result<SealedWith, Refusal> {
        let mut each = self.each::<T>();
        let mut all = SealedWith::default();
        while let Some((tenant, kept)) = each.try_next().await? {
            let Some(mut kept) = kept else { continue };
            let sealing = self.sealing::<T>(&tenant);
            kept.each_sealed(&mut |sealed| match sealing.renewed(sealed) {
                Ok(None) => all.current += 1,
                Ok(Some(_)) => all.previous += 1,
                Err(_) => all.unknown += 1,
            });
        }
        Ok(all)
    }
}
