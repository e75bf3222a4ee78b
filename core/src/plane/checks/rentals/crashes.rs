//! Processes that stop between what they decide, ask for and record.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use super::fixture::{GRACE, READY, Renting, prefix};
use super::named;
use crate::entity::{RENTALS, RentalState};
use crate::plane::checks::World;
use crate::plane::checks::cut::Cut;
use crate::rent::mock::MockProvider;
use crate::rent::{
    ListedMachine, Offer, OfferQuery, ProviderError, ProviderResult, RentRequest, RentalProvider,
    RentedMachine,
};
use crate::store::{Batch, Store, StoreExt as _, Write};

pub(super) async fn check_crashes(world: &World) {
    a_process_that_dies_while_it_asks_leaves_nothing_behind(world).await;
    a_process_that_dies_between_two_batches_leaves_nothing_behind(world).await;
    an_answer_to_what_is_not_wanted_any_more_gives_it_back(world).await;
    a_no_to_what_is_there_ends_nothing(world).await;
    who_is_overtaken_does_not_ask(world).await;
    an_answer_to_a_lease_that_is_over_makes_no_gpus(world).await;
    a_pass_that_is_overtaken_changes_nothing(world).await;
    what_is_rented_while_a_provider_lists_is_known(world).await;
    a_lease_is_released_with_all_that_it_holds_or_not_at_all(world).await;
}

/// Every other call to rent has rented before the process dies.
async fn a_process_that_dies_while_it_asks_leaves_nothing_behind(world: &World) {
    let (mut found, mut never) = (0, 0);
    for seed in 0..12 {
        let renting = Renting::seeded(world, seed);
        let (rental, lease) = renting.intend(2).await;
        renting.lies(|lies| lies.hangs = 1000);
        assert!(renting.until_hung(world.cloud.rent_pending(&*renting.provider)).await.is_none());
        let row = renting.row(rental).await;
        assert_eq!((row.state, row.tries, row.answered_at), (RentalState::Renting, 1, None));
        renting.lies(|_| ());
        assert_eq!(renting.ask().await.asked, 0, "it may have been rented: it is not asked for again");
        let there = renting.provider.there(&prefix());
        let pass = renting.pass().await;
        assert_eq!(pass.seen, u64::try_from(there.len()).unwrap());
        let row = renting.row(rental).await;
        assert_eq!(row.instance_id.as_deref(), there.first().map(|machine| machine.instance_id.as_str()));
        if there.is_empty() {
            never += 1;
            world.clock.advance(GRACE * 2);
            assert_eq!(renting.pass().await.missed, 0, "the answer may still come");
            world.clock.advance(READY);
            renting.pass().await;
            world.clock.advance(GRACE);
            assert_eq!(renting.pass().await.ended, 1);
            assert!(renting.is_released(lease).await);
        } else {
            found += 1;
            assert_eq!((row.state, renting.gpus(rental).await.len()), (RentalState::Rented, 2));
        }
        renting.end().await;
    }
    assert!(found > 0 && never > 0, "{found} {never}");
}

async fn a_process_that_dies_between_two_batches_leaves_nothing_behind(world: &World) {
    for batches in 0..6 {
        let renting = Renting::new(world);
        let (rental, lease) = renting.intend(2).await;
        let cut: Arc<dyn Store> = Arc::new(Cut::after(world.cloud.store(), batches));
        let other = world.over(cut);
        // Whatever of this it comes to.
        if other.rent_pending(&*renting.provider).await.is_ok() {
            renting.give_up(lease).await;
            for _ in 0..3 {
                world.clock.advance(Duration::from_secs(1));
                let _ = other.janitor_pass(&*renting.provider).await;
            }
        } else if batches == 1 {
            let there = renting.provider.there(&prefix());
            assert_eq!(there.len(), 1, "it was rented, and that was not recorded");
            assert_eq!(renting.pass().await.seen, 1);
            assert_eq!(renting.row(rental).await.instance_id.as_deref(), named(&there).first().copied());
        }
        renting.end().await;
    }
}

/// The lease ends while the provider is asked; and all of it ends before the provider answers.
async fn an_answer_to_what_is_not_wanted_any_more_gives_it_back(world: &World) {
    for ended in [false, true] {
        let renting = Renting::new(world);
        let (rental, lease) = renting.intend(1).await;
        renting.lies(|lies| lies.hangs = 1000);
        assert!(renting.until_hung(world.cloud.rent_pending(&*renting.provider)).await.is_none());
        let there = renting.provider.there(&prefix());
        for machine in &there {
            renting.provider.breaks(&machine.instance_id, false);
        }
        renting.give_up(lease).await;
        renting.lies(|_| ());
        renting.pass().await;
        assert_eq!(renting.row(rental).await.state, RentalState::Releasing);
        if ended {
            renting.settle().await;
            assert_eq!(renting.row(rental).await.state, RentalState::Released);
        }
        // Now it answers.
        let late = renting.provider.late(&format!("{}{rental}", prefix()));
        let answer = Ok(RentedMachine::new(late.clone()));
        let not_wanted = world.cloud.hears_late(rental, &answer).await.unwrap();
        assert_eq!(not_wanted.is_some(), ended, "a row that has ended wants nothing");
        assert!(renting.gpus(rental).await.is_empty());
        renting.end().await;
        assert!(!renting.provider.has(&late));
    }
}

async fn who_is_overtaken_does_not_ask(world: &World) {
    let renting = Renting::new(world);
    renting.intend(1).await;
    let (cloud, provider) = (Arc::clone(&world.cloud), Arc::clone(&renting.provider));
    let other = async move {
        cloud.rent_pending(&*provider).await.unwrap();
    };
    let cut: Arc<dyn Store> = Arc::new(Cut::after(world.cloud.store(), 100).raced_by(other));
    let asked = world.over(cut).rent_pending(&*renting.provider).await.unwrap();
    assert_eq!((asked.asked, renting.provider.asked().len()), (0, 1));
    renting.end().await;
}

async fn an_answer_to_a_lease_that_is_over_makes_no_gpus(world: &World) {
    for released in [false, true] {
        let renting = Renting::new(world);
        let (rental, lease) = renting.intend(1).await;
        renting.lies(|lies| lies.hangs = 1000);
        assert!(renting.until_hung(world.cloud.rent_pending(&*renting.provider)).await.is_none());
        if released {
            renting.abort(lease).await;
        } else {
            renting.give_up(lease).await;
        }
        let machine = renting.provider.late(&format!("{}{rental}", prefix()));
        let answer = Ok(RentedMachine::new(machine));
        assert_eq!(world.cloud.hears_late(rental, &answer).await.unwrap(), None);
        assert_eq!(renting.row(rental).await.state, RentalState::Releasing);
        assert!(renting.gpus(rental).await.is_empty());
        renting.end().await;
    }
}

async fn a_pass_that_is_overtaken_changes_nothing(world: &World) {
    let renting = Renting::new(world);
    let (rental, lease) = renting.intend(1).await;
    renting.ask().await;
    renting.give_up(lease).await;
    // Between what a pass reads and what it writes somebody else writes.
    let (store, id) = (Arc::clone(world.cloud.store()), world.id());
    let entry = world.cloud.repositories().rentals().require(rental).await.unwrap();
    let now = world.now().await;
    let other = async move {
        let set = vec![("updated_at", now.into())];
        let write = Write::update(&RENTALS, rental, entry.revision, set);
        store.commit(Batch::new(id, "check").with(write)).await.unwrap();
    };
    let cut: Arc<dyn Store> = Arc::new(Cut::after(world.cloud.store(), 100).raced_by(other));
    let pass = world.over(cut).janitor_pass(&*renting.provider).await.unwrap();
    assert_eq!((pass.late, pass.unwanted, pass.given_back), (1, 0, 0));
    assert!(renting.provider.released().is_empty());
    renting.end().await;
}

async fn a_no_to_what_is_there_ends_nothing(world: &World) {
    let renting = Renting::new(world);
    let (rental, lease) = renting.intend(1).await;
    renting.ask().await;
    let answer = Err(ProviderError::refused("there is none left"));
    assert_eq!(world.cloud.hears_late(rental, &answer).await.unwrap(), None);
    assert_eq!(renting.row(rental).await.state, RentalState::Rented);
    assert!(!renting.is_released(lease).await);
    let other = RentedMachine::new(renting.provider.late(&format!("{}{rental}", prefix())));
    let not_wanted = world.cloud.hears_late(rental, &Ok(other.clone())).await.unwrap();
    assert_eq!(not_wanted, Some(other.instance_id), "it has one already");
    renting.end().await;
}

/// A provider during whose next list something happens.
#[derive(Debug)]
struct Interrupted<'m> {
    inner: Arc<MockProvider>,
    meanwhile: Mutex<Option<Meanwhile<'m>>>,
}

struct Meanwhile<'m>(BoxFuture<'m, ()>);

impl fmt::Debug for Meanwhile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meanwhile")
    }
}

#[async_trait]
impl RentalProvider for Interrupted<'_> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn offers(&self, query: &OfferQuery) -> ProviderResult<Vec<Offer>> {
        self.inner.offers(query).await
    }

    async fn rent(&self, request: &RentRequest) -> ProviderResult<RentedMachine> {
        self.inner.rent(request).await
    }

    async fn list(&self, label_prefix: &str) -> ProviderResult<Vec<ListedMachine>> {
        let meanwhile = self.meanwhile.lock().unwrap().take();
        if let Some(meanwhile) = meanwhile {
            meanwhile.0.await;
        }
        self.inner.list(label_prefix).await
    }

    async fn release(&self, instance_id: &str) -> ProviderResult<()> {
        self.inner.release(instance_id).await
    }
}

async fn what_is_rented_while_a_provider_lists_is_known(world: &World) {
    let renting = Renting::new(world);
    let meanwhile = async {
        renting.intend(1).await;
        renting.ask().await;
    };
    let meanwhile = Mutex::new(Some(Meanwhile(Box::pin(meanwhile))));
    let provider = Interrupted { inner: Arc::clone(&renting.provider), meanwhile };
    let pass = world.cloud.janitor_pass(&provider).await.unwrap();
    assert_eq!((pass.listed, pass.given_back), (1, 0), "its row is older than it");
    assert_eq!(renting.provider.there(&prefix()).len(), 1);
    renting.end().await;
}

/// Somebody reads what the lease holds, its machine is seen, and then the lease is to be released.
async fn a_lease_is_released_with_all_that_it_holds_or_not_at_all(world: &World) {
    let renting = Renting::new(world);
    let (rental, lease) = renting.intend(2).await;
    let run = renting.run(lease).await.id;
    let run = world.cloud.repositories().training_runs().require(run).await.unwrap();
    let (mut ended, mut batch) = (run.value.clone(), Batch::new(world.id(), "check"));
    world.cloud.give_up_lease(&mut batch, &mut ended, "aborted", world.now().await).await.unwrap();
    renting.ask().await;
    assert_eq!(renting.gpus(rental).await.len(), 2);
    let refused = world.cloud.store().commit(batch).await;
    assert!(refused.is_err(), "it holds more than was read");
    renting.abort(lease).await;
    assert!(renting.is_released(lease).await);
    renting.end().await;
}
