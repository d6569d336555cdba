//! The ports on NATS and JetStream.
