//! A database as it was before accounts were limited in processor time, memory and disk space, for the tests of the backends.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;

use apportion::ControlPlane;
use apportion::amount::{CpuMilli, MemoryMib, StorageMib};
use apportion::entity::{InstanceId, UserId};
use apportion::plane::{LaunchRequest, NewNode, NewUser};
use apportion_sql::Names;

/// What was made: two accounts, and the instance of the first that is live.
pub(crate) type Made = (UserId, UserId, InstanceId);

/// Makes an account with a live, a stopped and a deleted instance, and one with none.
pub(crate) async fn make(plane: &ControlPlane) -> Made {
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
    (user, idle, live)
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
    sql
}

/// Checks that what is held is counted, and comes back.
pub(crate) async fn check(plane: &ControlPlane, (user, idle, live): Made) {
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
