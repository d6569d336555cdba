//! The doors that are open. Each is a port and a task: there are only so many, and each closes with its login.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use types::TenantId;

/// Of all tenants, for each takes some of the files that a process may have open. Beyond it users give the address that the browser shows to the page that has begun the login.
const MOST: usize = 16;

/// By the ids of their logins. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Doors(Arc<Mutex<HashMap<String, Open>>>);

struct Open {
    tenant: TenantId,
    port: u16,
    over: CancellationToken,
}

/// One that is open. It counts until it is dropped.
pub(super) struct OpenDoor {
    doors: Doors,
    id: String,
    /// Cancelled when it is to close.
    pub over: CancellationToken,
}

impl Doors {
    /// `None` where there are too many.
    pub fn open(&self, tenant: &TenantId, id: &str, port: u16) -> Option<OpenDoor> {
        let mut doors = self.0.lock();
        if doors.len() >= MOST {
            return None;
        }
        let over = CancellationToken::new();
        doors.insert(id.to_owned(), Open { tenant: tenant.clone(), port, over: over.clone() });
        Some(OpenDoor { doors: self.clone(), id: id.to_owned(), over })
    }

    pub fn close(&self, id: &str) {
        if let Some(door) = self.0.lock().get(id) {
            door.over.cancel();
        }
    }

    /// Whether the tenant has one at this port.
    pub fn has(&self, tenant: &TenantId, port: u16) -> bool {
        self.0.lock().values().any(|door| door.port == port && door.tenant == *tenant)
    }

    /// The port will be free soon.
    pub fn close_at(&self, tenant: &TenantId, port: u16) {
        let doors = self.0.lock();
        let found = doors.values().filter(|door| door.port == port && door.tenant == *tenant);
        found.for_each(|door| door.over.cancel());
    }
}

impl Drop for OpenDoor {
    fn drop(&mut self) {
        self.doors.0.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doors_are_few_and_close_with_their_logins() {
        let (doors, tenant) = (Doors::default(), TenantId::default());
        let open: Vec<_> =
            (0..MOST).map(|number| doors.open(&tenant, &number.to_string(), 1).unwrap()).collect();
        assert!(doors.open(&tenant, "more", 1).is_none());
        doors.close("3");
        assert!(open[3].over.is_cancelled() && !open[4].over.is_cancelled());
        drop(open);
        let last = doors.open(&tenant, "more", 7).unwrap();
        let other = TenantId::parse("other").unwrap();
        doors.close_at(&tenant, 8);
        doors.close_at(&other, 7);
        assert!(doors.has(&tenant, 7) && !doors.has(&other, 7) && !last.over.is_cancelled());
        doors.close_at(&tenant, 7);
        assert!(last.over.is_cancelled());
    }
}
