//! What agents have answered lately, and what is being asked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;
use types::TenantId;
use types::acp::{AcpDiscovery, AcpProgram};

const LIFE: Duration = Duration::from_secs(300);
const MOST: usize = 256;
const MOST_OF_TENANT: usize = 32;

/// Whose question it is, and what of: secrets stand in it as a digest.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    tenant: TenantId,
    digest: [u8; 32],
}

impl Key {
    pub fn of(tenant: &TenantId, program: &AcpProgram) -> Self {
        let program = serde_json::to_vec(program).unwrap_or_default();
        Self { tenant: tenant.clone(), digest: Sha256::digest(program).into() }
    }
}

/// Empty while it is asked. Who gives up leaves it to the next who waits.
pub(super) type Answer = Arc<OnceCell<AcpDiscovery>>;

/// Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Memory(Arc<Mutex<HashMap<Key, (Instant, Answer)>>>);

impl Memory {
    /// The answer, or the place for it; `anew`: one that is there already will not do.
    pub fn answer(&self, key: &Key, anew: bool) -> Answer {
        let now = Instant::now();
        let mut answers = self.0.lock();
        answers.retain(|_, (asked, _)| now.duration_since(*asked) < LIFE);
        if let Some((_, answer)) = answers.get(key)
            && !(anew && answer.initialized())
        {
            return Arc::clone(answer);
        }
        let is_own = |other: &Key| other.tenant == key.tenant;
        let has_its_share = answers.keys().filter(|other| is_own(other)).count() >= MOST_OF_TENANT;
        if has_its_share || answers.len() >= MOST {
            let may_go = answers.iter().filter(|(other, _)| !has_its_share || is_own(other));
            let oldest = may_go.min_by_key(|(_, (asked, _))| *asked).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                answers.remove(&oldest);
            }
        }
        let answer = Answer::default();
        answers.insert(key.clone(), (now, Arc::clone(&answer)));
        answer
    }

    /// This answer is none to remember.
    pub fn forget(&self, key: &Key, answer: &Answer) {
        let mut answers = self.0.lock();
        if answers.get(key).is_some_and(|(_, kept)| Arc::ptr_eq(kept, answer)) {
            answers.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> Key {
        Key { tenant: TenantId::default(), digest: [number; 32] }
    }

    #[test]
    fn the_same_question_has_one_answer_until_a_new_one_is_wanted() {
        let memory = Memory::default();
        let first = memory.answer(&key(1), false);
        assert!(Arc::ptr_eq(&first, &memory.answer(&key(1), true)), "it is being asked");
        first.set(AcpDiscovery::default()).unwrap();
        assert!(Arc::ptr_eq(&first, &memory.answer(&key(1), false)));
        assert!(!Arc::ptr_eq(&first, &memory.answer(&key(2), false)));
        let second = memory.answer(&key(1), true);
        assert!(!Arc::ptr_eq(&first, &second));
        memory.forget(&key(1), &first);
        assert!(Arc::ptr_eq(&second, &memory.answer(&key(1), false)), "only its own place is given up");
    }

    #[test]
    fn no_more_than_so_many_are_remembered_and_of_no_tenant_more_than_its_share() {
        let memory = Memory::default();
        let of = |tenant: usize, number: u8| Key {
            tenant: TenantId::parse(&format!("t{tenant}")).unwrap(),
            digest: [number; 32],
        };
        let others = memory.answer(&of(0, 0), false);
        for number in 0..=u8::MAX {
            memory.answer(&of(1, number), false);
        }
        assert_eq!(memory.0.lock().len(), 1 + MOST_OF_TENANT);
        assert!(Arc::ptr_eq(&others, &memory.answer(&of(0, 0), false)), "another's has stayed");
        for tenant in 1..20 {
            for number in 0..=u8::MAX {
                memory.answer(&of(tenant, number), false);
            }
        }
        assert_eq!(memory.0.lock().len(), MOST);
    }
}
