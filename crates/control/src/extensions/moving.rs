//! What is installed elsewhere on its way in, and what is installed here on its way out. No worker takes part in either.

use bytes::Bytes;
use ports::rpc::Code;
use secrecy::ExposeSecret;
use serde_json::Map;
use types::TenantId;
use types::extensions::{Contents, ExtensionKind, without_credentials};

use super::document::{Installations, Installed, MOST};
use super::pieces::{self, Part};
use super::words;
use crate::Refusal;
use crate::shelf::{Change, Shelves};

/// Bytes of a pack.
const MOST_PACKED: usize = 16 << 20;

/// What is installed on another server.
#[derive(Clone, Debug)]
pub struct Arriving {
    pub name: String,
    pub version: String,
    pub description: String,
    pub enabled: bool,
    /// May hold credentials.
    pub source: String,
    pub requested_ref: Option<String>,
    pub resolved_ref: Option<String>,
    pub repo_path: Option<String>,
    pub installed_at: String,
    pub install_path: String,
    pub contents: Contents,
    /// All of it.
    pub pack: Bytes,
}

/// What is installed here, with all of it where that can be read.
pub struct Carried {
    pub kind: ExtensionKind,
    pub installed: Installed,
    pub pack: Option<Bytes>,
}

/// Whether there is one of this name.
///
/// # Errors
/// Those of the store.
pub async fn is_listed(
    shelves: &Shelves,
    tenant: &TenantId,
    kind: ExtensionKind,
    name: &str,
) -> Result<bool, Refusal> {
    let known: Installations = shelves.read(tenant).await?;
    Ok(known.of(kind).iter().any(|one| one.name == name))
}

/// Takes it, unless there is one of its name. Whether it was taken.
///
/// # Errors
/// `TooLarge`, those of the store.
pub async fn bring(
    shelves: &Shelves,
    tenant: &TenantId,
    kind: ExtensionKind,
    arriving: &Arriving,
) -> Result<bool, Refusal> {
    if is_listed(shelves, tenant, kind, &arriving.name).await? {
        return Ok(false);
    }
    if arriving.pack.len() > MOST_PACKED {
        return Err(Refusal::TooLarge("An extension may have at most 16 MiB when it is packed."));
    }
    let source = without_credentials(&arriving.source);
    let has_credentials = source != arriving.source;
    let sealing = shelves.sealing::<Installations>(tenant);
    let mut one = Installed {
        name: arriving.name.clone(),
        version: arriving.version.clone(),
        description: arriving.description.clone(),
        enabled: arriving.enabled,
        source,
        sealed_source: has_credentials.then(|| sealing.seal(&arriving.source)),
        requested_ref: arriving.requested_ref.clone(),
        resolved_ref: arriving.resolved_ref.clone(),
        repo_path: arriving.repo_path.clone(),
        installed_at: arriving.installed_at.clone(),
        install_path: arriving.install_path.clone(),
        id: pieces::fresh_id(),
        pieces: Map::new(),
        bundle_name: String::new(),
        rest: Map::new(),
    };
    let listed = match write(shelves, tenant, &mut one, arriving).await {
        Ok(()) => list(shelves, tenant, kind, &one).await,
        Err(refusal) => Err(refusal),
    };
    // What is perhaps listed keeps its pieces; if it is not, they are swept.
    let may_be_listed = match &listed {
        Ok(is_new) => *is_new,
        Err(Refusal::Fault(fault)) => fault.code == Code::Unavailable,
        Err(_) => false,
    };
    if !may_be_listed {
        pieces::remove(shelves.kv(), tenant, &one).await;
    }
    listed
}

/// Everything that a tenant has installed, with its source as it was given.
///
/// # Errors
/// Those of the store.
pub async fn carry(shelves: &Shelves, tenant: &TenantId) -> Result<Vec<Carried>, Refusal> {
    let installations: Installations = shelves.read(tenant).await?;
    let sealing = shelves.sealing::<Installations>(tenant);
    let mut carried = Vec::new();
    for kind in [ExtensionKind::Skill, ExtensionKind::Plugin, ExtensionKind::Canvas] {
        for installed in installations.of(kind) {
            let pack = pieces::get(shelves.kv(), tenant, installed, Part::Pack).await?;
            let mut installed = installed.clone();
            let sealed = installed.sealed_source.as_deref();
            if let Some(Ok(source)) = sealed.map(|sealed| sealing.open(sealed)) {
                source.expose_secret().clone_into(&mut installed.source);
            }
            carried.push(Carried { kind, installed, pack });
        }
    }
    Ok(carried)
}

/// Every part into the store, before the list names any.
async fn write(
    shelves: &Shelves,
    tenant: &TenantId,
    one: &mut Installed,
    arriving: &Arriving,
) -> Result<(), Refusal> {
    let contents = serde_json::to_vec(&arriving.contents).map_err(ports::rpc::Fault::internal)?;
    pieces::add(shelves.kv(), tenant, one, Part::Contents, contents.into()).await?;
    pieces::add(shelves.kv(), tenant, one, Part::Pack, arriving.pack.clone()).await
}

async fn list(
    shelves: &Shelves,
    tenant: &TenantId,
    kind: ExtensionKind,
    one: &Installed,
) -> Result<bool, Refusal> {
    let change = |installations: &mut Installations| {
        if installations.find(kind, &one.name).is_some() {
            return Ok(Change::Nothing(false));
        }
        if installations.of(kind).len() >= MOST {
            return Err(Refusal::TooLarge(words::TOO_MANY));
        }
        installations.put(kind, one.clone());
        Ok(Change::Write(true))
    };
    shelves.change(tenant, change).await
}
