//! The keys and tokens with which the parts of a cluster sign in to NATS.
