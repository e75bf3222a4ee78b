//! The rules by which a report is reconciled with what is known: pure, over values, one list at a time.
//!
//! A container is matched by its key, or by the mark that it was made with. What is being made is never judged by a report, and
//! neither is what changed after the machine was looked at; and what a machine does not say says nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::inventory::{FoundGpu, FoundImage, FoundInstance, FoundState};
use crate::entity::{GpuHealth, ImageStatus, InstanceEvent, InstanceId, InstanceState};

/// An instance as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known<'k> {
    pub(crate) id: InstanceId,
    pub(crate) key: Option<&'k str>,
    pub(crate) state: InstanceState,
    /// Whether the agent of the node speaks for it.
    pub(crate) by_agent: bool,
    /// Whether a command for it is under way.
    pub(crate) open: bool,
    /// Whether it changed after the machine was looked at.
    pub(crate) newer: bool,
}

/// What a report says of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InstanceChange {
    /// Nothing that counts.
    Nothing,
    /// It is the container at this place of the report; and what that says of its state.
    Is(usize, Option<InstanceEvent>),
    /// There is nothing of it.
    Gone,
}

/// What a report says of each known instance, and the places of the containers that are none of them.
pub(crate) fn match_instances(
    known: &[Known<'_>],
    found: &[FoundInstance],
) -> (Vec<InstanceChange>, Vec<usize>) {
    let by_key: BTreeMap<&str, usize> =
        found.iter().enumerate().map(|(at, found)| (found.key.as_str(), at)).collect();
    let mut taken: BTreeSet<usize> =
        known.iter().filter_map(|known| by_key.get(known.key?).copied()).collect();
    let mut by_mark: BTreeMap<InstanceId, usize> = BTreeMap::new();
    for (at, one) in found.iter().enumerate().filter(|(at, _)| !taken.contains(at)) {
        if let Some(instance) = one.instance {
            by_mark.entry(instance).or_insert(at);
        }
    }
    let mut changes = Vec::with_capacity(known.len());
    for known in known {
        let by_key = known.key.and_then(|key| by_key.get(key).copied());
        // One that has a key is that container and no other one, whatever that is marked as.
        let at = by_key.or_else(|| by_mark.get(&known.id).copied().filter(|_| known.key.is_none()));
        taken.extend(at);
        changes.push(judge(known, at.and_then(|at| Some((at, found.get(at)?)))));
    }
    let rest = (0..found.len()).filter(|at| !taken.contains(at)).collect();
    (changes, rest)
}

fn judge(known: &Known<'_>, found: Option<(usize, &FoundInstance)>) -> InstanceChange {
    if known.newer || !known.state.is_live() || (known.state.is_in_creation() && known.open) {
        return InstanceChange::Nothing;
    }
    match found {
        Some((at, found)) => {
            let event = match found.state {
                FoundState::Running => Some(InstanceEvent::SeenRunning),
                FoundState::Stopped => Some(InstanceEvent::SeenStopped),
                FoundState::Unclear => None,
            };
            InstanceChange::Is(at, event)
        }
        // What its agent never made, or is being made or removed right now, is not gone.
        None if !known.by_agent || known.state.is_in_creation() => InstanceChange::Nothing,
        None if known.state == InstanceState::Deleting && known.open => InstanceChange::Nothing,
        None => InstanceChange::Gone,
    }
}

/// For each foreign container that is known, by its key, its place in the report, where it is still there; and the places of those that are new. `rest` are
/// the places of the containers that are no instances.
pub(crate) fn match_foreign(
    known: &[&str],
    found: &[FoundInstance],
    rest: &[usize],
) -> (Vec<Option<usize>>, Vec<usize>) {
    let mut new: BTreeMap<&str, usize> =
        rest.iter().filter_map(|at| Some((found.get(*at)?.key.as_str(), *at))).collect();
    let still = known.iter().map(|key| new.remove(key)).collect();
    let mut new: Vec<usize> = new.into_values().collect();
    new.sort_unstable();
    (still, new)
}

/// What a report says of a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GpuChange {
    /// It is the one at this place of the report.
    Is(usize),
    /// It is not there.
    Gone,
}

/// A GPU as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KnownGpu<'k> {
    pub(crate) key: Option<&'k str>,
    pub(crate) model: &'k str,
    pub(crate) health: GpuHealth,
}

/// What a report says of each known GPU, and the places of those that are new. One that has no key yet is the first of its model
/// that no other one is.
pub(crate) fn match_gpus(known: &[KnownGpu<'_>], found: &[FoundGpu]) -> (Vec<GpuChange>, Vec<usize>) {
    let place = |key: &str| found.iter().position(|found| found.key == key);
    let mut taken: BTreeSet<usize> = known.iter().filter_map(|known| place(known.key?)).collect();
    let mut changes = Vec::with_capacity(known.len());
    for known in known {
        let at = match known.key {
            Some(key) => place(key),
            // What was taken for gone stays so: another GPU may have come in its place.
            None if known.health == GpuHealth::Gone => None,
            None => (0..found.len()).find(|at| {
                !taken.contains(at) && found.get(*at).is_some_and(|found| found.model == known.model)
            }),
        };
        taken.extend(at);
        changes.push(at.map_or(GpuChange::Gone, GpuChange::Is));
    }
    let new = (0..found.len()).filter(|at| !taken.contains(at)).collect();
    (changes, new)
}

/// An image as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KnownImage<'k> {
    pub(crate) key: Option<&'k str>,
    pub(crate) url: Option<&'k str>,
    pub(crate) status: ImageStatus,
    /// Whether a command for it is under way.
    pub(crate) open: bool,
    /// Whether it changed after the machine was looked at.
    pub(crate) newer: bool,
}

/// What a report says of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ImageChange {
    /// Nothing that counts.
    Nothing,
    /// It is the one at this place of the report, and can be used.
    Is(usize),
    /// It is not there.
    Gone,
}

/// What a report says of each known image, and the places of those that are new.
///
/// What is being saved has neither key nor URL by which it could be known in a report: while there is any, nothing is new, so that
/// it is not taken for another image before its agent has answered. Whatever else is new is so in the next report.
pub(crate) fn match_images(known: &[KnownImage<'_>], found: &[FoundImage]) -> (Vec<ImageChange>, Vec<usize>) {
    let by_key: BTreeMap<&str, usize> =
        found.iter().enumerate().map(|(at, found)| (found.key.as_str(), at)).collect();
    let mut taken: BTreeSet<usize> =
        known.iter().filter_map(|known| by_key.get(known.key?).copied()).collect();
    let mut by_url: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, one) in found.iter().enumerate().filter(|(at, _)| !taken.contains(at)) {
        if let Some(url) = &one.url {
            by_url.entry(url).or_insert(at);
        }
    }
    let mut changes = Vec::with_capacity(known.len());
    for known in known {
        let by_key = known.key.and_then(|key| by_key.get(key).copied());
        let at = by_key.or_else(|| by_url.get(known.url?).copied());
        taken.extend(at);
        changes.push(match at {
            _ if known.newer || known.open => ImageChange::Nothing,
            Some(at) => ImageChange::Is(at),
            None if known.status == ImageStatus::Ready => ImageChange::Gone,
            None => ImageChange::Nothing,
        });
    }
    let saving = known.iter().any(|known| known.open && known.key.is_none() && known.url.is_none());
    let new = (0..found.len()).filter(|at| !saving && !taken.contains(at)).collect();
    (changes, new)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::Id;

    fn id(number: u128) -> InstanceId {
        Id::new(uuid::Uuid::from_u128(number))
    }

    fn known(number: u128, key: Option<&str>, state: InstanceState) -> Known<'_> {
        Known { id: id(number), key, state, by_agent: true, open: false, newer: false }
    }

    #[test]
    fn what_a_report_says_of_an_instance_is_this_table() {
        use FoundState::{Running as Runs, Stopped as Stands, Unclear};
        use InstanceChange::{Gone, Is, Nothing};
        use InstanceEvent::{SeenRunning, SeenStopped};
        use InstanceState::{Creating, Deleted, Deleting, Failed, Lost, Requested, Running, Stopped};
        let seen = [Is(0, Some(SeenRunning)), Is(0, Some(SeenStopped)), Is(0, None)];
        let nothing = [Nothing; 3];
        // Without a command under way, and with one: what it is found doing, and not found.
        let table = [
            (Requested, (seen, Nothing), (nothing, Nothing)),
            (Creating, (seen, Nothing), (nothing, Nothing)),
            (Running, (seen, Gone), (seen, Gone)),
            (Stopped, (seen, Gone), (seen, Gone)),
            (Deleting, (seen, Gone), (seen, Nothing)),
            (Deleted, (nothing, Nothing), (nothing, Nothing)),
            (Failed, (nothing, Nothing), (nothing, Nothing)),
            (Lost, (nothing, Nothing), (nothing, Nothing)),
        ];
        assert_eq!(table.map(|(state, ..)| state), InstanceState::ALL);
        for (state, idle, busy) in table {
            for (open, (when_found, when_not)) in [(false, idle), (true, busy)] {
                let one = Known { open, ..known(1, Some("a"), state) };
                for (found, expected) in [Runs, Stands, Unclear].into_iter().zip(when_found) {
                    let report = [FoundInstance::new("a", found)];
                    let (changes, rest) = match_instances(std::slice::from_ref(&one), &report);
                    assert_eq!((changes[0], rest.len()), (expected, 0), "{state}, {open}, {found:?}");
                    // What changed since is not judged, and is nobody else's either.
                    let (changes, rest) = match_instances(&[Known { newer: true, ..one.clone() }], &report);
                    assert_eq!((changes[0], rest.len()), (Nothing, 0));
                }
                let (changes, _) = match_instances(std::slice::from_ref(&one), &[]);
                assert_eq!(changes[0], when_not, "{state}, {open}");
                let (changes, _) = match_instances(&[Known { newer: true, ..one.clone() }], &[]);
                assert_eq!(changes[0], Nothing);
                let (changes, _) = match_instances(&[Known { by_agent: false, ..one.clone() }], &[]);
                assert_eq!(changes[0], Nothing, "an agent does not speak for what it never made");
            }
        }
    }

    #[test]
    fn a_key_counts_before_a_mark_and_a_mark_only_for_what_has_no_key() {
        let report = [
            FoundInstance::new("a", FoundState::Running).of(id(2)),
            FoundInstance::new("b", FoundState::Running).of(id(2)),
            FoundInstance::new("c", FoundState::Running).of(id(1)),
        ];
        let one = known(1, Some("a"), InstanceState::Running);
        let two = known(2, None, InstanceState::Creating);
        let (changes, rest) = match_instances(&[one, two], &report);
        let seen = |at| InstanceChange::Is(at, Some(InstanceEvent::SeenRunning));
        assert_eq!((changes, rest), (vec![seen(0), seen(1)], vec![2]), "c is a second one of what is a");
    }

    #[test]
    fn gpus_are_known_by_their_keys_and_those_without_one_are_the_first_of_their_model() {
        let found = ["a", "b", "c"].map(|key| FoundGpu::new(key, if key == "c" { "A100" } else { "H100" }));
        let gpu = |key, model, health| KnownGpu { key, model, health };
        let healthy = GpuHealth::Healthy;
        let known = [
            gpu(Some("b"), "H100", healthy),
            gpu(None, "H100", healthy),
            gpu(None, "H100", healthy),
            gpu(Some("x"), "H100", healthy),
            gpu(None, "A100", GpuHealth::Gone),
        ];
        let (changes, new) = match_gpus(&known, &found);
        let (is, gone) = (GpuChange::Is, GpuChange::Gone);
        assert_eq!((changes, new), (vec![is(1), is(0), gone, gone, gone], vec![2]));
    }

    #[test]
    fn what_a_report_says_of_an_image_is_this_table() {
        use ImageChange::{Gone, Is, Nothing};
        use ImageStatus::{Failed, Fetching, Ready};
        let image = |status| KnownImage { key: Some("k"), url: Some("u"), status, open: false, newer: false };
        for (status, when_not) in [(Fetching, Nothing), (Ready, Gone), (Failed, Nothing)] {
            for report in [FoundImage::new("k"), FoundImage::new("other").url("u")] {
                let (changes, new) = match_images(&[image(status)], std::slice::from_ref(&report));
                assert_eq!((changes, new), (vec![Is(0)], vec![]), "{status}");
                let busy = KnownImage { open: true, ..image(status) };
                let (changes, new) = match_images(&[busy], &[report]);
                assert_eq!((changes, new), (vec![Nothing], vec![]), "{status}");
            }
            assert_eq!(match_images(&[image(status)], &[]).0, [when_not], "{status}");
            let newer = KnownImage { newer: true, ..image(status) };
            assert_eq!(match_images(&[newer], &[]).0, [Nothing], "{status}");
        }
        assert_eq!(match_images(&[image(Ready)], &[FoundImage::new("z")]).1, [0], "it is a new one");
        let saving = KnownImage { key: None, url: None, open: true, ..image(Fetching) };
        let found = [FoundImage::new("z"), FoundImage::new("k")];
        assert_eq!(match_images(&[saving.clone(), image(Ready)], &found), (vec![Nothing, Is(1)], vec![]));
        let given_up = KnownImage { open: false, status: Failed, ..saving };
        assert_eq!(match_images(&[given_up, image(Ready)], &found).1, [0], "nobody saves it any more");
    }

    proptest! {
        /// Whatever is known and reported: no container is two things at once, and none is forgotten.
        #[test]
        fn every_container_of_a_report_is_one_instance_or_foreign(
            known in prop::collection::vec((0..6_u128, prop::option::of(0..6_usize), 0..8_usize, any::<[bool; 3]>()), 0..8),
            found in prop::collection::vec(prop::option::of(0..6_u128), 0..8),
        ) {
            let keys: Vec<String> = (0..8).map(|key| format!("k{key}")).collect();
            let mut seen = (BTreeSet::new(), BTreeSet::new());
            let known: Vec<Known<'_>> = known.iter().filter_map(|(number, key, state, [by_agent, open, newer])| {
                let distinct = seen.0.insert(*number) && key.is_none_or(|key| seen.1.insert(key));
                let key = key.map(|key| keys[key].as_str());
                let (by_agent, open, newer) = (*by_agent, *open, *newer);
                distinct.then(|| Known { by_agent, open, newer, ..self::known(*number, key, InstanceState::ALL[*state]) })
            }).collect();
            let found: Vec<FoundInstance> = found.iter().zip(&keys).map(|(mark, key)| FoundInstance {
                instance: mark.map(id),
                ..FoundInstance::new(key.as_str(), FoundState::Running)
            }).collect();
            let (changes, rest) = match_instances(&known, &found);
            prop_assert_eq!(changes.len(), known.len());
            let mut places: Vec<usize> = rest.clone();
            places.extend(changes.iter().filter_map(|change| match change {
                InstanceChange::Is(at, _) => Some(*at),
                _ => None,
            }));
            let count = places.len();
            places.sort_unstable();
            places.dedup();
            prop_assert_eq!(places.len(), count, "a container is two things");
            for (known, change) in known.iter().zip(&changes) {
                if *change == InstanceChange::Gone {
                    prop_assert!(known.by_agent && !known.newer && !known.state.is_in_creation());
                    prop_assert!(known.key.is_none_or(|key| found.iter().all(|found| found.key != key)));
                }
            }
            let (still, new) = match_foreign(&[], &found, &rest);
            prop_assert!(still.is_empty());
            prop_assert_eq!(new, rest);
        }
    }
}
