//! Who may hold a connection before anybody knows who that is.
//!
//! A connection begins as that of a stranger. It stops to be one when a request on it is admitted: the guards say
//! so once they know the caller and its right, sockets when they have read a key or a token. Where no credentials
//! are asked for, every request of the API is admitted, and all of this only meets connections that never send
//! one.
//!
//! Strangers are bounded in number, over all and for each peer address. Where one more comes, the stranger who has
//! been here longest is cut off, of the same peer if that one has its fill, else of all. So a newcomer is always
//! heard: who means to call has sent its request within milliseconds, and who holds connections to hold them is
//! the oldest. A proxy is one peer; its connections are kept open and stop to be strange with the first call that
//! goes through.
//!
//! Where the connections of one address are bounded, those of strangers make way in the same manner: only who is known can
//! fill an address, and then a newcomer is told so.
//!
//! Strangers are also bounded in what they may say on an upgraded connection: a socket that is to name its key in
//! the first frame may send [`FIRST_WORDS`] bytes until it has.
//!
//! The seat of a connection lies in its input and output ([`Seated`]), not in the task that serves HTTP on it:
//! that task is over when a connection becomes a socket, and the seat has to be kept until the socket is closed.
//! A stranger is cut off in whatever its connection waits for: all that is read and written on it fails from then on.
//! Who is known, and does not take what it has asked for, is cut off when a write has waited too long. Everything
//! here is in memory and behind one lock, which is held for a few lookups and never over an await.

mod seated;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::config::Limits;
pub use seated::Seated;

/// Bytes that a socket may send before it has said who it is.
const FIRST_WORDS: usize = 8 * 1024;

/// All connections of a server.
pub struct Room {
    seats: Arc<Semaphore>,
    strangers: Arc<Strangers>,
    write_timeout: Duration,
}

/// The right to one connection, in whichever state.
pub type Ticket = OwnedSemaphorePermit;

/// What is known about the sender of a connection's requests; each of them carries it. Cheap to clone.
#[derive(Clone)]
pub struct Admission(Arc<Stranger>);

struct Strangers {
    most: usize,
    most_of_a_peer: usize,
    /// Also of those who are known.
    connections_of_a_peer: usize,
    present: Mutex<Present>,
}

/// Strangers in the order of their coming.
#[derive(Default)]
struct Present {
    next: u64,
    all: BTreeMap<u64, IpAddr>,
    by_peer: HashMap<IpAddr, BTreeMap<u64, CancellationToken>>,
    /// Also of those who are strangers no more, but not of who was cut off.
    connections: HashMap<IpAddr, usize>,
}

struct Stranger {
    number: u64,
    address: IpAddr,
    /// What the address counts as.
    peer: IpAddr,
    cut_off: CancellationToken,
    /// Whether known connections of the peer were its fill already.
    is_surplus: bool,
    /// Of all connections.
    seats: Arc<Semaphore>,
    among: Arc<Strangers>,
    /// Bytes that may still be read; all there are where it is `usize::MAX`.
    allowance: AtomicUsize,
    is_known: AtomicBool,
}

impl Room {
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        // Half of all connections stays for those that are known.
        let most = limits.strangers.min(limits.connections / 2).max(1);
        let strangers = Strangers {
            most,
            most_of_a_peer: limits.strangers_of_a_peer.clamp(1, most),
            connections_of_a_peer: limits.connections_of_a_peer,
            present: Mutex::default(),
        };
        Self {
            seats: Arc::new(Semaphore::new(limits.connections)),
            strangers: Arc::new(strangers),
            write_timeout: limits.write_timeout,
        }
    }

    /// Waits for room for one more connection.
    ///
    /// # Errors
    /// Never: the room is not closed.
    ///
    /// # Cancel safety
    /// Nothing is taken.
    pub async fn ticket(&self) -> Result<Ticket, AcquireError> {
        self.seats.clone().acquire_owned().await
    }

    /// Seats a connection as that of a stranger.
    pub fn seat<S>(&self, ticket: Ticket, stream: S, address: IpAddr) -> Seated<S> {
        let cut_off = CancellationToken::new();
        let peer = peer_of(address);
        let (number, is_surplus) = self.strangers.enter(peer, cut_off.clone());
        let (seats, among) = (self.seats.clone(), self.strangers.clone());
        let allowance = AtomicUsize::new(usize::MAX);
        let admission = Admission(Arc::new(Stranger {
            number,
            address,
            peer,
            cut_off: cut_off.clone(),
            is_surplus,
            seats,
            among,
            allowance,
            is_known: false.into(),
        }));
        Seated::new(stream, admission, cut_off, self.write_timeout, ticket)
    }
}

impl Admission {
    /// The caller is known from now on.
    pub fn prove(&self) {
        if self.0.is_known.swap(true, Ordering::Relaxed) {
            return;
        }
        self.0.among.leave(self.0.number);
        self.0.allowance.store(usize::MAX, Ordering::Relaxed);
    }

    /// Whose connection it is: an address, or a network that counts as one.
    pub fn peer(&self) -> IpAddr {
        self.0.peer
    }

    /// Whether known connections of the peer were its fill when this one came. Nobody becomes known on such a one.
    pub fn is_surplus(&self) -> bool {
        self.0.is_surplus
    }

    /// The right to one more connection, to hand on what was asked on this one; `None` where all are taken.
    pub fn one_more(&self) -> Option<Ticket> {
        self.0.seats.clone().try_acquire_owned().ok()
    }

    /// Whether the connection comes from this machine.
    pub fn is_of_loopback(&self) -> bool {
        self.0.address.to_canonical().is_loopback()
    }

    /// Nobody cuts off who is known.
    fn is_known(&self) -> bool {
        self.0.is_known.load(Ordering::Relaxed)
    }

    /// What is still to come must fit in a first frame, until the caller is known.
    pub fn expect_first_words(&self) {
        if self.is_known() {
            return;
        }
        self.0.allowance.store(FIRST_WORDS, Ordering::Relaxed);
    }
}

impl Strangers {
    /// Its number, and whether the peer has its fill of connections without it.
    fn enter(&self, peer: IpAddr, cut_off: CancellationToken) -> (u64, bool) {
        let mut present = self.present.lock();
        *present.connections.entry(peer).or_default() += 1;
        let number = present.next;
        present.next += 1;
        present.all.insert(number, peer);
        present.by_peer.entry(peer).or_default().insert(number, cut_off);
        let fills = |present: &Present| present.connections_of(peer) > self.connections_of_a_peer;
        if fills(&present) || present.strangers_of(peer) > self.most_of_a_peer {
            let oldest = present.oldest_of(peer);
            present.cut_off(oldest.filter(|&oldest| oldest != number));
        } else if present.all.len() > self.most {
            let oldest = present.all.first_key_value().map(|(&number, _)| number);
            present.cut_off(oldest);
        }
        (number, fills(&present))
    }

    fn leave(&self, number: u64) {
        self.present.lock().remove(number);
    }

    fn hang_up(&self, number: u64, peer: IpAddr, cut_off: &CancellationToken) {
        let mut present = self.present.lock();
        present.remove(number);
        if !cut_off.is_cancelled() {
            present.discount(peer);
        }
    }
}

impl Present {
    fn connections_of(&self, peer: IpAddr) -> usize {
        self.connections.get(&peer).copied().unwrap_or_default()
    }

    fn strangers_of(&self, peer: IpAddr) -> usize {
        self.by_peer.get(&peer).map_or(0, BTreeMap::len)
    }

    fn oldest_of(&self, peer: IpAddr) -> Option<u64> {
        self.by_peer.get(&peer)?.first_key_value().map(|(&number, _)| number)
    }

    /// From now on it does not count, though it may take a moment to be closed.
    fn cut_off(&mut self, number: Option<u64>) {
        let Some((number, peer)) = number.and_then(|number| Some((number, *self.all.get(&number)?))) else {
            return;
        };
        let Some(cut_off) = self.remove(number) else { return };
        cut_off.cancel();
        self.discount(peer);
    }

    fn discount(&mut self, peer: IpAddr) {
        if let Entry::Occupied(mut connections) = self.connections.entry(peer) {
            *connections.get_mut() -= 1;
            if *connections.get() == 0 {
                connections.remove();
            }
        }
    }

    fn remove(&mut self, number: u64) -> Option<CancellationToken> {
        let peer = self.all.remove(&number)?;
        let of_peer = self.by_peer.get_mut(&peer)?;
        let cut_off = of_peer.remove(&number);
        if of_peer.is_empty() {
            self.by_peer.remove(&peer);
        }
        cut_off
    }
}

impl Stranger {
    fn take(&self, bytes: usize) -> io::Result<()> {
        let allowance = self.allowance.load(Ordering::Relaxed);
        if allowance == usize::MAX {
            return Ok(());
        }
        let Some(left) = allowance.checked_sub(bytes) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "more than a first frame"));
        };
        // Unless the caller became known meanwhile.
        let taken = self.allowance.compare_exchange(allowance, left, Ordering::Relaxed, Ordering::Relaxed);
        taken.map(drop).or(Ok(()))
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.among.hang_up(self.number, self.peer, &self.cut_off);
    }
}

/// What counts as one peer. Who has one address of version 6 has the 64 bits below it too.
pub fn peer_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strangers(most: usize, most_of_a_peer: usize) -> Strangers {
        Strangers { most, most_of_a_peer, connections_of_a_peer: usize::MAX, present: Mutex::default() }
    }

    fn peer(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn enter(strangers: &Strangers, last: u8) -> CancellationToken {
        let cut_off = CancellationToken::new();
        strangers.enter(peer(last), cut_off.clone());
        cut_off
    }

    fn is_empty(strangers: &Strangers) -> bool {
        let present = strangers.present.lock();
        present.all.is_empty() && present.by_peer.is_empty() && present.connections.is_empty()
    }

    #[test]
    fn the_oldest_of_a_peer_that_has_its_fill_makes_way() {
        let strangers = strangers(10, 2);
        let (other, first, second) = (enter(&strangers, 1), enter(&strangers, 2), enter(&strangers, 2));
        assert!(!first.is_cancelled());
        enter(&strangers, 2);
        assert!(first.is_cancelled() && !second.is_cancelled() && !other.is_cancelled());
    }

    #[test]
    fn the_oldest_of_all_makes_way_when_there_are_too_many() {
        let strangers = strangers(3, 3);
        let tokens: Vec<_> = (0..5).map(|peer| enter(&strangers, peer)).collect();
        let cut_off: Vec<_> = tokens.iter().map(CancellationToken::is_cancelled).collect();
        assert_eq!(cut_off, [true, true, false, false, false]);
    }

    #[test]
    fn who_is_known_makes_way_for_nobody_and_leaves_nothing_behind() {
        let strangers = strangers(1, 1);
        let known = enter(&strangers, 1);
        strangers.leave(0);
        let other = enter(&strangers, 1);
        assert!(!known.is_cancelled());
        strangers.hang_up(0, peer(1), &known);
        assert_eq!(strangers.present.lock().connections.get(&peer(1)), Some(&1));
        strangers.hang_up(1, peer(1), &other);
        assert!(is_empty(&strangers));
    }

    #[test]
    fn only_who_is_known_fills_an_address() {
        let strangers = Strangers { connections_of_a_peer: 2, ..strangers(10, 10) };
        let come = || {
            let cut_off = CancellationToken::new();
            let (number, is_surplus) = strangers.enter(peer(1), cut_off.clone());
            (number, is_surplus, cut_off)
        };
        let all: Vec<_> = (0..5).map(|_| come()).collect();
        assert!(all.iter().all(|(_, is_surplus, _)| !is_surplus));
        let cut_off: Vec<_> = all.iter().map(|(_, _, cut_off)| cut_off.is_cancelled()).collect();
        assert_eq!(cut_off, [true, true, true, false, false]);
        strangers.leave(3);
        strangers.leave(4);
        let surplus = come();
        assert!(surplus.1 && !surplus.2.is_cancelled() && !all[3].2.is_cancelled());
        for (number, _, cut_off) in all.iter().chain([&surplus]) {
            strangers.hang_up(*number, peer(1), cut_off);
        }
        assert!(is_empty(&strangers));
    }

    #[test]
    fn who_comes_from_this_machine_is_told_from_its_neighbours_in_the_network() {
        let room = Room::new(&Limits::default());
        let is_of_loopback = |address: &str| {
            let ticket = room.seats.clone().try_acquire_owned().unwrap();
            room.seat(ticket, (), address.parse().unwrap()).admission().is_of_loopback()
        };
        assert!(["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"].into_iter().all(is_of_loopback));
        assert!(!["10.0.0.1", "::", "::2", "2001:db8::1"].into_iter().any(is_of_loopback));
    }

    #[test]
    fn all_addresses_of_a_network_of_version_6_are_one_peer() {
        let peer = |text: &str| peer_of(text.parse().unwrap());
        assert_eq!(peer("2001:db8::1"), peer("2001:db8::ffff:2"));
        assert_ne!(peer("2001:db8::1"), peer("2001:db8:0:1::1"));
        assert_eq!(peer("::ffff:10.0.0.1"), peer("10.0.0.1"));
    }
}
