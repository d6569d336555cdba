//! A trial itself: of a program in a worker, of a server on the network from here.

use std::time::Duration;

use ::mcp::oauth::{State, refresh};
use ::mcp::{Challenge, Error, Remote, probe_remote};
use serde_json::{Value, json};
use types::TenantId;
use types::calls::{McpCall, McpProbed};
use types::mcp::{McpFound, McpProgram};

use super::jobs::McpLogins;
use super::{Known, McpServers, Request, Tried};
use crate::Refusal;
use crate::shelf::{Expose, Sealing};

/// What a worker takes beside the trial: to start a program and to end it.
const AROUND: Duration = Duration::from_secs(15);

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
            McpProbed::Found(found) => Ok(Tried::Found { found, oauth_state: None }),
            McpProbed::Failed(failure) => Ok(Tried::Failed(failure)),
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
                Err(error) => Tried::Failed((&error).into()),
            });
        }
        match self.try_logged_in(remote, State::of(&request.server), request, known).await {
            Ok((found, state)) => self.found(tenant, found, &state),
            Err(error) => Ok(Tried::Failed((&error).into())),
        }
    }

    /// With the token of a login, which is renewed where that is needed and possible.
    ///
    /// # Errors
    /// `Unauthorized` where a new login is needed; those of the trial.
    pub(super) async fn try_logged_in(
        &self,
        remote: &Remote,
        mut state: State,
        request: &Request,
        known: &mut Known,
    ) -> Result<(McpFound, State), Error> {
        let mut may_renew = state.refresh_token().is_some();
        if state.is_over() && may_renew {
            state = self.renewed(remote, &state).await?;
            known.learn(&state);
            may_renew = false;
        }
        loop {
            let mut remote = remote.clone();
            if let Some(token) = state.access_token() {
                remote.bear(token)?;
            }
            let tool_call = request.tool_call.as_ref();
            match probe_remote(&self.outbound, &remote, tool_call, request.patience).await {
                Err(Error::Unauthorized(_)) if may_renew => {
                    state = self.renewed(&remote, &state).await?;
                    known.learn(&state);
                    may_renew = false;
                }
                tried => return tried.map(|found| (found, state)),
            }
        }
    }

    /// # Errors
    /// `Unauthorized` where the provider does not renew it.
    async fn renewed(&self, remote: &Remote, state: &State) -> Result<State, Error> {
        refresh(&self.outbound, &remote.url, state).await.map_err(|error| match error {
            Error::Login(_) => Error::Unauthorized(Challenge::default()),
            other => other,
        })
    }

    /// What was found, with what the login has come to as clients may carry it.
    pub(super) fn found(&self, tenant: &TenantId, found: McpFound, state: &State) -> Result<Tried, Refusal> {
        let (form, sealing) = (forms::mcp_server(), self.sealing(tenant));
        let mut server = logged_in(&json!({"auth": {"strategy": "oauth2"}}), state);
        form.map_secrets(&mut server, &mut |_, text| sealing.seal(text).into());
        sealing.show(form, &mut server, Expose::Encrypted)?;
        let state = server.pointer_mut("/auth/state").map(Value::take);
        let oauth_state = state.filter(|state| state.get("tokens").is_some());
        Ok(Tried::Found { found, oauth_state })
    }
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
