//! A trial itself: of a program in a worker, of a server on the network from here.

use std::time::Duration;

use ::mcp::oauth::State;
use ::mcp::{Challenge, Error, Remote, probe_remote};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};
use types::TenantId;
use types::calls::{McpCall, McpProbed};
use types::mcp::{McpFailure, McpFound, McpProgram, ToolResult};

use super::jobs::McpLogins;
use super::{Known, McpServers, Request, Tried, renewals};
use crate::Refusal;
use crate::shelf::{Expose, Sealing};

/// What a worker takes beside the trial: to start a program and to end it. Of a server on the network, to come and go.
const AROUND: Duration = Duration::from_secs(15);

/// Of what a worker says so much is told: it is not trusted.
const MOST_TOOLS: usize = 1_000;
const MOST_WORDS: usize = 1_000;
const MOST_TEXT: usize = 1 << 20;

/// Tokens that others have renewed before are taken so often: they may all be over, too, and the last of them is to be renewed.
const MOST_ROUNDS: usize = renewals::MOST + 1;

/// Why a server that is logged in to cannot be used.
pub(super) enum Unusable {
    /// It does not work.
    Fails(Error),
    /// Only a new login helps, of which it says this.
    AsksForLogin(Error, Box<Challenge>),
    /// Nobody can see to it now.
    Here(Refusal),
}

impl From<Error> for Unusable {
    fn from(why: Error) -> Self {
        Self::Fails(why)
    }
}

impl From<Refusal> for Unusable {
    fn from(refusal: Refusal) -> Self {
        Self::Here(refusal)
    }
}

impl From<ports::Error> for Unusable {
    fn from(error: ports::Error) -> Self {
        Self::Here(error.into())
    }
}

impl McpServers {
    pub(super) fn sealing(&self, tenant: &TenantId) -> Sealing<'_> {
        self.shelves.sealing::<McpLogins>(tenant)
    }

    pub(super) async fn try_program(
        &self,
        tenant: &TenantId,
        program: McpProgram,
        request: &Request,
    ) -> Result<Tried, Refusal> {
        let folder = program.cwd.clone().unwrap_or_default();
        let sandbox = self.workers.placement().at(tenant, &folder).await?;
        let call = McpCall::Probe {
            program,
            tool_call: request.tool_call.clone(),
            timeout_ms: u64::try_from(request.patience.as_millis()).unwrap_or(u64::MAX),
        };
        match self.workers.call_within(&sandbox, &call, request.patience * 2 + AROUND).await? {
            McpProbed::Found(found) => Ok(Tried::Found { found: bounded(found), oauth_state: None }),
            McpProbed::Failed(McpFailure { kind, error }) => {
                Ok(Tried::failed(McpFailure { kind, error: cut(error, MOST_WORDS) }))
            }
        }
    }

    pub(super) async fn try_remote(
        &self,
        tenant: &TenantId,
        remote: &Remote,
        request: &Request,
        known: &mut Known,
    ) -> Result<Tried, Refusal> {
        if !request.has_login() {
            let asked = probe_remote(&self.outbound, remote, request.tool_call.as_ref(), request.patience);
            return Ok(match asked.await {
                Ok(found) => Tried::Found { found, oauth_state: None },
                Err(error) => Tried::failed(&error),
            });
        }
        let before = State::of(&request.server);
        let (mut state, give_up) = (before.clone(), Instant::now() + request.patience * 2 + AROUND);
        match self.try_logged_in(tenant, remote, &mut state, request, known, give_up).await {
            Ok(found) => Ok(Tried::Found { found, oauth_state: self.told(tenant, &state)? }),
            Err(Unusable::Fails(why) | Unusable::AsksForLogin(why, _)) => {
                Ok(Tried::failed(&why).with_login(self.told_if_new(tenant, &before, &state)?))
            }
            Err(Unusable::Here(refusal)) => Err(refusal),
        }
    }

    /// With the token of a login, which is renewed where that is needed and possible: `state` is then the new one, also where
    /// the server does not work with that. Renewing is not cut off by the end of all waiting: what renews a token may be good
    /// once.
    ///
    /// # Errors
    /// Those of the trial, with the challenge where a new login is needed; those of the shelf.
    pub(super) async fn try_logged_in(
        &self,
        tenant: &TenantId,
        remote: &Remote,
        state: &mut State,
        request: &Request,
        known: &mut Known,
        give_up: Instant,
    ) -> Result<McpFound, Unusable> {
        let mut rounds = if state.refresh_token().is_some() { MOST_ROUNDS } else { 0 };
        loop {
            let mut remote = remote.clone();
            if let Some(token) = state.access_token() {
                remote.bear(token)?;
            }
            let asking = probe_remote(&self.outbound, &remote, request.tool_call.as_ref(), request.patience);
            let tried = timeout_at(give_up, asking).await;
            let challenge = match tried.unwrap_or(Err(Error::TooSlow(request.patience))) {
                Ok(found) => return Ok(found),
                Err(Error::Unauthorized(challenge)) => Box::new(challenge),
                Err(error) => return Err(error.into()),
            };
            if rounds == 0 {
                return Err(Unusable::AsksForLogin(Error::Unauthorized(*challenge.clone()), challenge));
            }
            rounds = match self.renewed(tenant, challenge.from, state).await {
                Ok((renewed, was_known)) => {
                    *state = renewed;
                    if was_known { rounds - 1 } else { 0 }
                }
                Err(Unusable::Fails(why)) => return Err(Unusable::AsksForLogin(why, challenge)),
                Err(other) => return Err(other),
            };
            known.learn(state);
        }
    }

    /// What a login has come to, where it is not what it was.
    pub(super) fn told_if_new(
        &self,
        tenant: &TenantId,
        before: &State,
        now: &State,
    ) -> Result<Option<Value>, Refusal> {
        if before == now { Ok(None) } else { self.told(tenant, now) }
    }

    /// What a login has come to, as clients may carry it.
    pub(super) fn told(&self, tenant: &TenantId, state: &State) -> Result<Option<Value>, Refusal> {
        let (form, sealing) = (forms::mcp_server(), self.sealing(tenant));
        let mut server = logged_in(&json!({"auth": {"strategy": "oauth2"}}), state);
        form.map_secrets(&mut server, &mut |_, text| sealing.seal(text).into());
        sealing.show(form, &mut server, Expose::Encrypted)?;
        let state = server.pointer_mut("/auth/state").map(Value::take);
        Ok(state.filter(|state| state.get("tokens").is_some()))
    }
}

fn bounded(found: McpFound) -> McpFound {
    let tools = found.tools.into_iter().take(MOST_TOOLS).filter(|tool| tool.len() <= MOST_WORDS).collect();
    let result = |result: ToolResult| ToolResult { text: cut(result.text, MOST_TEXT), ..result };
    McpFound { tools, tool_result: found.tool_result.map(result) }
}

fn cut(mut text: String, most: usize) -> String {
    text.truncate(text.floor_char_boundary(most));
    text
}

/// The server with what a login has come to.
pub(super) fn logged_in(server: &Value, state: &State) -> Value {
    let mut server = server.clone();
    let mut state = serde_json::to_value(state).unwrap_or_default();
    for part in ["tokens", "client_info"] {
        if let Some(part) = state.get_mut(part).and_then(Value::as_object_mut) {
            part.retain(|_, value| !value.is_null());
        }
    }
    if let Some(auth) = server.get_mut("auth").and_then(Value::as_object_mut) {
        auth.insert("state".to_owned(), state);
    }
    server
}
