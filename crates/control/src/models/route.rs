//! Which of a conversation's models a call is for.

use bytes::Bytes;
use llm::Destination;
use serde::Deserialize;
use serde_json::Value;
use types::agent::LlmConfig;
use types::agent::document::each_llm;
use types::brokering::ModelCall;
use types::conversation::ConversationRecord;
use vault::Vault;

use crate::records::Sealer;

/// The only field of a body that is looked at; one that is there twice is refused.
#[derive(Deserialize)]
struct Glance {
    model: String,
}

/// Which of the conversation's models a call is for: of those that have its URL and name, the one with its usage id, or else the
/// first. `None`: none of them, so it must not be made.
pub(super) fn find(
    vault: &Vault,
    record: ConversationRecord,
    call: &ModelCall,
    body: &Bytes,
) -> Option<Destination> {
    let url = call.url.parse().ok()?;
    let Glance { model } = serde_json::from_slice(body).ok()?;
    let session = record.id.to_string();
    let title = record.titling.llm.map(|llm| ("llm".to_owned(), llm));
    let all = [("agent".to_owned(), record.agent)].into_iter().chain(title);
    let mut models = Value::Object(all.collect());
    Sealer::new(vault, record.id).open_object(&mut models);
    let (mut meant, mut first) = (None, None);
    each_llm(&models, &mut |llm| {
        let Ok(llm) = serde_json::from_value::<LlmConfig>(llm.clone()) else { return };
        let found = if llm.usage_id == call.usage { &mut meant } else { &mut first };
        let destination = Destination::of(llm, &session).ok();
        *found = found.take().or(destination.filter(|destination| destination.is(&url, &model)));
    });
    meant.or(first)
}
