//! Conversations in the terms of another API, for programs that know that one.

use crate::ground::Ground;

/// Conversations in the terms of another API, for programs that know that one. Cheap to clone.
#[derive(Clone)]
pub struct Facade {
    #[expect(dead_code, reason = "nothing is asked of it yet")]
    ground: Ground,
}

impl Facade {
    pub(crate) fn new(ground: &Ground) -> Self {
        Self { ground: ground.clone() }
    }
}
