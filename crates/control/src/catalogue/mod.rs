//! The models and providers that there are.

use crate::ground::Ground;

/// The models and providers that there are. Cheap to clone.
#[derive(Clone)]
pub struct Catalogue {
    #[expect(dead_code, reason = "nothing is asked of it yet")]
    ground: Ground,
}

impl Catalogue {
    pub(crate) fn new(ground: &Ground) -> Self {
        Self { ground: ground.clone() }
    }
}
