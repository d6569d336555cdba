//! Events as clients see them, read from the log.
