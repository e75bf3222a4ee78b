//! A database as it was before accounts were limited in processor time, memory and disk space, and before a rented GPU was known
//! by its provider too, for the tests of the backends.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::sync::Arc;

use apportion::ControlPlane;
use apportion::amount::{CpuMilli, MemoryMib, StorageMib};
use apportion::entity::{GpuFilter, InstanceId, PageRequest, RunAsk, UserId};
use apportion::plane::{LaunchRequest, NewNode, NewRun, NewTraining, NewUser, Options, RunScheduler};
use apportion::queue::Settings;
use apportion::rent::mock::MockProvider;
use apportion::rent::{Offer, RentalOptions};
use apportion::store::Store;
use apportion_sql::Names;

/// What was made: two accounts, and the instance of the first that is live.
pub(crate) type Made = (UserId, UserId, InstanceId);

/// A control plane that rents machines.
pub(crate) fn plane(store: Arc<dyn Store>) -> Arc<ControlPlane> {
    Arc::new(ControlPlane::with(store, Options::default().rentals(RentalOptions::new("history"))))
}

/// Makes an account with a live, a stopped and a deleted instance, and a rented machine, and an account with none.
pub(crate) async fn make(plane: &Arc<ControlPlane>) -> Made {
    let user = plane.create_user(NewUser::new("ada@example.org", "Ada")).await.unwrap().id;
    let idle = plane.create_user(NewUser::new("bob@example.org", "Bob")).await.unwrap().id;
    let node = NewNode::new(user, "one")
        .cpu(CpuMilli::from_u32(8_000))
        .memory(MemoryMib::from_u32(8_000))
        .storage(StorageMib::from_u32(8_000));
    plane.register_node(node).await.unwrap();
    let request =
        |name| LaunchRequest::new(user, name).cpu(CpuMilli::from_u32(1_500)).memory(MemoryMib::from_u32(700));
    let live = plane.launch(request("live").storage(StorageMib::from_u32(9))).await.unwrap().id;
    let stopped = plane.launch(request("stopped")).await.unwrap().id;
    plane.stop(stopped).await.unwrap();
    let deleted = plane.launch(request("deleted")).await.unwrap().id;
    plane.delete(deleted).await.unwrap();
    rent(plane, user).await;
    (user, idle, live)
}

/// Rents a machine with two GPUs for a run.
async fn rent(plane: &Arc<ControlPlane>, user: UserId) {
    let training = plane.create_training(NewTraining::new(user, "portraits", "ohxw")).await.unwrap();
    let (models, rent_micros) = (vec!["H100".to_owned()], Some(10_000_000));
    let ask = RunAsk { gpus: 2, models, rent_micros, ..RunAsk::default() };
    plane.submit_run(NewRun::of(training.id).ask(ask)).await.unwrap();
    plane.advance_runs(1).await.unwrap();
    let provider = MockProvider::new("cloud", 7);
    provider.offer(Offer::new("large", 2, "H100", 9_000_000));
    let scheduler = RunScheduler::new(Arc::clone(plane), Settings::default());
    assert_eq!(scheduler.rent_waiting(&provider).await.unwrap().len(), 1);
    assert_eq!(plane.rent_pending(&provider).await.unwrap().rented, 1);
}

/// The rented GPUs: by which provider, and which id there.
async fn rented(plane: &ControlPlane) -> Vec<(Option<String>, Option<String>)> {
    let gpus = plane.repositories().gpus().list(GpuFilter::default(), PageRequest::default()).await.unwrap();
    let gpus = gpus.entries.into_iter().map(|gpu| (gpu.value.provider, gpu.value.instance_id));
    let mut gpus: Vec<_> = gpus.filter(|(_, instance)| instance.is_some()).collect();
    gpus.sort();
    gpus
}

/// The statements that turn it back.
pub(crate) fn undo(names: &Names) -> String {
    let quotas = names.table("quotas");
    let mut sql =
        format!("DELETE FROM {} WHERE name LIKE '%quotas_amounts%';", names.table("kernel_migrations"));
    for amount in ["cpu_milli", "memory_mib", "storage_mib"] {
        for column in [amount.to_owned(), format!("{amount}_limit")] {
            write!(sql, "ALTER TABLE {quotas} DROP COLUMN {column};").unwrap();
        }
    }
    let (gpus, migrations) = (names.table("gpus"), names.table("kernel_migrations"));
    write!(
        sql,
        "DELETE FROM {migrations} WHERE name LIKE '%gpus_provider%' OR name LIKE '%gpus_rental%'; DROP INDEX {}; \
         ALTER TABLE {gpus} DROP COLUMN provider; CREATE UNIQUE INDEX \"{}\" ON {gpus} (instance_id);",
        names.table("gpus_rental"),
        names.bare("gpus_instance_id"),
    )
    .unwrap();
    sql
}

/// Checks that what is held is counted, and comes back.
pub(crate) async fn check(plane: &ControlPlane, (user, idle, live): Made) {
    let of = |slot: u32| (Some("cloud".to_owned()), Some(format!("m-1/{slot}")));
    assert_eq!(rented(plane).await, [of(0), of(1)]);
    let quotas = plane.repositories().quotas();
    let quota = quotas.require(user).await.unwrap();
    let held = (quota.cpu_milli.get(), quota.memory_mib.get(), quota.storage_mib.get());
    assert_eq!((held, quota.cpu_milli_limit), ((3_000, 1_400, 9), None));
    assert_eq!(quotas.require(idle).await.unwrap().cpu_milli, CpuMilli::ZERO);
    assert!(plane.audit().await.unwrap().is_clean());
    plane.delete(live).await.unwrap();
    assert_eq!(quotas.require(user).await.unwrap().storage_mib, StorageMib::ZERO);
    assert!(plane.audit().await.unwrap().is_clean());
}
