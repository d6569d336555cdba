//! The secrets of a conversation, as its tools know them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ports::Bus;
use ports::rpc::{self, Address, Fault};
use tools::{Boxed, Screen};
use types::calls::RecordCall;
use types::known_values::KnownValues;
use types::secrets::MAX_SOURCES;
use types::{ConversationId, SandboxId};

use super::mask::{Holdback, Masker};
use super::secrets::Secrets;

const KEEPING_DEADLINE: Duration = Duration::from_secs(10);

pub(super) struct Hidden {
    pub(super) secrets: Arc<Secrets>,
    pub(super) keeper: Keeper,
}

/// Tells the record what was looked up. A program may write it into a file, which is read long after this worker.
pub(super) struct Keeper {
    pub(super) bus: Arc<dyn Bus>,
    pub(super) sandbox: SandboxId,
    pub(super) conversation: ConversationId,
}

impl tools::Secrets for Hidden {
    fn exports<'a>(&'a self, command: &'a str) -> Boxed<'a, Vec<(String, String)>> {
        Box::pin(self.exports(command))
    }

    fn screen(&self) -> Box<dyn Screen> {
        Box::new(Text { masker: self.secrets.masker(), holdback: Holdback::default() })
    }

    fn mask(&self, text: &str) -> String {
        self.secrets.masker().mask(text)
    }
}

impl Hidden {
    /// A value that cannot be kept hidden is not given.
    async fn exports(&self, command: &str) -> Vec<(String, String)> {
        let mut exports = self.secrets.exports(command).await;
        let unkept = self.secrets.unkept();
        if unkept.is_empty() {
            return exports;
        }
        match self.keeper.keep(&unkept).await {
            Ok(()) => self.secrets.are_kept(&unkept),
            Err(fault) => {
                tracing::warn!(%fault, "secrets that were looked up cannot be recorded, so no command gets them");
                exports.retain(|(name, value)| !unkept.contains(name, value));
            }
        }
        exports
    }
}

impl Keeper {
    async fn keep(&self, values: &KnownValues) -> Result<(), Fault> {
        let address = Address::of_control_plane(&self.sandbox);
        let values: Vec<_> = values.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        // After an outage there may be more than a record takes at once.
        for piece in values.chunks(MAX_SOURCES) {
            let mut values = KnownValues::default();
            values.extend(piece.iter().cloned());
            let call = RecordCall::KeepHidden { conversation: self.conversation, values };
            let ((), _) =
                rpc::call_patiently(self.bus.as_ref(), &address, &call, Bytes::new(), KEEPING_DEADLINE)
                    .await?;
        }
        Ok(())
    }
}

/// A text that is being printed.
struct Text {
    masker: Masker,
    holdback: Holdback,
}

impl Screen for Text {
    fn push(&mut self, piece: &str) -> String {
        self.holdback.push(piece, &self.masker)
    }

    fn finish(&mut self) -> String {
        self.holdback.finish(&self.masker)
    }
}
