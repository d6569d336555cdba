//! What a refusal says, apart from what is done about it.

mod adjust;
mod echo;
mod hints;
mod limit;
mod parameter;
mod schemas;
pub(crate) mod words;

pub(crate) use adjust::{Adjustment, Adjustments, adjusted};
pub(crate) use echo::{before_echo, without_echo};
pub(crate) use hints::asked_wait;
pub(crate) use parameter::adjustment;
