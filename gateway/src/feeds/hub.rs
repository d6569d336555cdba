//! The sockets of each conversation, and the one task that feeds them all.
//!
//! ```text
//!   index ──folds──▶ tape ┐                      ┌─▶ outbox ──▶ socket
//!   log ──what is not on it┴─▶ tail ──▶ Room ──frame─┼─▶ outbox ──▶ socket
//!   bus ──pieces of answers──────▶┘   (one encoding) └─▶ outbox ──▶ socket, which does not read: closed with 1013
//! ```
//!
//! *States.* A conversation without sockets has no [`Room`], and costs nothing. The first socket that joins makes one,
//! starts the index's tape of its newest records, and starts the task `tail`. From then on that task alone moves the
//! room's position, record by record, and puts each record into all outboxes; a record is encoded once for each
//! protocol, however many sockets there are.
//!
//! *Joining without a gap.* A socket says up to which record it `has` got the log by itself. Joining and handing out take
//! the same lock, so the position that [`Seat`] carries divides the log in two: what is up to it the socket still reads
//! from the log, what is after it comes over the outbox. A record that both would bring is left out by `has`.
//!
//! *Slow sockets.* An outbox is bounded, and one that overflows ends its socket: it never makes the others wait, and
//! nothing is left out of a stream silently. Before that, the tail gives sockets that do read a moment to make way.
//!
//! *Who owns what.* Members are owned by the room under its lock; the lock is short and never held over an await. The
//! tail owns subscription and repeats. A seat is owned by its socket and leaves the room when it is dropped, however
//! the socket ended; that tells the tail to look whether anybody is left.
//!
//! *How it ends.* [`Hub::close`] gives the room up while no member is in it, with the map of rooms locked, so a socket
//! that joins at the same time either is found by it or makes the next room. A conversation that was deleted and made
//! anew under its id has another [`ConversationState`], and so another room. When the server stops the tail ends; the
//! sockets are told by their own loops.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use axum::extract::ws::Utf8Bytes;
use bytes::Bytes;
use control::Tasks;
use parking_lot::Mutex;
use ports::Ports;
use readmodel::followed::Taped;
use readmodel::history::{Shown, shown};
use readmodel::index::ConversationState;
use tokio::sync::Notify;
use types::calls::Live;
use types::{LogId, Seq};

use super::closing::Repeats;
use super::frames::Protocol;
use super::outbox::{Item, Outbox};
use super::tail;

/// All conversations with sockets. Cheap to clone.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    ports: Ports,
    tasks: Tasks,
    /// Sockets that one conversation may have.
    most: usize,
    rooms: Mutex<HashMap<LogId, Arc<Room>>>,
}

/// One conversation with sockets.
pub struct Room {
    pub entry: Arc<ConversationState>,
    /// Told when a socket leaves.
    pub left: Notify,
    members: Mutex<Members>,
    snapshot: Mutex<Option<Snapshot>>,
}

/// The value of a snapshot, and what it was made of.
struct Snapshot {
    version: (Seq, u64),
    value: Arc<str>,
}

struct Members {
    /// The last record that was handed out: who joins now gets those after it.
    position: Seq,
    events: Vec<Member>,
    sessions: Vec<Member>,
}

struct Member {
    outbox: Arc<Outbox>,
    /// Records up to here it has from the log.
    has: Seq,
}

/// A socket's place in its conversation; leaves it when dropped.
pub struct Seat {
    pub room: Arc<Room>,
    outbox: Arc<Outbox>,
    /// Records after this one come over the outbox.
    pub position: Seq,
}

impl Hub {
    /// Conversations are followed in `tasks`. `most`: sockets that one of them may have.
    #[must_use]
    pub fn new(ports: &Ports, tasks: &Tasks, most: usize) -> Self {
        let (ports, tasks) = (ports.clone(), tasks.clone());
        Self(Arc::new(Inner { ports, tasks, most, rooms: Mutex::default() }))
    }

    /// Joins the sockets of `entry`; from here on nothing is missed, and nothing up to `has` is sent again.
    /// `None` when there are too many.
    pub fn join(
        &self,
        entry: &Arc<ConversationState>,
        protocol: Protocol,
        outbox: Arc<Outbox>,
        has: Seq,
    ) -> Option<Seat> {
        let mut rooms = self.0.rooms.lock();
        let room = match rooms.get(&entry.log).filter(|room| Arc::ptr_eq(&room.entry, entry)) {
            Some(room) => room.clone(),
            None => {
                let room = Arc::new(Room::new(entry.clone()));
                rooms.insert(entry.log.clone(), room.clone());
                let Inner { ports, tasks, .. } = &*self.0;
                tasks.spawn(tail::run(ports.clone(), tasks.clone(), self.clone(), room.clone()));
                room
            }
        };
        let mut members = room.members.lock();
        if members.len() >= self.0.most {
            return None;
        }
        members.of(protocol).push(Member { outbox: outbox.clone(), has });
        let position = members.position;
        drop(members);
        Some(Seat { room, outbox, position })
    }

    /// Gives up a conversation that nobody listens to; `false` if somebody does.
    pub fn close(&self, room: &Arc<Room>) -> bool {
        let mut rooms = self.0.rooms.lock();
        if room.members.lock().len() > 0 {
            return false;
        }
        if rooms.get(&room.entry.log).is_some_and(|present| Arc::ptr_eq(present, room)) {
            rooms.remove(&room.entry.log);
        }
        room.entry.stop_tape();
        true
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.room.members.lock().remove(&self.outbox);
        self.room.left.notify_one();
    }
}

impl Members {
    fn len(&self) -> usize {
        self.events.len() + self.sessions.len()
    }

    fn of(&mut self, protocol: Protocol) -> &mut Vec<Member> {
        match protocol {
            Protocol::Events => &mut self.events,
            Protocol::Session => &mut self.sessions,
        }
    }

    fn remove(&mut self, outbox: &Arc<Outbox>) {
        self.events.retain(|member| !Arc::ptr_eq(&member.outbox, outbox));
        self.sessions.retain(|member| !Arc::ptr_eq(&member.outbox, outbox));
    }

    fn outboxes(&self) -> impl Iterator<Item = &Outbox> {
        self.events.iter().chain(&self.sessions).map(|member| &*member.outbox)
    }

    /// Sends a frame to all that do not have it: `seq` is the position of what it shows, if it is stored.
    fn send(&self, seq: Option<Seq>, encode: impl Fn(Protocol) -> Option<Utf8Bytes>) {
        for (members, protocol) in [(&self.events, Protocol::Events), (&self.sessions, Protocol::Session)] {
            if members.is_empty() {
                continue;
            }
            let Some(frame) = encode(protocol) else { continue };
            for member in members.iter().filter(|member| seq.is_none_or(|seq| seq > member.has)) {
                member.outbox.push(Item::Frame(frame.clone()));
            }
        }
    }
}

impl Room {
    fn new(entry: Arc<ConversationState>) -> Self {
        let position = entry.start_tape();
        let members = Members { position, events: Vec::new(), sessions: Vec::new() };
        Self { entry, left: Notify::new(), members: Mutex::new(members), snapshot: Mutex::default() }
    }

    pub fn position(&self) -> Seq {
        self.members.lock().position
    }

    /// Hands out stored records. Answers the repeats that are due after a run's end among them.
    pub fn hand_out(&self, records: &[Taped]) -> Option<Option<Repeats>> {
        let mut ended = None;
        let mut members = self.members.lock();
        let from = members.position;
        for record in records.iter().skip_while(|record| record.seq <= from) {
            match shown(&record.payload) {
                Shown::Event { n, text } => {
                    members.send(Some(record.seq), |protocol| protocol.stored(n, &text))
                }
                Shown::RunEnded => {
                    members.outboxes().for_each(|outbox| outbox.push(Item::Snapshot));
                    ended = Some(Repeats::after_run(&self.entry));
                }
                Shown::HeadMoved => members.outboxes().for_each(|outbox| outbox.push(Item::Snapshot)),
                Shown::Nothing => {}
            }
            members.position = record.seq;
        }
        ended
    }

    /// Hands out a piece of an answer that is being streamed.
    pub fn hand_out_live(&self, json: &Bytes) {
        match serde_json::from_slice::<Live>(json) {
            Ok(live) => self.members.lock().send(None, |protocol| protocol.live(&live)),
            Err(error) => tracing::debug!(%error, "a streamed piece cannot be read"),
        }
    }

    pub fn hand_out_snapshot(&self) {
        self.members.lock().outboxes().for_each(|outbox| outbox.push(Item::Snapshot));
    }

    /// Whether a socket is rather full, but was emptied since this was asked last.
    pub fn makes_way(&self) -> bool {
        // All are asked: asking notes what was asked about.
        self.members.lock().outboxes().filter(|outbox| outbox.makes_way()).count() > 0
    }

    /// The value of a `full_state` update as of now.
    pub fn snapshot(&self, conversations_path: &Path) -> Arc<str> {
        let version = self.entry.version();
        let mut kept = self.snapshot.lock();
        if let Some(kept) = &*kept
            && kept.version == version
        {
            return kept.value.clone();
        }
        let value: Arc<str> = self.entry.snapshot(conversations_path).into();
        // If a record came in between, the value is newer than its version, and is made again next time.
        *kept = Some(Snapshot { version, value: value.clone() });
        value
    }
}
