//! What tenants install (skills, plugins, extensions of the user interface), and what is found beside it in their folders.
//!
//! ```text
//!   install ─▶ worker: fetch ─▶ pieces into the store ─▶ the list, by compare-and-set ─▶ worker: place
//!                                                          └─ refused: the pieces are removed
//!   list, get, enable, bundle, icon ─▶ the store alone: no worker is woken
//!   skills, plugins, hooks, sub-agents of a folder ─▶ worker: look ─▶ with what is installed
//! ```
//!
//! The truth is in the store: a **list** for each tenant, and beside it **pieces** that the list names, which hold what was
//! installed and what was read in it. Pieces are written before the list names them and removed after it does not any more; what a
//! crash leaves between the two is found at the next start, by its age ([`Extensions::sweep`]). So any gateway knows what is
//! installed, and a sandbox may be thrown away with what was placed in it.
//!
//! What a worker has fetched is not believed: names, manifests and sizes are checked here before anything is kept.

mod built_in;
mod canvas;
mod check;
mod document;
mod found;
mod hooks;
mod install;
pub mod moving;
mod pieces;
mod sweep;
mod words;

use std::time::Duration;

use bytes::Bytes;
use ports::rpc::{Fault, Reason};
use types::calls::{ExtensionAnswer, ExtensionCall};
use types::extensions::{Contents, ExtensionKind};
use types::{SandboxId, TenantId};

use crate::Refusal;
use crate::ground::Ground;
use crate::shelf::Change;
pub use check::PluginCheck;
pub use document::{Installations, Installed};
pub use found::{Exposed, SkillsAnswer, SkillsWanted};
pub use install::Order;
use pieces::Part;
pub use words::noun;

/// What a look at folders may take, with a repository that does not answer on the way.
const LOOK: Duration = Duration::from_secs(150);

/// For who only looks where somebody is awake.
const GLANCE: Duration = Duration::from_secs(30);

/// What tenants install: skills, plugins, extensions of the user interface. Cheap to clone.
#[derive(Clone)]
pub struct Extensions {
    ground: Ground,
}

/// A file of an extension of the user interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CanvasFile {
    Bundle,
    Icon,
}

impl Extensions {
    pub(crate) fn new(ground: &Ground) -> Self {
        Self { ground: ground.clone() }
    }

    /// In the order in which they were installed.
    ///
    /// # Errors
    /// Those of the shelf.
    pub async fn installed(&self, tenant: &TenantId, kind: ExtensionKind) -> Result<Vec<Installed>, Refusal> {
        let installations: Installations = self.ground.shelves.read(tenant).await?;
        Ok(installations.of(kind).to_vec())
    }

    /// # Errors
    /// `Missing`; those of the shelf.
    pub async fn one(
        &self,
        tenant: &TenantId,
        kind: ExtensionKind,
        name: &str,
    ) -> Result<Installed, Refusal> {
        let all = self.installed(tenant, kind).await?;
        all.into_iter().find(|one| one.name == name).ok_or_else(|| words::missing(kind, name))
    }

    /// What is in it; `None` where that cannot be read.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn contents(&self, tenant: &TenantId, one: &Installed) -> Result<Option<Contents>, Refusal> {
        let stored = pieces::get(self.ground.shelves.kv(), tenant, one, Part::Contents).await?;
        Ok(stored.and_then(|stored| serde_json::from_slice(&stored).ok()))
    }

    /// # Errors
    /// `Missing`; those of the shelf.
    pub async fn set_enabled(
        &self,
        tenant: &TenantId,
        kind: ExtensionKind,
        name: &str,
        enabled: bool,
    ) -> Result<(), Refusal> {
        let change = |installations: &mut Installations| {
            let one = installations.find(kind, name).ok_or_else(|| words::missing(kind, name))?;
            if one.enabled == enabled {
                return Ok(Change::Nothing(()));
            }
            one.enabled = enabled;
            Ok(Change::Write(()))
        };
        self.ground.shelves.change(tenant, change).await
    }

    /// # Errors
    /// `Missing`; those of the shelf.
    pub async fn uninstall(&self, tenant: &TenantId, kind: ExtensionKind, name: &str) -> Result<(), Refusal> {
        let change = |installations: &mut Installations| {
            let removed = installations.remove(kind, name).ok_or_else(|| words::missing(kind, name))?;
            Ok(Change::Write(removed))
        };
        let removed = self.ground.shelves.change(tenant, change).await?;
        pieces::remove(self.ground.shelves.kv(), tenant, &removed).await;
        let call = ExtensionCall::Remove { kind, name: name.to_owned() };
        if let Ok(sandbox) = self.ground.workers.placement().seen_at(tenant, "").await
            && let Err(fault) = self.glance(&sandbox, &call).await
        {
            tracing::debug!(?fault, "what was installed stays in a home");
        }
        Ok(())
    }

    /// A file of an extension of the user interface; `None` where it has none.
    ///
    /// # Errors
    /// Those of the shelf.
    pub async fn canvas_file(
        &self,
        tenant: &TenantId,
        name: &str,
        file: CanvasFile,
    ) -> Result<Option<StoredFile>, Refusal> {
        let all = self.installed(tenant, ExtensionKind::Canvas).await?;
        let Some(one) = all.into_iter().find(|one| one.name == name) else { return Ok(None) };
        let part = match file {
            CanvasFile::Bundle => Part::Bundle,
            CanvasFile::Icon => Part::Icon,
        };
        let Some(content) = pieces::get(self.ground.shelves.kv(), tenant, &one, part).await? else {
            return Ok(None);
        };
        Ok(Some(StoredFile { content, name: one.bundle_name.clone(), version: one.id }))
    }

    /// Asks the worker of a sandbox, which is woken for it.
    async fn ask(
        &self,
        sandbox: &SandboxId,
        call: &ExtensionCall,
    ) -> Result<(ExtensionAnswer, Bytes), Fault> {
        self.ground.workers.reach(sandbox, call, Bytes::new(), LOOK).await
    }

    /// Asks it only if it is awake.
    async fn glance(&self, sandbox: &SandboxId, call: &ExtensionCall) -> Result<ExtensionAnswer, Fault> {
        self.glance_for(GLANCE, sandbox, call).await
    }

    async fn glance_for(
        &self,
        patience: Duration,
        sandbox: &SandboxId,
        call: &ExtensionCall,
    ) -> Result<ExtensionAnswer, Fault> {
        Ok(self.ground.workers.call_if_awake(sandbox, call, patience).await?.0)
    }
}

/// A file as it is kept.
pub struct StoredFile {
    pub content: Bytes,
    /// Of the file, for its type.
    pub name: String,
    /// Another one for each installation.
    pub version: String,
}

/// A worker that answers something else than it was asked is of another release.
fn strange() -> Refusal {
    Fault::from(Reason::OtherRelease).into()
}
