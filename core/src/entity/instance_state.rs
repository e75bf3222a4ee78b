//! What an instance is doing, and what can be asked of it: [`InstanceState`], [`InstanceEvent`].

use super::text::text_enum;
use crate::error::{Error, Result};

text_enum!(
    /// The state of an instance.
    InstanceState, "state" {
        /// It has its place and is to be made.
        Requested = "requested",
        /// It is being made.
        Creating = "creating",
        /// It runs.
        Running = "running",
        /// It is made and does not run. It keeps all that it holds.
        Stopped = "stopped",
        /// It is being removed.
        Deleting = "deleting",
        /// It was removed. Terminal.
        Deleted = "deleted",
        /// It could not be made. Terminal.
        Failed = "failed",
        /// It went with its node. Terminal.
        Lost = "lost",
    }
);

text_enum!(
    /// What is asked of an instance.
    InstanceEvent, "event" {
        /// To stop running.
        Stop = "stop",
        /// To run again.
        Start = "start",
        /// To be removed, with all that it holds.
        Delete = "delete",
    }
);

impl InstanceState {
    /// Whether nothing can happen to it any more.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Deleted | Self::Failed | Self::Lost)
    }

    /// Whether it has a place on a node: the opposite of terminal.
    pub const fn is_live(self) -> bool {
        !self.is_terminal()
    }

    /// The state after an event, or `WrongState` with what could be asked instead.
    ///
    /// Stopping what is stopped is refused here too; that it is an answer and no error is for the operation to say.
    pub fn on(self, event: InstanceEvent) -> Result<Self> {
        self.after(event).ok_or_else(|| Error::WrongState {
            kind: "instance",
            state: self.as_str(),
            event: event.as_str(),
            allowed: InstanceEvent::ALL
                .iter()
                .filter(|event| self.after(**event).is_some())
                .map(|event| event.as_str())
                .collect(),
        })
    }

    const fn after(self, event: InstanceEvent) -> Option<Self> {
        match (self, event) {
            (Self::Running, InstanceEvent::Stop) => Some(Self::Stopped),
            (Self::Stopped, InstanceEvent::Start) => Some(Self::Running),
            (state, InstanceEvent::Delete) if state.is_live() => Some(Self::Deleted),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_allows_exactly_the_events_of_the_table() {
        use InstanceState::{Creating, Deleted, Deleting, Failed, Lost, Requested, Running, Stopped};
        let table = [
            (Requested, [None, None, Some(Deleted)]),
            (Creating, [None, None, Some(Deleted)]),
            (Running, [Some(Stopped), None, Some(Deleted)]),
            (Stopped, [None, Some(Running), Some(Deleted)]),
            (Deleting, [None, None, Some(Deleted)]),
            (Deleted, [None; 3]),
            (Failed, [None; 3]),
            (Lost, [None; 3]),
        ];
        assert_eq!(table.map(|(state, _)| state), InstanceState::ALL);
        for (state, row) in table {
            let events = [InstanceEvent::Stop, InstanceEvent::Start, InstanceEvent::Delete];
            for (event, to) in events.into_iter().zip(row) {
                assert_eq!(state.on(event).ok(), to, "{state} on {event}");
            }
            assert_eq!(state.is_terminal(), row == [None; 3], "{state}");
        }
    }

    #[test]
    fn a_refused_event_says_what_could_be_asked_instead() {
        let error = InstanceState::Stopped.on(InstanceEvent::Stop).unwrap_err();
        assert_eq!(error.to_string(), "stop is not possible while the instance is stopped");
        let Error::WrongState { allowed, .. } = error else { panic!("{error:?}") };
        assert_eq!(allowed, ["start", "delete"]);
    }
}
