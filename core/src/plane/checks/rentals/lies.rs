//! Providers that say one thing and do another.

use std::time::Duration;

use rand::{Rng as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;

use super::fixture::{GRACE, Renting, prefix};
use super::named;
use crate::entity::RentalState;
use crate::plane::checks::World;
use crate::rent::mock::Lies;

pub(super) async fn check_lies(world: &World) {
    what_it_denies_and_has_is_given_back(world).await;
    what_it_promises_and_has_not_is_lost(world).await;
    of_what_it_rents_twice_one_is_kept(world).await;
    a_machine_without_its_label_is_kept_by_its_name(world).await;
    what_it_lists_late_is_not_lost(world).await;
    for seed in 0..8 {
        check_any_lies(world, seed).await;
    }
}

async fn what_it_denies_and_has_is_given_back(world: &World) {
    let renting = Renting::new(world);
    let (rental, lease) = renting.intend(1).await;
    renting.lies(|lies| lies.denies = 1000);
    assert_eq!(renting.ask().await.refused, 1);
    assert_eq!(renting.row(rental).await.state, RentalState::Failed);
    assert!(renting.is_released(lease).await);
    assert_eq!(renting.provider.there(&prefix()).len(), 1);
    assert_eq!(renting.pass().await.given_back, 1);
    assert_eq!(renting.provider.there(&prefix()), []);
    assert!(renting.gpus(rental).await.is_empty());
}

async fn what_it_promises_and_has_not_is_lost(world: &World) {
    let renting = Renting::new(world);
    let (rental, lease) = renting.intend(1).await;
    renting.lies(|lies| lies.forgets = 1000);
    assert_eq!(renting.ask().await.rented, 1);
    assert_eq!(renting.pass().await.missed, 1);
    assert!(!renting.is_released(lease).await);
    world.clock.advance(GRACE);
    assert_eq!(renting.pass().await.ended, 1);
    assert_eq!(renting.row(rental).await.state, RentalState::Lost);
    assert!(renting.is_released(lease).await);
    assert!(renting.gpus(rental).await.is_empty());
}

async fn of_what_it_rents_twice_one_is_kept(world: &World) {
    for loses_answer in [0, 1000] {
        let renting = Renting::seeded(world, 3);
        while renting.provider.there(&prefix()).is_empty() {
            renting.lies(|lies| (lies.twice, lies.loses_answer) = (1000, loses_answer));
            renting.intend(1).await;
            renting.ask().await;
        }
        for _ in 0..2 {
            renting.pass().await;
        }
        for row in renting.rows().await {
            let there = renting.provider.there(&format!("{}{}", prefix(), row.id));
            assert_eq!(named(&there), row.instance_id.as_deref().into_iter().collect::<Vec<_>>());
        }
        renting.end().await;
    }
}

async fn a_machine_without_its_label_is_kept_by_its_name(world: &World) {
    let renting = Renting::new(world);
    let (rental, lease) = renting.intend(1).await;
    renting.lies(|lies| lies.drops_label = 1000);
    renting.ask().await;
    let machine = renting.row(rental).await.instance_id.unwrap();
    let other = renting.provider.foreign(None);
    for _ in 0..3 {
        world.clock.advance(GRACE);
        let pass = renting.pass().await;
        assert_eq!((pass.missed, pass.given_back), (0, 0));
    }
    renting.give_up(lease).await;
    renting.end().await;
    assert!(!renting.provider.has(&machine) && renting.provider.has(&other));
}

async fn what_it_lists_late_is_not_lost(world: &World) {
    for seed in 0..6 {
        let renting = Renting::seeded(world, seed);
        let (rental, _) = renting.intend(1).await;
        renting.lies(|lies| (lies.lists_late, lies.latency) = (1000, 2));
        renting.ask().await;
        for _ in 0..5 {
            renting.pass().await;
            renting.provider.tick();
            world.clock.advance(GRACE / 4);
        }
        let row = renting.row(rental).await;
        assert_eq!((row.state, row.missing_since), (RentalState::Rented, None));
        renting.end().await;
    }
}

/// Everything at once, in an order that the seed decides: in the end nothing is left that nobody wants, and nothing foreign was touched.
pub(in crate::plane::checks) async fn check_any_lies(world: &World, seed: u64) {
    let renting = Renting::seeded(world, seed);
    let mut random = Pcg64Mcg::seed_from_u64(seed);
    let labels = [None, Some("other/x".to_owned()), Some(format!("conform2/{}", world.id()))];
    let foreign: Vec<String> =
        labels.iter().map(|label| renting.provider.foreign(label.as_deref())).collect();
    renting.provider.lies(Lies::all(150, 3));
    let mut leases = Vec::new();
    for _ in 0..40 {
        match random.next_u32() % 6 {
            0 => leases.push(renting.intend(1 + random.next_u32() % 2).await.1),
            1 => {
                // Where it never ends the process that asked is gone.
                renting.until_hung(world.cloud.rent_pending(&*renting.provider)).await;
            }
            2 | 3 => {
                // It may fail to list.
                let _ = world.cloud.janitor_pass(&*renting.provider).await;
            }
            4 => world.clock.advance(Duration::from_secs(u64::from(random.next_u32() % 60))),
            _ if !leases.is_empty() && random.next_u32() % 3 == 0 => {
                let at = usize::try_from(random.next_u32()).unwrap() % leases.len();
                let lease = leases.swap_remove(at);
                if random.next_u32() % 2 == 0 {
                    renting.give_up(lease).await;
                } else {
                    renting.abort(lease).await;
                }
            }
            _ => renting.provider.tick(),
        }
    }
    renting.settle().await;
    renting.audit().await;
    let there = renting.provider.there(&prefix());
    let mut wanted = Vec::new();
    for row in renting.rows().await {
        let gpus = renting.gpus(row.id).await;
        if row.state.may_be_there() {
            let instance = row.instance_id.unwrap();
            assert!(renting.provider.has(&instance), "{seed}: what is recorded is there");
            assert_eq!(row.state, RentalState::Rented, "{seed}");
            assert_eq!(gpus.len(), usize::try_from(row.gpus).unwrap(), "{seed}");
            wanted.push(instance);
        } else {
            assert!(gpus.is_empty(), "{seed}");
            assert!(renting.is_released(row.of_lease).await, "{seed}");
        }
    }
    for name in named(&there) {
        assert!(
            wanted.iter().any(|wanted| wanted == name),
            "{seed}: {name} is paid for, and nobody wants it"
        );
    }
    renting.end().await;
    assert_eq!(renting.provider.foreign_touched(), Vec::<String>::new(), "{seed}");
    for machine in foreign {
        assert!(renting.provider.has(&machine), "{seed}");
    }
}
