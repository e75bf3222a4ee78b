//! Tables, clocks and checks that the tests share.
#![allow(dead_code, reason = "each test uses its own part")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use apportion::id::{IdSource, TimeOrderedIds};
use apportion::store::{
    Batch, Ceiling, Column, Cursor, Fixed, Index, Invariant, NewRow, Record, Reference, Resolution, Row,
    Scan, Store, StoreExt, Table, Unique, Write,
};
use apportion::time::{Clock, SystemClock};
use apportion_postgres::{PostgresOptions, PostgresStore};
use apportion_throwaway_postgres::ThrowawayPostgres;
use uuid::Uuid;

pub(crate) static ACCOUNTS: Table = Table::new(
    "accounts",
    &[
        Column::uuid("id"),
        Column::text("name", 64),
        Column::int("units").counter().default(Fixed::Int(0)),
        Column::int("unit_limit").nullable(),
    ],
    &["id"],
)
.uniques(&[Unique::new("accounts_name", &["name"])])
.invariants(&[Invariant::at_least("accounts_units_not_negative", "units", 0)])
.ceilings(&[Ceiling::column("accounts_unit_limit", "units", "unit_limit")]);

pub(crate) static UNITS: Table = Table::new(
    "units",
    &[
        Column::uuid("id"),
        Column::uuid("account_id"),
        Column::text("state", 16),
        Column::text("label", 64).nullable(),
        Column::int("seen").counter().default(Fixed::Int(0)),
    ],
    &["id"],
)
.uniques(&[Unique::new("units_label", &["label"])])
.indexes(&[Index::new("units_by_state", &["state"])])
.references(&[Reference::new("units_account", &["account_id"], "accounts")]);

pub(crate) static TABLES: [&Table; 2] = [&ACCOUNTS, &UNITS];

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

pub(crate) fn ids() -> Arc<dyn IdSource> {
    Arc::new(TimeOrderedIds::new(clock()))
}

pub(crate) fn account(id: Uuid, name: &str, limit: Option<i64>) -> Write {
    Write::Insert(NewRow::new(&ACCOUNTS).set("id", id).set("name", name).set("unit_limit", limit))
}

pub(crate) fn unit(id: Uuid, account: Uuid, label: Option<&str>) -> Write {
    Write::Insert(
        NewRow::new(&UNITS).set("id", id).set("account_id", account).set("state", "new").set("label", label),
    )
}

pub(crate) const MS: Duration = Duration::from_millis(1);

pub(crate) fn server() -> &'static ThrowawayPostgres {
    ThrowawayPostgres::shared().unwrap()
}

/// The address of a new database.
pub(crate) fn database() -> String {
    server().fresh_database().unwrap()
}

/// The name in an address.
pub(crate) fn name_of(url: &str) -> &str {
    url.rsplit('/').next().unwrap()
}

pub(crate) async fn open(url: &str, options: PostgresOptions) -> Arc<PostgresStore> {
    Arc::new(PostgresStore::connect_with(url, &TABLES, clock(), options).await.unwrap())
}

/// How many connections are inside a transaction.
pub(crate) fn open_transactions(url: &str) -> i64 {
    let sql =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'";
    server().psql_in(name_of(url), sql).unwrap().parse().unwrap()
}

/// Waits until no connection is inside a transaction. What was left open would stay so.
pub(crate) async fn nothing_stays_open(url: &str) {
    let ended = async {
        while open_transactions(url) > 0 {
            tokio::time::sleep(20 * MS).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap();
}

pub(crate) async fn with_account(store: &dyn Store) -> Uuid {
    let owner = ids().next_id();
    let first = Batch::new(ids().next_id(), "open").with(account(owner, "a", None));
    store.commit(first).await.unwrap();
    owner
}

/// Takes one unit of an account: a row, and one more on the counter.
pub(crate) fn take(batch: Uuid, unit_id: Uuid, account: Uuid) -> Batch {
    Batch::new(batch, "take")
        .with(unit(unit_id, account, None))
        .with(Write::admit(&ACCOUNTS, account, "units", 1))
}

/// Every row of a table by its id.
pub(crate) async fn rows(store: &dyn Store, table: &'static Table) -> BTreeMap<Uuid, Row> {
    let all = store.scan_all(Scan::of(table).limit(1000)).await.unwrap();
    all.into_iter().map(|row| (row.key().as_uuid().unwrap(), row)).collect()
}

/// Every record of the feed, which must be dense from 1.
pub(crate) async fn feed(store: &dyn Store) -> Vec<Arc<Record>> {
    let mut records = Vec::new();
    let mut after = Cursor::START;
    loop {
        let changes = store.changes(after, 1000).await.unwrap();
        records.extend(changes.records);
        after = changes.next;
        if changes.lag == 0 {
            break;
        }
    }
    for (at, record) in records.iter().enumerate() {
        assert_eq!(record.position, u64::try_from(at).unwrap() + 1, "the feed is dense");
    }
    records
}

/// What a caller was told about a `take`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It happened.
    Yes,
    /// It did not.
    No,
    /// Nothing certain.
    Maybe,
}

/// One `take` and what its caller was told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) batch: Uuid,
    pub(crate) unit: Uuid,
    pub(crate) told: Told,
}

/// Checks that what was told is so, whole and once, and that counters and feed agree with the rows. Gives the
/// number of units.
///
/// A batch whose caller went away may still be under way; to be resolved settles it. So all are resolved before
/// anything is read.
pub(crate) async fn check(store: &dyn Store, taken: &[Taken]) -> usize {
    let mut receipts = Vec::with_capacity(taken.len());
    for one in taken {
        receipts.push(matches!(store.resolve(one.batch).await.unwrap(), Resolution::Committed(_)));
    }
    let units = rows(store, &UNITS).await;
    let mut in_feed: BTreeMap<Uuid, usize> = BTreeMap::new();
    for record in feed(store).await {
        *in_feed.entry(record.batch).or_default() += 1;
    }
    for (one, receipt) in taken.iter().zip(receipts) {
        let row = units.contains_key(&one.unit);
        let records = in_feed.get(&one.batch).copied().unwrap_or(0);
        assert_eq!((row, row), (records == 1, receipt), "{one:?} is there in part: {records} records");
        assert!(records <= 1, "{one:?} is there twice");
        match one.told {
            Told::Yes => assert!(row, "{one:?} was acknowledged and is lost"),
            Told::No => assert!(!row, "{one:?} was refused and is there"),
            Told::Maybe => {}
        }
    }
    let mut counted: BTreeMap<Uuid, i64> = BTreeMap::new();
    for row in units.values() {
        *counted.entry(row.id::<()>("account_id").unwrap().uuid()).or_default() += 1;
    }
    for (id, account) in rows(store, &ACCOUNTS).await {
        let recount = counted.get(&id).copied().unwrap_or(0);
        assert_eq!(account.int("units").unwrap(), recount, "the counter is off");
    }
    let by_label = store.scan_all(Scan::of(&UNITS).by("units_by_state").limit(1000)).await.unwrap();
    assert_eq!(by_label.len(), units.len(), "the index is off");
    units.len()
}
