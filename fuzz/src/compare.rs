//! Runs a script on a store and on the model, and compares everything that can be seen.

use std::collections::BTreeSet;
use std::sync::Arc;

use apportion::id::{IdSource, TimeOrderedIds};
use apportion::store::{
    Batch, Cause, Change, Cursor, IdProblem, Is, Key, MAX_CHANGES, NewRow, Prune, Receipt, Resolution,
    RowChange, Scan, Store, StoreError, StoreExt, Table, Test, Value, Write as StoreWrite,
};
use apportion::time::{Clock, ManualClock, Timestamp};
use apportion_redb::testing::Disk;
use apportion_redb::{RedbOptions, RedbStore};
use uuid::Uuid;

use crate::model::{Model, Op, Write, counter, name};
use crate::script::{Act, Call, How, Off, Script, Small, Which};
use crate::tables::{ITEMS, OWNERS, PULSES, TABLES};

/// Runs a script.
///
/// # Panics
/// Where store and model differ.
pub fn run(script: &Script) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut world = World::new();
        // Without something to start from, most of what is tried finds nothing there.
        world.commit(&[first()]).await;
        for call in &script.calls {
            world.call(call).await;
        }
        world.compare().await;
        world.reopen().await;
        world.compare().await;
    });
}

/// Three owners, and three items of the first two.
fn first() -> Vec<Act> {
    let owner = |id, cap| Act::Owner { id: Small(id), name: Some(Small(id)), cap, ensure: false };
    let item = |id, owner, parent| Act::Item {
        id: Small(id),
        owner: Some(Small(owner)),
        parent,
        tag: Some(Small(id)),
        slot: Some(Small(1)),
        ensure: false,
    };
    vec![
        owner(0, None),
        owner(1, Some(Small(3))),
        owner(2, Some(Small(2))),
        item(0, 0, None),
        item(1, 1, Some(Small(0))),
        item(2, 1, Some(Small(2))),
    ]
}

struct World {
    disk: Disk,
    clock: Arc<dyn Clock>,
    ids: TimeOrderedIds,
    store: Option<RedbStore>,
    model: Model,
    pruned: u64,
    last: Option<(Batch, Option<u64>)>,
}

fn open(disk: &Disk, clock: &Arc<dyn Clock>) -> RedbStore {
    RedbStore::open_backend(disk.backend(), &TABLES, clock.clone(), RedbOptions::default()).unwrap()
}

impl World {
    fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::from_micros(1_800_000_000_000_000)));
        let disk = Disk::new();
        Self {
            store: Some(open(&disk, &clock)),
            ids: TimeOrderedIds::seeded(clock.clone(), 7),
            disk,
            clock,
            model: Model::default(),
            pruned: 0,
            last: None,
        }
    }

    fn store(&self) -> &RedbStore {
        self.store.as_ref().unwrap()
    }

    async fn reopen(&mut self) {
        self.store().close().await.unwrap();
        self.store = None;
        self.store = Some(open(&self.disk, &self.clock));
    }

    async fn call(&mut self, call: &Call) {
        match call {
            Call::Commit(batches) => self.commit(batches).await,
            Call::Repeat => {
                if let Some((batch, position)) = self.last.clone() {
                    let receipt = self.store().commit(batch).await.unwrap();
                    assert_eq!((receipt.repeated, receipt.position), (true, position));
                }
            }
            Call::Void(acts) => {
                let (batch, _) = self.batch(acts);
                let id = batch.id;
                assert_eq!(self.store().resolve(id).await.unwrap(), Resolution::NotCommitted);
                if !batch.writes.is_empty() {
                    let voided = self.store().commit(batch).await.unwrap_err();
                    assert!(
                        matches!(voided, StoreError::UnusableId { why: IdProblem::Voided, .. }),
                        "{voided}"
                    );
                }
            }
            Call::Prune(up_to) => {
                let bound = u64::from(*up_to).min(self.model.feed.len() as u64).max(self.pruned);
                let pruned = self.store().prune(Prune::up_to(u64::from(*up_to))).await.unwrap();
                assert_eq!((pruned.records, pruned.low_water), (bound - self.pruned, bound));
                self.pruned = bound;
            }
            Call::Reopen => {
                self.compare().await;
                self.reopen().await;
            }
        }
    }

    async fn commit(&mut self, batches: &[Vec<Act>]) {
        let (mut asked, mut expected) = (Vec::new(), Vec::new());
        for acts in batches {
            let (batch, writes) = self.batch(acts);
            if writes.is_empty() {
                continue;
            }
            let answer = self.model.commit(batch.id, &writes);
            if let Ok(position) = answer {
                self.last = Some((batch.clone(), position));
            }
            expected.push(answer);
            asked.push(batch);
        }
        let answers = self.store().commit_many(asked.clone()).await;
        let found: Vec<_> = answers.into_iter().map(told).collect();
        assert_eq!(found, expected, "{asked:?}");
    }

    /// A batch of these acts for the store and for the model. Revisions are those of the model before the batch.
    fn batch(&self, acts: &[Act]) -> (Batch, Vec<Write>) {
        let mut batch = Batch::new(self.ids.next_id(), "fuzz");
        let mut writes = Vec::new();
        let (mut written, mut adjusted) = (BTreeSet::new(), BTreeSet::new());
        for act in acts {
            let write = self.write(act);
            let place = (write.table, write.id);
            // A key occurs once in a batch, and is adjusted after that.
            let fits = match write.op {
                Op::Adjust(..) => {
                    adjusted.insert(place);
                    true
                }
                _ => !adjusted.contains(&place) && written.insert(place),
            };
            if fits {
                batch.push(for_store(&write));
                writes.push(write);
            }
        }
        (batch, writes)
    }

    fn write(&self, act: &Act) -> Write {
        let text = |small: &Option<Small>| Value::from(small.map(|small| format!("t{}", small.0)));
        let number = |small: &Option<Small>| Value::from(small.map(|small| small.0));
        let revision = |table: Which, id: &Small, off: &Off| {
            let found = self.model.rows.get(&(table, id.0)).map_or(1, |row| row.revision);
            match off {
                Off::Right | Off::RightToo => found,
                Off::Behind => found - 1,
                Off::Ahead => found + 1,
            }
        };
        let (table, id, op) = match act {
            Act::Owner { id, name, cap, ensure } => {
                let cells = vec![id.0.into(), text(name), Value::Int(0), number(cap)];
                (Which::Owners, id, Op::Insert(cells, *ensure))
            }
            Act::Item { id, owner, parent, tag, slot, ensure } => {
                let (owner, parent) = (number(owner), number(parent));
                let secret = text(tag);
                let cells = vec![id.0.into(), owner, parent, text(tag), number(slot), Value::Int(0), secret];
                (Which::Items, id, Op::Insert(cells, *ensure))
            }
            Act::Pulse { owner } => {
                (Which::Pulses, owner, Op::Insert(vec![owner.0.into(), Value::Int(0)], false))
            }
            Act::Rename { id, off, name, cap } => {
                let set = vec![(1, text(name)), (3, number(cap))];
                (Which::Owners, id, Op::Update(revision(Which::Owners, id, off), set))
            }
            Act::Move { id, off, owner, parent, tag } => {
                let set = vec![(1, number(owner)), (2, number(parent)), (3, text(tag)), (6, text(tag))];
                (Which::Items, id, Op::Update(revision(Which::Items, id, off), set))
            }
            Act::Delete { table, id, off } => (*table, id, Op::Delete(revision(*table, id, off))),
            Act::Guard { table, id, off } => (*table, id, Op::Guard(revision(*table, id, off))),
            Act::Adjust { table, id, delta, admit } => (*table, id, Op::Adjust(delta.0, *admit)),
            Act::Patch { table, id, test, value, how } => {
                (*table, id, Op::Patch(test.map(|small| small.0), *how, value.0))
            }
        };
        Write { table, id: id.0, op }
    }

    async fn compare(&self) {
        let id = |row: &apportion::store::Row| match row.key().values() {
            [Value::Int(id)] => *id,
            key => unreachable!("{key:?}"),
        };
        let orders: [(Which, Option<&'static str>, &[usize]); 7] = [
            (Which::Owners, None, &[0]),
            (Which::Owners, Some("owners_name"), &[1, 0]),
            (Which::Items, None, &[0]),
            (Which::Items, Some("items_owner_tag"), &[1, 3, 0]),
            (Which::Items, Some("items_by_slot"), &[4, 0]),
            (Which::Items, Some("items_parent"), &[2, 0]),
            (Which::Pulses, None, &[0]),
        ];
        for (which, index, columns) in orders {
            let rows = self.model.rows.iter().filter(|((of, _), _)| *of == which);
            let mut expected: Vec<_> = rows.map(|((_, id), row)| (*id, row)).collect();
            expected
                .sort_by_key(|(_, row)| columns.iter().map(|at| row.cells[*at].clone()).collect::<Vec<_>>());
            for descending in [false, true] {
                let mut scan = Scan::of(table(which)).limit(4);
                scan.index = index;
                scan.descending = descending;
                let found = self.store().scan_all(scan).await.unwrap();
                let found: Vec<_> =
                    found.iter().map(|row| (id(row), row.values(), row.revision(), row.version())).collect();
                let wanted: Vec<_> = expected
                    .iter()
                    .map(|(id, row)| (*id, row.cells.as_slice(), row.revision, row.version))
                    .collect();
                assert_eq!(found, wanted, "{which:?} by {index:?}");
                expected.reverse();
            }
        }
        self.compare_feed().await;
    }

    async fn compare_feed(&self) {
        let batch_at = |position: u64| match position {
            0 => Uuid::nil(),
            _ => self.model.feed[usize::try_from(position).unwrap() - 1].0,
        };
        let mut after = Cursor { position: self.pruned, batch: batch_at(self.pruned) };
        if self.pruned > 0 {
            let expired = self.store().changes(Cursor::START, 1).await;
            assert!(matches!(expired, Err(StoreError::CursorExpired { .. })));
        }
        let mut found = Vec::new();
        loop {
            let changes = self.store().changes(after, MAX_CHANGES).await.unwrap();
            for record in &changes.records {
                assert_eq!(record.position, self.pruned + found.len() as u64 + 1);
                found.push((record.batch, record.changes.iter().map(shown).collect::<Vec<_>>()));
            }
            after = changes.next;
            if changes.lag == 0 {
                break;
            }
        }
        assert_eq!(found, self.model.feed[usize::try_from(self.pruned).unwrap()..]);
    }
}

fn table(which: Which) -> &'static Table {
    match which {
        Which::Owners => &OWNERS,
        Which::Items => &ITEMS,
        Which::Pulses => &PULSES,
    }
}

/// A write as the store takes it.
fn for_store(write: &Write) -> StoreWrite {
    let table = table(write.table);
    let key = Key::new([Value::Int(write.id)]);
    let column = |at: usize| table.columns[at].name;
    let counter = column(counter(write.table));
    match &write.op {
        Op::Insert(cells, ensure) => {
            let mut row = NewRow::new(table);
            for (at, value) in cells.iter().enumerate() {
                row = row.set(column(at), value.clone());
            }
            if *ensure { StoreWrite::Ensure(row) } else { StoreWrite::Insert(row) }
        }
        Op::Update(revision, set) => {
            let set = set.iter().map(|(at, value)| (column(*at), value.clone())).collect();
            StoreWrite::update(table, key, *revision, set)
        }
        Op::Delete(revision) => StoreWrite::delete(table, key, *revision),
        Op::Guard(revision) => StoreWrite::guard(table, key, *revision),
        Op::Adjust(delta, true) => StoreWrite::admit(table, key, counter, *delta),
        Op::Adjust(delta, false) => StoreWrite::record(table, key, counter, *delta),
        Op::Patch(test, how, value) => {
            let tests = test.map(|most| Test::new(counter, Is::Le(most.into())));
            let change = match how {
                How::Add => Change::Add(*value),
                How::Set => Change::Set((*value).into()),
                How::Max => Change::Max((*value).into()),
            };
            StoreWrite::patch(table, key, tests.into_iter().collect(), vec![(counter, change)])
        }
    }
}

/// The store's answer in the model's words.
fn told(answer: Result<Receipt, StoreError>) -> Result<Option<u64>, (usize, String)> {
    let refusal = match answer {
        Ok(receipt) => {
            assert!(!receipt.repeated);
            return Ok(receipt.position);
        }
        Err(StoreError::Refused(refusal)) => refusal,
        Err(error) => panic!("{error}"),
    };
    let id = |key: &Key| match key.values() {
        [Value::Int(id)] => *id,
        key => unreachable!("{key:?}"),
    };
    let cause = match &refusal.cause {
        Cause::Missing => "missing".into(),
        Cause::Conflict { expected, found } => format!("conflict {expected} {found}"),
        Cause::TestFailed { column } => format!("test {column}"),
        Cause::Duplicate { unique, owner } => format!("duplicate {unique} {}", id(owner)),
        Cause::NoParent { reference } => format!("no_parent {reference}"),
        Cause::StillReferenced { reference, by } => format!("still_referenced {reference} {by}"),
        Cause::Invariant { rule } => format!("invariant {rule}"),
        Cause::Ceiling { rule, limit, used, asked } => format!("ceiling {rule} {limit} {used} {asked}"),
        other => format!("{other:?}"),
    };
    Err((refusal.write, cause))
}

/// A change of the feed in the model's words.
fn shown(change: &RowChange) -> String {
    let which = [Which::Owners, Which::Items, Which::Pulses];
    let which = which.into_iter().find(|which| name(*which) == change.table).unwrap();
    let position = |name: &str| table(which).columns.iter().position(|column| column.name == name).unwrap();
    let cells: Vec<_> = change.columns.iter().map(|(name, value)| (position(name), value.clone())).collect();
    let [Value::Int(id)] = change.key.values() else { unreachable!("{:?}", change.key) };
    let verb = format!("{:?}", change.verb);
    format!("{} {id} {verb} {} {} {cells:?}", change.table, change.revision, change.version)
}
