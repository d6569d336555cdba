//! Logins with MCP servers that are under way, as a tenant's shelf has them.

use std::collections::HashSet;
use std::time::Duration;

use ::mcp::oauth::Pending;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use types::buckets::LOGINS;
use types::time::unix_ms;

use super::renewals::Renewals;
use super::seen::Seen;
use super::{Request, Tried};
use crate::Refusal;
use crate::logins;
use crate::shelf::{Kept, Sealing, Version};

/// How long a user may take.
pub(super) const LIFE: Duration = Duration::from_secs(15 * 60);
/// The oldest make way.
const MOST_JOBS: usize = 16;
/// Bytes of all of them, so that others on the shelf have room, too.
const MOST_BYTES: usize = 672 << 10;
/// Who finishes a login has died if that takes so long.
pub(super) const FINISHING: Duration = Duration::from_secs(5 * 60);
/// In place of the time at which it was taken: nobody takes it once more.
const OVER: u64 = u64::MAX;

/// Of the shelf of logins the part that has those with MCP servers. What others keep on it is passed through.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct McpLogins {
    v: Version,
    mcp_jobs: Vec<StoredJob>,
    #[serde(rename = "mcp_renewals", skip_serializing_if = "Renewals::is_empty")]
    pub(super) renewals: Renewals,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct StoredJob {
    id: String,
    /// Seconds since 1970. Finishing takes its own time: it counts from then on.
    made_at: u64,
    /// When somebody has come back for it, to finish it.
    #[serde(default)]
    taken_at: Option<u64>,
    /// A [`Job`], sealed.
    job: String,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// A login: what was asked, what is waited for, and what came of it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Job {
    pub request: Request,
    pub pending: Option<Pending>,
    pub outcome: Option<Tried>,
}

impl McpLogins {
    /// The ids of those that made way.
    pub(super) fn add(&mut self, id: &str, sealed: String) -> Vec<String> {
        // A write that was not answered may have been one.
        self.mcp_jobs.retain(|job| job.id != id);
        let (id, rest) = (id.to_owned(), Map::new());
        self.mcp_jobs.push(StoredJob { id, made_at: now(), taken_at: None, job: sealed, rest });
        self.make_room()
    }

    /// The newest has room in any case, and so have those that are being finished: their codes are spent.
    fn make_room(&mut self) -> Vec<String> {
        let now = now();
        let held = self.mcp_jobs.iter().filter(|job| job.is_held(now));
        let (mut count, mut bytes) =
            held.fold((0, 0), |(count, bytes), job| (count + 1, bytes + job.job.len()));
        let newest = self.mcp_jobs.last().map(|job| job.id.clone());
        let mut gone = Vec::new();
        self.mcp_jobs.reverse();
        self.mcp_jobs.retain(|job| {
            if job.is_held(now) {
                return true;
            }
            let fits = count < MOST_JOBS && bytes + job.job.len() <= MOST_BYTES;
            let stays = job.is_alive(now) && (fits || newest.as_ref() == Some(&job.id));
            if stays {
                count += 1;
                bytes += job.job.len();
            } else {
                gone.push(job.id.clone());
            }
            stays
        });
        self.mcp_jobs.reverse();
        gone
    }

    /// The sealed job, and whether somebody is about to finish it.
    pub(super) fn get(&self, id: &str) -> Option<(&str, bool)> {
        let now = now();
        let found = self.mcp_jobs.iter().find(|job| job.id == id && job.is_alive(now));
        found.map(|job| (job.job.as_str(), job.is_held(now)))
    }

    /// False where somebody else has it, and may still finish it: as far as this process knows, for its code is good once.
    pub(super) fn take(&mut self, id: &str, seen: &Seen) -> bool {
        let now = now();
        let is_free = |job: &StoredJob| match job.taken_at {
            None => true,
            Some(OVER) => false,
            Some(at) => seen.for_so_long(&taken(id, at), FINISHING),
        };
        let free = self.mcp_jobs.iter_mut().find(|job| job.id == id && job.is_alive(now) && is_free(job));
        free.is_some_and(|job| {
            job.taken_at = Some(now);
            job.made_at = now;
            true
        })
    }

    /// The names of all that somebody is about.
    pub(super) fn under_way(&self) -> HashSet<String> {
        let held = self.mcp_jobs.iter().filter_map(|job| match job.taken_at {
            None | Some(OVER) => None,
            Some(at) => Some(taken(&job.id, at)),
        });
        held.chain(self.renewals.under_way()).collect()
    }

    /// What has come of it so far: that is shown, should who finishes it not come to an end.
    pub(super) fn note(&mut self, id: &str, sealed: &str) -> Vec<String> {
        self.replace(id, sealed, |_| {})
    }

    /// What came of it.
    pub(super) fn put(&mut self, id: &str, sealed: &str) -> Vec<String> {
        self.replace(id, sealed, |job| job.taken_at = Some(OVER))
    }

    /// One that is gone meanwhile stays so.
    fn replace(&mut self, id: &str, sealed: &str, change: impl FnOnce(&mut StoredJob)) -> Vec<String> {
        let Some(at) = self.mcp_jobs.iter().position(|job| job.id == id) else { return Vec::new() };
        let mut job = self.mcp_jobs.remove(at);
        sealed.clone_into(&mut job.job);
        change(&mut job);
        self.mcp_jobs.push(job);
        self.make_room()
    }
}

impl StoredJob {
    /// Whether somebody has come back for it and may still finish it.
    fn is_held(&self, now: u64) -> bool {
        let end = |at: u64| at.saturating_add(FINISHING.as_secs());
        self.taken_at.is_some_and(|at| at != OVER && now <= end(at))
    }

    fn is_alive(&self, now: u64) -> bool {
        now <= self.made_at.saturating_add(LIFE.as_secs())
    }
}

impl Job {
    /// With what came of it, and without the secrets that it took.
    pub fn over(self, outcome: Tried) -> Self {
        let request = Request { server: Value::Null, tool_call: None, ..self.request };
        Self { request, pending: self.pending.map(Pending::over), outcome: Some(outcome) }
    }

    pub fn sealed(&self, sealing: &Sealing<'_>) -> Result<String, Refusal> {
        let text = serde_json::to_string(self).map_err(|error| ports::Error::Internal(error.to_string()))?;
        Ok(sealing.seal(&text))
    }

    pub fn open(sealed: &str, sealing: &Sealing<'_>) -> Result<Self, Refusal> {
        let text = sealing.open(sealed)?;
        serde_json::from_str(text.expose_secret()).map_err(|_| Refusal::Damaged)
    }
}

impl Kept for McpLogins {
    const BUCKET: &'static str = LOGINS;
    const MOST: usize = logins::MOST;
    const TOO_LARGE: &'static str = logins::TOO_LARGE;

    fn version(&self) -> Version {
        self.v
    }

    /// Jobs whose users did not come back, and tokens that were renewed some time ago.
    fn drop_what_is_over(&mut self) -> bool {
        let (now, before) = (now(), self.mcp_jobs.len());
        self.mcp_jobs.retain(|job| job.is_alive(now));
        self.renewals.drop_what_is_over() || self.mcp_jobs.len() < before
    }

    fn each_sealed(&mut self, change: &mut dyn FnMut(&mut String)) {
        self.mcp_jobs.iter_mut().for_each(|job| change(&mut job.job));
        self.renewals.each_sealed(change);
    }
}

/// A name for each time.
fn taken(id: &str, at: u64) -> String {
    format!("{id} {at}")
}

fn now() -> u64 {
    unix_ms() / 1_000
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::time::advance;

    use super::*;

    #[test]
    fn what_others_keep_on_the_shelf_stays() {
        let stored = json!({"v": 1, "openai": {"token": "sealed"}, "mcp_jobs": []});
        let mut logins: McpLogins = serde_json::from_value(stored).unwrap();
        logins.add("j", "sealed job".to_owned());
        let stored = serde_json::to_value(&logins).unwrap();
        assert_eq!(stored["openai"], json!({"token": "sealed"}));
        assert_eq!(stored["mcp_jobs"][0]["job"], "sealed job");
    }

    #[test]
    fn jobs_are_few_and_do_not_last() {
        let mut logins = McpLogins::default();
        (0..40).for_each(|number| drop(logins.add(&number.to_string(), String::new())));
        assert_eq!(logins.mcp_jobs.len(), MOST_JOBS);
        assert!(logins.get("39").is_some() && logins.get("0").is_none());
        logins.mcp_jobs[0].made_at -= LIFE.as_secs() + 1;
        let old = logins.mcp_jobs[0].id.clone();
        assert!(logins.get(&old).is_none());
        assert_eq!(logins.add("next", String::new()), [old]);
    }

    #[test]
    fn large_jobs_leave_room_for_others_on_the_shelf() {
        let mut logins = McpLogins::default();
        (0..16).for_each(|number| drop(logins.add(&number.to_string(), "x".repeat(100 << 10))));
        let size = |logins: &McpLogins| serde_json::to_vec(logins).unwrap().len();
        assert!(size(&logins) < McpLogins::MOST - (200 << 10), "{}", size(&logins));
        let gone = logins.put("10", &"x".repeat(600 << 10));
        assert!(gone.contains(&"11".to_owned()) && logins.get("10").is_some(), "{gone:?}");
        assert!(size(&logins) < McpLogins::MOST - (200 << 10), "{}", size(&logins));
    }

    #[test]
    fn what_is_being_finished_makes_no_way_and_is_not_too_late() {
        let mut logins = McpLogins::default();
        logins.add("first", String::new());
        logins.mcp_jobs[0].made_at -= LIFE.as_secs() - 10;
        assert!(logins.take("first", &Seen::default()));
        let gone: Vec<_> =
            (0..40).flat_map(|number| logins.add(&number.to_string(), String::new())).collect();
        assert!(!gone.contains(&"first".to_owned()), "{gone:?}");
        assert_eq!(logins.mcp_jobs.len(), MOST_JOBS);
        assert!(now() - logins.mcp_jobs[0].made_at < 10, "there is time for what is to come");
        logins.put("first", "done");
        assert_eq!(logins.get("first"), Some(("done", false)));
    }

    #[test]
    fn what_has_come_of_a_job_so_far_is_shown_once_who_finishes_it_is_dead() {
        let mut logins = McpLogins::default();
        logins.add("j", "asked".to_owned());
        assert_eq!(logins.get("j"), Some(("asked", false)));
        assert!(logins.take("j", &Seen::default()));
        logins.note("j", "tokens");
        assert_eq!(logins.get("j"), Some(("tokens", true)));
        logins.mcp_jobs[0].taken_at = Some(now() - FINISHING.as_secs() - 1);
        assert_eq!(logins.get("j"), Some(("tokens", false)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_is_finished_by_one() {
        let (mut logins, seen) = (McpLogins::default(), Seen::default());
        logins.add("j", String::new());
        assert!(logins.take("j", &seen));
        assert!(!logins.take("j", &seen) && !logins.take("other", &seen));
        advance(FINISHING + Duration::from_millis(1)).await;
        assert!(logins.take("j", &seen), "who had it is dead");
        logins.put("j", "done");
        assert!(!logins.take("j", &seen) && logins.get("j") == Some(("done", false)));
    }

    #[test]
    fn no_code_is_shown_twice_because_a_clock_is_wrong() {
        let (mut logins, seen) = (McpLogins::default(), Seen::default());
        logins.add("j", String::new());
        assert!(logins.take("j", &seen));
        logins.mcp_jobs[0].taken_at = Some(now() - 2 * FINISHING.as_secs());
        assert!(!logins.take("j", &seen));
    }
}
