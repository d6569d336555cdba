//! What an actor does with each command.

use std::collections::BTreeMap;
use std::sync::Arc;

use agent::{Input, Refusal};
use ports::mutants::{self, Mutant};
use ports::rpc::{Code, Fault, Reason};
use serde_json::Value;
use tracing::Instrument;
use types::agent::LlmConfig;
use types::calls::{Command, Once};
use types::content::joined_text;
use types::conversation::Status;
use types::secrets::SecretSource;

use super::actor::{Actor, End, RunSlot};
use super::registry::{Reply, Request};

const WAITING: &str = "Actions of this conversation wait for confirmation. Confirm or reject them first.";
const OTHERS_WAIT: &str =
    "Not these actions wait for confirmation, or not these alone. Look at what waits, and answer that.";

/// Questions beside the run that may be under way at once.
const SIDES: usize = 4;

impl Actor {
    pub(super) async fn obey(&mut self, request: Request) -> Result<(), End> {
        if !self.agent.life().may_be(&request.life) {
            request.refuse(Reason::Missing.into());
            return Ok(());
        }
        if self.lacks_tools_for(&request.command) {
            self.equip_for(request);
            return Ok(());
        }
        let Request { command, reply, span, .. } = request;
        self.execute(command, reply).instrument(span).await
    }

    async fn execute(&mut self, command: Command, reply: Reply) -> Result<(), End> {
        match command {
            Command::Message { message, sender, run, once, only_with_slot } => {
                if self.has_been_told(once.as_ref()) {
                    return self.accept(reply);
                }
                if run && only_with_slot && !self.take_slot() {
                    let _ = reply.send(Err(Reason::RunLimit.into()));
                    return Ok(());
                }
                let text = joined_text(&message.content);
                let input = Input::Message { message, sender, id: once.map(|once| once.id) };
                self.message(input, &text, run, reply).await
            }
            Command::Run { first: true } if self.agent.status() != Status::Idle => self.accept(reply),
            Command::Run { .. } => self.start(Input::Run, reply).await,
            Command::Respond { accept, reason, actions } => {
                let input = Input::Respond { accept, reason, actions };
                if accept { self.start(input, reply).await } else { self.take(input, reply).await }
            }
            Command::Pause {} => {
                self.let_nothing_wait_to_run();
                self.take(Input::Pause, reply).await
            }
            Command::Interrupt {} => self.interrupt(reply).await,
            Command::SetConfirmationPolicy { policy } => {
                self.take(Input::SetConfirmationPolicy(policy), reply).await
            }
            Command::SetSecurityAnalyzer { analyzer } => {
                self.take(Input::SetSecurityAnalyzer(analyzer), reply).await
            }
            Command::SetTags { tags } => self.take(Input::SetTags(tags), reply).await,
            Command::Condense {} => self.take(Input::Condense, reply).await,
            Command::AddSecrets { secrets } => self.add_secrets(secrets, reply).await,
            Command::SwitchLlm { llm } => self.switch_llm(llm, reply).await,
            Command::Ask { question } => self.ask(&question, reply),
            Command::StartGoal { objective, max_iterations, once } => {
                if self.has_been_told(once.as_ref()) {
                    return self.accept(reply);
                }
                let (text, id) = (objective.clone(), once.map(|once| once.id));
                let rested = !self.agent.is_running();
                self.start(Input::StartGoal { objective, max_iterations, id }, reply).await?;
                if rested && self.agent.is_running() {
                    self.name_after(&text);
                }
                Ok(())
            }
            Command::StopGoal {} => self.take(Input::StopGoal, reply).await,
            Command::ResumeGoal {} => self.start(Input::ResumeGoal, reply).await,
            Command::Navigate { event } => self.navigate(event, reply).await,
            Command::Wake {} => self.accept(reply),
            // Deleting goes through the registry, past the commands that wait.
            Command::Forget { .. } | Command::Forgotten { .. } => Err(End::Forgotten),
        }
    }

    /// Performs an input and answers once its records are stored.
    pub(super) async fn take(&mut self, input: Input, reply: Reply) -> Result<(), End> {
        match self.agent.handle(input, &mut self.env()) {
            Ok(effects) => {
                self.answering = Some(reply);
                self.perform(effects).await?;
                self.answer(None);
            }
            Err(refusal) => refuse(reply, refusal),
        }
        Ok(())
    }

    async fn message(&mut self, input: Input, text: &str, run: bool, reply: Reply) -> Result<(), End> {
        let mut effects = match self.agent.handle(input, &mut self.env()) {
            Ok(effects) => effects,
            Err(refusal) => {
                refuse(reply, refusal);
                self.free_slot();
                return Ok(());
            }
        };
        let mut fault = None;
        if run {
            if self.take_slot() {
                match self.agent.handle(Input::Run, &mut self.env()) {
                    Ok(more) => effects.extend(more),
                    Err(Refusal::AlreadyRunning) => {}
                    Err(refusal) => fault = Some(fault_of(refusal)),
                }
            } else {
                fault = Some(Reason::MessageSaved.into());
            }
        }
        self.answering = Some(reply);
        self.perform(effects).await?;
        self.answer(fault);
        self.name_after(text);
        Ok(())
    }

    /// Starts a run with `input`, or goes on with one that is about to pause.
    async fn start(&mut self, input: Input, reply: Reply) -> Result<(), End> {
        if !self.take_slot() {
            let _ = reply.send(Err(Reason::RunLimit.into()));
            return Ok(());
        }
        let taken = self.take(input, reply).await;
        self.free_slot();
        taken
    }

    /// Interrupts and answers when the run has ended.
    async fn interrupt(&mut self, reply: Reply) -> Result<(), End> {
        self.let_nothing_wait_to_run();
        match self.agent.handle(Input::Interrupt, &mut self.env()) {
            Ok(effects) => {
                self.interrupts.push(reply);
                self.perform(effects).await?;
            }
            Err(refusal) => refuse(reply, refusal),
        }
        Ok(())
    }

    async fn add_secrets(
        &mut self,
        secrets: BTreeMap<String, SecretSource>,
        reply: Reply,
    ) -> Result<(), End> {
        self.kept.secrets.add(secrets).await;
        self.accept(reply)
    }

    async fn switch_llm(&mut self, llm: Value, reply: Reply) -> Result<(), End> {
        let Ok(llm) = serde_json::from_value::<LlmConfig>(llm) else {
            refuse(reply, Refusal::Invalid("llm: a field has the wrong type".to_owned()));
            return Ok(());
        };
        self.model_broken = false;
        let vision = llm::supports_vision(&llm);
        self.take(Input::SwitchLlm { llm, vision }, reply).await
    }

    fn ask(&mut self, question: &str, reply: Reply) -> Result<(), End> {
        if self.sides >= SIDES {
            let _ = reply.send(Err(Reason::Overloaded.into()));
            return Ok(());
        }
        self.start_question(self.agent.ask(question), reply);
        Ok(())
    }

    /// Whether the log has the message of an earlier call that was the same.
    fn has_been_told(&self, once: Option<&Once>) -> bool {
        let is_forgotten = mutants::is(Mutant::AskedAgain);
        once.is_some_and(|once| once.again && !is_forgotten && self.agent.has_message(&once.id))
    }

    fn accept(&mut self, reply: Reply) -> Result<(), End> {
        let _ = reply.send(Ok(self.position()));
        Ok(())
    }

    fn answer(&mut self, fault: Option<Fault>) {
        let Some(reply) = self.answering.take() else { return };
        let _ = reply.send(fault.map_or_else(|| Ok(self.position()), Err));
    }

    /// Whether this conversation may run: it holds a run slot (as it does while it runs) or gets one.
    fn take_slot(&mut self) -> bool {
        if self.slot.is_none() {
            let permit = Arc::clone(&self.shared.guards.slots).try_acquire_owned().ok();
            let work = &self.shared.config.work;
            self.slot = permit.map(|permit| RunSlot::taken(permit, self.seat.id, work));
        }
        self.slot.is_some()
    }
}

pub(super) fn refuse(reply: Reply, refusal: Refusal) {
    let _ = reply.send(Err(fault_of(refusal)));
}

fn fault_of(refusal: Refusal) -> Fault {
    match refusal {
        Refusal::AlreadyRunning => Reason::AlreadyRunning.into(),
        Refusal::AwaitsConfirmation => Fault::new(Code::Conflict, WAITING),
        Refusal::OthersWait => Fault::new(Code::Conflict, OTHERS_WAIT),
        Refusal::Invalid(why) => Fault::new(Code::Invalid, why),
    }
}
