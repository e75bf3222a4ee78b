//! How far a run is, from message to message: [`RunPulse`].

use serde::{Deserialize, Serialize};

use super::field::entity;
use super::training_run::RunId;
use crate::store::{Column, Fixed, Invariant, Reference, Table};
use crate::time::Timestamp;

/// How many messages a run has sent, and when it last did.
///
/// It is a row of its own, out of the feed and without an index: a message disturbs nobody who reads or changes the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunPulse {
    /// The run.
    pub run_id: RunId,
    /// The number of its last message.
    pub sequence: u64,
    /// When it was last heard.
    pub heard_at: Timestamp,
}

/// The table of [`RunPulse`].
pub static RUN_PULSES: Table = Table::new(
    "run_pulses",
    &[
        Column::uuid("run_id"),
        Column::int("sequence").counter().default(Fixed::Int(0)),
        Column::time("heard_at").counter(),
    ],
    &["run_id"],
)
.references(&[Reference::new("run_pulses_run", &["run_id"], "training_runs")])
.invariants(&[Invariant::at_least("run_pulses_sequence_not_negative", "sequence", 0)])
.quiet();

entity!(RunPulse, "run_pulse", RUN_PULSES {
    fixed: run_id;
    counters: sequence, heard_at;
});
