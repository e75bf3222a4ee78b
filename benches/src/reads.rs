//! Reads of a store: [`Reads`].

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use apportion::entity::{GPUS, Gpu};
use apportion::store::{Cursor, Scan, Store, StoreExt as _, Value};
use uuid::Uuid;

use crate::stores::{Failed, Fixture};

/// How many rows a page has, and how many records are read from the feed at once.
pub const PAGE: u32 = 100;
/// How many accounts there are, each of which is two records of the feed.
const ACCOUNTS: usize = 64;

/// A store of 4,096 GPUs and what belongs to them, read here and there.
#[derive(Clone, Debug)]
pub struct Reads {
    store: Arc<dyn Store>,
    gpus: Arc<[Uuid]>,
    /// Behind each of them there is a full page of the feed.
    cursors: Arc<[Cursor]>,
    next: Arc<AtomicUsize>,
}

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A row by its key.
    Point,
    /// A hundred rows in the order of their keys.
    Page,
    /// A hundred records of the feed.
    Feed,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Point, Self::Page, Self::Feed];

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Point => "a row",
            Self::Page => "100 rows",
            Self::Feed => "100 records",
        }
    }
}

impl Reads {
    /// Fills an empty store.
    pub async fn new(store: Arc<dyn Store>) -> Result<Self, Failed> {
        Fixture::new(Arc::clone(&store), ACCOUNTS).await?;
        let rows = store.scan_all(Scan::of(&GPUS)).await?;
        let gpus =
            rows.iter().map(|row| Ok(row.id::<Gpu>("id")?.uuid())).collect::<Result<Vec<_>, Failed>>()?;
        let (mut cursors, mut cursor) = (Vec::new(), Cursor::START);
        loop {
            let changes = store.changes(cursor, PAGE).await?;
            if changes.records.len() < usize::try_from(PAGE)? {
                break;
            }
            cursors.push(cursor);
            cursor = changes.next;
        }
        Ok(Self { store, gpus: gpus.into(), cursors: cursors.into(), next: Arc::default() })
    }

    /// Reads once, each time somewhere else.
    ///
    /// # Errors
    /// Also where what was read is not what is there.
    pub async fn read(&self, kind: Kind) -> Result<(), Failed> {
        // A step that has no factor in common with the number of rows visits all of them.
        let at = self.next.fetch_add(1, Ordering::Relaxed).wrapping_mul(1_237);
        let full = usize::try_from(PAGE)?;
        let read = match kind {
            Kind::Point => {
                let id = *self.gpus.get(at % self.gpus.len()).ok_or("there are no rows")?;
                self.store.get(&GPUS, id).await?.value.is_some()
            }
            Kind::Page => {
                let id = *self.gpus.get(at % (self.gpus.len() - full)).ok_or("there are no rows")?;
                let scan =
                    Scan::of(&GPUS).range(Bound::Included(Value::Uuid(id)), Bound::Unbounded).limit(PAGE);
                self.store.scan(scan).await?.value.rows.len() == full
            }
            Kind::Feed => {
                let cursor = *self.cursors.get(at % self.cursors.len()).ok_or("the feed is short")?;
                self.store.changes(cursor, PAGE).await?.records.len() == full
            }
        };
        if read { Ok(()) } else { Err("something else was read than is there".into()) }
    }
}
