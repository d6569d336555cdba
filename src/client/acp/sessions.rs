//! Sessions: each is a conversation of the server, and has one prompt under way at most.

use std::collections::HashMap;
use std::mem::take;
use std::sync::atomic::Ordering;

use futures_util::FutureExt;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::content;
use super::message::Refusal;
use super::modes::{Changes, Mode, Turn};
use super::prompt::{Ends, Permits, Prompt, Ready};
use super::stopping::Calls;
use super::wire::Wire;
use super::words::Teller;
use crate::client::agent::{AgentOptions, Model};
use crate::client::api::{Api, Error};
use crate::client::plain;
use crate::client::seen::Seen;
use crate::client::values::{list, text};

pub struct Sessions {
    api: Api,
    wire: Wire,
    agent: AgentOptions,
    model: Model,
    open: Mutex<HashMap<String, Session>>,
    stopping: TaskTracker,
}

#[derive(Default)]
struct Session {
    permits: Permits,
    changes: Changes,
    under_way: Option<UnderWay>,
    /// The editor needs it no more; a prompt that was cancelled may not be over yet.
    is_closed: bool,
}

impl Session {
    /// One that is not open yet.
    fn closed() -> Self {
        Self { is_closed: true, ..Self::default() }
    }

    /// Of the prompt that is not over yet.
    fn under_way(&self) -> Option<&UnderWay> {
        self.under_way.as_ref().filter(|prompt| !prompt.ended.is_cancelled())
    }

    /// Whether something of it is under way that another session of the same conversation comes after.
    fn is_needed(&self) -> bool {
        self.at_work().is_some() || self.changes.are_under_way()
    }

    /// Of the prompt of which something may run yet.
    fn at_work(&self) -> Option<&UnderWay> {
        self.under_way.as_ref().filter(|prompt| !prompt.ended.is_cancelled() || !prompt.rests.is_cancelled())
    }
}

/// A prompt, and what is left of it once it is over.
#[derive(Clone, Default)]
struct UnderWay {
    ended: CancellationToken,
    cancelled: CancellationToken,
    calls: Calls,
    rests: CancellationToken,
}

impl UnderWay {
    /// It is over, and nothing of it runs.
    async fn at_rest(&self) {
        self.ended.cancelled().await;
        self.rests.cancelled().await;
    }
}

/// A prompt that may begin: the session is taken until it is over.
pub struct Begun {
    prompt: Prompt,
    /// The modes are set, and nothing runs of an earlier one.
    ready: Ready,
    content: Value,
    _ended: DropGuard,
}

impl Begun {
    pub async fn run(self) -> Result<Value, Refusal> {
        self.prompt.run(self.ready, self.content).await
    }
}

impl Sessions {
    pub fn new(api: Api, wire: Wire, agent: AgentOptions, model: Model) -> Self {
        Self { api, wire, agent, model, open: Mutex::default(), stopping: TaskTracker::new() }
    }

    pub async fn make(&self, params: &Value) -> Result<Value, Refusal> {
        let folder = text(params, "/cwd");
        if !folder.starts_with('/') {
            return Err(Refusal::unfit("cwd must be an absolute path"));
        }
        let servers = servers(params);
        let body = self.agent.creation(&self.api, &self.model, Some(folder), servers).await;
        let body = body.map_err(|error| Refusal::failed(format!("{error:#}")))?;
        let info = self.api.post("/api/conversations", &body).await.map_err(|error| refusal(&error))?;
        let id = text(&info, "/id").to_owned();
        self.open.lock().insert(id.clone(), Session::default());
        Ok(json!({"sessionId": id, "modes": Mode::of(&info).as_json()}))
    }

    /// Tells all that was said and done before, then answers. `turn`: of [`Sessions::turn_to_open`].
    pub async fn load(&self, params: &Value, turn: Option<Turn>) -> Result<Value, Refusal> {
        let (id, mode) = self.found(params, turn).await?;
        let (mut teller, mut from) = (Teller::default(), String::new());
        loop {
            let path = format!("/api/conversations/{id}/events/search?limit=100{from}");
            let page = self.api.get(&path).await.map_err(|error| refusal(&error))?;
            for event in list(&page, "/items") {
                for update in teller.event(&Seen::of(event)) {
                    self.wire.update(id, update).await;
                }
            }
            match page.get("next_page_id").and_then(Value::as_str) {
                Some(next) => from = format!("&page_id={next}"),
                None => break,
            }
        }
        Ok(self.opened(id, mode))
    }

    /// Goes on with one of which the editor has all that was said.
    pub async fn resume(&self, params: &Value, turn: Option<Turn>) -> Result<Value, Refusal> {
        let (id, mode) = self.found(params, turn).await?;
        Ok(self.opened(id, mode))
    }

    /// The conversations of the server, what was changed last first; those in `cwd`, if it is given.
    pub async fn list(&self, params: &Value) -> Result<Value, Refusal> {
        let from = match text(params, "/cursor") {
            "" => String::new(),
            cursor if cursor.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:".contains(c)) => {
                format!("&page_id={cursor}")
            }
            _ => return Err(Refusal::unfit("cursor is none that was given out")),
        };
        let path = format!("/api/conversations/search?limit=100&sort_order=UPDATED_AT_DESC{from}");
        let page = self.api.get(&path).await.map_err(|error| refusal(&error))?;
        let folder = |info: &Value, pointer: &str| text(info, pointer).trim_end_matches('/').to_owned();
        let (wanted, is_any) = (folder(params, "/cwd"), text(params, "/cwd").is_empty());
        let is_wanted = |info: &&Value| is_any || folder(info, "/workspace/working_dir") == wanted;
        let sessions: Vec<Value> = list(&page, "/items").iter().filter(is_wanted).map(listed).collect();
        let mut answer = json!({ "sessions": sessions });
        let next = page.get("next_page_id").filter(|next| next.is_string());
        if let (Some(next), Some(fields)) = (next, answer.as_object_mut()) {
            fields.insert("nextCursor".to_owned(), next.clone());
        }
        Ok(answer)
    }

    /// From now on the session asks for other actions. Gives what tells the server so, after all that was wished before.
    pub fn set_mode(
        &self,
        params: &Value,
    ) -> Result<impl Future<Output = Result<Value, Refusal>> + Send + use<>, Refusal> {
        let (id, mode) = (text(params, "/sessionId"), text(params, "/modeId"));
        let mode = Mode::of_id(mode).ok_or_else(|| Refusal::unfit("There is no such mode"))?;
        let mut open = self.open.lock();
        let session = an_open_one(&mut open, id)?;
        // What was permitted once and for all is not what this mode is wished for, whether or not the server takes it.
        session.permits.store(false, Ordering::Relaxed);
        let (turn, api, id) = (session.changes.turn(), self.api.clone(), id.to_owned());
        Ok(async move {
            mode.set_in_turn(turn, &api, &id).await.map_err(|error| refusal(&error))?;
            Ok(json!({}))
        })
    }

    /// The editor needs it no more; it can be opened again.
    pub fn close(&self, params: &Value) -> Result<(), Refusal> {
        let mut open = self.open.lock();
        let session = an_open_one(&mut open, text(params, "/sessionId"))?;
        session.is_closed = true;
        if let Some(prompt) = session.under_way() {
            prompt.cancelled.cancel();
        }
        open.retain(|_, session| !session.is_closed || session.is_needed());
        Ok(())
    }

    /// Of a session that is to be opened where a mode is given for all: it has its place among what else the editor asks for.
    pub fn turn_to_open(&self, params: &Value) -> Option<Turn> {
        if !self.agent.confirm {
            return None;
        }
        let mut open = self.open.lock();
        open.retain(|_, session| !session.is_closed || session.is_needed());
        let session = open.entry(text(params, "/sessionId").to_owned()).or_insert_with(Session::closed);
        session.permits.store(false, Ordering::Relaxed);
        Some(session.changes.turn())
    }

    /// The conversation of a session, and what it asks for.
    async fn found<'a>(&self, params: &'a Value, mut turn: Option<Turn>) -> Result<(&'a str, Mode), Refusal> {
        if let Some(turn) = &mut turn {
            turn.comes().await;
        }
        let id = text(params, "/sessionId");
        if Uuid::parse_str(id).is_err() {
            return Err(Refusal::not_found(id));
        }
        if let Some(closing) = self.closing(id) {
            closing.at_rest().await;
        }
        let info = self.api.get(&format!("/api/conversations/{id}")).await;
        let info = info.map_err(|error| match error.status() {
            Some(404) => Refusal::not_found(id),
            _ => refusal(&error),
        })?;
        let Some(turn) = turn else { return Ok((id, Mode::of(&info))) };
        Mode::Always.set_in_turn(turn, &self.api, id).await.map_err(|error| refusal(&error))?;
        Ok((id, Mode::Always))
    }

    /// What is under way in a session that was closed.
    fn closing(&self, id: &str) -> Option<UnderWay> {
        let open = self.open.lock();
        open.get(id).filter(|session| session.is_closed)?.at_work().cloned()
    }

    fn opened(&self, id: &str, mode: Mode) -> Value {
        let mut open = self.open.lock();
        let session = open.entry(id.to_owned()).or_default();
        if session.is_closed {
            // What is under way goes on to its end.
            let (changes, under_way) = (take(&mut session.changes), session.under_way.take());
            *session = Session { changes, under_way, ..Session::default() };
        }
        json!({"modes": mode.as_json()})
    }

    /// Takes the session for a prompt, so that it can be cancelled from now on.
    ///
    /// # Errors
    /// Where there is no such session, or it is taken.
    pub fn begin(&self, params: &Value) -> Result<Begun, Refusal> {
        let id = text(params, "/sessionId");
        let content = content::of_prompt(params)?;
        let mut open = self.open.lock();
        let session = an_open_one(&mut open, id)?;
        if session.under_way().is_some() {
            return Err(Refusal::busy("A prompt of this session is under way"));
        }
        let under_way = UnderWay::default();
        let UnderWay { ended, cancelled, calls, rests } = under_way.clone();
        let earlier = session.under_way.replace(under_way);
        let ends = Ends { cancelled, calls, rests: rests.drop_guard(), stopping: self.stopping.clone() };
        let (api, wire, permits) = (self.api.clone(), self.wire.clone(), session.permits.clone());
        let prompt = Prompt::new(api, wire, id, permits, ends);
        let have_failed = session.changes.have_failed();
        let ready = async move {
            if have_failed.await {
                return Err(Refusal::failed("The mode could not be set: nothing was begun".to_owned()));
            }
            if let Some(earlier) = earlier {
                earlier.at_rest().await;
                // From now on a run is wanted.
                earlier.calls.give_up();
            }
            Ok(())
        };
        Ok(Begun { prompt, ready: ready.boxed(), content, _ended: ended.drop_guard() })
    }

    pub fn cancel(&self, session: &str) {
        if let Some(prompt) = self.open.lock().get(session).and_then(|session| session.under_way.as_ref()) {
            prompt.cancelled.cancel();
        }
    }

    /// The editor has gone: nobody waits for what is under way.
    pub fn cancel_all(&self) {
        let open = self.open.lock();
        open.values()
            .filter_map(|session| session.under_way.as_ref())
            .for_each(|prompt| prompt.cancelled.cancel());
    }

    /// Nothing runs any more of what was cancelled.
    pub async fn at_rest(&self) {
        self.stopping.close();
        self.stopping.wait().await;
    }
}

fn an_open_one<'a>(open: &'a mut HashMap<String, Session>, id: &str) -> Result<&'a mut Session, Refusal> {
    open.get_mut(id).filter(|session| !session.is_closed).ok_or_else(|| Refusal::not_found(id))
}

/// A conversation as the list of sessions has it.
fn listed(info: &Value) -> Value {
    json!({
        "sessionId": text(info, "/id"),
        "cwd": text(info, "/workspace/working_dir"),
        "title": plain::line(text(info, "/title")),
        "updatedAt": info.get("updated_at"),
    })
}

/// The servers of the Model Context Protocol that the editor has, as an agent's settings name them.
fn servers(params: &Value) -> Option<Value> {
    let pairs = |server: &Value, field: &str| -> Map<String, Value> {
        let pairs = list(server, field).iter();
        pairs.map(|pair| (text(pair, "/name").to_owned(), text(pair, "/value").into())).collect()
    };
    let of = |server: &Value| match text(server, "/url") {
        "" => {
            json!({"command": text(server, "/command"), "args": server.get("args"), "env": pairs(server, "/env")})
        }
        url => json!({"url": url, "transport": text(server, "/type"), "headers": pairs(server, "/headers")}),
    };
    let servers = list(params, "/mcpServers").iter();
    let servers: Map<String, Value> =
        servers.map(|server| (text(server, "/name").to_owned(), of(server))).collect();
    (!servers.is_empty()).then_some(Value::Object(servers))
}

pub fn refusal(error: &Error) -> Refusal {
    Refusal::failed(error.to_string())
}
