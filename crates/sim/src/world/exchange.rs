//! Messages on subjects, and changes of buckets: who listens to what, and who waits for an answer.

use std::collections::BTreeMap;
use std::time::Duration;

use ports::feed::{Feed, Listener, feed};
use ports::{Change, Delivery, Error, Message, Parcel, Result, rpc};
use tokio::sync::oneshot;

use super::{NodeId, State, World};

/// What answers are sent to: a subject for each question.
const INBOX: &str = "_INBOX.sim.";

#[derive(Default)]
pub(super) struct Exchange {
    last: u64,
    subscribers: Vec<Subscriber>,
    watchers: Vec<Watcher>,
    waiting: BTreeMap<u64, (NodeId, oneshot::Sender<Result<Parcel>>)>,
    /// Calls that a node has taken and not answered, and since when.
    taken: BTreeMap<u64, (NodeId, String, Duration)>,
    /// When what a node has sent last arrives: nothing overtakes it.
    sent: BTreeMap<NodeId, Duration>,
    /// When what was sent to a node last arrives.
    arrivals: BTreeMap<NodeId, Duration>,
}

struct Subscriber {
    id: u64,
    node: NodeId,
    pattern: String,
    group: Option<String>,
    feed: Feed<Delivery>,
}

struct Watcher {
    id: u64,
    node: NodeId,
    bucket: String,
    feed: Feed<Change>,
    last: Duration,
}

impl Exchange {
    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub fn subscribe(
        &mut self,
        node: NodeId,
        pattern: &str,
        group: Option<&str>,
    ) -> (u64, Listener<Delivery>) {
        let ((feed, listener), id) = (feed(), self.number());
        let (pattern, group) = (pattern.to_owned(), group.map(str::to_owned));
        self.subscribers.push(Subscriber { id, node, pattern, group, feed });
        (id, listener)
    }

    pub fn watch(&mut self, node: NodeId, bucket: &str) -> (u64, Listener<Change>) {
        let ((feed, listener), id) = (feed(), self.number());
        self.watchers.push(Watcher { id, node, bucket: bucket.to_owned(), feed, last: Duration::ZERO });
        (id, listener)
    }

    pub fn leave(&mut self, id: u64) {
        self.subscribers.retain(|subscriber| subscriber.id != id);
        self.watchers.retain(|watcher| watcher.id != id);
    }

    /// A place for one answer.
    pub fn wait(&mut self, node: NodeId) -> (u64, oneshot::Receiver<Result<Parcel>>) {
        let ((sender, answer), number) = (oneshot::channel(), self.number());
        self.waiting.insert(number, (node, sender));
        (number, answer)
    }

    pub fn wait_no_more(&mut self, number: u64) {
        self.waiting.remove(&number);
    }

    /// Of a node that is over nobody hears any more.
    pub fn forget(&mut self, node: NodeId) {
        self.subscribers.retain(|subscriber| subscriber.node != node);
        self.watchers.retain(|watcher| watcher.node != node);
        self.waiting.retain(|_, (waiting, _)| *waiting != node);
        self.taken.retain(|_, (taking, ..)| *taking != node);
    }
}

impl State {
    /// Sends a message on behalf of a node; `reply`: the number of the place where its answer is waited for.
    pub(super) fn send(&mut self, from: NodeId, subject: &str, parcel: Parcel, reply: Option<u64>) {
        if let Some(number) = place_of(subject) {
            self.exchange.taken.remove(&number);
        }
        if self.was_killed(from) || self.network.is_cut_off(from, self.now) {
            return;
        }
        let (there, subject) = (self.on_its_way(from), subject.to_owned());
        self.after(there, move |world| world.lock().route(&subject, &parcel, reply));
    }

    /// How long what a node sends now is on its way: nothing overtakes what it has sent before.
    pub(super) fn on_its_way(&mut self, from: NodeId) -> Duration {
        let arrival = self.now + self.network.latency(from, self.now);
        let arrival = self.exchange.sent.get(&from).map_or(arrival, |last| arrival.max(*last));
        self.exchange.sent.insert(from, arrival);
        arrival.saturating_sub(self.now)
    }

    /// Hands a message to everybody whom it is for: to one of each group, and to all who have none.
    pub(super) fn route(&mut self, subject: &str, parcel: &Parcel, reply: Option<u64>) {
        if let Some(number) = place_of(subject) {
            return self.answer(number, Ok(parcel.clone()));
        }
        let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let mut receivers = Vec::new();
        for (place, subscriber) in self.exchange.subscribers.iter().enumerate() {
            if !matches(&subscriber.pattern, subject) {
                continue;
            }
            match &subscriber.group {
                Some(group) => groups.entry(group).or_default().push(place),
                None => receivers.push(place),
            }
        }
        for members in groups.values() {
            receivers.extend(members.get(self.rng.usize(..members.len())));
        }
        if receivers.is_empty()
            && let Some(reply) = reply
        {
            return self.answer(reply, Err(Error::NotFound));
        }
        for place in receivers {
            let Some(subscriber) = self.exchange.subscribers.get(place) else { continue };
            let (id, node) = (subscriber.id, subscriber.node);
            let arrival = self.now + self.network.latency(node, self.now);
            // To one connection all comes in the order in which it was sent.
            let last = self.exchange.arrivals.entry(node).or_default();
            *last = arrival.max(*last);
            let arrival = *last;
            let reply = reply.map(|number| format!("{INBOX}{number}"));
            let message = Message { subject: subject.to_owned(), parcel: parcel.clone(), reply };
            self.at(arrival, move |world| world.lock().hand_over(node, id, message));
        }
    }

    fn hand_over(&mut self, node: NodeId, id: u64, message: Message) {
        // Whoever ends in order hears of what is on its way to it still, and refuses that.
        if self.was_killed(node) || self.network.is_cut_off(node, self.now) {
            return;
        }
        let (reply, subject) = (message.reply.clone(), message.subject.clone());
        let subscriber = self.exchange.subscribers.iter().find(|subscriber| subscriber.id == id);
        let refusal = match subscriber.map(|subscriber| subscriber.feed.push(Delivery::Message(message))) {
            Some(Ok(())) => {
                if let Some(number) = reply.as_deref().and_then(place_of) {
                    self.exchange.taken.insert(number, (node, subject, self.now));
                }
                None
            }
            Some(Err(_)) => Some(rpc::overloaded()),
            None => Some(rpc::departed()),
        };
        self.ready.insert(node);
        if let (Some(refusal), Some(reply)) = (refusal, reply) {
            self.send(node, &reply, refusal, None);
        }
    }

    /// Tells whoever waits there.
    fn answer(&mut self, number: u64, outcome: Result<Parcel>) {
        let Some((node, waiting)) = self.exchange.waiting.remove(&number) else { return };
        if self.network.is_cut_off(node, self.now) {
            // It still waits, for nothing.
            self.exchange.waiting.insert(number, (node, waiting));
            return;
        }
        self.deliver(node, move || drop(waiting.send(outcome)));
    }

    /// Tells all who watch a bucket.
    pub(super) fn announce(&mut self, bucket: &str, change: &Change) {
        for place in 0..self.exchange.watchers.len() {
            let Some(watcher) = self.exchange.watchers.get_mut(place) else { continue };
            if watcher.bucket != bucket {
                continue;
            }
            let latency = self.network.latency(watcher.node, self.now);
            watcher.last = watcher.last.max(self.now + latency);
            let (id, node, arrival, change) = (watcher.id, watcher.node, watcher.last, change.clone());
            self.at(arrival, move |world| world.lock().tell(node, id, change));
        }
    }

    fn tell(&mut self, node: NodeId, id: u64, change: Change) {
        if self.network.is_cut_off(node, self.now) {
            return;
        }
        if let Some(watcher) = self.exchange.watchers.iter().find(|watcher| watcher.id == id) {
            // One that has no room says so by itself.
            let _ = watcher.feed.push(change);
            self.ready.insert(node);
        }
    }
}

impl World {
    /// Calls that nodes which are there have taken before a time and never answered.
    #[must_use]
    pub fn unanswered(&self, before: Duration) -> Vec<String> {
        let state = self.lock();
        let long = state.exchange.taken.values().filter(|(_, _, since)| *since < before);
        long.map(|(_, subject, since)| {
            format!("a call to {subject} of {since:?} was taken and is not answered")
        })
        .collect()
    }

    /// What a connection that is back says: something may have been missed.
    pub(super) fn tell_of_gaps(&self, node: NodeId) {
        let mut state = self.lock();
        if state.network.is_cut_off(node, state.now) {
            return;
        }
        for subscriber in state.exchange.subscribers.iter().filter(|subscriber| subscriber.node == node) {
            let _ = subscriber.feed.push(Delivery::Lagged);
        }
        for watcher in state.exchange.watchers.iter().filter(|watcher| watcher.node == node) {
            let _ = watcher.feed.push(Change::Lagged);
        }
        state.ready.insert(node);
    }
}

/// Where an answer is waited for.
fn place_of(subject: &str) -> Option<u64> {
    subject.strip_prefix(INBOX)?.parse().ok()
}

/// Whether a pattern covers a subject.
pub(super) fn matches(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for wanted in pattern.split('.') {
        match (wanted, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}
