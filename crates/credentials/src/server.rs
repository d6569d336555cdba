//! What the NATS server must be told about accounts.

use std::path::Path;

use crate::claims::Claims;
use crate::{Keys, Result, Revoked};

/// What nats.conf must include: whom the server trusts, and the accounts as they are now.
///
/// The server keeps accounts in `accounts_dir`, which must last: what is revoked later is written there, and
/// what is here replaces it only if it is newer. (`resolver: MEMORY` would forget a revocation, and takes none.)
///
/// # Errors
/// When a key cannot sign.
pub fn server_config(keys: &Keys, revoked: &Revoked, accounts_dir: &Path) -> Result<String> {
    let (system, account) = (keys.system.public_key(), keys.account.public_key());
    let operator_token = operator_token(keys)?;
    let system_token = system_token(keys)?;
    let account_token = keys.account_token(revoked)?;
    Ok(format!(
        "operator: {operator_token}\n\
         system_account: {system}\n\
         resolver {{ type: full, dir: {accounts_dir:?}, allow_delete: false, interval: \"2m\" }}\n\
         resolver_preload {{\n  {system}: {system_token}\n  {account}: {account_token}\n}}\n"
    ))
}

/// `config` with the account as it is now, the rest as it was; `None` if it does not name the account.
///
/// # Errors
/// When a key cannot sign.
pub fn with_account(config: &str, keys: &Keys, revoked: &Revoked) -> Result<Option<String>> {
    let account = keys.account.public_key();
    let new = format!("  {account}: {}", keys.account_token(revoked)?);
    Ok(line_of(config, &account).map(|old| config.replacen(old, &new, 1)))
}

/// Whether a server with this configuration has the account.
pub fn names_account(config: &str, account: &str) -> bool {
    line_of(config, account).is_some()
}

/// The token by which `config` names the account.
pub fn account_token<'a>(config: &'a str, keys: &Keys) -> Option<&'a str> {
    line_of(config, &keys.account.public_key())?.split_once(": ").map(|(_, token)| token)
}

fn line_of<'a>(config: &'a str, account: &str) -> Option<&'a str> {
    config.lines().find(|line| line.trim_start().starts_with(&format!("{account}: ")))
}

fn operator_token(keys: &Keys) -> Result<String> {
    let body = serde_json::json!({
        "system_account": keys.system.public_key(),
        "type": "operator",
        "version": 2,
    });
    Claims::new(&keys.operator, "manyhands", keys.made_at, body).sign(&keys.operator)
}

fn system_token(keys: &Keys) -> Result<String> {
    let body = serde_json::json!({
        "limits": {
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
            "conn": -1, "leaf": 0,
        },
        "type": "account",
        "version": 2,
    });
    Claims::new(&keys.system, "SYS", keys.made_at, body).sign(&keys.operator)
}
