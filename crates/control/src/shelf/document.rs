//! What can be kept on a shelf, and how it is stored.

use bytes::Bytes;
use ports::{Error, Result, Value};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What a tenant keeps of one kind. Has a field of the type [`Version`], and one for fields that are not known.
pub trait Kept: Serialize + DeserializeOwned + Default + Send + Sync + 'static {
    const BUCKET: &'static str;

    /// Bytes of the stored JSON.
    const MOST: usize;

    /// What who asks for more is told.
    const TOO_LARGE: &'static str;

    fn version(&self) -> Version;

    /// Drops what nobody is shown any more; whether there was such.
    fn drop_what_is_over(&mut self) -> bool {
        false
    }

    /// Calls `change` with every sealed text.
    fn each_sealed(&mut self, change: &mut dyn FnMut(&mut String));
}

/// Of which release a document is: higher numbers are not for this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(u32);

impl Version {
    pub const NEWEST: Self = Self(1);
}

impl Default for Version {
    fn default() -> Self {
        Self::NEWEST
    }
}

/// A document as the store has it: one that cannot be read is there, too, and must not be written over.
pub(super) enum Stored<T> {
    Whole(T),
    Unreadable,
}

impl<T: Kept> Value for Stored<T> {
    fn encode(&self) -> Result<Bytes> {
        match self {
            Self::Whole(value) => {
                serde_json::to_vec(value).map(Into::into).map_err(|error| Error::Internal(error.to_string()))
            }
            Self::Unreadable => Err(Error::Internal("a document that could not be read".to_owned())),
        }
    }

    fn decode(stored: &Bytes) -> Result<Self> {
        match serde_json::from_slice::<T>(stored) {
            Ok(value) if value.version() <= Version::NEWEST => Ok(Self::Whole(value)),
            Ok(_) => Ok(Self::Unreadable),
            Err(error) => {
                tracing::error!(
                    bucket = T::BUCKET,
                    line = error.line(),
                    column = error.column(),
                    "a document is damaged"
                );
                Ok(Self::Unreadable)
            }
        }
    }
}
