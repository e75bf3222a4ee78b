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

/// The states that are reached from one by any events, step by step.
fn reached<S: Copy + Debug + PartialEq, E: Copy + 'static>(
    from: S,
    events: &'static [E],
    on: impl Fn(S, E) -> crate::Result<S>,
) -> Vec<S> {
    let mut reached = vec![from];
    let mut looked = 0;
    while let Some(state) = reached.get(looked).copied() {
        looked += 1;
        for to in events.iter().filter_map(|event| on(state, *event).ok()) {
            if !reached.contains(&to) {
                reached.push(to);
            }
        }
    }
    reached
}

/// Sees that every state is reached from the first one.
fn all_are_reached<S, E>(all: &[S], events: &'static [E], on: impl Fn(S, E) -> crate::Result<S>)
where
    S: Copy + Debug + PartialEq,
    E: Copy + Debug + 'static,
{
    let reached = reached(all.first().copied().unwrap(), events, &on);
    for state in all {
        assert!(reached.contains(state), "{state:?} is never reached");
    }
}

#[test]
fn every_state_of_trainings_runs_rentals_and_leases_is_reached() {
    all_are_reached(RunState::ALL, RunEvent::ALL, RunState::on);
    all_are_reached(TrainingImageState::ALL, TrainingImageEvent::ALL, TrainingImageState::on);
    all_are_reached(RentalState::ALL, RentalEvent::ALL, RentalState::on);
    all_are_reached(BindingState::ALL, BindingEvent::ALL, BindingState::on);
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

    #[test]
    fn a_run_ends_once_and_has_gpus_only_where_they_were_granted(events in some(RunEvent::ALL)) {
        let states = walk(RunState::Queued, &events, RunState::on);
        let first = states.iter().position(|state| state.is_terminal());
        prop_assert!(first.is_none_or(|at| at + 1 == states.len()), "{states:?}");
        for (before, after) in states.iter().zip(states.iter().skip(1)) {
            prop_assert!(RunState::ALL.contains(after));
            // GPUs come from waiting for them alone, and are left for the queue or for the end.
            prop_assert!(!after.has_lease() || before.has_lease() || *before == RunState::WaitingForGpu);
            prop_assert!(*after != RunState::Completed || *before == RunState::Uploading);
            // Nobody trains what was not prepared.
            prop_assert!(*after != RunState::Training || *before == RunState::Starting);
            let waits = matches!(after, RunState::Preparing | RunState::WaitingForGpu);
            prop_assert!(!waits || matches!(before, RunState::Queued | RunState::Preparing));
        }
    }

    #[test]
    fn a_picture_is_uploaded_and_then_resized_and_stays_so(events in some(TrainingImageEvent::ALL)) {
        use TrainingImageState::{Intended, Resized, Uploaded};
        let states = walk(Intended, &events, TrainingImageState::on);
        prop_assert!([Intended, Uploaded, Resized].starts_with(&states), "{states:?}");
    }

    #[test]
    fn a_rented_machine_is_gone_once_and_what_it_ended_as_says_whether_it_was_there(
        events in some(RentalEvent::ALL),
    ) {
        let states = walk(RentalState::Renting, &events, RentalState::on);
        let first = states.iter().position(|state| !state.may_be_there());
        prop_assert!(first.is_none_or(|at| at + 1 == states.len()), "{states:?}");
        for (before, after) in states.iter().zip(states.iter().skip(1)) {
            // What is to be given back is not wanted again, whatever is seen of it.
            let back = matches!(after, RentalState::Releasing | RentalState::Released);
            prop_assert!(*before != RentalState::Releasing || back);
            prop_assert!(*after != RentalState::Failed || *before == RentalState::Renting);
            prop_assert!(*after != RentalState::Lost || *before == RentalState::Rented);
        }
    }

    #[test]
    fn a_lease_is_released_once_and_no_worker_takes_what_is_to_be_let_go(events in some(BindingEvent::ALL)) {
        let states = walk(BindingState::Reserved, &events, BindingState::on);
        let released = states.iter().filter(|state| **state == BindingState::Released).count();
        prop_assert!(released <= 1);
        for (before, after) in states.iter().zip(states.iter().skip(1)) {
            let taken = matches!(before, BindingState::Reserved | BindingState::Bound);
            prop_assert!(*after != BindingState::Bound || taken);
            prop_assert!(*after != BindingState::Reserved, "nobody gives back to the queue what was given");
        }
    }
}
