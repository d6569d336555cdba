//! Values that are kept once, however many have the same: each for as long as somebody has it.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

/// So many are not looked through for those that nobody has any more.
const FEW: usize = 64;

pub(super) struct Interned<T> {
    hasher: RandomState,
    known: Mutex<Known<T>>,
}

struct Known<T> {
    /// Those of one hash: one, as a rule. What is left of one that nobody has is some bytes, if `T` keeps the rest elsewhere.
    by_hash: HashMap<u64, Vec<Weak<T>>>,
    swept_at: usize,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        let known = Known { by_hash: HashMap::new(), swept_at: FEW };
        Self { hasher: RandomState::new(), known: Mutex::new(known) }
    }
}

impl<T: Hash + Eq> Interned<T> {
    /// The one that is the same, if anybody has such.
    pub(super) fn share(&self, made: T) -> Arc<T> {
        let hash = self.hasher.hash_one(&made);
        let mut known = self.known.lock();
        let alike = known.by_hash.entry(hash).or_default();
        if let Some(same) = alike.iter().filter_map(Weak::upgrade).find(|one| **one == made) {
            return same;
        }
        let made = Arc::new(made);
        alike.retain(|one| one.strong_count() > 0);
        alike.push(Arc::downgrade(&made));
        if known.by_hash.len() > known.swept_at {
            known.sweep();
        }
        made
    }
}

impl<T> Known<T> {
    /// Seldom enough for its work to be little beside that of adding what it goes through.
    fn sweep(&mut self) {
        self.by_hash.retain(|_, alike| alike.iter().any(|one| one.strong_count() > 0));
        self.by_hash.shrink_to(2 * self.by_hash.len());
        self.swept_at = FEW.max(2 * self.by_hash.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_is_the_same_however_much_came_in_between() {
        let interned = Interned::default();
        let all: Vec<Arc<String>> = (0..1_000).map(|n: u32| interned.share(n.to_string())).collect();
        for (n, one) in all.iter().enumerate() {
            assert!(Arc::ptr_eq(one, &interned.share(n.to_string())), "{n}");
        }
        assert!(!Arc::ptr_eq(&all[0], &all[1]));
    }

    #[test]
    fn nothing_is_kept_that_nobody_has() {
        let interned = Interned::default();
        for n in 0..10_000_u32 {
            interned.share(n.to_string());
        }
        assert!(interned.known.lock().by_hash.len() <= FEW + 1);
    }
}
