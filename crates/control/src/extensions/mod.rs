//! What tenants install: skills, plugins, extensions of the user interface.

use crate::ground::Ground;

/// What tenants install: skills, plugins, extensions of the user interface. Cheap to clone.
#[derive(Clone)]
pub struct Extensions {
    #[expect(dead_code, reason = "nothing is asked of it yet")]
    ground: Ground,
}

impl Extensions {
    pub(crate) fn new(ground: &Ground) -> Self {
        Self { ground: ground.clone() }
    }
}
