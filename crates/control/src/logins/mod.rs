//! Logins with providers, and those under way.

use crate::ground::Ground;

/// Logins with providers, and those under way. Cheap to clone.
#[derive(Clone)]
pub struct Logins {
    #[expect(dead_code, reason = "nothing is asked of it yet")]
    ground: Ground,
}

impl Logins {
    pub(crate) fn new(ground: &Ground) -> Self {
        Self { ground: ground.clone() }
    }
}
