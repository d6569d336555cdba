//! What a worker asks the control plane for.

use std::time::Duration;

use bytes::Bytes;
use ports::rpc::{self, Address, Fault};
use types::ConversationId;
use types::calls::{LookedUp, RecordCall, Survivors, WorkingCopy};
use types::known_values::KnownValues;
use types::service::AnswerTo;

use super::Worker;

impl Worker {
    /// The conversation, as a worker gets it before it runs one.
    pub async fn working_copy(&self, id: ConversationId) -> WorkingCopy {
        self.ask(RecordCall::Open { conversation: id }).await.unwrap()
    }

    pub async fn set_title(&self, id: ConversationId, title: &str) {
        let () = self.ask(RecordCall::SetTitle { conversation: id, title: title.to_owned() }).await.unwrap();
    }

    /// Which of these conversations there are.
    pub async fn survivors(&self, conversations: Vec<ConversationId>) -> Survivors {
        self.ask(RecordCall::Survivors { conversations }).await.unwrap()
    }

    /// Tells what it has looked up.
    pub async fn keep_hidden(&self, id: ConversationId, looked_up: &[(&str, &str)]) -> Result<(), Fault> {
        let mut values = KnownValues::default();
        for (name, value) in looked_up {
            values.add((*name).to_owned(), (*value).to_owned());
        }
        self.ask(RecordCall::KeepHidden { conversation: id, values }).await
    }

    /// What the server keeps for the secret of this name.
    pub async fn look_up(&self, id: ConversationId, name: &str) -> Result<Option<String>, Fault> {
        let call = RecordCall::LookUp { conversation: id, name: name.to_owned() };
        self.ask::<LookedUp>(call).await.map(|looked_up| looked_up.value)
    }

    async fn ask<A: AnswerTo<RecordCall>>(&self, call: RecordCall) -> Result<A, Fault> {
        let address = Address::of_control_plane(&self.0.sandbox);
        let deadline = Duration::from_secs(5);
        rpc::call(&*self.0.ports.bus, &address, &call, Bytes::new(), deadline).await.map(|(answer, _)| answer)
    }
}
