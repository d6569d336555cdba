//! What is installed, as far as its program goes.

use serde_json::Value;
use sha2::{Digest, Sha256};
use types::TenantId;
use types::app::App;
use types::extensions::{Contents, ExtensionKind};

use crate::Refusal;
use crate::extensions::Extensions;

/// `None` where nothing of the name is installed, or it cannot be read.
///
/// # Errors
/// Those of the store.
pub(super) async fn find(
    extensions: &Extensions,
    tenant: &TenantId,
    name: &str,
) -> Result<Option<App>, Refusal> {
    let all = extensions.installed(tenant, ExtensionKind::Canvas).await?;
    let Some(one) = all.into_iter().find(|one| one.name == name) else { return Ok(None) };
    let Some(Contents::Canvas { manifest }) = extensions.contents(tenant, &one).await? else {
        return Ok(None);
    };
    let backend = manifest.get("backend").filter(|backend| !backend.is_null()).cloned();
    Ok(Some(App {
        name: one.name,
        revision: one.resolved_ref.unwrap_or_else(|| digest(&manifest)),
        package: one.install_path,
        backend: backend.and_then(|backend| serde_json::from_value(backend).ok()),
    }))
}

/// Of a folder there is no commit: what its manifest says has to do, and with it the checksum of the program.
fn digest(manifest: &Value) -> String {
    format!("sha256:{}", types::hex(&Sha256::digest(manifest.to_string())))
}
