//! Declarations that have grown since the file was last opened, and those that do not fit it.

mod common;

use apportion::store::{
    Batch, Column, Fixed, Index, NewRow, OpenProblem, Reference, Scan, Store, StoreExt, Table, Unique, Write,
};
use apportion_redb::RedbStore;
use common::{ACCOUNTS, TABLES, UNITS, clock, feed, filled, ids, problem, rows, unit};

static ROOMS: Table = Table::new("rooms", &[Column::uuid("id")], &["id"]);

/// The units with two more columns, an index on one of them, a unique key and a reference.
static GROWN: Table = Table::new(
    "units",
    &[
        Column::uuid("id"),
        Column::uuid("account_id"),
        Column::text("state", 16),
        Column::text("label", 128).nullable(),
        Column::int("seen").counter().default(Fixed::Int(0)),
        Column::text("zone", 16).default(Fixed::Text("north")),
        Column::uuid("room_id").nullable(),
    ],
    &["id"],
)
.uniques(&[Unique::new("units_label", &["label"]), Unique::new("units_label_in_zone", &["zone", "label"])])
.indexes(&[Index::new("units_by_state", &["state"]), Index::new("units_by_zone", &["zone", "state"])])
.references(&[
    Reference::new("units_account", &["account_id"], "accounts"),
    Reference::new("units_room", &["room_id"], "rooms"),
]);

/// The same with another default, and without the index.
static REGROWN: Table = Table::new(
    "units",
    &[
        Column::uuid("id"),
        Column::uuid("account_id"),
        Column::text("state", 16),
        Column::text("label", 128).nullable(),
        Column::int("seen").counter().default(Fixed::Int(0)),
        Column::text("zone", 16).default(Fixed::Text("south")),
        Column::uuid("room_id").nullable(),
    ],
    &["id"],
)
.references(&[Reference::new("units_account", &["account_id"], "accounts")]);

#[tokio::test]
async fn declarations_grow_with_defaults_indexes_and_tables() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let owner = filled(&path, 50).await;
    let store = RedbStore::open(&path, &[&ACCOUNTS, &ROOMS, &GROWN], clock()).unwrap();
    let by_zone = Scan::of(&GROWN).by("units_by_zone").with("north").limit(1000);
    assert_eq!(store.scan_all(by_zone.clone()).await.unwrap().len(), 50);
    let ids = ids();
    let insert = NewRow::new(&GROWN)
        .set("id", ids.next_id())
        .set("account_id", owner)
        .set("state", "new")
        .set("zone", "north")
        .set("room_id", ids.next_id());
    let orphan = Batch::new(ids.next_id(), "place").with(Write::Insert(insert));
    assert!(store.commit(orphan).await.unwrap_err().refusal().unwrap().names("units_room"));
    let fresh = Batch::new(ids.next_id(), "take").with(Write::Insert(
        NewRow::new(&GROWN).set("id", ids.next_id()).set("account_id", owner).set("state", "new"),
    ));
    store.commit(fresh).await.unwrap();
    store.close().await.unwrap();

    // A later default is for later rows.
    let store = RedbStore::open(&path, &[&ACCOUNTS, &ROOMS, &REGROWN], clock()).unwrap();
    let units = rows(&store, &REGROWN).await;
    assert!(units.values().all(|row| row.text("zone").unwrap() == "north"));
    let late = Batch::new(ids.next_id(), "take").with(Write::Insert(
        NewRow::new(&REGROWN).set("id", ids.next_id()).set("account_id", owner).set("state", "new"),
    ));
    store.commit(late).await.unwrap();
    store.close().await.unwrap();

    // What was not kept while the index was away is made again.
    let store = RedbStore::open(&path, &[&ACCOUNTS, &ROOMS, &GROWN], clock()).unwrap();
    assert_eq!(store.scan_all(by_zone).await.unwrap().len(), 51);
    assert_eq!(feed(&store).await.len(), 53);
}

static STRICT_UNITS: Table = Table::new(
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
.uniques(&[Unique::new("units_state", &["state"])])
.references(&[Reference::new("units_account", &["account_id"], "accounts")]);

static ORPHANED_UNITS: Table = Table::new(
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
.references(&[Reference::new("units_room", &["account_id"], "rooms")]);

static NEEDY_UNITS: Table = Table::new(
    "units",
    &[
        Column::uuid("id"),
        Column::uuid("account_id"),
        Column::text("state", 16),
        Column::text("label", 64).nullable(),
        Column::int("seen").counter().default(Fixed::Int(0)),
        Column::text("zone", 16),
    ],
    &["id"],
);

static SHORT_UNITS: Table = Table::new("units", &[Column::uuid("id"), Column::uuid("account_id")], &["id"]);
static RETYPED_UNITS: Table = Table::new(
    "units",
    &[
        Column::uuid("id"),
        Column::uuid("account_id"),
        Column::int("state"),
        Column::text("label", 64).nullable(),
        Column::int("seen").counter().default(Fixed::Int(0)),
    ],
    &["id"],
);
static REORDERED_UNITS: Table = Table::new(
    "units",
    &[
        Column::uuid("id"),
        Column::uuid("account_id"),
        Column::text("label", 64).nullable(),
        Column::text("state", 16),
        Column::int("seen").counter().default(Fixed::Int(0)),
    ],
    &["id"],
);
static STERN_UNITS: Table = Table::new(
    "units",
    &[
        Column::uuid("id"),
        Column::uuid("account_id"),
        Column::text("state", 16),
        Column::text("label", 64),
        Column::int("seen").counter().default(Fixed::Int(0)),
    ],
    &["id"],
);
static REKEYED_UNITS: Table = Table::new(
    "units",
    &[
        Column::uuid("id"),
        Column::uuid("account_id"),
        Column::text("state", 16),
        Column::text("label", 64).nullable(),
        Column::int("seen").counter().default(Fixed::Int(0)),
    ],
    &["account_id", "id"],
);

#[tokio::test]
async fn declarations_that_do_not_fit_are_refused_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    filled(&path, 3).await;
    let cases: [(&[&'static Table], &str); 9] = [
        (&[&ACCOUNTS, &STRICT_UNITS], "share the unique key units_state"),
        (&[&ACCOUNTS, &ROOMS, &ORPHANED_UNITS], "units_room"),
        (&[&ACCOUNTS, &NEEDY_UNITS], "column zone of units is new"),
        (&[&ACCOUNTS, &SHORT_UNITS], "fewer columns"),
        (&[&ACCOUNTS, &RETYPED_UNITS], "column state of units has another type"),
        (&[&ACCOUNTS, &REORDERED_UNITS], "column state of units is stored where label is declared"),
        (&[&ACCOUNTS, &STERN_UNITS], "column label of units may hold nulls"),
        (&[&ACCOUNTS, &REKEYED_UNITS], "the primary key of units is another"),
        (&[&ACCOUNTS], "table units is stored and no longer declared"),
    ];
    for (tables, says) in cases {
        let OpenProblem::Incompatible(reason) = problem(&path, tables) else {
            panic!("it does not fit: {says}");
        };
        assert!(reason.contains(says), "{reason}");
        let store = RedbStore::open(&path, &TABLES, clock()).unwrap();
        assert_eq!(rows(&store, &UNITS).await.len(), 3);
        let by_state = Scan::of(&UNITS).by("units_by_state").with("new");
        assert_eq!(store.scan_all(by_state).await.unwrap().len(), 3);
    }
}

#[tokio::test]
async fn a_unique_key_can_be_added_where_nothing_collides() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let owner = filled(&path, 1).await;
    let store = RedbStore::open(&path, &[&ACCOUNTS, &STRICT_UNITS], clock()).unwrap();
    let second = Batch::new(ids().next_id(), "take").with(unit(ids().next_id(), owner, None));
    let refused = store.commit(second).await.unwrap_err();
    // The tables of one name are one table.
    assert!(refused.refusal().unwrap().names("units_state"));
}
