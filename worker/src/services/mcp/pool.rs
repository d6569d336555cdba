//! The servers that conversations use. One program serves all conversations of the sandbox that describe it in the same way, for
//! as long as one of them has tools of it.
//!
//! ```text
//!   conversation ── Lease ──┐
//!   conversation ── Lease ──┴──▶ Slot: resting ⇄ running (program, session)     the last lease ends the program
//! ```
//!
//! A program that has ended is started again by the next call; a call that was under way is not made again, as nobody knows what
//! became of it.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::{Arc, Weak};
use std::time::Duration;

use ::mcp::{Answer, Error, Listed, Session};
use jsonrpc::Handle;
use parking_lot::Mutex;
use serde_json::{Map, Value};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::mcp::McpProgram;

use super::complaints::Complaints;
use super::start::{Starter, why_not};
use crate::services::program::Program;

/// Bytes of one message of a server.
const MOST_MESSAGE: usize = 8 << 20;
/// How long a program may take to answer at all; some are fetched before they are started.
const STARTING: Duration = Duration::from_secs(30);
/// How long a program may take to end by itself, once its input has ended.
const GRACE: Duration = Duration::from_secs(2);

/// The servers of a sandbox. Cheap to clone.
#[derive(Clone)]
pub struct Servers(Arc<Inner>);

struct Inner {
    starter: Starter,
    slots: Mutex<HashMap<McpProgram, Weak<Slot>>>,
    tracker: TaskTracker,
    shutdown: CancellationToken,
}

/// The right to use a server.
pub(crate) struct Lease(Arc<Slot>);

struct Slot {
    program: McpProgram,
    state: tokio::sync::Mutex<Option<Running>>,
    /// As the state has it, for those who must not wait.
    connection: Mutex<Option<Handle>>,
    servers: Servers,
}

struct Running {
    session: Session<Handle>,
    handle: Handle,
    program: Program,
    complaints: Complaints,
}

impl Servers {
    pub(super) fn new(starter: Starter, tracker: TaskTracker, shutdown: CancellationToken) -> Self {
        let servers = Self(Arc::new(Inner { starter, slots: Mutex::default(), tracker, shutdown }));
        servers.0.tracker.spawn({
            let servers = servers.clone();
            async move {
                servers.0.shutdown.cancelled().await;
                servers.end_all().await;
            }
        });
        servers
    }

    /// Starts nothing yet.
    pub(crate) fn lease(&self, program: McpProgram) -> Lease {
        let mut slots = self.0.slots.lock();
        if let Some(slot) = slots.get(&program).and_then(Weak::upgrade) {
            return Lease(slot);
        }
        let slot = Arc::new(Slot {
            program: program.clone(),
            state: tokio::sync::Mutex::default(),
            connection: Mutex::default(),
            servers: self.clone(),
        });
        slots.insert(program, Arc::downgrade(&slot));
        Lease(slot)
    }

    async fn end_all(&self) {
        let slots: Vec<_> = self.0.slots.lock().values().filter_map(Weak::upgrade).collect();
        let ending = slots.iter().map(|slot| async {
            if let Some(running) = slot.state.lock().await.take() {
                running.end().await;
            }
        });
        futures_util::future::join_all(ending).await;
    }
}

impl Lease {
    /// The tools of the server, which is started if it does not run.
    ///
    /// # Errors
    /// Why there are none, in words for a user.
    pub(crate) async fn tools(&self) -> Result<Vec<Listed>, String> {
        let (mut session, complaints) = self.0.session().await?;
        session.tools().await.map_err(|error| complaints.beside(&error))
    }

    /// # Errors
    /// Why there is no answer, in words for a model.
    pub(crate) async fn call(&self, tool: &str, arguments: &Map<String, Value>) -> Result<Answer, String> {
        let (mut session, complaints) = self.0.session().await?;
        session.call(tool, arguments).await.map_err(|error| {
            let said = complaints.beside(&error);
            match error {
                Error::Ended => format!("{said} Whether the call has done anything is unknown."),
                _ => said,
            }
        })
    }

    /// Whether its program runs.
    pub(crate) fn is_live(&self) -> bool {
        self.0.connection.lock().as_ref().is_some_and(|connection| !connection.is_over())
    }
}

impl Slot {
    /// A session with the program, started by the first who asks; others wait.
    async fn session(&self) -> Result<(Session<Handle>, Complaints), String> {
        let mut state = self.state.lock().await;
        if let Some(running) = state.as_ref().filter(|running| !running.handle.is_over()) {
            return Ok((running.session.clone(), running.complaints.clone()));
        }
        if let Some(ended) = state.take() {
            ended.end().await;
        }
        let servers = &self.servers.0;
        if servers.shutdown.is_cancelled() {
            return Err("The sandbox stops.".to_owned());
        }
        let running = Running::start(&servers.starter, &self.program).await?;
        *self.connection.lock() = Some(running.handle.clone());
        let session = (running.session.clone(), running.complaints.clone());
        *state = Some(running);
        Ok(session)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let servers = &self.servers.0;
        // Another one may have its place already.
        servers.slots.lock().retain(|_, slot| slot.strong_count() > 0);
        if let Some(running) = self.state.get_mut().take() {
            servers.tracker.spawn(running.end());
        }
    }
}

impl Running {
    async fn start(starter: &Starter, program: &McpProgram) -> Result<Self, String> {
        let started = starter.start(program, Stdio::piped());
        let mut program = started.map_err(|error| why_not(&error).to_owned())?;
        let complaints = Complaints::of(program.complaints());
        let (output, input) = program.pipes().map_err(|error| why_not(&error).to_owned())?;
        let handle = jsonrpc::open(output, input, MOST_MESSAGE);
        let opened = timeout(STARTING, Session::open(handle.clone())).await;
        let error = match opened {
            Ok(Ok(session)) => return Ok(Self { session, handle, program, complaints }),
            Ok(Err(error)) => complaints.beside(&error),
            Err(_) => format!("The server has not answered within {} seconds.", STARTING.as_secs()),
        };
        program.end(Duration::ZERO).await;
        Err(error)
    }

    async fn end(self) {
        let Self { session, handle, program, .. } = self;
        // Its input ends with these.
        drop((session, handle));
        program.end(GRACE).await;
    }
}
