//! Which sandbox stands for a place of a tenant.
//!
//! A place is given its sandbox in two steps, each by compare-and-set: the place names the sandbox, then the
//! sandbox names its tenant and place. Only after the second it counts. Who finds the first step without the
//! second (a gateway died, or another place was quicker) finishes it or names another sandbox; so no sandbox
//! is ever lost, and none has two owners.

use std::collections::BTreeMap;
use std::time::Duration;

use ports::retry::Backoff;
use ports::{Error, Expect};
use sha2::{Digest, Sha256};
use types::placement::{Want, Wanted};
use types::time::unix_ms;
use types::{SandboxId, TenantId};
use uuid::Uuid;

use super::fleet::Fleet;
use super::mirror::Seen;
use super::policy::{DEFAULT, Place, Policy};
use super::records;

/// How often a place is named a sandbox for that others name one for as well.
const ATTEMPTS: usize = 16;
const PAUSES: Backoff = Backoff::new(Duration::from_millis(2), Duration::from_millis(100));

/// Directories of one tenant that have sandboxes of their own. Their files are users', and go with the last conversation that
/// is in them and with nothing else.
const MOST_DIRECTORIES: usize = 1_000;

/// Longer names stand in the key by their digest.
const LONGEST_NAME: usize = 50;

impl Fleet {
    /// The sandbox of a place: the one it has, else a started one from the warm pool, else a new one, which
    /// stays stopped until somebody needs it.
    ///
    /// # Errors
    /// `Full`: too many directories have sandboxes. Those of the store.
    pub(super) async fn sandbox_of(&self, tenant: &TenantId, place: Place<'_>) -> ports::Result<SandboxId> {
        if let Some(known) = self.heard_of(tenant, place.name()) {
            return Ok(known);
        }
        let key = key(tenant, place.name());
        let (places, mut pauses) = (records::places(self.kv.as_ref()), PAUSES);
        for _ in 0..ATTEMPTS {
            let expect = match places.get(&key).await? {
                Some(named) if self.take(&named.value, tenant, place).await? => return Ok(named.value),
                Some(named) => Expect::Revision(named.revision),
                None => Expect::Absent,
            };
            if place.is_directory() && self.directories_of(tenant) >= MOST_DIRECTORIES {
                return Err(Error::Full(format!(
                    "As many directories have a sandbox of their own as may: {MOST_DIRECTORIES}. \
                     One goes with the last conversation that is in it."
                )));
            }
            let (chosen, made) = self.choose(tenant, place).await?;
            if places.put(&key, &chosen, expect).await?.is_some() {
                continue;
            }
            // Another gateway was quicker: its choice holds, and nobody has heard of this one.
            if let Some(revision) = made.filter(|_| chosen != SandboxId::shared()) {
                let sandboxes = records::sandboxes(self.kv.as_ref());
                sandboxes.remove(chosen.as_str(), Expect::Revision(revision)).await?;
            }
            tokio::time::sleep(pauses.pause()).await;
        }
        Err(Error::Unavailable("no sandbox could be had for the place".to_owned()))
    }

    /// The sandbox that a place has, if it has one.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn known(&self, tenant: &TenantId, place: &str) -> ports::Result<Option<SandboxId>> {
        if let Some(known) = self.heard_of(tenant, place) {
            return Ok(Some(known));
        }
        let kv = self.kv.as_ref();
        let Some(named) = records::places(kv).get(&key(tenant, place)).await? else { return Ok(None) };
        let wanted = records::sandboxes(kv).get(named.value.as_str()).await?;
        Ok(wanted.filter(|wanted| owns(&wanted.value, tenant, place)).map(|_| named.value))
    }

    /// How many of them have sandboxes of their own, as far as is known here.
    fn directories_of(&self, tenant: &TenantId) -> usize {
        let is_one = |wanted: &Wanted| {
            let is_there = wanted.tenant.as_ref() == Some(tenant) && wanted.want != Want::Deleted;
            is_there && !wanted.is_of_conversation && wanted.place != DEFAULT
        };
        self.wanted.read(|all: &BTreeMap<String, Seen<Wanted>>| {
            all.values().filter(|seen| is_one(&seen.value)).count()
        })
    }

    fn heard_of(&self, tenant: &TenantId, place: &str) -> Option<SandboxId> {
        let known = self.places.get(&key(tenant, place))?.value;
        self.wanted.get(known.as_str()).is_some_and(|seen| owns(&seen.value, tenant, place)).then_some(known)
    }

    /// Forgets that `sandbox` stands for a place, if it does.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn leave(
        &self,
        sandbox: &SandboxId,
        tenant: &TenantId,
        place: &str,
    ) -> ports::Result<()> {
        let forget = |named: &mut Option<SandboxId>| named.take_if(|named| named == sandbox).is_some();
        records::places(self.kv.as_ref()).change(&key(tenant, place), forget).await.map(drop)
    }

    /// Whether `sandbox` is that of the place from now on. One that has no record is no more, and what it has stored may be on
    /// the point of being removed.
    async fn take(&self, sandbox: &SandboxId, tenant: &TenantId, place: Place<'_>) -> ports::Result<bool> {
        let claim = |wanted: &mut Option<Wanted>| {
            let is_free = |wanted: &mut Wanted| wanted.tenant.is_none() && wanted.want != Want::Deleted;
            let Some(free) = wanted.take_if(is_free) else { return false };
            let (wakes, is_claimed) = (free.wakes.saturating_add(1), free.want == Want::Running);
            *wanted = Some(Wanted { wakes, is_claimed, ..claimed(free.want, tenant, place) });
            true
        };
        let stored = records::sandboxes(self.kv.as_ref()).change(sandbox.as_str(), claim).await?;
        Ok(stored.is_some_and(|stored| owns(&stored.value, tenant, place.name())))
    }

    /// A sandbox for a place, with the revision of its record if that was made for it. A new one has its record before it stands
    /// for the place, so that whoever finds one without knows that it is no more.
    async fn choose(&self, tenant: &TenantId, place: Place<'_>) -> ports::Result<(SandboxId, Option<u64>)> {
        let is_default = *tenant == TenantId::default() && place.name() == DEFAULT;
        // Where conversations have places of their own the default one may never be used.
        let warm = if is_default && self.cluster.policy != Policy::Shared { None } else { self.warm() };
        if let Some(warm) = warm {
            return Ok((warm, None));
        }
        let new = if is_default { SandboxId::shared() } else { fresh() };
        let wanted = claimed(Want::Paused, tenant, place);
        let made = records::sandboxes(self.kv.as_ref()).make(new.as_str(), &wanted).await?;
        Ok((new, made))
    }

    /// A sandbox of the warm pool, any: gateways that choose at the same time shall not all want the same.
    fn warm(&self) -> Option<SandboxId> {
        let fits = |key: &&String, seen: &Seen<Wanted>| {
            let wanted = &seen.value;
            let is_free = wanted.tenant.is_none() && wanted.want == Want::Running;
            is_free && self.current_lease(key).is_some()
        };
        let free: Vec<SandboxId> = self.wanted.read(|all: &BTreeMap<String, Seen<Wanted>>| {
            let free = all.iter().filter(|(key, seen)| fits(key, seen));
            free.filter_map(|(key, _)| SandboxId::parse(key)).collect()
        });
        let dice = Uuid::new_v4().as_u128() % (free.len().max(1) as u128);
        free.into_iter().nth(usize::try_from(dice).unwrap_or_default())
    }
}

fn claimed(want: Want, tenant: &TenantId, place: Place<'_>) -> Wanted {
    let (tenant, touched_at) = (Some(tenant.clone()), unix_ms());
    let is_of_conversation = matches!(place, Place::Conversation(_));
    let place = place.name().to_owned();
    Wanted { tenant, place, is_of_conversation, want, touched_at, ..Wanted::default() }
}

fn owns(wanted: &Wanted, tenant: &TenantId, place: &str) -> bool {
    wanted.tenant.as_ref() == Some(tenant) && wanted.place == place && wanted.want != Want::Deleted
}

fn fresh() -> SandboxId {
    let mut name = Uuid::new_v4().simple().to_string();
    name.truncate(16);
    SandboxId::parse(&name).unwrap_or_else(SandboxId::shared)
}

pub(super) fn key(tenant: &TenantId, place: &str) -> String {
    match place.len() {
        ..=LONGEST_NAME => format!("{tenant}.{}", types::hex(place.as_bytes())),
        _ => format!("{tenant}.{}", types::hex(&Sha256::digest(place.as_bytes()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::world::{own, wanted, world};
    use types::ConversationId;

    #[tokio::test]
    async fn a_tenant_has_sandboxes_for_so_many_directories_and_no_more() {
        let names: Vec<String> = (0..MOST_DIRECTORIES).map(|number| format!("w{number}")).collect();
        let mut sandboxes: Vec<_> = names.iter().map(|name| (name.as_str(), wanted(name, 1))).collect();
        sandboxes.push(("default", wanted(DEFAULT, 1)));
        sandboxes.push(("own", own(ConversationId::random(), 1)));
        let world = world(Policy::Workspace, &sandboxes).await;
        let (tenant, other) = (TenantId::default(), TenantId::parse("other").unwrap());
        let id = ConversationId::random().hex();
        let new = async |tenant: &TenantId, place: Place<'_>| world.fleet.sandbox_of(tenant, place).await;
        assert!(matches!(new(&tenant, Place::Path("new")).await, Err(Error::Full(_))));
        assert!(new(&other, Place::Path("new")).await.is_ok(), "others have theirs");
        assert!(new(&tenant, Place::Conversation(&id)).await.is_ok(), "conversations have theirs");
        world
            .write(types::buckets::SANDBOXES, "w0", &Wanted { want: Want::Deleted, ..wanted("w0", 1) })
            .await;
        while world.fleet.directories_of(&tenant) == MOST_DIRECTORIES {
            tokio::task::yield_now().await;
        }
        assert!(new(&tenant, Place::Path("new")).await.is_ok());
    }
}
