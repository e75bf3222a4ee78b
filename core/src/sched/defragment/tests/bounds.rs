//! What the bound knows, one rule a test.

use super::*;

#[test]
fn shares_that_must_change_places_for_one_gpu_to_become_idle_are_moves_of_the_bound() {
    // 550 fits nowhere before both 450 have gone, one to each 550: two moves for the one GPU.
    let mut cluster = cluster(&[node(1, 3, 100)]);
    let running = [(0, 550), (1, 550), (2, 450), (2, 450)]
        .map(|(slot, milli)| put(&mut cluster, 1, slot, share(1, milli)));
    assert_eq!(planned(&cluster, &running, 1).freeable, 0);
    let plan = planned(&cluster, &running, 2);
    assert_eq!((plan.freed, plan.freeable), (1, 1));
}

#[test]
fn shares_that_no_ruler_tells_apart_are_told_apart_by_their_prices() {
    // Three times 340 do not fit one GPU, and beside two of them 260 does.
    let mut cluster = cluster(&[node(1, 8, 100)]);
    let running: Vec<Placement> = [340, 340, 340, 340, 260, 260, 260, 260]
        .iter()
        .zip(0..)
        .map(|(milli, slot)| put(&mut cluster, 1, slot, share(1, *milli)))
        .collect();
    let plan = planned(&cluster, &running, 8);
    assert_eq!((plan.freed, plan.freeable), (5, 5));
}

#[test]
fn of_many_shares_on_one_gpu_more_is_thought_than_can_be() {
    let mut cluster = cluster(&[node(1, 2, 100)]);
    let mut running: Vec<Placement> =
        (2..14).map(|tens| put(&mut cluster, 1, 0, share(1, tens * 10))).collect();
    running.push(put(&mut cluster, 1, 1, share(1, 50)));
    let plan = planned(&cluster, &running, 1);
    assert_eq!((plan.freed, plan.freeable), (1, 1));
}

#[test]
fn idle_gpus_that_are_begun_are_counted_by_whatever_prices() {
    let mut cluster = cluster(&[node(1, 3, 100)]);
    let running = [(0, 600), (1, 600)].map(|(slot, milli)| put(&mut cluster, 1, slot, share(1, milli)));
    let placed: Vec<&Placement> = running.iter().collect();
    let room = dual::Room::new(&floor::Floor::new(&cluster, &placed, 10), 10);
    let bound = |share, step| room.bound(&dual::Prices { shares: vec![share], step });
    assert_eq!(bound(dual::ONE, 0), 0);
    assert_eq!(bound(2 * dual::ONE, 0), 2);
    assert_eq!(bound(0, 0), 2);
    assert_eq!(bound(0, dual::ONE), 4);
}
