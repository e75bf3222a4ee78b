//! The order in which the replay does things: every creation and deletion of a trace, in event time.

use crate::trace::PodRow;

/// What happens to a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// It asks to run.
    Create,
    /// It ends, and everything that it holds comes back.
    Delete,
}

/// One thing that happens to one pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Seconds from the start of the trace.
    pub at_s: i64,
    /// What happens.
    pub change: Change,
    /// The pod, as its place in the list that the events were made from.
    pub pod: usize,
}

/// Lists what happens to `pods`, in the order in which it happens.
///
/// Within a second deletions come before creations, so that what is given back can be given out, and then the
/// order of the list decides. A pod that ends in the very second it began is deleted after all creations of that
/// second. A pod without a creation time (such files have no times at all) is created at the second of its place
/// in the list, and never deleted.
pub fn in_event_time(pods: &[PodRow]) -> Vec<Event> {
    let mut events = Vec::with_capacity(pods.len() * 2);
    for (index, (pod, place)) in pods.iter().zip(0_i64..).enumerate() {
        let created = pod.creation_time.unwrap_or(place);
        events.push(Event { at_s: created, change: Change::Create, pod: index });
        if let Some(at_s) = pod.deletion_time {
            events.push(Event { at_s, change: Change::Delete, pod: index });
        }
    }
    // Stable, so that the place in the list decides last.
    events.sort_by_key(|event| (event.at_s, turn(event, pods)));
    events
}

fn turn(event: &Event, pods: &[PodRow]) -> u8 {
    let begun_now = || pods.get(event.pod).and_then(|pod| pod.creation_time) == Some(event.at_s);
    match event.change {
        Change::Delete if begun_now() => 2,
        Change::Delete => 0,
        Change::Create => 1,
    }
}

#[cfg(test)]
mod tests {
    use apportion::amount::{CpuMilli, GpuMilli, MemoryMib};
    use proptest::prelude::*;

    use super::*;

    fn pod(times: (Option<i64>, Option<i64>)) -> PodRow {
        PodRow {
            name: String::from("p"),
            cpu_milli: CpuMilli::from_u32(1000),
            memory_mib: MemoryMib::from_u32(1024),
            num_gpu: 0,
            gpu_milli: GpuMilli::ZERO,
            gpu_spec: Vec::new(),
            qos: None,
            pod_phase: None,
            creation_time: times.0,
            deletion_time: times.1,
            scheduled_time: None,
        }
    }

    fn list(times: &[(Option<i64>, Option<i64>)]) -> Vec<(i64, Change, usize)> {
        let pods: Vec<_> = times.iter().copied().map(pod).collect();
        in_event_time(&pods).iter().map(|event| (event.at_s, event.change, event.pod)).collect()
    }

    use Change::{Create, Delete};

    #[test]
    fn events_follow_time_and_then_the_order_of_the_list() {
        let times = [(Some(5), None), (Some(2), Some(9)), (Some(5), Some(6))];
        assert_eq!(
            list(&times),
            [(2, Create, 1), (5, Create, 0), (5, Create, 2), (6, Delete, 2), (9, Delete, 1)]
        );
    }

    #[test]
    fn what_is_given_back_in_a_second_can_be_given_out_in_it() {
        assert_eq!(
            list(&[(Some(7), None), (Some(1), Some(7))]),
            [(1, Create, 1), (7, Delete, 1), (7, Create, 0)]
        );
    }

    #[test]
    fn a_pod_that_ends_in_the_second_it_began_is_created_first() {
        let times = [(Some(7), Some(7)), (Some(7), None)];
        assert_eq!(list(&times), [(7, Create, 0), (7, Create, 1), (7, Delete, 0)]);
    }

    #[test]
    fn pods_without_times_come_one_a_second_and_stay() {
        assert_eq!(list(&[(None, None), (None, None)]), [(0, Create, 0), (1, Create, 1)]);
    }

    proptest! {
        #[test]
        fn every_pod_is_created_once_and_deleted_at_most_once_and_later(
            times in prop::collection::vec((0_i64..50, prop::option::of(0_i64..50)), 0..60),
        ) {
            let times: Vec<_> = times.into_iter().map(|(at, long)| (Some(at), long.map(|long| at + long))).collect();
            let events = list(&times);
            prop_assert!(events.windows(2).all(|pair| pair[0].0 <= pair[1].0));
            for (index, (created, deleted)) in times.iter().enumerate() {
                let own: Vec<_> = events.iter().filter(|event| event.2 == index).map(|event| (event.0, event.1)).collect();
                let expected: Vec<_> =
                    created.map(|at| (at, Create)).into_iter().chain(deleted.map(|at| (at, Delete))).collect();
                prop_assert_eq!(own, expected);
            }
        }
    }
}
