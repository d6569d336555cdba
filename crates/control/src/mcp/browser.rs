//! Takes the browser of a user who is on this machine, until it has come back from the provider. Others on this machine may
//! knock, too: they are answered a few at a time, and change nothing.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use types::TenantId;

use super::door::{self, Listener};
use super::finish::WAIT_FOR_END;
use super::jobs::LIFE;
use super::{McpServers, Tried};
use crate::Refusal;

/// What a browser may take to ask.
const BROWSER: Duration = Duration::from_secs(10);
/// Connections to one door at one time. A browser needs one or two.
const MOST_CONNECTIONS: usize = 4;
/// While the system has no room for one more.
const PAUSE: Duration = Duration::from_secs(1);

impl McpServers {
    pub(super) fn let_browser_in(&self, tenant: &TenantId, id: &str, redirect: Url, listener: Listener) {
        let port = redirect.port().unwrap_or_default();
        let Some(open) = self.doors.open(tenant, id, port) else { return };
        let (servers, tenant, id) = (self.clone(), tenant.clone(), id.to_owned());
        self.tasks.spawn_until_drain(async move {
            tokio::select! {
                () = servers.accept(&tenant, &id, &redirect, listener) => {}
                () = open.over.cancelled() => {}
                () = sleep(LIFE) => {}
            }
        });
    }

    async fn accept(&self, tenant: &TenantId, id: &str, redirect: &Url, listener: Listener) {
        let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
            let Ok((stream, _)) = listener.accept().await else {
                sleep(PAUSE).await;
                continue;
            };
            let (servers, tenant, id, redirect) =
                (self.clone(), tenant.clone(), id.to_owned(), redirect.clone());
            self.tasks.spawn_until_drain(async move {
                let answering = servers.answer_browser(&tenant, &id, &redirect, stream);
                let _ = timeout(BROWSER + WAIT_FOR_END, answering).await;
                drop(place);
            });
        }
    }

    /// `None`: nothing was asked. The door closes when the login is over, not before its user is told.
    async fn answer_browser(
        &self,
        tenant: &TenantId,
        id: &str,
        redirect: &Url,
        mut stream: TcpStream,
    ) -> Option<()> {
        let target = timeout(BROWSER, door::asked(&mut stream)).await.ok()?.ok()?;
        let url = redirect.join(&target).ok()?;
        if url.path() != redirect.path() {
            return door::show(&mut stream, "404 Not Found", "Not Found").await.ok();
        }
        let finished = self.finish_login(tenant, id, url.as_str()).await;
        let (status, sentence) = match finished.map(|status| status.outcome) {
            Ok(Some(Tried::Found { .. })) => ("200 OK", "You are logged in. This window can be closed."),
            Ok(None) => ("200 OK", "The login goes on. This window can be closed."),
            Ok(Some(Tried::Failed { .. })) => ("400 Bad Request", "The login has failed."),
            Err(Refusal::Fault(_)) => (
                "503 Service Unavailable",
                "This is not possible just now. Load this page again in a moment.",
            ),
            Err(_) => ("400 Bad Request", "This login cannot be finished."),
        };
        door::show(&mut stream, status, sentence).await.ok()
    }
}
