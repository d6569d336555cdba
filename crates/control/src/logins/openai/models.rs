//! The models of a subscription.

/// As the peer 1.58.2 lists them, by name.
pub const MODELS: [&str; 8] = [
    "gpt-5.5",
    "gpt-5.6-luna",
    "gpt-5.6-sol",
    "gpt-5.6-terra",
    "gpt-6-astra",
    "gpt-6-luna",
    "gpt-6-sol",
    "gpt-6.1-sol",
];
