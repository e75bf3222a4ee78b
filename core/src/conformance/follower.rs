//! Chapter "Feed": a follower of snapshot and feed.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;
use uuid::Uuid;

use super::tables::{SEATS, THINGS};
use super::world::{World, snapshot_rows, thing};
use crate::store::{
    Change, Cursor, Key, NewRow, Record, Role, Row, Scan, StoreError, Table, Value, Verb, Write,
};

const WRITERS: u64 = 30;
const ROUNDS: usize = 14;
const ROWS: usize = 16;

/// A row as a follower knows it: without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    revision: i64,
    version: i64,
    columns: BTreeMap<&'static str, Value>,
}

impl From<&Row> for Known {
    fn from(row: &Row) -> Self {
        let columns = row.table().columns.iter().zip(row.values());
        let shown = columns.filter(|(column, _)| column.role != Role::Secret);
        Self {
            revision: row.revision(),
            version: row.version(),
            columns: shown.map(|(column, value)| (column.name, value.clone())).collect(),
        }
    }
}

/// A copy of the tables, and how far it has come.
#[derive(Clone, Debug, Default)]
struct Copy {
    rows: BTreeMap<(&'static str, Key), Known>,
    cursor: Option<Cursor>,
    seen: HashSet<Uuid>,
}

impl Copy {
    async fn from_snapshot(world: &World) -> Self {
        let snapshot = world.store.snapshot().await.unwrap();
        let mut copy = Self {
            rows: BTreeMap::new(),
            cursor: Some(snapshot.cursor()),
            seen: snapshot.already_seen().iter().copied().collect(),
        };
        for table in [&THINGS, &SEATS] {
            for row in snapshot_rows(&*snapshot, Scan::of(table).limit(5)).await {
                copy.rows.insert((table.name, row.key()), Known::from(&row));
            }
        }
        copy
    }

    /// Who has read everything, and nothing twice, sees each row change step by step: no batch here writes one twice.
    fn expects(&self, record: &Record) {
        for change in &record.changes {
            let known = self.rows.get(&(change.table, change.key.clone()));
            let version = known.map_or(0, |known| known.version);
            assert_eq!(change.version, version + 1, "a change is out of order: {change:?}");
            assert_eq!(change.verb == Verb::Insert, known.is_none(), "{change:?}");
        }
    }

    fn apply(&mut self, record: &Record) {
        let cursor = self.cursor.unwrap_or(Cursor::START);
        assert_eq!(record.position, cursor.position + 1, "the feed has a gap");
        self.cursor = Some(record.cursor());
        if self.seen.contains(&record.batch) {
            return;
        }
        for change in &record.changes {
            let place = (change.table, change.key.clone());
            let known = self.rows.get_mut(&place);
            if known.as_ref().is_some_and(|known| known.version >= change.version) {
                continue;
            }
            match (change.verb, known) {
                (Verb::Delete, _) => drop(self.rows.remove(&place)),
                (Verb::Insert, _) => {
                    let columns = change.columns.iter().cloned().collect();
                    let (revision, version) = (change.revision, change.version);
                    self.rows.insert(place, Known { revision, version, columns });
                }
                (Verb::Update, Some(known)) => {
                    known.columns.extend(change.columns.iter().cloned());
                    (known.revision, known.version) = (change.revision, change.version);
                }
                // Read once more after a restart: its row is gone by now.
                (Verb::Update, None) => {}
            }
        }
    }
}

pub(super) async fn a_follower_of_snapshot_and_feed_equals_a_rescan(world: World) {
    let ids: Arc<Vec<Uuid>> = Arc::new((0..ROWS).map(|_| world.id()).collect());
    let done = Arc::new(AtomicBool::new(false));
    let followers = (0..3).map(|seed| tokio::spawn(follow(world.clone(), Arc::clone(&done), seed)));
    let followers: Vec<_> = followers.collect();
    let writers = (0..WRITERS).map(|seed| tokio::spawn(write(world.clone(), Arc::clone(&ids), seed)));
    let mut committed = 0;
    for writer in writers.collect::<Vec<_>>() {
        committed += writer.await.unwrap();
    }
    done.store(true, Ordering::Release);
    assert!(committed > 100, "hardly anything was committed: {committed}");
    assert_eq!(world.feed().await.len(), committed);
    let mut rescan = BTreeMap::new();
    for table in [&THINGS, &SEATS] {
        for row in world.all(table).await {
            rescan.insert((table.name, row.key()), Known::from(&row));
        }
    }
    assert!(!rescan.is_empty());
    let mut copies = vec![Copy::from_snapshot(&world).await];
    for follower in followers {
        copies.push(follower.await.unwrap());
    }
    let mut whole = Copy::default();
    for record in world.feed().await {
        whole.expects(&record);
        whole.apply(&record);
    }
    copies.push(whole);
    for copy in copies {
        assert_eq!(copy.rows, rescan);
    }
}

/// Follows until everything is read, and stops and starts again now and then.
async fn follow(world: World, done: Arc<AtomicBool>, seed: u64) -> Copy {
    let mut random = Pcg64Mcg::seed_from_u64(seed);
    let mut copy = Copy::from_snapshot(&world).await;
    let mut saved = copy.clone();
    loop {
        // Looked at before the feed: what is committed when it is set is in the stretch that follows.
        let last = done.load(Ordering::Acquire);
        let page =
            world.store.changes(copy.cursor.unwrap_or(Cursor::START), random.random_range(1..12)).await;
        let page = page.unwrap();
        for record in &page.records {
            copy.apply(record);
        }
        if last && page.records.is_empty() {
            return copy;
        }
        match random.random_range(0..12) {
            0 => saved = copy.clone(),
            // It had not saved what it read last.
            1 => copy = saved.clone(),
            // It had saved its rows and not how far it had come: some records are read twice.
            2 => copy.cursor = saved.cursor,
            3 if !last => {
                copy = Copy::from_snapshot(&world).await;
                saved = copy.clone();
            }
            _ => tokio::task::yield_now().await,
        }
        if page.records.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }
}

/// Changes rows that others change, too, and gives how many of its batches were accepted.
async fn write(world: World, ids: Arc<Vec<Uuid>>, seed: u64) -> usize {
    let mut random = Pcg64Mcg::seed_from_u64(100 + seed);
    let mut committed = 0;
    for round in 0..ROUNDS {
        let mut batches = Vec::new();
        for _ in 0..random.random_range(1..3) {
            let mut writes: Vec<Write> = Vec::new();
            for at in [random.random_range(0..ROWS / 2), random.random_range(ROWS / 2..ROWS)] {
                writes.push(step(&world, &THINGS, ids[at], &mut random).await);
            }
            if random.random_range(0..3) == 0 {
                writes.push(step(&world, &SEATS, ids[round % ROWS], &mut random).await);
            }
            batches.push(world.batch(writes));
        }
        for answer in world.store.commit_many(batches).await {
            match answer {
                Ok(_) => committed += 1,
                Err(StoreError::Refused(_)) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    }
    committed
}

async fn step(world: &World, table: &'static Table, id: Uuid, random: &mut Pcg64Mcg) -> Write {
    let (counter, plain) = if table.name == "things" { ("uses", "number") } else { ("turn", "place") };
    let Some(row) = world.find(table, id).await else {
        return Write::Insert(if table.name == "things" {
            thing(id, "row").set("secret", "hush")
        } else {
            NewRow::new(&SEATS).set("id", id)
        });
    };
    let value = Value::from(i64::from(random.random_range(0..1_000_000_u32)));
    match random.random_range(0..10) {
        0..3 if table.name == "things" => Write::record(table, id, counter, 1),
        0..4 => Write::patch(table, id, Vec::new(), vec![(counter, Change::Set(value))]),
        4..6 => Write::delete(table, id, row.revision()),
        6 if table.name == "things" => {
            Write::update(table, id, row.revision(), vec![("secret", Value::from("swordfish"))])
        }
        _ => Write::update(table, id, row.revision(), vec![(plain, value)]),
    }
}
