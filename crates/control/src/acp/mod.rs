//! The models that agents behind the Agent Client Protocol offer.

use crate::ground::Ground;

/// The models that agents behind the Agent Client Protocol offer. Cheap to clone.
#[derive(Clone)]
pub struct AcpModels {
    #[expect(dead_code, reason = "nothing is asked of it yet")]
    ground: Ground,
}

impl AcpModels {
    pub(crate) fn new(ground: &Ground) -> Self {
        Self { ground: ground.clone() }
    }
}
