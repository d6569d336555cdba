//! Programs that extensions of the user interface bring along.

use crate::ground::Ground;

/// Programs that extensions of the user interface bring along. Cheap to clone.
#[derive(Clone)]
pub struct Apps {
    #[expect(dead_code, reason = "nothing is asked of it yet")]
    ground: Ground,
}

impl Apps {
    pub(crate) fn new(ground: &Ground) -> Self {
        Self { ground: ground.clone() }
    }
}
