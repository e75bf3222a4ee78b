//! The scheduling core against a plain scan over all nodes, and what holds of it whatever happens.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a mistake here should end the test"
)]

mod equivalence;
mod opportunity;
mod properties;
mod reference;
mod shortfall;
