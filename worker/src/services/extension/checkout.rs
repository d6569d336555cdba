//! The newest state of a repository, in a folder of its own.

use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use outbound::Outbound;
use ports::rpc::Fault;
use reqwest::Url;
use tokio::net::lookup_host;
use tokio::time::timeout;
use tools::extensions::source::not;
use tools::hands;
use types::calls::WhyNotFetched;
use uuid::Uuid;

use super::super::git::{Failure, Git};
use super::Stop;

/// Makes them. Cheap to clone.
#[derive(Clone)]
pub(super) struct Checkouts(Outbound);

/// What was checked out; removed with this.
pub(super) struct Checkout {
    pub(super) folder: PathBuf,
    pub(super) commit: String,
}

impl Checkouts {
    pub(super) fn new(outbound: Outbound) -> Self {
        Self(outbound)
    }

    /// Within `patience`, one commit of it and nothing of its history.
    pub(super) async fn make(
        &self,
        url: &str,
        reference: Option<&str>,
        patience: Duration,
    ) -> Result<Checkout, Stop> {
        let made = timeout(patience, self.made(url, reference, patience)).await;
        made.unwrap_or_else(|_| Err(not(WhyNotFetched::Timeout, "Git operation timed out.").into()))
    }

    async fn made(&self, url: &str, reference: Option<&str>, patience: Duration) -> Result<Checkout, Stop> {
        if !self.may_be_called(url).await {
            return Err(
                not(WhyNotFetched::SourceNotAllowed, "The address of the source is not allowed.").into()
            );
        }
        let reference = reference.filter(|reference| !reference.is_empty()).unwrap_or("HEAD");
        if reference.starts_with('-') {
            return Err(not(WhyNotFetched::RefNotFound, "The ref was not found.").into());
        }
        let mut checkout = Checkout { folder: fresh_folder()?, commit: String::new() };
        let git = |args: &[&str]| Git::fetching(&checkout.folder).args(args).patience(patience).output();
        git(&["init", "--quiet"]).await.map_err(stop)?;
        git(&["fetch", "--quiet", "--depth", "1", "--no-tags", "--end-of-options", url, reference])
            .await
            .map_err(stop)?;
        let commit = git(&["rev-parse", "--verify", "FETCH_HEAD^{commit}"]).await.map_err(stop)?;
        let commit = String::from_utf8_lossy(&commit).trim().to_ascii_lowercase();
        git(&["-c", "advice.detachedHead=false", "checkout", "--quiet", "--detach", &commit])
            .await
            .map_err(stop)?;
        checkout.commit = commit;
        Ok(checkout)
    }

    /// Git resolves names itself: so this is asked for all addresses that the name has now.
    async fn may_be_called(&self, url: &str) -> bool {
        let Some((host, port, whole)) = host_of(url) else { return true };
        let is_allowed = |url: &Url| !matches!(self.0.client(url), Err(outbound::Error::Refused(_)));
        if whole.is_some_and(|url| !is_allowed(&url)) {
            return false;
        }
        let Ok(addresses) = lookup_host((host.as_str(), port)).await else { return true };
        let as_url = |address: SocketAddr| Url::parse(&format!("http://{address}/")).ok();
        addresses.filter_map(as_url).all(|url| is_allowed(&url))
    }
}

/// Of what is called over a network.
fn host_of(url: &str) -> Option<(String, u16, Option<Url>)> {
    if let Ok(parsed) = Url::parse(url) {
        let host = parsed.host_str()?.trim_matches(['[', ']']).to_owned();
        let port = parsed.port_or_known_default().unwrap_or(9_418);
        let is_web = matches!(parsed.scheme(), "http" | "https");
        return Some((host, port, is_web.then_some(parsed)));
    }
    let (_, rest) = url.split_once('@')?;
    let (host, _) = rest.split_once(':')?;
    Some((host.to_owned(), 22, None))
}

fn fresh_folder() -> Result<PathBuf, Fault> {
    let folder = std::env::temp_dir().join(format!("manyhands-checkout-{}", Uuid::new_v4().simple()));
    make(&folder).map_err(Fault::internal)?;
    Ok(folder)
}

fn make(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir(folder)?;
    std::fs::set_permissions(folder, Permissions::from_mode(0o755))?;
    hands::give_path(folder)
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let _ = trees::remove(&self.folder);
    }
}

/// What git says may name the address with its credentials: only what it means goes on.
fn stop(failure: Failure) -> Stop {
    match failure {
        Failure::Refused { complaint, .. } => {
            let (why, says) = meant(&complaint.to_lowercase());
            not(why, says).into()
        }
        Failure::TimedOut(_) => not(WhyNotFetched::Timeout, "Git operation timed out.").into(),
        Failure::TooLong(_) => not(WhyNotFetched::SourceUnavailable, UNAVAILABLE).into(),
        Failure::Killed(_) => Fault::from(failure).into(),
        Failure::Unusable(error) | Failure::Unreadable(error) => Fault::internal(error).into(),
    }
}

const UNAVAILABLE: &str = "The source cannot be reached.";

fn meant(complaint: &str) -> (WhyNotFetched, &'static str) {
    let says = |words: &[&str]| words.iter().any(|words| complaint.contains(words));
    if says(&["authentication failed", "authentication required"]) {
        return (
            WhyNotFetched::AuthFailed,
            "The source refuses the credentials that it was given, or asks for some.",
        );
    }
    let no_ref = [
        "find remote ref",
        "not our ref",
        "unadvertised object",
        "bad object",
        "needed a single revision",
        "invalid refspec",
    ];
    if says(&no_ref) {
        return (WhyNotFetched::RefNotFound, "The ref was not found.");
    }
    (WhyNotFetched::SourceUnavailable, UNAVAILABLE)
}
