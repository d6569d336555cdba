//! Calls of tools as text, for models and servers that have no other form for them: the tools are described in words, the model
//! writes its calls into its answers, and the results are told as messages of the user.
//!
//! A call is written so:
//!
//!     <function=terminal>
//!     <parameter=command>ls</parameter>
//!     </function>

mod call;
mod read;
mod write;

pub(crate) use read::with_calls;
pub(crate) use write::without_tools;

/// What a model is stopped at: its call is whole then, and what it would go on with is made up.
pub(crate) const STOP: &str = "</function";

const CALL: &str = "<function=";
const CALL_END: &str = "</function>";
const PARAMETER: &str = "<parameter=";
const PARAMETER_END: &str = "</parameter>";
