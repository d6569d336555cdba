//! How an agent is made of what a tenant has set.

use crate::ground::Ground;

/// How an agent is made of what a tenant has set. Cheap to clone.
#[derive(Clone)]
pub struct Launch {
    #[expect(dead_code, reason = "nothing is asked of it yet")]
    ground: Ground,
}

impl Launch {
    pub(crate) fn new(ground: &Ground) -> Self {
        Self { ground: ground.clone() }
    }
}
