//! The MCP servers in settings, one by one.

use forms::Trouble;
use serde_json::{Map, Value, json};
use types::TenantId;

use super::agent::{self, Unfit};
use super::settings::{refused, shown};
use super::{Settings, Setup, Setups, mcp_server_is_whole};
use crate::Refusal;
use crate::shelf::{Change, Expose, Sealing, merge_patch};

const MOST_KEY_BYTES: usize = 256;
const MOST_BYTES: usize = 256 << 10;

const BODY: &[&str] = &["body"];

impl Setups {
    /// # Errors
    /// `Taken`, `TooLarge`, `Troubles`, those of the shelf.
    pub async fn add_mcp_server(
        &self,
        tenant: &TenantId,
        key: &str,
        server: Value,
    ) -> Result<Settings, Refusal> {
        check_size(key, &server)?;
        let server = whole(server)?;
        self.change_servers(tenant, |sealing, servers| {
            if servers.contains_key(key) {
                return Err(Refusal::Taken(format!("MCP server '{key}' already exists")));
            }
            let mut server = server.clone();
            take(sealing, forms::mcp_server(), &mut server, &Value::Null)?;
            servers.insert(key.to_owned(), server);
            Ok(())
        })
        .await
    }

    /// # Errors
    /// `Missing`, `TooLarge`, `Troubles`, `Unfit` where nothing whole comes of it, those of the shelf.
    pub async fn patch_mcp_server(
        &self,
        tenant: &TenantId,
        key: &str,
        patch: Value,
    ) -> Result<Settings, Refusal> {
        check_size(key, &patch)?;
        forms::mcp_server_patch().fill(patch.clone()).map_err(troubles)?;
        self.change_servers(tenant, |sealing, servers| {
            let server = servers.get_mut(key).ok_or_else(|| missing(key))?;
            let mut patch = patch.clone();
            take(sealing, forms::mcp_server_patch(), &mut patch, server)?;
            merge_patch(server, patch);
            Ok(())
        })
        .await
    }

    /// # Errors
    /// `Missing`, those of the shelf.
    pub async fn delete_mcp_server(&self, tenant: &TenantId, key: &str) -> Result<Settings, Refusal> {
        self.change_servers(tenant, |_, servers| {
            servers.shift_remove(key).map(drop).ok_or_else(|| missing(key))
        })
        .await
    }

    /// What comes of it is completed as all settings are.
    async fn change_servers(
        &self,
        tenant: &TenantId,
        change: impl Fn(&Sealing<'_>, &mut Map<String, Value>) -> Result<(), Refusal> + Send + Sync,
    ) -> Result<Settings, Refusal> {
        let sealing = self.sealing(tenant);
        let change = |setup: &mut Setup| {
            let mut settings = agent::complete(&setup.agent_settings);
            let servers = settings.get_mut("mcp_config").and_then(Value::as_object_mut);
            let servers = servers.ok_or_else(|| refused(Unfit::Invalid))?;
            change(&sealing, servers)?;
            setup.agent_settings = agent::completed(settings).map_err(refused)?;
            Ok(Change::Write(shown(&sealing, setup, Expose::Masked)?))
        };
        self.ground.shelves.change(tenant, change).await
    }
}

fn check_size(key: &str, server: &Value) -> Result<(), Refusal> {
    if !(1..=MOST_KEY_BYTES).contains(&key.len()) {
        return Err(Refusal::TooLarge("The key of an MCP server may have at most 256 bytes."));
    }
    if server.to_string().len() > MOST_BYTES {
        return Err(Refusal::TooLarge("An MCP server may have at most 256 KiB."));
    }
    Ok(())
}

/// A whole server as it was sent.
fn whole(server: Value) -> Result<Value, Refusal> {
    let server = forms::mcp_server().fill(server).map_err(troubles)?;
    mcp_server_is_whole(&server).map_err(|why| {
        let bounds = Some(json!({ "error": why }));
        let says = format!("Value error, {why}");
        troubles(vec![Trouble { kind: "value_error", at: Vec::new(), says, bounds }])
    })?;
    Ok(server)
}

fn take(sealing: &Sealing<'_>, form: &forms::Form, given: &mut Value, stored: &Value) -> Result<(), Refusal> {
    sealing.take(form, given).map_err(|_| refused(Unfit::Unopenable))?;
    sealing.keep_masked(form, given, stored);
    Ok(())
}

fn troubles(list: Vec<Trouble>) -> Refusal {
    Refusal::Troubles { root: BODY, list }
}

fn missing(key: &str) -> Refusal {
    Refusal::Missing(format!("MCP server '{key}' was not found"))
}
