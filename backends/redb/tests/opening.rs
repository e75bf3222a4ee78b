//! What opening says about files that it cannot open, and what it does with declarations that have grown.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;

use apportion::store::{
    Batch, Column, Fixed, Index, NewRow, OpenProblem, Reference, Scan, Store, StoreError, StoreExt, Table,
    Unique, Write,
};
use apportion_redb::{RedbOptions, RedbStore};
use common::{ACCOUNTS, TABLES, UNITS, account, clock, feed, ids, rows, take, unit};
use uuid::Uuid;

fn problem(path: &Path, tables: &[&'static Table]) -> OpenProblem {
    match RedbStore::open(path, tables, clock()) {
        Err(StoreError::CannotOpen { what, reason }) => {
            assert_eq!(what, path.display().to_string());
            reason
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it opened"),
    }
}

/// A closed store with one account, which is given, and some units of it.
async fn filled(path: &Path, units: usize) -> Uuid {
    let ids = ids();
    let owner = ids.next_id();
    let store = RedbStore::open(path, &TABLES, clock()).unwrap();
    let first = Batch::new(ids.next_id(), "open").with(account(owner, "a", None));
    store.commit(first).await.unwrap();
    let takes = (0..units)
        .map(|_| take(ids.next_id(), ids.next_id(), owner))
        .collect();
    for answer in store.commit_many(takes).await {
        answer.unwrap();
    }
    store.close().await.unwrap();
    owner
}

#[tokio::test]
async fn a_file_that_is_open_cannot_be_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let store = RedbStore::open(&path, &TABLES, clock()).unwrap();
    assert_eq!(problem(&path, &TABLES), OpenProblem::InUse);
    drop(store);
    RedbStore::open(&path, &TABLES, clock()).unwrap();
}

#[test]
fn a_missing_folder_and_a_folder_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        problem(&folder.path().join("no/store.redb"), &TABLES),
        OpenProblem::Missing
    );
    assert!(matches!(problem(folder.path(), &TABLES), OpenProblem::Foreign(_)));
}

#[test]
fn a_file_of_something_else_is_foreign_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    let text = "not a database, but long enough to be taken for one by its size alone".repeat(100);
    fs::write(&path, &text).unwrap();
    assert!(matches!(problem(&path, &TABLES), OpenProblem::Foreign(_)));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);

    let path = folder.path().join("other.redb");
    let other: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("visits");
    {
        let database = redb::Database::create(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(other).unwrap().insert("home", 7).unwrap();
        transaction.commit().unwrap();
    }
    let OpenProblem::Foreign(what) = problem(&path, &TABLES) else {
        panic!("it is foreign");
    };
    assert!(what.contains("visits"));
}

#[tokio::test]
async fn a_file_of_a_later_format_is_too_new() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    filled(&path, 0).await;
    {
        let meta: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("apportion.meta");
        let database = redb::Database::open(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        let format = 2_u64.to_be_bytes();
        transaction
            .open_table(meta)
            .unwrap()
            .insert("format", format.as_slice())
            .unwrap();
        transaction.commit().unwrap();
    }
    assert!(matches!(problem(&path, &TABLES), OpenProblem::TooNew(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_is_found_and_never_shows_wrong_data() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    filled(&path, 300).await;
    let sound = fs::read(&path).unwrap();
    let store = RedbStore::open(&path, &TABLES, clock()).unwrap();
    let expected = (
        rows(&store, &ACCOUNTS).await,
        rows(&store, &UNITS).await,
        feed(&store).await,
    );
    drop(store);
    let (mut damaged, mut harmless) = (0, 0);
    for round in 0..400_usize {
        let at = (round * 7919 * 61) % sound.len();
        let mut bytes = sound.clone();
        bytes[at] ^= 1 << (round % 8);
        fs::write(&path, &bytes).unwrap();
        match RedbStore::open(&path, &TABLES, clock()) {
            Ok(store) => {
                // The bit was in a page that nothing uses.
                let found = (
                    rows(&store, &ACCOUNTS).await,
                    rows(&store, &UNITS).await,
                    feed(&store).await,
                );
                assert_eq!(found, expected, "byte {at}");
                harmless += 1;
            }
            Err(StoreError::CannotOpen {
                reason: OpenProblem::Damaged(_),
                ..
            }) => damaged += 1,
            Err(error) => assert!(at < 4096, "byte {at} behind the header: {error}"),
        }
    }
    assert!(damaged > 100, "{damaged} damaged, {harmless} harmless");
}

#[tokio::test]
async fn a_file_that_ends_too_early_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    filled(&path, 300).await;
    let sound = fs::read(&path).unwrap();
    for part in [2, 3, 10] {
        fs::write(&path, &sound[..sound.len() / part]).unwrap();
        let reason = problem(&path, &TABLES);
        assert!(matches!(reason, OpenProblem::Damaged(_)), "1/{part}: {reason}");
    }
}

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
.uniques(&[
    Unique::new("units_label", &["label"]),
    Unique::new("units_label_in_zone", &["zone", "label"]),
])
.indexes(&[
    Index::new("units_by_state", &["state"]),
    Index::new("units_by_zone", &["zone", "state"]),
])
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
    assert!(
        store
            .commit(orphan)
            .await
            .unwrap_err()
            .refusal()
            .unwrap()
            .names("units_room")
    );
    let fresh = Batch::new(ids.next_id(), "take").with(Write::Insert(
        NewRow::new(&GROWN)
            .set("id", ids.next_id())
            .set("account_id", owner)
            .set("state", "new"),
    ));
    store.commit(fresh).await.unwrap();
    store.close().await.unwrap();

    // A later default is for later rows.
    let store = RedbStore::open(&path, &[&ACCOUNTS, &ROOMS, &REGROWN], clock()).unwrap();
    let units = rows(&store, &REGROWN).await;
    assert!(units.values().all(|row| row.text("zone").unwrap() == "north"));
    let late = Batch::new(ids.next_id(), "take").with(Write::Insert(
        NewRow::new(&REGROWN)
            .set("id", ids.next_id())
            .set("account_id", owner)
            .set("state", "new"),
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

static SHORT_UNITS: Table = Table::new(
    "units",
    &[Column::uuid("id"), Column::uuid("account_id")],
    &["id"],
);
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
        (
            &[&ACCOUNTS, &RETYPED_UNITS],
            "column state of units has another type",
        ),
        (
            &[&ACCOUNTS, &REORDERED_UNITS],
            "column state of units is stored where label is declared",
        ),
        (&[&ACCOUNTS, &STERN_UNITS], "column label of units may hold nulls"),
        (
            &[&ACCOUNTS, &REKEYED_UNITS],
            "the primary key of units is another",
        ),
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

#[tokio::test]
async fn a_store_opens_without_the_check_where_that_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    filled(&path, 3).await;
    let options = RedbOptions::default()
        .check_integrity_on_open(false)
        .cache_bytes(1 << 20);
    let store = RedbStore::open_with(&path, &TABLES, clock(), options).unwrap();
    assert_eq!(rows(&store, &UNITS).await.len(), 3);
    assert_eq!(store.syncs(), Some(0));
}
