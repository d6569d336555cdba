//! Values of secrets that this server itself keeps, for conversations that name them. A worker reaches no gateway and has no key
//! of one, so it asks here; and it is told only what its own conversations have, by the name that they have it under.

use ports::rpc::{Fault, Reason};
use secrecy::ExposeSecret;
use types::calls::LookedUp;
use types::secrets::SecretSource;
use types::{ConversationId, SandboxId};

use super::Records;
use crate::Refusal;

impl Records {
    pub(super) async fn look_up(
        &self,
        sandbox: &SandboxId,
        conversation: ConversationId,
        name: &str,
    ) -> Result<LookedUp, Fault> {
        let record = self.0.index.read(conversation).await?.filter(|record| record.sandbox == *sandbox);
        let record = record.ok_or_else(|| Fault::from(Reason::Missing))?;
        let profile = record.launched_agent_profile.as_ref();
        let is_allowed = profile.is_none_or(|profile| profile.allows_secret(name));
        let kept = record.secrets.get(name).and_then(SecretSource::name_here).filter(|_| is_allowed);
        let Some(kept) = kept else { return Ok(LookedUp { value: None }) };
        match self.0.secrets.value(&record.tenant, kept).await {
            Ok(value) => Ok(LookedUp { value: Some(value.expose_secret().to_owned()) }),
            Err(Refusal::Fault(fault)) => Err(fault),
            Err(refusal) => {
                tracing::warn!(%conversation, secret = name, ?refusal, "a secret of a conversation cannot be had");
                Ok(LookedUp { value: None })
            }
        }
    }
}
