//! What workers sign in with: minted for one incarnation, and replaced while it runs.

use std::time::Duration;

use ports::{Bus, Error, Parcel, Result};
use types::placement::{Credentials, Renewal};
use types::{Epoch, SandboxId, subjects};

use crate::Instance;

/// How long credentials should be valid.
pub const LIFETIME: Duration = Duration::from_secs(24 * 3_600);

/// When a running worker is sent new ones: at half their life.
pub const RENEWAL: Duration = Duration::from_secs(12 * 3_600);

/// Makes credentials that reach one sandbox's subjects and nothing else.
pub trait Minter: Send + Sync {
    /// `None` where workers need not sign in. Valid for [`LIFETIME`].
    ///
    /// # Errors
    /// `Internal` when the key cannot sign.
    fn mint(&self, sandbox: &SandboxId, epoch: Epoch) -> Result<Option<Credentials>>;
}

/// For message servers without authentication.
pub struct NoCredentials;

impl Minter for NoCredentials {
    fn mint(&self, _: &SandboxId, _: Epoch) -> Result<Option<Credentials>> {
        Ok(None)
    }
}

/// Sends a running worker new credentials on [`subjects::credentials`]. One that misses them is sent the next ones
/// too late; it is then replaced as any worker that lost its connection.
///
/// # Errors
/// As [`Minter::mint`] and [`Bus::publish`].
pub async fn renew(bus: &dyn Bus, minter: &dyn Minter, instance: &Instance) -> Result<()> {
    let Some(Credentials { jwt, seed, .. }) = minter.mint(&instance.sandbox, instance.epoch)? else {
        return Ok(());
    };
    let json =
        serde_json::to_vec(&Renewal { jwt, seed }).map_err(|error| Error::Internal(error.to_string()))?;
    bus.publish(&subjects::credentials(&instance.sandbox), Parcel::json(json)).await
}
