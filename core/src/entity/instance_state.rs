//! What an instance is doing, and what can happen to it: [`InstanceState`], [`InstanceEvent`], [`DesiredState`].

use super::text::{text_enum, transitions};

text_enum!(
    /// The state of an instance: what is known of it. What is wanted of it is its [`DesiredState`].
    InstanceState, "state" {
        /// It has its place and is to be made.
        Requested = "requested",
        /// It is being made.
        Creating = "creating",
        /// It runs.
        Running = "running",
        /// It is made and does not run. It keeps all that it holds.
        Stopped = "stopped",
        /// It is being removed, and still holds all that it held.
        Deleting = "deleting",
        /// It was removed. Terminal.
        Deleted = "deleted",
        /// It could not be made. Terminal.
        Failed = "failed",
        /// It is gone, and nobody asked for that: it vanished, or went with its node. Terminal.
        Lost = "lost",
    }
);

text_enum!(
    /// What is wanted of an instance.
    DesiredState, "desired" {
        /// That it runs.
        Running = "running",
        /// That it does not run, and keeps all that it holds.
        Stopped = "stopped",
        /// That it is removed.
        Deleted = "deleted",
    }
);

text_enum!(
    /// What happens to an instance: the first three are asked of it, the others are what is known of it.
    InstanceEvent, "event" {
        /// It is to stop running.
        Stop = "stop",
        /// It is to run again.
        Start = "start",
        /// It is to be removed, with all that it holds.
        Delete = "delete",
        /// Its machine has begun to make it.
        Begin = "begin",
        /// It was seen running.
        SeenRunning = "seen_running",
        /// It was seen, and does not run.
        SeenStopped = "seen_stopped",
        /// Its machine says that there is nothing of it.
        SeenGone = "seen_gone",
        /// Its machine says that it cannot be made, and that there is nothing of it.
        Fail = "fail",
        /// Somebody who may has said that it is gone, and answers for it.
        Abandon = "abandon",
    }
);

transitions!(
    /// The state after an event, or `WrongState` with what could happen instead.
    ///
    /// To be asked to stop or to start changes nothing that is known: the state follows when it is seen.
    InstanceState, InstanceEvent, "instance"
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

    /// Whether it is yet to be made.
    pub const fn is_in_creation(self) -> bool {
        matches!(self, Self::Requested | Self::Creating)
    }

    const fn after(self, event: InstanceEvent) -> Option<Self> {
        use InstanceEvent::{Abandon, Begin, Delete, Fail, SeenGone, SeenRunning, SeenStopped, Start, Stop};
        match (self, event) {
            (Self::Deleted | Self::Failed | Self::Lost, _) => None,
            // What is yet to be made is not gone.
            (_, Abandon) | (Self::Running | Self::Stopped, SeenGone) => Some(Self::Lost),
            // What is to be removed is so until there is nothing of it, whatever it does meanwhile.
            (_, Delete) | (Self::Deleting, Begin | SeenRunning | SeenStopped) => Some(Self::Deleting),
            (Self::Deleting, SeenGone | Fail) => Some(Self::Deleted),
            (Self::Requested | Self::Creating, Begin) => Some(Self::Creating),
            (Self::Requested | Self::Creating, Fail) => Some(Self::Failed),
            (Self::Running, Stop) | (_, SeenRunning) => Some(Self::Running),
            (Self::Stopped, Start) | (_, SeenStopped) => Some(Self::Stopped),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::Error;

    #[test]
    fn each_state_allows_exactly_the_events_of_the_table() {
        use InstanceState::{Creating, Deleted, Deleting, Failed, Lost, Requested, Running, Stopped};
        const NO: Option<InstanceState> = None;
        let (creating, running, stopped) = (Some(Creating), Some(Running), Some(Stopped));
        let (deleting, deleted, failed, lost) = (Some(Deleting), Some(Deleted), Some(Failed), Some(Lost));
        // stop, start, delete, begin, seen_running, seen_stopped, seen_gone, fail, abandon
        let table = [
            (Requested, [NO, NO, deleting, creating, running, stopped, NO, failed, lost]),
            (Creating, [NO, NO, deleting, creating, running, stopped, NO, failed, lost]),
            (Running, [running, NO, deleting, NO, running, stopped, lost, NO, lost]),
            (Stopped, [NO, stopped, deleting, NO, running, stopped, lost, NO, lost]),
            (Deleting, [NO, NO, deleting, deleting, deleting, deleting, deleted, deleted, lost]),
            (Deleted, [NO; 9]),
            (Failed, [NO; 9]),
            (Lost, [NO; 9]),
        ];
        assert_eq!(table.map(|(state, _)| state), InstanceState::ALL);
        for (state, row) in table {
            for (event, to) in InstanceEvent::ALL.iter().zip(row) {
                assert_eq!(state.on(*event).ok(), to, "{state} on {event}");
            }
            assert_eq!(state.is_terminal(), row == [NO; 9], "{state}");
        }
    }

    #[test]
    fn a_refused_event_says_what_could_happen_instead() {
        let error = InstanceState::Stopped.on(InstanceEvent::Stop).unwrap_err();
        assert_eq!(error.to_string(), "stop is not possible while the instance is stopped");
        let Error::WrongState { allowed, .. } = error else { panic!("{error:?}") };
        let expected = ["start", "delete", "seen_running", "seen_stopped", "seen_gone", "abandon"];
        assert_eq!(allowed, expected);
    }

    proptest! {
        #[test]
        fn no_walk_leaves_a_terminal_state_nor_forgets_a_deletion(
            events in prop::collection::vec(prop::sample::select(InstanceEvent::ALL.to_vec()), 0..40),
        ) {
            let mut state = InstanceState::Requested;
            let (mut ended, mut deleting) = (None, false);
            for event in events {
                match state.on(event) {
                    Ok(to) => {
                        prop_assert!(ended.is_none(), "{state} was left by {event}");
                        state = to;
                    }
                    Err(error) => prop_assert_eq!(error.code(), "wrong_state"),
                }
                deleting |= state == InstanceState::Deleting;
                if state.is_terminal() {
                    ended = Some(state);
                }
                // Whoever asked for a deletion gets one, unless somebody gives the instance up.
                if deleting {
                    prop_assert!(matches!(
                        state,
                        InstanceState::Deleting | InstanceState::Deleted | InstanceState::Lost
                    ));
                }
            }
        }
    }
}
