//! Messages of the user, and what has to stand before the first one.

use types::conversation::Status;
use types::event::{MessageBody, Source};
use types::log::Control;
use types::{Content, EventBody, EventId, Message, Role};

use crate::agent::{Agent, Phase};
use crate::journal::Draft;
use crate::prompt;
use crate::protocol::Refusal;

impl Agent {
    /// Stores a user message. A run under way takes it up; otherwise it waits for the next one. Nobody works towards a goal
    /// any more.
    pub(crate) fn take_message(
        &mut self,
        draft: &mut Draft<'_>,
        message: Message,
        sender: Option<String>,
        id: Option<EventId>,
    ) -> Result<(), Refusal> {
        if message.role != Role::User {
            return Err(Refusal::Invalid("a message to the agent must have the role 'user'".to_owned()));
        }
        self.interrupt_goal(draft);
        self.hear(draft, message, sender, id);
        Ok(())
    }

    /// The same, whoever speaks as the user.
    pub(crate) fn hear(
        &mut self,
        draft: &mut Draft<'_>,
        message: Message,
        sender: Option<String>,
        id: Option<EventId>,
    ) {
        self.open(draft);
        if matches!(self.status, Status::Finished | Status::Stuck) {
            self.set_status(draft, Status::Idle);
        }
        let suffix = prompt::message_suffix(&self.config).map(Content::text);
        let body = MessageBody {
            llm_message: message,
            llm_response_id: None,
            activated_skills: Vec::new(),
            extended_content: suffix.into_iter().collect(),
            sender,
        };
        let id = id.unwrap_or_else(|| draft.env.event_id());
        self.record_as(draft, id.clone(), Source::User, EventBody::MessageEvent(body));
        self.announce(draft, "last_user_message_id", Some(id.0.into()));
        self.run.unseen_message = !matches!(self.phase, Phase::Resting);
    }

    /// Puts the system prompt first, unless it is there.
    pub(crate) fn open(&mut self, draft: &mut Draft<'_>) {
        if self.past.view.has_system_prompt() {
            return;
        }
        let now = draft.env.now();
        let prompt = prompt::system_prompt(&self.copy, &self.config, self.toolbox.as_ref(), &now);
        self.record(draft, Source::Agent, EventBody::SystemPromptEvent(prompt));
        self.register_models(draft);
        if let Some(missing) = self.missing_tools.take() {
            let missing = draft.env.masked(&missing);
            self.hint(draft, &missing);
        }
    }

    /// Makes the stats name the models before their first call.
    pub(crate) fn register_models(&mut self, draft: &mut Draft<'_>) {
        let own = &self.config.llm;
        let condensers = self.condenser.iter().map(|condenser| &condenser.llm);
        let usage_to_model: Vec<(String, String)> = std::iter::once(own)
            .chain(condensers)
            .map(|llm| (llm.usage_id.clone(), llm.model.clone()))
            .collect();
        for (usage_id, model) in &usage_to_model {
            self.stats.register(usage_id, model);
        }
        draft.control(Control::Models { usage_to_model });
    }

    /// A hint of the server to the model.
    pub(crate) fn hint(&mut self, draft: &mut Draft<'_>, text: &str) {
        let body = MessageBody {
            llm_message: Message::new(Role::User, text),
            llm_response_id: None,
            activated_skills: Vec::new(),
            extended_content: Vec::new(),
            sender: None,
        };
        self.record(draft, Source::Environment, EventBody::MessageEvent(body));
    }
}
