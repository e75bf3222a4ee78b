//! The states of a training run: [`RunState`].

use super::text::{text_enum, transitions};

text_enum!(
    /// Where a run is.
    RunState, "state" {
        /// It was asked for, and is not due yet: it waits for its time, or for the end of a pause after a failed attempt.
        Queued = "queued",
        /// Its images are being resized.
        Preparing = "preparing",
        /// All that is missing is its GPUs.
        WaitingForGpu = "waiting_for_gpu",
        /// It has its GPUs, and no worker has begun yet.
        Starting = "starting",
        /// A worker trains.
        Training = "training",
        /// It is trained, and its artefact is being uploaded.
        Uploading = "uploading",
        /// Its artefact is there. Terminal.
        Completed = "completed",
        /// It was tried as often as it may, or cannot succeed. Terminal.
        Failed = "failed",
        /// Somebody wanted it no longer. Terminal.
        Aborted = "aborted",
        /// It came no further for too long. Terminal.
        Stalled = "stalled",
    }
);

text_enum!(
    /// What happens to a run.
    RunEvent, "event" {
        /// It is due, and images are still to be resized.
        Prepare = "prepare",
        /// It is due, and nothing is left to prepare.
        Ready = "ready",
        /// GPUs are leased for it.
        Grant = "grant",
        /// A worker has begun.
        Begin = "begin",
        /// It is trained.
        Upload = "upload",
        /// Its artefact is confirmed.
        Complete = "complete",
        /// It has to begin again: an attempt failed or was lost, or its GPUs were needed by another.
        Requeue = "requeue",
        /// It failed, and is not tried again.
        Fail = "fail",
        /// It is not wanted any more.
        Abort = "abort",
        /// The deadline of its state is over, and it is not tried again.
        Stall = "stall",
    }
);

transitions!(
    /// The state after an event, or `WrongState` where it cannot happen.
    RunState, RunEvent, "training_run"
);

impl RunState {
    const fn after(self, event: RunEvent) -> Option<Self> {
        if self.is_terminal() {
            return None;
        }
        match (self, event) {
            (Self::Queued, RunEvent::Prepare) => Some(Self::Preparing),
            (Self::Queued | Self::Preparing, RunEvent::Ready) => Some(Self::WaitingForGpu),
            (Self::WaitingForGpu, RunEvent::Grant) => Some(Self::Starting),
            (Self::Starting, RunEvent::Begin) => Some(Self::Training),
            (Self::Training, RunEvent::Upload) => Some(Self::Uploading),
            (Self::Uploading, RunEvent::Complete) => Some(Self::Completed),
            (Self::Starting | Self::Training | Self::Uploading, RunEvent::Requeue) => Some(Self::Queued),
            (_, RunEvent::Fail) => Some(Self::Failed),
            (_, RunEvent::Abort) => Some(Self::Aborted),
            (_, RunEvent::Stall) => Some(Self::Stalled),
            _ => None,
        }
    }

    /// Whether nothing happens to it any more.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Aborted | Self::Stalled)
    }

    /// Whether it holds GPUs.
    pub const fn has_lease(self) -> bool {
        matches!(self, Self::Starting | Self::Training | Self::Uploading)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_allows_exactly_the_events_of_the_table() {
        use RunState::{
            Aborted, Completed, Failed, Preparing, Queued, Stalled, Starting, Training, Uploading,
            WaitingForGpu,
        };
        const NO: Option<RunState> = None;
        let ends = [Some(Failed), Some(Aborted), Some(Stalled)];
        // prepare, ready, grant, begin, upload, complete, requeue; then fail, abort, stall
        let table = [
            (Queued, [Some(Preparing), Some(WaitingForGpu), NO, NO, NO, NO, NO]),
            (Preparing, [NO, Some(WaitingForGpu), NO, NO, NO, NO, NO]),
            (WaitingForGpu, [NO, NO, Some(Starting), NO, NO, NO, NO]),
            (Starting, [NO, NO, NO, Some(Training), NO, NO, Some(Queued)]),
            (Training, [NO, NO, NO, NO, Some(Uploading), NO, Some(Queued)]),
            (Uploading, [NO, NO, NO, NO, NO, Some(Completed), Some(Queued)]),
            (Completed, [NO; 7]),
            (Failed, [NO; 7]),
            (Aborted, [NO; 7]),
            (Stalled, [NO; 7]),
        ];
        assert_eq!(table.map(|(state, _)| state), RunState::ALL);
        for (state, row) in table {
            let ends = if state.is_terminal() { [NO; 3] } else { ends };
            for (event, to) in RunEvent::ALL.iter().zip(row.into_iter().chain(ends)) {
                assert_eq!(state.on(*event).ok(), to, "{state} on {event}");
            }
        }
    }
}
