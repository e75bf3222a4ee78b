use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::entity::LeaseId;
use crate::rent::Offer;

const GRACE: Duration = Duration::from_secs(30);

fn options() -> RentalOptions {
    RentalOptions::new("here").ready_within(Duration::from_mins(10))
}

fn id(number: u128) -> RentalId {
    RentalId::new(Uuid::from_u128(number))
}

fn at(second: u64) -> Timestamp {
    Timestamp::from_micros(1_000_000_000).plus(Duration::from_secs(second))
}

/// A row that was decided on at second 0 and asked for at once, in this state.
fn row(state: RentalState) -> Rental {
    let offer = Offer::new("o", 1, "A", 1);
    let mut rental = options().intend(id(1), LeaseId::new(Uuid::from_u128(9)), "p", &offer, at(0));
    (rental.state, rental.tries) = (state, 1);
    if state == RentalState::Rented {
        (rental.instance_id, rental.rented_at, rental.answered_at) =
            (Some("a".into()), Some(at(1)), Some(at(1)));
    }
    rental
}

fn listed(names: &[&str]) -> Vec<ListedMachine> {
    names.iter().map(|name| ListedMachine::new(*name, options().label(id(1)))).collect()
}

fn decided(rental: &Rental, wanted: bool, names: &[&str], second: u64) -> Vec<RentalAction> {
    let known = [KnownRental::new(rental.clone(), wanted)];
    reconcile(&options(), &known, &listed(names), ListPass::new(at(second), GRACE))
}

fn seen(name: &str) -> RentalAction {
    RentalAction::Seen { rental: id(1), instance_id: name.into() }
}

fn back(name: &str) -> RentalAction {
    give_back(id(1), name)
}

const MISSED: RentalAction = RentalAction::Missed { rental: RentalId::new(Uuid::from_u128(1)) };
const UNWANTED: RentalAction = RentalAction::Unwanted { rental: RentalId::new(Uuid::from_u128(1)) };
const GONE: RentalAction = RentalAction::Gone { rental: RentalId::new(Uuid::from_u128(1)) };

#[test]
fn what_was_rented_by_a_process_that_died_is_found_by_its_label() {
    let renting = row(RentalState::Renting);
    assert_eq!(decided(&renting, true, &["a"], 5), [seen("a")]);
    // Late is better than never, where it is still wanted.
    assert_eq!(decided(&renting, true, &["a"], 700), [seen("a")]);
    assert_eq!(decided(&renting, false, &["a"], 5), [UNWANTED, back("a")]);
}

#[test]
fn while_an_answer_is_waited_for_an_empty_list_proves_nothing() {
    let renting = row(RentalState::Renting);
    assert_eq!(decided(&renting, true, &[], 599), []);
    assert_eq!(decided(&renting, false, &[], 599), [UNWANTED]);
    assert_eq!(decided(&renting, true, &[], 600), [UNWANTED, MISSED]);
    let releasing = Rental { state: RentalState::Releasing, ..renting };
    assert_eq!(decided(&releasing, false, &[], 599), []);
    assert_eq!(decided(&releasing, false, &[], 600), [MISSED]);
    let missed = Rental { missing_since: Some(at(600)), ..releasing };
    assert_eq!(decided(&missed, false, &[], 629), []);
    assert_eq!(decided(&missed, false, &[], 630), [GONE]);
}

#[test]
fn what_was_never_asked_for_is_simply_over() {
    let pending = Rental { tries: 0, ..row(RentalState::Renting) };
    assert_eq!(decided(&pending, true, &[], 5), []);
    assert_eq!(decided(&pending, false, &[], 5), [UNWANTED, GONE]);
    assert_eq!(decided(&pending, true, &[], 600), [UNWANTED, GONE]);
}

#[test]
fn a_machine_is_gone_when_two_lists_that_began_behind_the_answer_do_not_have_it() {
    let unknown = Rental { answered_at: Some(at(10)), ..row(RentalState::Renting) };
    for rental in [unknown, Rental { answered_at: Some(at(10)), ..row(RentalState::Rented) }] {
        assert_eq!(decided(&rental, true, &[], 10), [], "the list began before");
        assert_eq!(decided(&rental, true, &[], 11), [MISSED]);
        let missed = Rental { missing_since: Some(at(11)), ..rental };
        assert_eq!(decided(&missed, true, &[], 40), []);
        assert_eq!(decided(&missed, true, &[], 41), [GONE]);
        assert_eq!(decided(&missed, true, &["a"], 41), [seen("a")], "it was only late");
    }
    assert_eq!(decided(&row(RentalState::Rented), true, &["a"], 41), []);
}

#[test]
fn what_is_to_be_given_back_is_until_it_is_not_listed() {
    let releasing = Rental { state: RentalState::Releasing, ..row(RentalState::Rented) };
    assert_eq!(decided(&releasing, false, &["a"], 5), [back("a")]);
    // It may be there and not listed yet: it is given back by its name, once.
    assert_eq!(decided(&releasing, false, &[], 5), [back("a")]);
    let asked = Rental { tries: 2, ..releasing };
    assert_eq!(decided(&asked, false, &["a"], 5), [back("a")]);
    assert_eq!(decided(&asked, false, &[], 5), [GONE]);
    assert_eq!(decided(&asked, false, &[], 1), [], "the list began before it was there");
}

#[test]
fn of_two_machines_of_a_row_one_is_kept() {
    let renting = row(RentalState::Renting);
    // Another process may be about to record the other: that is decided by the row.
    assert_eq!(decided(&renting, true, &["b", "a"], 5), [seen("a")]);
    let rented = row(RentalState::Rented);
    assert_eq!(decided(&rented, true, &["b", "a"], 5), [back("b")]);
    assert_eq!(decided(&rented, true, &["b"], 5), [back("b"), MISSED]);
    assert_eq!(decided(&rented, false, &["b", "a"], 5), [UNWANTED, back("a"), back("b")]);
}

#[test]
fn what_no_row_wants_is_given_back() {
    for state in [RentalState::Released, RentalState::Failed, RentalState::Lost] {
        assert_eq!(decided(&row(state), true, &["a"], 5), [back("a")], "{state}");
        assert_eq!(decided(&row(state), true, &[], 5), [], "{state}");
    }
    assert_eq!(reconcile(&options(), &[], &listed(&["a"]), ListPass::new(at(5), GRACE)), [back("a")]);
}

#[test]
fn a_machine_without_a_label_is_ours_only_where_the_provider_said_so() {
    let rented = row(RentalState::Rented);
    let known = [KnownRental::new(rented, true)];
    let pass = ListPass::new(at(5), GRACE);
    let bare = |name: &str| vec![ListedMachine::new(name, None)];
    assert_eq!(reconcile(&options(), &known, &bare("a"), pass), [], "it is there");
    assert_eq!(reconcile(&options(), &known, &bare("b"), pass), [MISSED]);
    let unwanted = [KnownRental::new(known[0].rental.clone(), false)];
    assert_eq!(reconcile(&options(), &unwanted, &bare("a"), pass), [UNWANTED, back("a")]);
    // Its name was given to somebody else's.
    let theirs = vec![ListedMachine::new("a", "theirs".to_owned())];
    assert_eq!(reconcile(&options(), &unwanted, &theirs, pass), [UNWANTED, GONE]);
}

fn names() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "d"]).prop_map(str::to_owned)
}

fn labels() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        4 => (1..4_u128).prop_map(|number| Some(options().label(id(number)))),
        1 => (1..4_u128).prop_map(|number| Some(RentalOptions::new("there").label(id(number)))),
        1 => (1..4_u128).prop_map(|number| Some(format!("here/{}", id(number).uuid().simple()))),
        1 => prop::sample::select(vec![None, Some(String::new()), Some("here".into()), Some("here/".into())]),
    ]
}

fn times() -> impl Strategy<Value = Option<Timestamp>> {
    prop::option::of((0..1000_u64).prop_map(at))
}

fn rentals() -> impl Strategy<Value = KnownRental> {
    let state = prop::sample::select(RentalState::ALL.to_vec());
    let row = (1..4_u128, state, prop::option::of(names()), 0..4_u32, times(), times(), any::<bool>());
    row.prop_map(|(number, state, instance_id, tries, answered_at, missing_since, wanted)| {
        let rental =
            Rental { id: id(number), instance_id, tries, answered_at, missing_since, ..row_of(state) };
        KnownRental::new(rental, wanted)
    })
}

fn row_of(state: RentalState) -> Rental {
    Rental { answered_at: None, ..row(state) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn nothing_foreign_is_touched_and_nothing_wanted_is_given_back(
        known in prop::collection::vec(rentals(), 0..4),
        machines in prop::collection::btree_map(names(), labels(), 0..4),
        second in 0..1000_u64,
    ) {
        let known: BTreeMap<_, _> = known.into_iter().map(|known| (known.rental.id, known)).collect();
        let rows: Vec<_> = known.values().cloned().collect();
        let listed: Vec<_> =
            machines.iter().map(|(name, label)| ListedMachine::new(name.clone(), label.clone())).collect();
        for action in reconcile(&options(), &rows, &listed, ListPass::new(at(second), GRACE)) {
            let of = known.get(&action.rental()).filter(|known| known.rental.state.may_be_there());
            let label = options().label(action.rental());
            let recorded = of.and_then(|known| known.rental.instance_id.as_deref());
            let has = |name: &str| match machines.get(name) {
                Some(Some(of)) if !of.is_empty() => *of == label,
                Some(_) => recorded == Some(name),
                None => false,
            };
            match &action {
                RentalAction::GiveBack { instance_id, .. } => {
                    let blind = recorded == Some(instance_id) && !machines.contains_key(instance_id);
                    prop_assert!(has(instance_id) || blind, "{:?}", action);
                    if let Some(known) = of {
                        let late = known.rental.state == RentalState::Renting && at(second) >= known.rental.ready_until;
                        let keeps = known.wanted && known.rental.state != RentalState::Releasing && !late;
                        prop_assert!(!keeps || (recorded.is_some() && recorded != Some(instance_id)), "{:?}", action);
                    }
                }
                RentalAction::Seen { instance_id, .. } => {
                    prop_assert!(has(instance_id));
                    prop_assert!(recorded.is_none_or(|recorded| recorded == instance_id));
                    prop_assert!(of.is_some_and(|known| known.wanted));
                }
                RentalAction::Gone { .. } | RentalAction::Missed { .. } => {
                    prop_assert!(of.is_some());
                    prop_assert!(recorded.is_none_or(|recorded| !has(recorded)));
                }
                RentalAction::Unwanted { .. } => {
                    prop_assert!(of.is_some_and(|known| known.rental.state != RentalState::Releasing));
                }
            }
        }
    }
}
