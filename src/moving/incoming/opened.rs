//! The secrets of a conversation: as they stand in the peer's files, and as they are kept here.

use control::records::{Sealer, open_returned, open_returned_sources};
use serde_json::Value;
use types::TenantId;
use types::agent::document::map_secrets;
use types::conversation::ConversationRecord;
use types::secrets::{MASK, SecretSource, check_sources};
use vault::Vault;

const UNOPENABLE: &str = "a secret of it does not open with this server's key: set the key of the other server as \
                          OH_PREVIOUS_SECRET_KEYS_0 and bring it again";

/// Opens what the peer has sealed, and seals it for the store. Whether there was a secret of which only a mask is left.
///
/// # Errors
/// One does not open, or there are more than a conversation may have. Nothing is told of a value.
pub fn seal(vault: &Vault, record: &mut ConversationRecord) -> Result<bool, String> {
    // The peer writes a mask where it has no key: the secret is lost.
    let mut has_mask = false;
    let mut is_mask = |text: &str| {
        has_mask |= text == MASK;
        text == MASK
    };
    map_secrets(&mut record.agent, &mut |text| if is_mask(text) { Value::Null } else { text.into() });
    record.secrets.values_mut().for_each(|source| without_mask(source, &mut is_mask));
    let peer = TenantId::default();
    open_returned(vault, &peer, &mut record.agent).map_err(|_| UNOPENABLE)?;
    open_returned_sources(vault, &peer, &mut record.secrets).map_err(|_| UNOPENABLE)?;
    check_sources(&record.secrets)?;
    let sealer = Sealer::new(vault, record.id);
    sealer.seal_object(&mut record.agent);
    sealer.seal_sources(&mut record.secrets);
    Ok(has_mask)
}

fn without_mask(source: &mut SecretSource, is_mask: &mut impl FnMut(&str) -> bool) {
    match source {
        SecretSource::StaticSecret { value, .. } => *value = value.take().filter(|value| !is_mask(value)),
        SecretSource::LookupSecret { headers, .. } => headers.retain(|_, value| !is_mask(value)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use types::ConversationId;
    use vault::PEERS_TENANT;

    use super::*;

    fn record(agent: &Value) -> ConversationRecord {
        let record = json!({"id": ConversationId::random(), "sandbox": "default", "created_at": "2026-11-23T00:00:00.000000Z",
            "title": null, "workspace": {"working_dir": "/w"}, "agent": agent, "max_iterations": 1, "stuck_detection": true,
            "confirmation_policy": {"kind": "NeverConfirm"}, "security_analyzer": null,
            "secrets": {"A": {"kind": "StaticSecret", "value": MASK}}});
        serde_json::from_value(record).unwrap()
    }

    #[test]
    fn what_the_peer_has_sealed_is_sealed_for_the_store_and_a_mask_is_nothing() {
        let vault = Vault::new(&"new".into(), &["old".into()]);
        let token = Vault::new(&"old".into(), &[]).token("sk-1", PEERS_TENANT);
        let mut sealed = record(&json!({"llm": {"api_key": token, "aws_access_key_id": MASK}}));
        assert_eq!(seal(&vault, &mut sealed), Ok(true));
        assert_eq!(sealed.agent["llm"]["aws_access_key_id"], Value::Null);
        assert_eq!(sealed.secrets["A"], SecretSource::StaticSecret { description: None, value: None });
        assert!(!sealed.agent.to_string().contains("gAAAAA") && !sealed.agent.to_string().contains("sk-1"));
        assert!(Sealer::new(&vault, sealed.id).open_object(&mut sealed.agent));
        assert_eq!(sealed.agent["llm"]["api_key"], "sk-1");

        let foreign = Vault::new(&"another".into(), &[]).token("sk-2", PEERS_TENANT);
        let told = seal(&vault, &mut record(&json!({"llm": {"api_key": foreign}}))).unwrap_err();
        assert!(told.contains("OH_PREVIOUS_SECRET_KEYS_0"), "{told}");
    }
}
