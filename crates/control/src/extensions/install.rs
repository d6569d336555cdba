//! Installing, and fetching anew what is installed.

use bytes::Bytes;
use secrecy::ExposeSecret;
use serde_json::Map;
use types::calls::{ExtensionAnswer, ExtensionCall, FetchCall, Fetched, NotFetched, WhyNotFetched};
use types::extensions::{Contents, ExtensionKind, without_credentials};
use types::{SandboxId, TenantId, time};

use super::document::{Installations, Installed, MOST};
use super::pieces::{self, Part};
use super::{Extensions, canvas, strange, words};
use crate::Refusal;
use crate::shelf::Change;

/// Bytes of a part, whatever a worker says.
const MOST_BYTES: u64 = 64 << 20;

/// What is to be installed.
#[derive(Clone, PartialEq, Eq)]
pub struct Order {
    /// May hold credentials.
    pub source: String,
    pub reference: Option<String>,
    pub repo_path: Option<String>,
    /// Whether it may take the place of what is installed.
    pub force: bool,
}

impl Extensions {
    /// # Errors
    /// `Bad` for a source that is not reached, `Unfit` for what is no extension, `Taken`, `TooLarge`; those of the worker and
    /// of the store.
    pub async fn install(
        &self,
        tenant: &TenantId,
        kind: ExtensionKind,
        order: &Order,
    ) -> Result<Installed, Refusal> {
        let (sandbox, fetched) = self.fetch(tenant, kind, order, None).await?;
        let fetched = fetched.map_err(|not| words::not_installed(kind, not))?;
        self.keep(tenant, kind, order, &sandbox, *fetched).await
    }

    /// Fetches it again from where it came, whatever is there now; where that fails it stays as it is.
    ///
    /// # Errors
    /// `Missing`, `Bad`, `Unfit`, `TooLarge`; those of the worker and of the store.
    pub async fn refresh(
        &self,
        tenant: &TenantId,
        kind: ExtensionKind,
        name: &str,
    ) -> Result<Installed, Refusal> {
        let old = self.one(tenant, kind, name).await?;
        let source = match &old.sealed_source {
            None => old.source.clone(),
            Some(sealed) => {
                let sealing = self.ground.shelves.sealing::<Installations>(tenant);
                sealing.open(sealed)?.expose_secret().to_owned()
            }
        };
        let order = Order { source, reference: None, repo_path: old.repo_path, force: true };
        let (sandbox, fetched) = self.fetch(tenant, kind, &order, Some(name)).await?;
        let fetched = fetched.map_err(|not| words::not_refreshed(kind, name, &not))?;
        if fetched.name != name {
            self.drop_ticket(&sandbox, &fetched.ticket).await;
            let not = NotFetched { why: WhyNotFetched::Invalid, says: String::new() };
            return Err(words::not_refreshed(kind, name, &not));
        }
        self.keep(tenant, kind, &order, &sandbox, *fetched).await
    }

    async fn fetch(
        &self,
        tenant: &TenantId,
        kind: ExtensionKind,
        order: &Order,
        name: Option<&str>,
    ) -> Result<(SandboxId, Result<Box<Fetched>, NotFetched>), Refusal> {
        let sandbox = self.ground.workers.placement().at(tenant, &order.source).await?;
        let call = ExtensionCall::Fetch(FetchCall {
            kind,
            source: order.source.clone(),
            reference: order.reference.clone(),
            repo_path: order.repo_path.clone(),
            name: name.map(str::to_owned),
        });
        match self.ask(&sandbox, &call).await?.0 {
            ExtensionAnswer::Fetched(fetched) => Ok((sandbox, Ok(fetched))),
            ExtensionAnswer::NotFetched(not) => Ok((sandbox, Err(not))),
            _ => Err(strange()),
        }
    }

    /// Keeps what a worker has fetched, and has it placed.
    async fn keep(
        &self,
        tenant: &TenantId,
        kind: ExtensionKind,
        order: &Order,
        sandbox: &SandboxId,
        fetched: Fetched,
    ) -> Result<Installed, Refusal> {
        let ticket = fetched.ticket.clone();
        let kept = self.kept(tenant, kind, order, sandbox, fetched).await;
        if kept.is_ok() {
            let call = ExtensionCall::Place { ticket: ticket.clone() };
            if let Err(fault) = self.ask(sandbox, &call).await {
                tracing::warn!(?fault, "what was installed is not placed in a home");
            }
        }
        self.drop_ticket(sandbox, &ticket).await;
        kept
    }

    async fn kept(
        &self,
        tenant: &TenantId,
        kind: ExtensionKind,
        order: &Order,
        sandbox: &SandboxId,
        fetched: Fetched,
    ) -> Result<Installed, Refusal> {
        let known = self.installed(tenant, kind).await?;
        if !order.force && known.iter().any(|one| one.name == fetched.name) {
            return Err(words::taken(kind));
        }
        let (mut one, mut contents) = self.begun(tenant, kind, order, &fetched);
        let mut files = vec![(Part::Pack, None, true)];
        if let Contents::Canvas { manifest } = &mut contents {
            *manifest = canvas::checked(std::mem::take(manifest))
                .map_err(|_| Refusal::Unfit(words::BAD_MANIFEST.to_owned()))?;
            let file = |name: &str| manifest.get(name).and_then(|file| file.as_str()).map(str::to_owned);
            one.bundle_name = file("entrypoint").unwrap_or_default();
            files.push((Part::Bundle, file("entrypoint"), true));
            files.extend(file("icon").map(|icon| (Part::Icon, Some(icon), false)));
        }
        let written = self.written(tenant, sandbox, &fetched.ticket, &mut one, &contents, files).await;
        let listed = match written {
            Ok(()) => self.listed(tenant, kind, order.force, &one).await,
            Err(refusal) => Err(refusal),
        };
        match listed {
            Ok((one, replaced)) => {
                if let Some(replaced) = replaced {
                    pieces::remove(self.ground.shelves.kv(), tenant, &replaced).await;
                }
                Ok(one)
            }
            Err(refusal) => {
                pieces::remove(self.ground.shelves.kv(), tenant, &one).await;
                Err(refusal)
            }
        }
    }

    fn begun(
        &self,
        tenant: &TenantId,
        kind: ExtensionKind,
        order: &Order,
        fetched: &Fetched,
    ) -> (Installed, Contents) {
        let source = without_credentials(&order.source);
        let has_credentials = source != order.source;
        let sealing = self.ground.shelves.sealing::<Installations>(tenant);
        let one = Installed {
            name: fetched.name.clone(),
            version: fetched.version.clone(),
            description: fetched.description.clone(),
            // What changes the user interface is for somebody to look at first.
            enabled: kind != ExtensionKind::Canvas,
            source,
            sealed_source: has_credentials.then(|| sealing.seal(&order.source)),
            requested_ref: order.reference.clone(),
            resolved_ref: fetched.resolved_ref.clone(),
            repo_path: order.repo_path.clone(),
            installed_at: time::utc_now().replace('Z', "+00:00"),
            install_path: fetched.install_path.clone(),
            id: pieces::fresh_id(),
            pieces: Map::new(),
            bundle_name: String::new(),
            rest: Map::new(),
        };
        (one, fetched.contents.clone())
    }

    /// Every part into the store, before the list names any. A file that is not there and need not be is passed over.
    async fn written(
        &self,
        tenant: &TenantId,
        sandbox: &SandboxId,
        ticket: &str,
        one: &mut Installed,
        contents: &Contents,
        files: Vec<(Part, Option<String>, bool)>,
    ) -> Result<(), Refusal> {
        let kv = self.ground.shelves.kv();
        let contents = serde_json::to_vec(contents).map_err(ports::rpc::Fault::internal)?;
        pieces::add(kv, tenant, one, Part::Contents, contents.into()).await?;
        for (part, file, is_needed) in files {
            let mut offset = 0;
            loop {
                let call = ExtensionCall::Read { ticket: ticket.to_owned(), file: file.clone(), offset };
                let (of, piece) = match self.piece(sandbox, &call).await {
                    Ok(answer) => answer,
                    Err(Refusal::Missing(_)) if !is_needed => break,
                    Err(Refusal::Missing(_)) => return Err(Refusal::Unfit(words::BAD_MANIFEST.to_owned())),
                    Err(refusal) => return Err(refusal),
                };
                if of > MOST_BYTES || piece.is_empty() && offset < of {
                    return Err(strange());
                }
                offset += piece.len() as u64;
                pieces::add(kv, tenant, one, part, piece).await?;
                if offset >= of {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn piece(&self, sandbox: &SandboxId, call: &ExtensionCall) -> Result<(u64, Bytes), Refusal> {
        match self.ask(sandbox, call).await {
            Ok((ExtensionAnswer::Piece { of }, piece)) => Ok((of, piece)),
            Ok(_) => Err(strange()),
            Err(fault) if fault.code == ports::rpc::Code::NotFound => Err(Refusal::Missing(fault.public)),
            Err(fault) => Err(fault.into()),
        }
    }

    /// It as it stands in the list, and what it took the place of.
    async fn listed(
        &self,
        tenant: &TenantId,
        kind: ExtensionKind,
        force: bool,
        one: &Installed,
    ) -> Result<(Installed, Option<Installed>), Refusal> {
        let change = |installations: &mut Installations| {
            let mut one = one.clone();
            match installations.find(kind, &one.name).map(|old| old.enabled) {
                Some(_) if !force => return Err(words::taken(kind)),
                Some(enabled) => one.enabled = enabled,
                None if installations.of(kind).len() >= MOST => {
                    return Err(Refusal::TooLarge(words::TOO_MANY));
                }
                None => {}
            }
            let replaced = installations.put(kind, one.clone());
            Ok(Change::Write((one, replaced)))
        };
        self.ground.shelves.change(tenant, change).await
    }

    async fn drop_ticket(&self, sandbox: &SandboxId, ticket: &str) {
        let call = ExtensionCall::Drop { ticket: ticket.to_owned() };
        if let Err(fault) = self.ask(sandbox, &call).await {
            tracing::debug!(?fault, "what was fetched is kept for some minutes");
        }
    }
}
