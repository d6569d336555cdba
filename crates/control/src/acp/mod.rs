//! The models that agents behind the Agent Client Protocol offer, asked before a conversation is made with one.
//!
//! A worker starts the agent of the settings and asks it. That takes seconds, and clients ask often: what an agent has answered is
//! remembered for some minutes by what it was started with, and who asks the same meanwhile waits for the same answer. What
//! has failed is not remembered.

mod memory;
mod program;
mod providers;
mod question;
mod told;
mod values;

use std::sync::Arc;
use std::time::Duration;

use ports::rpc::{Fault, Reason};
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use types::TenantId;
use types::acp::{AcpDiscovery, AcpProgram};
use types::calls::AcpCall;

use crate::Refusal;
use crate::ground::Ground;
use crate::placement::{Creation, Workers};
use crate::slots::Slots;
use memory::{Key, Memory};
use question::Question;
use values::Values;

/// Agents of a tenant that are asked at one time; more are refused.
const MOST_AT_ONCE: usize = 4;
/// Questions of a tenant that wait for whatever it may be; more are refused.
const MOST_WAITING: usize = 32;
/// Those of all tenants on a server of one process, whose machine they share; how long one more waits for its turn.
const MOST_OF_ALL: usize = 8;
const TURN: Duration = Duration::from_secs(30);

/// An agent may take so long to start.
const LONGEST: Duration = Duration::from_secs(90);
/// What a worker takes beside that.
const AROUND: Duration = Duration::from_secs(15);
/// Where several ask the same they may wait for each other, and each of them in vain.
const WAITING: Duration = Duration::from_secs(4 * 60);

/// The models that agents behind the Agent Client Protocol offer. Cheap to clone.
#[derive(Clone)]
pub struct AcpModels {
    workers: Workers,
    values: Values,
    memory: Memory,
    slots: Slots,
    waiting: Slots,
    turns: Arc<Semaphore>,
}

impl AcpModels {
    pub(crate) fn new(ground: &Ground) -> Self {
        Self {
            workers: ground.workers.clone(),
            values: Values::new(ground),
            memory: Memory::default(),
            slots: Slots::new(MOST_AT_ONCE),
            waiting: Slots::new(MOST_WAITING),
            turns: Arc::new(Semaphore::new(MOST_OF_ALL)),
        }
    }

    /// Which models the agent of these settings offers. That it does not work is an answer, and no error. `own`: how the client
    /// calls this server, host and port.
    ///
    /// # Errors
    /// `Troubles`, `Unfit`; a fault where nobody can ask it now.
    pub async fn discover(&self, tenant: &TenantId, body: Value, own: &str) -> Result<AcpDiscovery, Refusal> {
        let _waiting = self.waiting.take(tenant)?;
        let question = Question::read(body)?;
        let mut secrets = self.values.of(tenant, &question.secrets, own).await?;
        self.values.add_kept_login(tenant, &question.settings, &mut secrets).await?;
        let patience = question.patience.min(LONGEST);
        let program = program::of(&question.settings, secrets)?;
        let key = Key::of(tenant, &program);
        let answer = self.memory.answer(&key, question.refresh);
        let asking = answer.get_or_try_init(|| self.ask(tenant, program, patience));
        let asked = timeout(WAITING, asking).await;
        let found = asked.map_err(|_| Fault::from(Reason::Overloaded))?.cloned();
        if !found.as_ref().is_ok_and(|found| found.error.is_none()) {
            self.memory.forget(&key, &answer);
        }
        found
    }

    async fn ask(
        &self,
        tenant: &TenantId,
        program: AcpProgram,
        patience: Duration,
    ) -> Result<AcpDiscovery, Refusal> {
        let _slot = self.slots.take(tenant)?;
        let _turn = match self.workers.placement().creation() {
            Creation::Complete => Some(self.turn().await?),
            Creation::BeforeItsWorker => None,
        };
        let sandbox = self.workers.placement().at(tenant, "").await?;
        let hidden = told::hidden(&program);
        let timeout_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        let call = AcpCall::Models { program, timeout_ms };
        let found: AcpDiscovery = self.workers.call_within(&sandbox, &call, patience + AROUND).await?;
        let switches = found.agent_name.as_deref().is_some_and(providers::switches_models);
        Ok(AcpDiscovery { supports_runtime_model_switch: switches, ..told::without(&hidden, found) })
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        let turn = timeout(TURN, self.turns.acquire()).await.map_err(|_| Fault::from(Reason::Overloaded))?;
        Ok(turn.map_err(|error| ports::Error::Internal(error.to_string()))?)
    }
}
