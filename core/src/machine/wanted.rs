//! What a machine is to do so that what is known of an instance becomes what is wanted of it.

use crate::entity::{CommandKind, DesiredState, InstanceState};

/// The command that brings an instance in this state closer to what is wanted of it; none where nothing is to be done, or where its
/// creation is under way.
pub(crate) const fn wanted(state: InstanceState, desired: DesiredState) -> Option<CommandKind> {
    match (state, desired) {
        (InstanceState::Deleting, _) => Some(CommandKind::DeleteInstance),
        (InstanceState::Running, DesiredState::Stopped) => Some(CommandKind::StopInstance),
        (InstanceState::Stopped, DesiredState::Running) => Some(CommandKind::StartInstance),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_difference_between_what_is_and_what_is_wanted_asks_for_something() {
        use CommandKind::{DeleteInstance, StartInstance, StopInstance};
        use InstanceState::{Creating, Deleted, Deleting, Failed, Lost, Requested, Running, Stopped};
        let delete = Some(DeleteInstance);
        // running, stopped, deleted
        let table = [
            (Requested, [None, None, None]),
            (Creating, [None, None, None]),
            (Running, [None, Some(StopInstance), None]),
            (Stopped, [Some(StartInstance), None, None]),
            (Deleting, [delete, delete, delete]),
            (Deleted, [None, None, None]),
            (Failed, [None, None, None]),
            (Lost, [None, None, None]),
        ];
        assert_eq!(table.map(|(state, _)| state), InstanceState::ALL);
        for (state, row) in table {
            for (desired, command) in DesiredState::ALL.iter().zip(row) {
                assert_eq!(wanted(state, *desired), command, "{state}, {desired}");
            }
        }
    }
}
