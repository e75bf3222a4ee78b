//! Machines that are rented: asked for once, found again, given back, and nobody else's touched.

mod crashes;
mod fixture;
mod lies;

use std::sync::Arc;
use std::time::Duration;

use super::World;
use crate::entity::{RentalState, RunCause, RunState};
use crate::error::Error;
use crate::plane::Asked;
use crate::rent::{ListedMachine, RentalProvider as _};
use fixture::{GRACE, Renting, prefix};

pub(super) use fixture::options;
#[cfg(test)]
pub(super) use lies::check_any_lies;

pub(super) async fn check_rentals(world: &World) {
    a_machine_is_its_leases_from_when_it_is_seen_until_it_is_gone(world).await;
    two_providers_may_call_their_machines_the_same(world).await;
    a_machine_whose_lease_is_over_already_is_given_back_all_the_same(world).await;
    many_processes_ask_once_for_each_machine(world).await;
    what_is_refused_ends_its_lease_and_the_run_begins_again(world).await;
    what_is_not_there_in_time_is_given_up(world).await;
    a_machine_that_breaks_away_is_missed_and_then_gone(world).await;
    where_the_list_fails_nothing_is_done(world).await;
    what_others_rented_is_not_touched(world).await;
    crashes::check_crashes(world).await;
    lies::check_lies(world).await;
}

async fn a_machine_is_its_leases_from_when_it_is_seen_until_it_is_gone(world: &World) {
    for gpus in [1, 3] {
        let renting = Renting::new(world);
        let (rental, lease) = renting.intend(gpus).await;
        assert_eq!(renting.row(rental).await.tries, 0);
        assert!(renting.provider.asked().is_empty(), "the row is there before the provider is asked");
        let asked = renting.ask().await;
        assert_eq!((asked.asked, asked.rented), (1, 1));
        let row = renting.row(rental).await;
        assert_eq!((row.state, row.tries, row.lease_id), (RentalState::Rented, 1, Some(lease)));
        let held = renting.gpus(rental).await;
        assert_eq!(held.len(), usize::try_from(gpus).unwrap());
        for (gpu, holder) in &held {
            assert_eq!((gpu.node_id, gpu.used_milli.get()), (None, 1000));
            assert_eq!((holder.lease_id, holder.gpu_id), (lease, Some(gpu.id)));
        }
        renting.audit().await;
        assert_eq!(renting.pass().await.listed, 1);
        assert_eq!(renting.row(rental).await, row, "nothing is to be done");
        world.clock.advance(Duration::from_hours(1));
        renting.give_up(lease).await;
        let pass = renting.pass().await;
        assert_eq!((pass.unwanted, pass.given_back, pass.ended), (1, 1, 0));
        assert_eq!(renting.gpus(rental).await.len(), held.len(), "until it is known to be gone");
        assert_eq!(renting.pass().await.ended, 1);
        let row = renting.row(rental).await;
        assert_eq!((row.state, row.lease_id), (RentalState::Released, None));
        assert!(renting.gpus(rental).await.is_empty());
        assert!(renting.is_released(lease).await);
        let held = row.held(row.ended_at.unwrap());
        assert!(held >= Duration::from_hours(1) && held < Duration::from_secs(3700), "{held:?}");
        assert_eq!(renting.provider.there(&prefix()), []);
    }
}

async fn two_providers_may_call_their_machines_the_same(world: &World) {
    let [one, other] = [Renting::new(world), Renting::new(world)];
    let (first, lease) = one.intend(2).await;
    let (second, kept) = other.intend(2).await;
    assert_eq!((one.ask().await.rented, other.ask().await.rented), (1, 1));
    assert_eq!(one.row(first).await.instance_id, other.row(second).await.instance_id);
    for (renting, rental) in [(&one, first), (&other, second)] {
        let gpus = renting.gpus(rental).await;
        assert_eq!(gpus.len(), 2);
        assert!(gpus.iter().all(|(gpu, _)| gpu.provider.as_deref() == Some(renting.provider.name())));
    }
    one.give_up(lease).await;
    one.pass().await;
    assert_eq!(one.pass().await.ended, 1);
    assert_eq!((one.gpus(first).await.len(), other.gpus(second).await.len()), (0, 2));
    one.audit().await;
    other.give_up(kept).await;
    other.pass().await;
    assert_eq!(other.pass().await.ended, 1);
}

async fn a_machine_whose_lease_is_over_already_is_given_back_all_the_same(world: &World) {
    let renting = Renting::new(world);
    let (rental, lease) = renting.intend(2).await;
    renting.ask().await;
    renting.abort(lease).await;
    assert!(renting.is_released(lease).await);
    renting.audit().await;
    let other = renting.intend(1).await.1;
    renting.abort(other).await;
    assert_eq!(renting.ask().await, Asked::default(), "nobody wants it");
    let pass = renting.pass().await;
    assert_eq!((pass.unwanted, pass.given_back, pass.ended), (2, 1, 1));
    assert_eq!(renting.pass().await.ended, 1);
    assert_eq!(renting.row(rental).await.state, RentalState::Released);
    assert!(renting.gpus(rental).await.is_empty());
    renting.end().await;
}

async fn many_processes_ask_once_for_each_machine(world: &World) {
    let renting = Arc::new(Renting::new(world));
    for _ in 0..6 {
        renting.intend(1).await;
    }
    let asks: Vec<_> = (0..6)
        .map(|_| {
            let (cloud, provider) = (Arc::clone(&world.cloud), Arc::clone(&renting.provider));
            tokio::spawn(async move { cloud.rent_pending(&*provider).await.unwrap() })
        })
        .collect();
    let mut rented = 0;
    for ask in asks {
        rented += ask.await.unwrap().rented;
    }
    assert_eq!((rented, renting.provider.asked().len()), (6, 6));
    assert_eq!(renting.ask().await, Asked::default());
    let passes: Vec<_> = (0..6)
        .map(|_| {
            let (cloud, provider) = (Arc::clone(&world.cloud), Arc::clone(&renting.provider));
            tokio::spawn(async move { cloud.janitor_pass(&*provider).await.unwrap() })
        })
        .collect();
    for pass in passes {
        assert_eq!(pass.await.unwrap().given_back, 0);
    }
    assert_eq!(renting.provider.there(&prefix()).len(), 6);
    renting.end().await;
}

async fn what_is_refused_ends_its_lease_and_the_run_begins_again(world: &World) {
    let renting = Renting::new(world);
    let (rental, lease) = renting.intend(1).await;
    renting.lies(|lies| lies.refuses = 1000);
    assert_eq!(renting.ask().await.refused, 1);
    let row = renting.row(rental).await;
    assert_eq!((row.state, row.lease_id), (RentalState::Failed, None));
    assert_eq!(row.held(world.now().await), Duration::ZERO, "what was never there costs nothing");
    assert!(row.status_info.is_some());
    assert!(renting.is_released(lease).await);
    let run = renting.run(lease).await;
    assert_eq!((run.state, run.cause), (RunState::Queued, Some(RunCause::NotRented)));
    renting.end().await;
}

async fn what_is_not_there_in_time_is_given_up(world: &World) {
    let renting = Renting::new(world);
    let (rental, lease) = renting.intend(1).await;
    world.clock.advance(Duration::from_hours(1));
    assert_eq!(renting.ask().await, Asked::default(), "it is too late to ask");
    let pass = renting.pass().await;
    assert_eq!((pass.unwanted, pass.ended), (1, 1));
    assert_eq!(renting.row(rental).await.state, RentalState::Released);
    assert!(renting.is_released(lease).await);
    assert_eq!(renting.run(lease).await.cause, Some(RunCause::NotRented));
}

async fn a_machine_that_breaks_away_is_missed_and_then_gone(world: &World) {
    let renting = Renting::new(world);
    let (rental, lease) = renting.intend(2).await;
    renting.ask().await;
    let instance = renting.row(rental).await.instance_id.unwrap();
    renting.provider.breaks(&instance, true);
    world.clock.advance(Duration::from_secs(1));
    let pass = renting.pass().await;
    assert_eq!((pass.listed, pass.stopped, pass.missed), (1, 1, 0), "it is paid for");
    renting.provider.breaks(&instance, false);
    assert_eq!(renting.pass().await.missed, 1);
    for _ in 0..3 {
        let pass = renting.pass().await;
        assert_eq!((pass.missed, pass.ended), (0, 0), "a list may be late");
    }
    assert!(!renting.is_released(lease).await);
    assert_eq!(renting.gpus(rental).await.len(), 2);
    world.clock.advance(GRACE);
    assert_eq!(renting.pass().await.ended, 1);
    assert_eq!(renting.row(rental).await.state, RentalState::Lost);
    assert!(renting.gpus(rental).await.is_empty());
    assert!(renting.is_released(lease).await);
    let run = renting.run(lease).await;
    assert_eq!((run.state, run.cause), (RunState::Queued, Some(RunCause::Hardware)));
    assert!(run.held_ms > 0);
}

async fn where_the_list_fails_nothing_is_done(world: &World) {
    let renting = Renting::new(world);
    let (rental, lease) = renting.intend(1).await;
    renting.ask().await;
    renting.give_up(lease).await;
    renting.lies(|lies| lies.list_fails = 1000);
    let before = renting.row(rental).await;
    let error = world.cloud.janitor_pass(&*renting.provider).await.unwrap_err();
    assert!(matches!(error, Error::Provider(_)), "{error:?}");
    assert_eq!(renting.row(rental).await, before);
    assert!(renting.provider.released().is_empty());
    // What is not taken back is asked for again, as often as it takes.
    renting.lies(|lies| lies.release_fails = 1000);
    for _ in 0..3 {
        renting.pass().await;
    }
    renting.end().await;
    assert_eq!(renting.row(rental).await.state, RentalState::Released);
}

async fn what_others_rented_is_not_touched(world: &World) {
    let renting = Renting::new(world);
    let (rental, lease) = renting.intend(1).await;
    let label = |of: &str| Some(format!("{of}/{rental}"));
    let upper = Some(format!("conform/{}", rental.uuid().simple()));
    let others = [None, Some(String::new()), label("other"), label("conform2"), label("conform/x"), upper];
    let others: Vec<String> = others.iter().map(|label| renting.provider.foreign(label.as_deref())).collect();
    renting.ask().await;
    for _ in 0..2 {
        let pass = renting.pass().await;
        assert_eq!((pass.listed, pass.given_back), (1, 0));
    }
    // What has our label and is of a row that there is not, or that is another provider's, is ours to give back.
    let lost = renting.provider.foreign(Some(&format!("conform/{}", world.id())));
    let elsewhere = Renting::new(world);
    let (theirs, _) = elsewhere.intend(1).await;
    let wrong = renting.provider.foreign(Some(&format!("conform/{theirs}")));
    assert_eq!(renting.pass().await.given_back, 2);
    let mut touched = renting.provider.foreign_touched();
    touched.sort();
    assert_eq!(touched, [lost, wrong]);
    renting.give_up(lease).await;
    renting.end().await;
    elsewhere.end().await;
    for other in others {
        assert!(renting.provider.has(&other), "{other}");
    }
}

/// The names of machines.
fn named(machines: &[ListedMachine]) -> Vec<&str> {
    machines.iter().map(|machine| machine.instance_id.as_str()).collect()
}
