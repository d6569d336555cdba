//! A server that was started without its settings, and waits for them.
//!
//! Who keeps servers warm does not know yet whom they will serve: keys, paths and whatever else belongs to a user come
//! later, with `POST /api/init`. Until then the server is *dormant*. It answers probes, says what it is and in what state, shows its
//! documents, and is 503 for all else; sockets are refused. Nothing of it runs: no store is open, no worker has begun.
//!
//! ```text
//! dormant ──POST /api/init──▶ initializing ──it can start──▶ ready
//!    ▲                             │
//!    ├──── it cannot be meant ─────┤   the call is answered 422 and why, `error` only that it was refused
//!    └───── nothing of it runs ────┤   500; `error` says that the server cannot start
//!                                  └─ parts of it run, and not all can: 500, and the process ends
//! ```
//!
//! Three parties take part. The **routes** see calls and decide whether one may be made: they hold the state
//! behind a lock that is never held over an await, move it to *initializing*, and hand the call over. Of such calls there is
//! one at a time, so the queue has one place. Whoever started the server takes it as [`Asked`], tries to start what was asked
//! for, and says what came of it; only that moves the state on. The **reception** is the one that a server has, with
//! other routes: bounds on connections, heads and time are the same, and so are the rules for pages.
//!
//! The listener is handed over, never opened twice. [`Waiting::end`] first stops accepting, and then says "ready": a client
//! that has read this and connects is waited for by the listener, and answered by the server that now gets it. Connections
//! that are open end after the answer that is under way, so that nobody keeps one to a server that is no more.
//!
//! A client that does not wait for the answer changes nothing: what it asked for is begun all the same, and
//! `GET /api/init` tells. Should the server be stopped meanwhile, calls are answered 503, also one that is under way. What is told
//! may hold secrets, also where it is refused, and `GET /api/init` asks for no key: so a sentence about it goes to who told it.

mod routes;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use control::Tasks;
use control::placement::Runtimes;

use crate::edge::Edge;
use crate::handles::About;
use crate::ingress::Ingress;
use crate::offer::{Offer, Offered};
use crate::server::{Checked, Reception};
use routes::{Became, Dormant};

pub use crate::schema::init::InitRequest;

/// A server that waits, and listens.
pub struct Waiting {
    reception: Reception,
    abort: CancellationToken,
    asks: mpsc::Receiver<Asked>,
    accepting: JoinHandle<TcpListener>,
}

/// A call that tells the settings. It is answered when what came of it is said.
pub struct Asked {
    request: InitRequest,
    dormant: Dormant,
    answer: oneshot::Sender<Became>,
}

impl Waiting {
    /// Begins to answer on `listener`, until `stop`. Of the configuration, who may call counts, and the bounds.
    #[must_use]
    pub fn on(listener: TcpListener, Checked { config, gate }: Checked, stop: &CancellationToken) -> Self {
        let (asking, asks) = mpsc::channel(1);
        let offer = Offer::new(Offered {
            tools: config.tools,
            workspace_path: config.workspace_path,
            has_containers: false,
        });
        let ingress = Ingress::new(config.site.app_backend_public_url.as_deref());
        let about = About::new(&config.site, offer, Runtimes::LOCAL, ingress);
        let dormant = Dormant::new(config.init, about, asking);
        let edge = Edge::of(gate, config.metrics.http, routes::build(dormant));
        let tasks = Tasks::until(stop.child_token());
        let reception = Reception { limits: config.limits, tasks, edge };
        let abort = CancellationToken::new();
        let accepting = tokio::spawn({
            let (reception, abort) = (reception.clone(), abort.clone());
            async move {
                reception.accept(&listener, &abort).await;
                listener
            }
        });
        Self { reception, abort, asks, accepting }
    }

    /// The next call that tells settings. `None`: there will be none.
    ///
    /// # Cancel safety
    /// No call is lost.
    pub async fn asked(&mut self) -> Option<Asked> {
        self.asks.recv().await
    }

    /// Accepts nothing more, says to who `asked` that the server is ready, and gives the listener to the server that is. Where that is
    /// to stop by now, it is not ready.
    ///
    /// # Errors
    /// When accepting has panicked.
    pub async fn end(self, asked: Asked) -> Result<TcpListener, JoinError> {
        let Self { reception, abort, accepting, .. } = self;
        let is_stopping = reception.tasks.drain.is_cancelled();
        reception.tasks.drain.cancel();
        let listener = accepting.await?;
        match is_stopping {
            true => drop(asked),
            false => asked.become_ready(),
        }
        // What is under way here ends beside the server.
        tokio::spawn(async move { reception.empty(&abort).await });
        Ok(listener)
    }

    /// Ends without a server: accepts nothing more, and waits for the answers that are under way.
    pub async fn close(self) {
        self.reception.tasks.drain.cancel();
        drop(self.asks);
        self.reception.empty(&self.abort).await;
    }
}

impl Asked {
    #[must_use]
    pub fn request(&self) -> &InitRequest {
        &self.request
    }

    /// The settings cannot be meant: 422. The server waits for others.
    pub fn refuse(self, why: String) {
        self.dormant.wait_again(routes::REFUSED);
        self.say(Became::Refused(why));
    }

    /// The server cannot start with them: 500, and `cause` is for the log alone. The server waits for others.
    pub fn fail(self, cause: String) {
        self.dormant.wait_again(routes::FAILED);
        self.say(Became::Failed(cause));
    }

    /// A part of the server could not start after others had: 500, and the server waits for nothing more. `cause` is for the log
    /// alone.
    pub fn give_up(self, cause: String) {
        self.dormant.give_up();
        self.say(Became::Ending(cause));
    }

    fn become_ready(self) {
        self.dormant.become_ready();
        self.say(Became::Ready);
    }

    /// Whoever has hung up is told nothing.
    fn say(self, became: Became) {
        drop(self.answer.send(became));
    }
}
