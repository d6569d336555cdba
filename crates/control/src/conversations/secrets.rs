//! What of a conversation is secret: sealed where it is stored, and given to its worker as far as it may know.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ports::retry::{Backoff, while_unavailable};
use ports::rpc::{Code, Fault, Reason};
use readmodel::index::ConversationState;
use serde_json::Value;
use tokio::time::timeout;
use types::calls::Command;
use types::conversation::ConversationRecord;
use types::secrets::{SecretSource, check_sources};
use types::{ConversationId, TenantId};

use super::{Conversations, QUICK};
use crate::models::STORING;
use crate::records::{BROKEN, Sealer, open_returned, open_returned_sources};

/// Between two tries to store a model.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));

impl Conversations {
    /// Adds named secrets, or replaces those of the same names. Values that are replaced stay hidden. Goes on to its end also when
    /// nobody waits for it.
    ///
    /// # Errors
    /// `Invalid` where these are more than a conversation may have; those of the store; the worker's fault.
    pub async fn add_secrets(
        &self,
        entry: &Arc<ConversationState>,
        secrets: BTreeMap<String, SecretSource>,
    ) -> Result<(), Fault> {
        let (conversations, entry) = (self.clone(), entry.clone());
        let adding = self.0.tasks.spawn(async move { conversations.add_secrets_now(&entry, secrets).await });
        adding.await.map_err(Fault::internal)?
    }

    async fn add_secrets_now(
        &self,
        entry: &Arc<ConversationState>,
        secrets: BTreeMap<String, SecretSource>,
    ) -> Result<(), Fault> {
        let sealer = Sealer::new(&self.0.vault, entry.id);
        let mut sealed = secrets.clone();
        sealer.seal_sources(&mut sealed);
        let mut fits = Ok(());
        let add = |record: &mut ConversationRecord| {
            for ((name, plain), sealed) in secrets.iter().zip(sealed.values()) {
                sealer.replace(record, name, plain, sealed.clone());
            }
            let mut plain = record.secrets.clone();
            sealer.open_sources(&mut plain);
            fits = check_sources(&plain);
            fits.is_ok()
        };
        self.0.index.update(entry, add).await?;
        fits.map_err(|why| Fault::new(Code::Invalid, why))?;
        self.command(entry, Command::AddSecrets { secrets }, QUICK).await.map(drop)
    }

    /// Replaces the agent's model; `llm`: the full object, secrets in plain text. Goes on to its end also when nobody waits for it.
    ///
    /// The log says it before the record does. So whoever has a record that names a model has with it the log up to where that
    /// began to answer, copies included; and an agent whose record does not name the model of its log knows that.
    ///
    /// # Errors
    /// The worker's fault; those of the store.
    pub async fn switch_llm(&self, entry: &Arc<ConversationState>, llm: Value) -> Result<(), Fault> {
        let (conversations, entry) = (self.clone(), entry.clone());
        let switching = self.0.tasks.spawn(async move { conversations.switch_llm_now(&entry, llm).await });
        switching.await.map_err(Fault::internal)?
    }

    async fn switch_llm_now(&self, entry: &Arc<ConversationState>, mut llm: Value) -> Result<(), Fault> {
        let mut sealed = llm.clone();
        Sealer::new(&self.0.vault, entry.id).seal_object(&mut sealed);
        let switch = |record: &mut ConversationRecord| {
            let agent = record.agent.as_object_mut();
            agent.map(|agent| agent.insert("llm".to_owned(), sealed.clone())).is_some()
        };
        self.0.records.leave_out_what_workers_may_not_know(&mut llm);
        // Else of two at once the log could have one as the last, and the record the other.
        let turn = timeout(QUICK, self.0.switches.wait(entry.id)).await;
        let _turn = turn.map_err(|_| Fault::from(Reason::TooSlow))?;
        let told = self.told(entry, Command::SwitchLlm { llm }, QUICK).await;
        if told.as_ref().is_err_and(|fault| !fault.may_be_done()) {
            return told.map(drop);
        }
        while_unavailable(PAUSES, STORING, || self.0.index.update(entry, switch)).await?;
        Ok(self.0.index.wait_for(entry, told?.seq, QUICK).await?)
    }

    /// Tokens that clients of `tenant` were given come back in place of the secrets they stand for.
    ///
    /// # Errors
    /// One of them does not open.
    pub fn open_returned(&self, tenant: &TenantId, object: &mut Value) -> Result<(), vault::Error> {
        open_returned(&self.0.vault, tenant, object)
    }

    /// As [`Conversations::open_returned`], for named secrets.
    ///
    /// # Errors
    /// One of them does not open.
    pub fn open_returned_sources(
        &self,
        tenant: &TenantId,
        sources: &mut BTreeMap<String, SecretSource>,
    ) -> Result<(), vault::Error> {
        open_returned_sources(&self.0.vault, tenant, sources)
    }

    /// The stored record of a conversation as one of the conversation `id`: secrets in plain text, and those of the past
    /// sealed for it.
    ///
    /// # Errors
    /// `Conflict`: a secret does not open.
    pub(super) fn opened_for(
        &self,
        mut record: ConversationRecord,
        id: ConversationId,
    ) -> Result<ConversationRecord, Fault> {
        let (own, other) = (Sealer::new(&self.0.vault, record.id), Sealer::new(&self.0.vault, id));
        let is_complete = own.open_object(&mut record.agent);
        if !own.open_sources(&mut record.secrets) || !is_complete {
            return Err(Fault::new(Code::Conflict, BROKEN));
        }
        // One that does not open is none: the agent's own model is asked for a title.
        record.titling.llm = record.titling.llm.and_then(|mut llm| own.open_object(&mut llm).then_some(llm));
        record.past_secrets = own.past_for(&other, &record.past_secrets);
        record.id = id;
        Ok(record)
    }

    pub(super) fn seal(&self, record: &mut ConversationRecord) {
        let sealer = Sealer::new(&self.0.vault, record.id);
        sealer.seal_object(&mut record.agent);
        record.titling.llm.iter_mut().for_each(|llm| sealer.seal_object(llm));
        sealer.seal_sources(&mut record.secrets);
    }
}
