//! Leases on rented machines.

use super::{MINUTE, Pool, claim, clean, gang, scheduler};
use crate::amount::GpuMilli;
use crate::entity::RunAsk;
use crate::plane::checks::World;
use crate::plane::{NewQueue, QueueQuota, QueueTerms, Worker};
use crate::queue::Reason;
use crate::rent::Offer;
use crate::rent::mock::MockProvider;

pub(super) async fn check_rented(world: &World) {
    Box::pin(who_finds_no_room_gets_a_rented_machine(world)).await;
    Box::pin(what_is_rented_counts_against_the_quota_of_its_queue(world)).await;
}

/// Lets the provider's machine go that nobody needs any more.
async fn given_back(world: &World, provider: &MockProvider) {
    for _ in 0..4 {
        world.cloud.janitor_pass(provider).await.unwrap();
        world.clock.advance(10 * MINUTE);
        provider.tick();
    }
    assert_eq!((provider.there("").len(), provider.released().len()), (0, 1), "it was given back");
    clean(world).await;
}

async fn who_finds_no_room_gets_a_rented_machine(world: &World) {
    let pool = Pool::new(world, 1).await;
    let provider = MockProvider::new(format!("mock-{}", world.fresh()), 7);
    provider.offer(Offer::new("large", 8, "H100", 9_000_000));
    provider.offer(Offer::new("dear", 8, "H100", 90_000_000));
    let ask = |most| RunAsk { rent_micros: Some(most), ..gang(1, 8) };
    let run = pool.submit(world, |run| run.ask(ask(10_000_000))).await;
    let unpaid = pool.submit(world, |run| run.ask(ask(1))).await;
    let small =
        pool.submit(world, |run| run.ask(RunAsk { rent_micros: Some(10_000_000), ..gang(1, 4) })).await;
    let rented = pool.scheduler.rent_waiting(&provider).await.unwrap();
    assert_eq!(
        rented.iter().map(|(run, _)| *run).collect::<Vec<_>>(),
        [run],
        "{unpaid} cannot pay, {small} has room"
    );
    assert_eq!(pool.scheduler.rent_waiting(&provider).await.unwrap(), [], "once is enough");
    assert_eq!(pool.granted().await, [small]);
    clean(world).await;
    assert_eq!(world.cloud.rent_pending(&provider).await.unwrap().rented, 1);
    // What is there only a worker on that machine can use.
    assert_eq!(claim(world).await.run.id, small);
    assert_eq!(world.cloud.claim_run(&Worker::new("w"), MINUTE).await.unwrap(), None);
    let worker = Worker::new("w").of(rented[0].1);
    let claimed = world.cloud.claim_run(&worker, MINUTE).await.unwrap().unwrap();
    assert_eq!((claimed.run.id, claimed.gpus.len()), (run, 8));
    assert!(claimed.gpus.iter().all(|gpu| gpu.node.is_none()));
    assert_eq!(world.cloud.claim_run(&worker, MINUTE).await.unwrap(), None, "it is taken");
    world.cloud.begin_run(&claimed.lease).await.unwrap();
    world.cloud.abort_run(run, "enough").await.unwrap();
    world.cloud.release_lease(&claimed.lease).await.unwrap();
    given_back(world, &provider).await;
    pool.end(world).await;
}

async fn what_is_rented_counts_against_the_quota_of_its_queue(world: &World) {
    let pool = Pool::new(world, 1).await;
    let provider = MockProvider::new(format!("mock-{}", world.fresh()), 7);
    provider.offer(Offer::new("large", 8, "H100", 9_000_000));
    let limited = world.id().into();
    let queue = NewQueue::new(format!("limited-{}", world.fresh())).id(limited);
    world.cloud.create_queue(queue).await.unwrap();
    let kept = world.cloud.repositories().run_queues().require(limited).await.unwrap();
    let terms = QueueTerms::of(&kept).gpu(QueueQuota::of(GpuMilli::from_u32(8000)));
    world.cloud.change_queue(limited, kept.revision, terms).await.unwrap();

    let ask = RunAsk { rent_micros: Some(10_000_000), ..gang(1, 8) };
    let large = pool.submit(world, |run| run.ask(ask).queue(limited)).await;
    let rented = pool.scheduler.rent_waiting(&provider).await.unwrap();
    assert_eq!(rented.iter().map(|(run, _)| *run).collect::<Vec<_>>(), [large]);
    let small = pool.submit(world, |run| run.ask(gang(1, 1)).queue(limited)).await;
    // Whoever has followed and whoever begins with it sees that nothing is left, and plans nothing that would be refused.
    for scheduler in [&pool.scheduler, &scheduler(world)] {
        let ticked = scheduler.tick().await.unwrap();
        assert_eq!((ticked.granted, ticked.lost), (Vec::new(), 0));
        let why = scheduler.why_pending(small).await.unwrap();
        assert!(matches!(why.reasons.as_slice(), [Reason::Quota(_)]), "{why:?}");
    }

    assert_eq!(world.cloud.rent_pending(&provider).await.unwrap().rented, 1);
    let worker = Worker::new("w").of(rented[0].1);
    let claimed = world.cloud.claim_run(&worker, MINUTE).await.unwrap().unwrap();
    world.cloud.abort_run(large, "enough").await.unwrap();
    assert_eq!(pool.granted().await, [], "it is held until its worker has let go");
    world.cloud.release_lease(&claimed.lease).await.unwrap();
    assert_eq!(pool.granted().await, [small]);
    given_back(world, &provider).await;
    pool.end(world).await;
}
