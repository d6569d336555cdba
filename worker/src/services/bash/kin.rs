//! What commands of the API have started, so that it ends with its conversation, if it is of one, and with the worker,
//! wherever it has gone. Shells of agents see to theirs themselves, unless their worker is killed.
//!
//! Each process has a variable with three parts: the sandbox on this machine, the worker, and the conversation, or nothing
//! where the command was the whole sandbox's. The first is the same for all workers that follow each other, so the next
//! one finds what one that was killed has left; the second tells that apart from its own.

use std::collections::HashSet;
use std::path::Path;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tools::offspring::{Mark, Offspring, Process, marked};
use types::{BashScope, ConversationId, SandboxId};
use uuid::Uuid;

/// The variable that names sandbox, worker and conversation of a process.
const MARK: &str = "MANYHANDS_CONVERSATION";

/// Of one worker.
pub(super) struct Kin {
    sandbox: String,
    worker: String,
    /// Those with commands that may have left something.
    begun: Mutex<HashSet<BashScope>>,
}

impl Kin {
    /// `own` is a folder that only the workers of this sandbox have, one after the other.
    pub(super) fn new(sandbox: &SandboxId, own: &Path) -> Self {
        let identity = Sha256::new()
            .chain_update(sandbox.as_str())
            .chain_update([0])
            .chain_update(own.as_os_str().as_encoded_bytes())
            .finalize();
        let mut sandbox = types::hex(&identity);
        sandbox.truncate(16);
        Self { sandbox, worker: Uuid::new_v4().simple().to_string(), begun: Mutex::default() }
    }

    /// What programs start with that run there.
    pub(super) fn mark(&self, scope: BashScope) -> (String, String) {
        let value = match scope {
            BashScope::Conversation(conversation) => format!("{}{conversation}", self.own()),
            BashScope::Sandbox => self.own(),
        };
        (MARK.to_owned(), value)
    }

    /// A command is about to start there.
    pub(super) fn begin(&self, scope: BashScope) {
        self.begun.lock().insert(scope);
    }

    /// Ends what is left of a conversation. Where no command has begun, nobody needs to look.
    pub(super) async fn end(&self, conversation: ConversationId) {
        let scope = BashScope::Conversation(conversation);
        let has_begun = self.begun.lock().contains(&scope);
        if has_begun {
            end(format!("{}{conversation}", self.own())).await;
        }
    }

    /// Nothing of this conversation is left, and nothing more begins.
    pub(super) fn forget(&self, conversation: ConversationId) {
        let scope = BashScope::Conversation(conversation);
        self.begun.lock().remove(&scope);
    }

    /// Ends all that is left.
    pub(super) async fn end_all(&self) {
        if !std::mem::take(&mut *self.begun.lock()).is_empty() {
            end(self.own()).await;
        }
    }

    /// Kills what workers before this one have left.
    pub(super) async fn end_earlier(&self) {
        let (sandbox, own) = (format!("{}.", self.sandbox), self.own());
        blocking(move || {
            let of_earlier = |value: &str| value.starts_with(&sandbox) && !value.starts_with(&own);
            let left = marked(MARK, of_earlier).inspect(Process::kill).count();
            if left > 0 {
                tracing::info!(processes = left, "what an earlier worker has left is ended");
            }
        })
        .await;
    }

    fn own(&self) -> String {
        format!("{}.{}.", self.sandbox, self.worker)
    }
}

async fn end(value: String) {
    blocking(move || Offspring::of(Mark { name: MARK, value }).end()).await;
}

async fn blocking(work: impl FnOnce() + Send + 'static) {
    // It cannot fail.
    let _ = tokio::task::spawn_blocking(work).await;
}
