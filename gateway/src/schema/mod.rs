//! What the document says of bodies that are read and written as text, not as values of these types: stored
//! events are passed on as they are, and fields of a request that nothing here acts on are passed over.
#![expect(dead_code, reason = "these types describe the document; values of them are never made")]

pub mod acp;
pub mod bash;
pub mod conversation;
pub mod event;
pub mod foreign_event;
pub mod init;
pub mod llm;
pub mod mcp;
pub mod meta_profile;
pub mod order;
pub mod settings;
