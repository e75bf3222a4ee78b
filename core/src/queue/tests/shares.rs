//! Shares, and the past that counts less and less.

use std::time::Duration;

use proptest::prelude::*;

use super::super::{Decay, Job, QueueNode, QueuePolicy, QueueTree, Resources, Settings, Share, Use};
use super::kit::{ALL, at, granted, id, job, plain, queue, secs, siblings, submit, tick};
use crate::time::Timestamp;

fn of(account: u128, number: u64, gpus: u32) -> Job {
    Job { account: id(account), ..job(number, gpus) }
}

#[test]
fn whoever_would_have_the_least_share_goes_first() {
    let mut queue = plain(QueuePolicy::FairShare, 1);
    submit(&mut queue, (1..=6).map(|number| of(1, number, 1)).chain([of(2, 7, 2), of(2, 8, 2), of(3, 9, 3)]));
    // By what each would have: 1, then 2 and 2 by age, then 3 and 3; eight are all there are.
    assert_eq!(granted(&queue.tick(at(9))), [1, 2, 7, 3, 9]);
    queue.set_weight(id(3), 3000);
    assert_eq!(granted(&queue.tick(at(9))), [1, 9, 2, 7, 3]);
    queue.set_weight(id(1), 0);
    assert_eq!(granted(&queue.tick(at(9))), [9, 7, 8, 1]);
}

#[test]
fn a_burst_counts_while_it_is_granted() {
    // A thousand small ones of one account do not come before one of another.
    let mut queue = plain(QueuePolicy::FairShare, 2);
    submit(&mut queue, (1..=1000).map(|number| of(1, number, 1)).chain([of(2, 2000, 8)]));
    let plan = granted(&queue.tick(at(9)));
    assert_eq!(plan.len(), 9);
    assert_eq!(plan[7..], [8, 2000]);
}

#[test]
fn what_was_used_before_counts_as_if_it_were_held() {
    let mut queue = plain(QueuePolicy::FairShare, 1);
    submit(&mut queue, [of(1, 1, 4), of(2, 2, 4)]);
    let decay = queue.settings().decay;
    assert_eq!(granted(&queue.tick(at(9))), [1, 2]);
    queue.add_use(id(1), decay.period_of(at(9)), Resources::gpus_milli(1_000_000));
    assert_eq!(granted(&queue.tick(at(9))), [2, 1]);
    // Thirty-two half-lives later it is forgotten.
    assert_eq!(granted(&queue.tick(at(9).plus(decay.half_life * 33))), [1, 2]);
}

#[test]
fn queues_that_would_borrow_come_after_those_that_would_not() {
    let mut queue = queue(Settings::default(), siblings(&[1, 8]), 1);
    let of = |queue, number, gpus| Job { queue: id(queue), account: id(queue), ..job(number, gpus) };
    submit(&mut queue, [of(1, 1, 1), of(1, 2, 1), of(2, 3, 3), of(2, 4, 3)]);
    assert_eq!(granted(&queue.tick(at(9))), [1, 3, 4, 2]);
}

#[test]
fn siblings_share_by_weight_at_every_level() {
    // Two teams of equal weight, of which one has two queues; the other has as much as both.
    let mut tree = QueueTree::single(ALL);
    for (child, parent, weight) in [(10, ALL, 1000), (20, ALL, 1000), (11, id(10), 1000), (12, id(10), 3000)]
    {
        tree.set(QueueNode::under(id(child), parent).weight_milli(weight)).unwrap();
    }
    let mut queue = queue(Settings::default(), tree, 2);
    for (start, name) in [(0_u64, 11), (100, 12), (200, 20)] {
        let of = |number| Job { queue: id(name), account: id(name), ..job(start + number, 1) };
        submit(&mut queue, (0..20).map(of));
    }
    tick(&mut queue, at(9));
    let held = |name| queue.tree().held(id(name)).gpu_milli / 1000;
    assert_eq!((held(10), held(20)), (8, 8));
    assert_eq!((held(11), held(12)), (2, 6));
}

#[test]
fn a_share_is_of_the_resource_of_which_most_is_held() {
    let total = Resources { gpu_milli: 8_000, cpu_milli: 64_000, memory_mib: 0 };
    let held = Resources { gpu_milli: 1_000, cpu_milli: 16_000, memory_mib: 99 };
    assert_eq!(Share::dominant(held, total, 1000).to_string(), "25.0000%");
    assert_eq!(Share::dominant(held, total, 2000).as_ppm(), 125_000);
    assert_eq!(Share::dominant(held, total, 0), Share::MAX);
    assert_eq!(Share::dominant(Resources::splat(-1), total, 1), Share::ZERO);
    assert!(Share::dominant(Resources::UNLIMITED, Resources::splat(1), 1) == Share::MAX);
}

#[test]
fn use_counts_half_after_each_half_life() {
    let decay = Decay { half_life: Duration::from_hours(4), period: Duration::from_hours(1) };
    let mut used = Use::default();
    used.add(decay.period_of(at(0)), Resources::gpus_milli(1_000_000));
    let after = |hours: u64| used.decayed(at(hours * 3600), &decay).gpu_milli;
    assert_eq!((after(0), after(4), after(8), after(40)), (1_000_000, 500_000, 250_000, 976));
    // 2^(-1/4) and 2^(-3/4) of a million, cut off.
    assert_eq!((after(1), after(3)), (840_896, 594_603));
    // Within an hour nothing changes.
    assert_eq!(used.decayed(at(3599), &decay).gpu_milli, 1_000_000);
    // What is yet to come counts whole.
    assert_eq!(used.decayed(Timestamp::MIN, &decay).gpu_milli, 1_000_000);
    used.forget(at(3600 * 4 * 31), &decay);
    assert_eq!(used.iter().count(), 1);
    used.forget(at(3600 * 4 * 32), &decay);
    assert_eq!(used.iter().count(), 0);
}

#[test]
fn what_is_held_for_ever_is_worth_itself() {
    let decay = Decay { half_life: Duration::from_hours(100), period: Duration::from_hours(1) };
    let mut used = Use::default();
    for hour in 0..4_000 {
        used.add(hour, Resources::gpus_milli(8_000 * 3_600));
    }
    let held = decay.as_held(used.decayed(at(4_000 * 3_600 - 1), &decay)).gpu_milli;
    // A period counts from its beginning, so it is half a period too much: a third of a hundredth here.
    assert!((8_000..8_040).contains(&held), "{held}");
    assert_eq!(Decay { half_life: secs(0), period: secs(0) }.weight(1), 1 << 31);
}

proptest! {
    #[test]
    fn a_weight_is_two_to_the_power_of_minus_the_age_in_half_lives(
        ago in 0_i64..5_000,
        half_life in 1_u64..10_000_000,
        period in 1_u64..100_000,
    ) {
        let decay = Decay { half_life: secs(half_life), period: secs(period) };
        #[expect(clippy::cast_precision_loss, reason = "it is compared with floating point")]
        let exact = (-(ago as f64) * period as f64 / half_life as f64).exp2();
        let weight = f64::from(u32::try_from(decay.weight(ago) >> 1).unwrap()) / f64::from(1_u32 << 31);
        prop_assert!(weight <= exact * 1.000_02, "{} {}", weight, exact);
        prop_assert!(weight >= exact - 5e-9, "{} {}", weight, exact);
    }
}
