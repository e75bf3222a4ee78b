//! Random walks through the states of everything that has some: what no table of single steps shows.

use proptest::prelude::*;

use super::*;

/// Walks by events that are chosen at random, and answers the states on the way. Where an event is refused, nothing changes and the
/// refusal says what could happen instead.
fn walk<S: Copy + Debug + PartialEq, E: Copy>(
    from: S,
    events: &[E],
    on: impl Fn(S, E) -> crate::Result<S>,
) -> Vec<S> {
    let mut states = vec![from];
    for event in events {
        let state = states.last().copied().unwrap();
        match on(state, *event) {
            Ok(to) => states.push(to),
            Err(crate::Error::WrongState { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    states
}

fn some<E: Copy + Debug + 'static>(all: &'static [E]) -> impl Strategy<Value = Vec<E>> {
    prop::collection::vec(prop::sample::select(all), 0..60)
}

proptest! {
    #[test]
    fn a_node_takes_work_only_while_it_is_active(events in some(NodeEvent::ALL)) {
        let states = walk(NodeState::Initializing, &events, NodeState::on);
        for (before, after) in states.iter().zip(states.iter().skip(1)) {
            prop_assert_eq!(after.takes_work(), *after == NodeState::Active);
            // Nobody comes back from the dead but by being heard.
            prop_assert!(*before != NodeState::Dead || *after == NodeState::Active);
            // What an operator wanted is not undone by silence.
            let wanted = matches!(before, NodeState::Cordoned | NodeState::Draining);
            prop_assert!(!(wanted && *after == NodeState::Unknown));
        }
    }

    #[test]
    fn a_command_is_answered_once(events in some(CommandEvent::ALL)) {
        let states = walk(CommandState::Queued, &events, CommandState::on);
        let answered = |state: &CommandState| matches!(state, CommandState::Done | CommandState::Failed);
        let first = states.iter().position(answered);
        prop_assert!(first.is_none_or(|at| at + 1 == states.len()), "{states:?}");
        for (before, after) in states.iter().zip(states.iter().skip(1)) {
            prop_assert!(*before != CommandState::Parked || *after == CommandState::Queued);
            prop_assert!(*after != CommandState::Done || *before == CommandState::Leased);
        }
    }

    #[test]
    fn an_image_is_ready_only_when_it_was_loaded_or_seen(events in some(ImageEvent::ALL)) {
        let mut status = ImageStatus::Fetching;
        for event in events {
            let Ok(to) = status.on(event) else { continue };
            let known = matches!(event, ImageEvent::Load | ImageEvent::SeenReady);
            prop_assert!(to != ImageStatus::Ready || known || status == ImageStatus::Ready);
            status = to;
        }
    }

    #[test]
    fn a_gpu_is_let_go_once_and_not_taken_back(events in some(BindingEvent::ALL)) {
        let states = walk(BindingState::Reserved, &events, BindingState::on);
        let first = states.iter().position(|state| !state.holds());
        prop_assert!(first.is_none_or(|at| at + 1 == states.len()), "{states:?}");
        for (before, after) in states.iter().zip(states.iter().skip(1)) {
            prop_assert!(*before != BindingState::Releasing || *after != BindingState::Bound);
        }
    }
}
