//! What workers sign in with: minted for one incarnation, and replaced while it runs.

use std::time::Duration;

use bytes::Bytes;
use ports::rpc::{Address, call};
use ports::{Bus, Result};
use types::placement::{Credentials, Renewal};
use types::{Epoch, SandboxId};

use crate::Instance;

/// How long credentials should be valid.
pub const LIFETIME: Duration = Duration::from_secs(24 * 3_600);

/// When a running worker is given new ones: at half their life.
pub const RENEWAL: Duration = Duration::from_secs(12 * 3_600);

/// When one is offered them again that has not taken them.
pub const AGAIN: Duration = Duration::from_secs(3_600);

/// What a worker gets to say that it has them.
const ANSWERING: Duration = Duration::from_secs(5);

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

/// Hands a running worker new credentials. Whether it has taken them, if it needs any.
///
/// # Errors
/// As [`Minter::mint`].
pub async fn renew(bus: &dyn Bus, minter: &dyn Minter, instance: &Instance) -> Result<bool> {
    let Some(Credentials { jwt, seed, .. }) = minter.mint(&instance.sandbox, instance.epoch)? else {
        return Ok(true);
    };
    let address = Address::of_worker(&instance.sandbox, Some(instance.epoch));
    let taken = call::<_, ()>(bus, &address, &Renewal { jwt, seed }, Bytes::new(), ANSWERING).await;
    if let Err(fault) = &taken {
        tracing::warn!(sandbox.id = %instance.sandbox, %fault, "a worker has not taken its new credentials");
    }
    Ok(taken.is_ok())
}
