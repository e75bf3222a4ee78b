//! Setting counters that an audit found wrong to what the rows say.

use std::collections::BTreeMap;

use uuid::{Builder, Uuid};

use super::users::Happened;
use super::{AuditReport, ControlPlane, Drift};
use crate::entity::{
    ADMINISTRATIONS, Administration, Entity as _, GPUS, Gpu, LOGIN_WAYS, LoginWays, NODE_LEDGERS, NodeLedger,
    QUOTAS, Quota, TRAINING_RUNS, TRAININGS, Training, TrainingRun,
};
use crate::error::{Error, Result};
use crate::id::{hashed, v7_millis};
use crate::store::{Batch, Cause, Fingerprint, IdProblem, Key, Receipt, StoreError, Table, Test, Write};
use crate::time::Timestamp;

/// How many rows are committed together.
const AT_ONCE: usize = 256;

/// What has counters that an audit recounts, and what the log calls it.
const COUNTED: [(&Table, &str); 7] = [
    (&QUOTAS, Quota::KIND),
    (&NODE_LEDGERS, NodeLedger::KIND),
    (&GPUS, Gpu::KIND),
    (&LOGIN_WAYS, LoginWays::KIND),
    (&TRAININGS, Training::KIND),
    (&ADMINISTRATIONS, Administration::KIND),
    (&TRAINING_RUNS, TrainingRun::KIND),
];

/// What became of the drifts of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repaired {
    /// Counters that were set to their recount.
    pub mended: u64,
    /// Counters that were left alone, because one of the drifted counters of their row is no longer what the report says.
    /// Audit again to see what they are now.
    pub changed: u64,
    /// Counters that cannot be what the rows say: there is no row to count on, or a rule forbids it (a GPU that is promised
    /// more than once). The rows themselves are wrong, and only somebody who looks at them can tell which.
    pub impossible: u64,
}

impl ControlPlane {
    /// Sets each counter that an audit found wrong to its recount, in one batch for each row, which is logged as
    /// `audit.repair`.
    ///
    /// A batch tests that every counter is still what the report says, and adds what was missing: so nothing that happened
    /// behind the report is undone. No limit is judged, since what is recorded is so already; a recount above its limit is
    /// recorded too, and then nothing more is granted.
    ///
    /// The same report is carried out once, however often it is given; after an error it may be given again, for as long as
    /// receipts are kept. Of two reports that found the same, give one.
    ///
    /// # Errors
    /// Those of the store, where some rows may be mended already.
    #[tracing::instrument(skip_all)]
    pub async fn repair(&self, report: &AuditReport) -> Result<Repaired> {
        let mut rows: BTreeMap<(&'static str, &Key), Vec<&Drift>> = BTreeMap::new();
        for drift in &report.drifts {
            rows.entry((drift.table, &drift.key)).or_default().push(drift);
        }
        let rows: Vec<Vec<&Drift>> = rows.into_values().collect();
        let mut repaired = Repaired::default();
        for rows in rows.chunks(AT_ONCE) {
            let now = self.store.read(Vec::new()).await?.now;
            let batches: Result<Vec<Batch>> =
                rows.iter().map(|drifts| self.mending(report.id, drifts, now)).collect();
            let receipts = self.store.commit_many(batches?).await;
            for (drifts, receipt) in rows.iter().zip(receipts) {
                let counters = u64::try_from(drifts.len()).unwrap_or(u64::MAX);
                *repaired.place_of(receipt)? += counters;
            }
        }
        Ok(repaired)
    }

    /// The batch that mends the drifted counters of one row.
    fn mending(&self, report: Uuid, drifts: &[&Drift], now: Timestamp) -> Result<Batch> {
        let Some(first) = drifts.first() else {
            return Err(Error::invalid("drifts", "none was given"));
        };
        let counted = COUNTED.into_iter().find(|(table, _)| table.name == first.table);
        let (table, kind) =
            counted.ok_or_else(|| Error::invalid("drifts", "no counter of that table is recounted"))?;
        let tests = drifts.iter().map(|drift| Test::eq(drift.column, drift.recorded)).collect();
        let mut told: Vec<String> = Vec::with_capacity(drifts.len());
        for drift in drifts {
            told.push(format!("{} {} to {}", drift.column, drift.recorded, drift.recounted));
        }
        let told = told.join(", ");
        let mut batch = self
            .batch("audit.repair")
            .fingerprint(Fingerprint::of(told.as_bytes()))
            .with(Write::patch(table, first.key.clone(), tests, Vec::new()));
        batch.id = batch_id(report, first);
        for drift in drifts {
            let missing = drift.recounted.saturating_sub(drift.recorded);
            batch.push(Write::record(table, first.key.clone(), drift.column, missing));
        }
        let happened = Happened {
            operation: "audit.repair",
            actor: None,
            kind,
            // The count of administrators belongs to nobody.
            subject: first.key.as_uuid().unwrap_or_default(),
            description: &told,
        };
        batch.push(self.log(happened, now));
        Ok(batch)
    }
}

impl Repaired {
    /// Where the counters of a row are counted whose batch was answered like this.
    fn place_of(&mut self, receipt: std::result::Result<Receipt, StoreError>) -> Result<&mut u64> {
        let Err(error) = receipt else { return Ok(&mut self.mended) };
        match (&error, error.refusal().map(|refusal| &refusal.cause)) {
            (_, Some(Cause::TestFailed { .. }))
            // The row was mended by another part of the same report.
            | (StoreError::UnusableId { why: IdProblem::Reused, .. }, _) => Ok(&mut self.changed),
            (_, Some(Cause::Missing | Cause::Invariant { .. } | Cause::Overflow { .. })) => {
                Ok(&mut self.impossible)
            }
            _ => Err(Error::of_store("counter", error)),
        }
    }
}

/// The id of the batch that mends a row of a report: always the same, so that it happens once. Between the audit and a second
/// attempt the counter may have come back to the value that was recorded.
fn batch_id(report: Uuid, of: &Drift) -> Uuid {
    let text = format!("apportion repair {report} {} {:?}", of.table, of.key);
    let millis = v7_millis(report).and_then(|millis| u64::try_from(millis).ok()).unwrap_or(0);
    let mut random = [0; 10];
    for (to, from) in random.iter_mut().zip(hashed(text.as_bytes()).as_bytes()) {
        *to = *from;
    }
    Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
    use crate::entity::{
        GPU_BINDINGS, InstanceId, LogFilter, NodeId, PASSWORDS, PageRequest, TABLES, UserId,
    };
    use crate::plane::{LaunchRequest, NewNode, NewUser};
    use crate::store::memory::MemoryStore;
    use crate::store::{NewRow, Scan, StoreExt as _};
    use crate::time::ManualClock;

    struct Cloud {
        plane: ControlPlane,
        user: UserId,
        node: NodeId,
    }

    impl Cloud {
        async fn new() -> Self {
            let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)));
            let plane = ControlPlane::new(Arc::new(MemoryStore::new(TABLES, clock).unwrap()));
            let user = plane.create_user(NewUser::new("ada@example.org", "Ada")).await.unwrap().id;
            let node = NewNode::new(user, "one")
                .cpu(CpuMilli::from_u32(64_000))
                .memory(MemoryMib::from_u32(64_000))
                .storage(StorageMib::from_u32(64_000))
                .gpus(2, "A100");
            let node = plane.register_node(node).await.unwrap().id;
            Self { plane, user, node }
        }

        async fn launch(&self, name: &str) -> InstanceId {
            let request = LaunchRequest::new(self.user, name)
                .cpu(CpuMilli::from_u32(1_000))
                .memory(MemoryMib::from_u32(2_000))
                .storage(StorageMib::from_u32(3_000))
                .gpu_share(GpuMilli::from_u32(400));
            self.plane.launch(request).await.unwrap().id
        }

        async fn quota(&self) -> Quota {
            self.plane.repositories().quotas().require(self.user).await.unwrap().value
        }

        /// Adds to a counter what no row says.
        async fn drift(&self, table: &'static Table, key: impl Into<Key>, column: &'static str, delta: i64) {
            let write = Write::record(table, key, column, delta);
            let batch = Batch::new(self.plane.ids.next_id(), "drift").with(write);
            self.plane.store.commit(batch).await.unwrap();
        }

        async fn audit(&self) -> AuditReport {
            self.plane.audit().await.unwrap()
        }

        async fn repair(&self, report: &AuditReport) -> (u64, u64, u64) {
            let repaired = self.plane.repair(report).await.unwrap();
            (repaired.mended, repaired.changed, repaired.impossible)
        }
    }

    #[tokio::test]
    async fn every_kind_of_counter_is_mended_and_logged() {
        let cloud = Cloud::new().await;
        cloud.launch("aa").await;
        let gpu = cloud.plane.store.scan(Scan::of(&GPUS)).await.unwrap().value.rows[0].key();
        let ways = NewRow::new(&LOGIN_WAYS).set("user_id", cloud.user).set("ways", 3_i64);
        let row = NewRow::new(&ADMINISTRATIONS).set("id", Administration::ID).set("administrators", 2_i64);
        let batch =
            Batch::new(cloud.plane.ids.next_id(), "drift").with(Write::Insert(ways)).with(Write::Insert(row));
        cloud.plane.store.commit(batch).await.unwrap();
        let admin = NewUser::new("root@example.org", "Root").administrator();
        cloud.plane.create_user(admin).await.unwrap();
        for (column, delta) in [("instances", 2), ("cpu_milli", -400), ("storage_mib", 9), ("nodes", 1)] {
            cloud.drift(&QUOTAS, cloud.user, column, delta).await;
        }
        cloud.drift(&NODE_LEDGERS, cloud.node, "memory_mib", 9).await;
        cloud.drift(&GPUS, gpu, "used_milli", 100).await;
        let report = cloud.audit().await;
        assert_eq!(report.drifts.len(), 8);
        assert_eq!(cloud.repair(&report).await, (8, 0, 0));
        assert!(cloud.audit().await.is_clean());
        let about = LogFilter { subject_id: Some(cloud.user.uuid()), ..LogFilter::default() };
        let lines = cloud.plane.repositories().logs().list(about, PageRequest::default()).await.unwrap();
        let lines: Vec<_> = lines
            .entries
            .iter()
            .filter(|line| line.title == "audit.repair" && line.subject_kind.as_deref() == Some("quota"))
            .map(|line| line.description.clone().unwrap())
            .collect();
        assert_eq!(
            lines,
            ["instances 3 to 1, nodes 2 to 1, cpu_milli 600 to 1000, storage_mib 3009 to 3000"]
        );
        let own = LogFilter { subject_id: Some(Uuid::nil()), ..LogFilter::default() };
        let lines = cloud.plane.repositories().logs().list(own, PageRequest::default()).await.unwrap();
        assert_eq!(lines.entries.len(), 1, "the count of administrators");
    }

    #[tokio::test]
    async fn what_changed_behind_the_report_is_left_alone() {
        let cloud = Cloud::new().await;
        let first = cloud.launch("aa").await;
        cloud.drift(&QUOTAS, cloud.user, "cpu_milli", 500).await;
        cloud.drift(&NODE_LEDGERS, cloud.node, "storage_mib", 5).await;
        let report = cloud.audit().await;
        // Somebody has set this one right meanwhile, and what is on the other goes on.
        cloud.drift(&QUOTAS, cloud.user, "cpu_milli", -500).await;
        assert_eq!(cloud.repair(&report).await, (1, 1, 0));
        assert_eq!(cloud.quota().await.cpu_milli.get(), 1_000);
        assert!(cloud.audit().await.is_clean());
        cloud.drift(&QUOTAS, cloud.user, "memory_mib", 1).await;
        let report = cloud.audit().await;
        cloud.plane.delete(first).await.unwrap();
        assert_eq!(cloud.repair(&report).await, (0, 1, 0));
        assert_eq!(cloud.quota().await.memory_mib.get(), 1);
        assert_eq!(cloud.repair(&cloud.audit().await).await, (1, 0, 0));
        assert!(cloud.audit().await.is_clean());
    }

    #[tokio::test]
    async fn a_row_is_mended_whole_or_left_alone() {
        let cloud = Cloud::new().await;
        for column in ["cpu_milli", "memory_mib", "storage_mib"] {
            cloud.drift(&QUOTAS, cloud.user, column, 7).await;
        }
        let report = cloud.audit().await;
        cloud.drift(&QUOTAS, cloud.user, "storage_mib", 1).await;
        assert_eq!(cloud.repair(&report).await, (0, 3, 0));
        assert_eq!(cloud.quota().await.cpu_milli.get(), 7);
    }

    #[tokio::test]
    async fn what_drifts_alike_in_other_rows_or_again_later_is_mended_each_time() {
        let cloud = Cloud::new().await;
        let mut users = vec![cloud.user];
        for number in 0..AT_ONCE {
            let new = NewUser::new(format!("user-{number}@example.org"), "Ada");
            users.push(cloud.plane.create_user(new).await.unwrap().id);
        }
        for round in 0..2 {
            for user in &users {
                cloud.drift(&QUOTAS, *user, "cpu_milli", 500).await;
            }
            let rows = u64::try_from(users.len()).unwrap();
            assert_eq!(cloud.repair(&cloud.audit().await).await, (rows, 0, 0), "{round}");
            assert!(cloud.audit().await.is_clean(), "{round}");
        }
    }

    #[tokio::test]
    async fn what_is_no_counter_or_beyond_any_number_is_not_written() {
        let cloud = Cloud::new().await;
        cloud.drift(&QUOTAS, cloud.user, "cpu_milli", 500).await;
        let mut report = cloud.audit().await;
        report.drifts[0].recounted = (1 << 53) + 100;
        assert_eq!(cloud.repair(&report).await, (0, 0, 1));
        report.drifts[0].table = PASSWORDS.name;
        let refused = cloud.plane.repair(&report).await.unwrap_err();
        assert!(matches!(&refused, Error::Invalid { field, .. } if field == "drifts"), "{refused:?}");
        assert_eq!(cloud.quota().await.cpu_milli.get(), 500);
    }

    #[test]
    fn what_the_store_could_not_do_is_told() {
        let unavailable = StoreError::Unavailable { reason: "gone".into(), source: None };
        let told = Repaired::default().place_of(Err(unavailable)).unwrap_err();
        assert!(matches!(told, Error::Store(_)), "{told:?}");
    }

    #[tokio::test]
    async fn a_report_is_carried_out_once_also_where_its_numbers_come_again() {
        let cloud = Cloud::new().await;
        let instance = cloud.launch("aa").await;
        // As in a file that was written before this was counted.
        cloud.drift(&QUOTAS, cloud.user, "cpu_milli", -1_000).await;
        cloud.drift(&QUOTAS, cloud.user, "memory_mib", -2_000).await;
        let report = cloud.audit().await;
        assert_eq!(cloud.repair(&report).await, (2, 0, 0));
        cloud.plane.delete(instance).await.unwrap();
        assert_eq!(cloud.quota().await.cpu_milli, CpuMilli::ZERO);
        assert_eq!(cloud.repair(&report).await, (2, 0, 0), "they were mended by this report");
        assert_eq!(cloud.quota().await.cpu_milli, CpuMilli::ZERO, "and are not raised again");
        let mut part = report;
        part.drifts.pop();
        assert_eq!(cloud.repair(&part).await, (0, 1, 0));
        assert!(cloud.audit().await.is_clean());
    }

    #[tokio::test]
    async fn a_recount_above_its_limit_is_recorded_and_refuses_new_work() {
        let cloud = Cloud::new().await;
        cloud.launch("aa").await;
        cloud.drift(&QUOTAS, cloud.user, "cpu_milli", -1_000).await;
        let limits = cloud.quota().await.limits().cpu(CpuMilli::from_u32(500));
        cloud.plane.set_limits(cloud.user, limits).await.unwrap();
        assert_eq!(cloud.repair(&cloud.audit().await).await, (1, 0, 0));
        let more = LaunchRequest::new(cloud.user, "bb").cpu(CpuMilli::from_u32(1));
        let refused = cloud.plane.launch(more).await.unwrap_err();
        assert_eq!(refused.to_string(), "the cpu_milli_limit is 500: 1000 used, 1 more asked, 501 too many");
    }

    #[tokio::test]
    async fn what_no_counter_can_say_is_told() {
        let cloud = Cloud::new().await;
        let instance = cloud.launch("aa").await;
        let gpu = cloud.plane.store.scan(Scan::of(&GPU_BINDINGS)).await.unwrap().value.rows[0]
            .id::<()>("gpu_id")
            .unwrap();
        // A GPU that is promised twice, and a way in of somebody whose row of ways is not there.
        let binding = NewRow::new(&GPU_BINDINGS)
            .set("id", cloud.plane.new_id())
            .set("gpu_id", gpu)
            .set("instance_id", instance)
            .set("held_by", instance)
            .set("milli", 1_000_i64)
            .set("state", "bound")
            .set("created_at", Timestamp::EPOCH);
        let password = NewRow::new(&PASSWORDS)
            .set("user_id", cloud.user)
            .set("hash", "x")
            .set("updated_at", Timestamp::EPOCH);
        let batch = Batch::new(cloud.plane.ids.next_id(), "wrong")
            .with(Write::Insert(binding))
            .with(Write::Insert(password));
        cloud.plane.store.commit(batch).await.unwrap();
        let report = cloud.audit().await;
        assert_eq!(cloud.repair(&report).await, (0, 0, 2));
        assert_eq!(cloud.audit().await.drifts, report.drifts);
    }

    #[tokio::test]
    async fn a_clean_report_changes_nothing() {
        let cloud = Cloud::new().await;
        let cursor = cloud.plane.store.snapshot().await.unwrap().cursor();
        assert_eq!(cloud.repair(&cloud.audit().await).await, (0, 0, 0));
        assert_eq!(cloud.repair(&AuditReport::default()).await, (0, 0, 0));
        assert!(cloud.plane.store.changes(cursor, 10).await.unwrap().records.is_empty());
    }
}
