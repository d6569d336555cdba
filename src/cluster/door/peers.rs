//! Who is at the door: as many connections as a worker needs, for each sandbox.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::net::UnixStream;

/// Connections of one sandbox: that of its worker, those that it makes anew, and those of an incarnation before it.
pub const MOST: usize = 16;

/// The connections there are, by whose they are.
#[derive(Clone, Default)]
pub struct Peers(Arc<Mutex<HashMap<String, usize>>>);

/// One of them, until it is dropped.
pub struct Place {
    peers: Peers,
    group: Option<String>,
}

impl Peers {
    /// `None` where its sandbox has as many as it may have, or whoever connected is gone already.
    pub fn admit(&self, connection: &UnixStream) -> Option<Place> {
        // In another namespace of processes nobody is seen: then there are only the places of all.
        let Some(pid) = connection.peer_cred().ok()?.pid().filter(|pid| *pid > 0) else {
            return Some(Place { peers: self.clone(), group: None });
        };
        // That of its container.
        let group = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let mut all = self.0.lock();
        let held = all.entry(group.clone()).or_default();
        if *held >= MOST {
            return None;
        }
        *held += 1;
        Some(Place { peers: self.clone(), group: Some(group) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(group) = &self.group else { return };
        let mut all = self.peers.0.lock();
        let Some(held) = all.get_mut(group) else { return };
        *held -= 1;
        if *held == 0 {
            all.remove(group);
        }
    }
}
