//! Who is in a world: each a process of its own that can be stopped, killed and started again.

use std::future::pending;
use std::time::Duration;

use futures_util::future::BoxFuture;
use nats::Adapter;
use ports::Ports;
use tokio::sync::oneshot;

use super::{Order, State, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(pub(super) usize);

/// What is to be done once it is over, and how it was.
pub type WhenOver = Box<dyn FnOnce(&World, Exit) + Send>;

/// What a node has of the world.
#[derive(Clone)]
pub struct Here {
    pub world: World,
    pub node: NodeId,
    /// Of the control plane.
    pub ports: Ports,
    /// What they are made of.
    pub adapter: Adapter,
}

/// What a node does.
pub type Start = Box<dyn FnOnce(Here) -> BoxFuture<'static, ()> + Send>;

/// How a node ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    ByItself,
    Killed,
}

pub(super) struct Node {
    pub name: String,
    pub exit: Option<Exit>,
    pub stopped_until: Option<Duration>,
    /// When it wants to be woken.
    pub timer: Option<Duration>,
    /// How far its wall clock is ahead.
    pub ahead_ms: i64,
    /// Until when something was wrong with it.
    pub ailed: Duration,
    /// Whether faults of nodes may choose it.
    pub is_fair_game: bool,
    pub when_over: Option<WhenOver>,
}

impl World {
    /// Puts somebody new into the world, who begins at once. `when_over` happens after its end.
    pub fn start<F>(
        &self,
        name: impl Into<String>,
        work: impl FnOnce(Here) -> F + Send + 'static,
        when_over: impl FnOnce(&Self, Exit) + Send + 'static,
    ) -> NodeId
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut state = self.lock();
        let (id, name) = (NodeId(state.nodes.len()), name.into());
        state.note(&format!("{name} starts"));
        let ahead_ms = state.rng.i64(-400..400);
        state.nodes.push(Node {
            name,
            exit: None,
            stopped_until: None,
            timer: None,
            ahead_ms,
            ailed: Duration::ZERO,
            is_fair_game: true,
            when_over: Some(Box::new(when_over)),
        });
        state.orders.push(Order::Start(id, Box::new(move |here| Box::pin(work(here)))));
        id
    }

    /// Has a node look at what has changed beside its ports.
    pub fn wake(&self, node: NodeId) {
        self.lock().ready.insert(node);
    }

    /// Whether nothing was wrong with a node since a time.
    #[must_use]
    pub fn is_innocent(&self, node: NodeId, since: Duration) -> bool {
        self.lock().nodes.get(node.0).is_some_and(|node| node.ailed <= since)
    }

    /// Whether nothing was wrong since a time with those who are there and are called so.
    #[must_use]
    pub fn are_innocent(&self, name: &str, since: Duration) -> bool {
        let state = self.lock();
        let is_well = |node: NodeId| state.nodes.get(node.0).is_none_or(|node| node.ailed <= since);
        state.called(name).into_iter().all(is_well)
    }

    /// Faults of nodes leave it alone.
    pub fn spare(&self, node: NodeId) {
        if let Some(node) = self.lock().nodes.get_mut(node.0) {
            node.is_fair_game = false;
        }
    }

    /// Ends a node without a last word.
    pub fn kill(&self, node: NodeId) {
        self.end(node, Exit::Killed);
    }

    /// It does nothing for a while.
    pub fn stop(&self, node: NodeId, lasts: Duration) {
        let mut state = self.lock();
        let until = state.now + lasts;
        let Some(stopped) = state.nodes.get_mut(node.0) else { return };
        stopped.stopped_until = stopped.stopped_until.max(Some(until));
        state.after(lasts, move |world| {
            let mut state = world.lock();
            let now = state.now;
            if let Some(node) = state.nodes.get_mut(node.0)
                && node.stopped_until.is_some_and(|until| until <= now)
            {
                node.stopped_until = None;
            }
            state.ready.insert(node);
        });
    }

    #[must_use]
    pub fn is_there(&self, node: NodeId) -> bool {
        self.lock().is_there(node)
    }

    pub(super) fn end(&self, id: NodeId, exit: Exit) {
        let when_over = {
            let mut state = self.lock();
            let Some(node) = state.nodes.get_mut(id.0).filter(|node| node.exit.is_none()) else { return };
            node.exit = Some(exit);
            let (name, when_over) = (node.name.clone(), node.when_over.take());
            state.note(&format!("{name} is over: {exit:?}"));
            state.exchange.forget(id);
            state.orders.push(Order::Kill(id));
            when_over
        };
        if let Some(when_over) = when_over {
            when_over(self, exit);
        }
    }
}

impl Here {
    /// Has something done outside of the node, and waits for what comes of it. Both take their time on the way.
    pub async fn outside<R: Send + 'static>(&self, act: impl FnOnce(&World) -> R + Send + 'static) -> R {
        let ((answer, answered), node) = (oneshot::channel(), self.node);
        {
            let mut state = self.world.lock();
            let now = state.now;
            let latency = state.network.latency(node, now);
            state.after(latency, move |world| {
                let outcome = act(world);
                world.lock().deliver(node, move || drop(answer.send(outcome)));
            });
        }
        match answered.await {
            Ok(outcome) => outcome,
            Err(_) => pending().await,
        }
    }
}

impl State {
    pub(super) fn is_there(&self, node: NodeId) -> bool {
        self.nodes.get(node.0).is_some_and(|node| node.exit.is_none())
    }

    pub(super) fn was_killed(&self, node: NodeId) -> bool {
        self.nodes.get(node.0).is_none_or(|node| node.exit == Some(Exit::Killed))
    }

    pub(super) fn may_run(&self, node: NodeId) -> bool {
        self.is_there(node) && self.nodes.get(node.0).is_some_and(|node| node.stopped_until.is_none())
    }

    /// Those who are there and are called so.
    pub(super) fn called(&self, name: &str) -> Vec<NodeId> {
        let is_meant = |node: &Node| node.exit.is_none() && node.name.starts_with(name);
        let nodes = self.nodes.iter().enumerate();
        nodes.filter(|(_, node)| is_meant(node)).map(|(id, _)| NodeId(id)).collect()
    }

    /// One of those whom a fault may befall.
    pub(super) fn victim(&self, whom: usize) -> Option<NodeId> {
        let is_victim =
            |id: &usize| self.nodes.get(*id).is_some_and(|node| node.is_fair_game && node.exit.is_none());
        let there: Vec<usize> = (0..self.nodes.len()).filter(is_victim).collect();
        there.get(whom.checked_rem(there.len())?).copied().map(NodeId)
    }
}
