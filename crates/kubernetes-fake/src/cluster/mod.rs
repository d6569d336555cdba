//! All that the server knows, behind one lock: each request sees the objects as they were at one moment.

pub mod live;
pub mod state;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::watch;

use crate::kinds::{KNOWN, Kind};
use crate::settings::Settings;
use crate::status::Status;
pub use live::Live;
pub use state::{Change, Key, State, What};

pub struct Cluster {
    pub settings: Settings,
    pub kinds: Vec<Kind>,
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    /// What runs of pods, by uid.
    pub live: Mutex<HashMap<String, Arc<Live>>>,
    /// Who a token is.
    pub tokens: Mutex<HashMap<String, User>>,
    /// Nodes of which nothing is heard, and that hear nothing.
    pub lost: Mutex<HashSet<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub groups: Vec<String>,
}

impl User {
    /// May do everything.
    pub fn master() -> Self {
        Self { name: "kubernetes-admin".to_owned(), groups: vec!["system:masters".to_owned()] }
    }

    pub fn of_account(namespace: &str, account: &str) -> Self {
        Self {
            name: format!("system:serviceaccount:{namespace}:{account}"),
            groups: vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{namespace}"),
                "system:authenticated".to_owned(),
            ],
        }
    }

    pub fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == "system:masters")
    }
}

impl Cluster {
    pub fn new(settings: Settings) -> Self {
        let mut kinds = KNOWN.to_vec();
        kinds.extend(&settings.kinds);
        let state = Mutex::new(State::new(settings.history));
        Self {
            settings,
            kinds,
            state,
            changed: watch::Sender::new(0),
            live: Mutex::default(),
            tokens: Mutex::default(),
            lost: Mutex::default(),
        }
    }

    /// One step, seen by all at once.
    pub fn with<T>(&self, step: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        let before = state.version();
        let done = step(&mut state);
        if state.version() != before {
            self.changed.send_replace(state.version());
        }
        done
    }

    /// A step that leaves nothing behind where it is refused, or where it is only tried.
    pub fn attempt<T>(
        &self,
        is_trial: bool,
        step: impl FnOnce(&mut State) -> Result<T, Status>,
    ) -> Result<T, Status> {
        self.with(|state| {
            let before = state.version();
            let done = step(state);
            if is_trial || done.is_err() {
                state.undo(before);
            }
            done
        })
    }

    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Has those look again who wait for changes.
    pub fn nudge(&self) {
        self.changed.send_modify(|_| {});
    }

    pub fn kind(&self, group: &str, plural: &str) -> Kind {
        *self.kinds.iter().find(|kind| kind.is_of(group, plural)).expect("a known kind")
    }

    pub fn get(&self, kind: &Kind, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.with(|state| state.get(&Key::new(kind, namespace, name)).cloned())
    }
}
