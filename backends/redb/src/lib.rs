//! The embedded store of apportion.
