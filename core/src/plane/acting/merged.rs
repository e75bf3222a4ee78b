//! A list out of several places, in the order of ids: [`Places`].
//!
//! What a caller may see of a kind lies in several ranges of rows: what is theirs, what is on their nodes, what was granted to
//! them. Each is read in the order of ids from behind the last id of the page before, and they are merged. So whatever is not
//! theirs is never looked at, and a page costs as many reads as there are places, however much others have.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use uuid::Uuid;

use crate::entity::{Entity, Entry, ListPage, PageRequest};
use crate::error::{Error, Result};
use crate::plane::ControlPlane;
use crate::store::{Count, MAX_PAGE, Page, PageCursor, Row, Scan, StoreExt as _, Table, Test, Value};
use crate::time::Timestamp;

/// How many places are read at once.
const AT_ONCE: usize = 64;
/// The largest number that is counted.
const MAX_COUNTED: u64 = 10_000;

/// One place: a scan in the order of ids behind its prefix.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// Of the rows themselves.
    Rows(Scan),
    /// Of the rows themselves, which are few and in another order: all are read.
    Few(Scan),
    /// Of grants, which name the rows in this column.
    Grants(Scan, &'static str),
}

impl Place {
    /// The id that a row of it names.
    fn id_of(&self, row: &Row) -> Result<Uuid> {
        let column = match self {
            Self::Rows(_) | Self::Few(_) => "id",
            Self::Grants(_, column) => column,
        };
        Ok(row.id::<()>(column)?.uuid())
    }
}

/// The places in which what may be seen of a kind is.
#[derive(Clone, Debug)]
pub(super) struct Places {
    table: &'static Table,
    of: Vec<Place>,
    /// Those that are known by their ids.
    known: Vec<Uuid>,
    tests: Vec<Test>,
    newest_first: bool,
}

/// Some ids in order, with the rows that were read with them, and where to go on.
struct Gathered {
    rows: Vec<(Uuid, Option<Row>)>,
    next: Option<Uuid>,
}

impl Places {
    /// Of this table, what passes the tests.
    pub(super) fn of(table: &'static Table, of: Vec<Place>, tests: Vec<Test>) -> Self {
        Self { table, of, known: Vec::new(), tests, newest_first: false }
    }

    /// And the one with this id.
    pub(super) fn and(mut self, id: Uuid) -> Self {
        self.known.push(id);
        self
    }

    /// In the order of ids reversed.
    pub(super) fn newest_first(mut self) -> Self {
        self.newest_first = true;
        self
    }

    /// A scan of a place behind an id.
    fn scan(&self, place: &Place, after: Option<Uuid>, limit: u32) -> Scan {
        let (scan, tests) = match place {
            Place::Rows(scan) | Place::Few(scan) => (scan, self.tests.as_slice()),
            Place::Grants(scan, _) => (scan, [].as_slice()),
        };
        let mut scan = scan.clone().limit(limit);
        scan.tests.extend_from_slice(tests);
        if matches!(place, Place::Few(_)) {
            return scan.limit(MAX_PAGE);
        }
        let Some(after) = after.map(Value::from) else {
            return if self.newest_first { scan.descending() } else { scan };
        };
        if self.newest_first {
            scan.descending().range(Unbounded, Excluded(after))
        } else {
            scan.range(Excluded(after), Unbounded)
        }
    }

    /// Whether one id comes before another.
    fn is_before(&self, one: Uuid, other: Uuid) -> bool {
        if self.newest_first { one > other } else { one < other }
    }
}

impl ControlPlane {
    /// A page of what is in these places.
    pub(super) async fn merged<E: Entity>(&self, places: &Places, page: &PageRequest) -> Result<ListPage<E>> {
        if !(1..=MAX_PAGE).contains(&page.limit) {
            return Err(Error::invalid("limit", format!("must be from 1 to {MAX_PAGE}, got {}", page.limit)));
        }
        let after = page.after.as_ref().map(id_of).transpose()?;
        let gathered = self.gather(places, after, page.limit).await?;
        let rows = self.rows_of(places, gathered.rows).await?;
        let entries: std::result::Result<_, crate::store::StoreError> =
            rows.iter().map(|row| Ok(Entry::new(E::from_row(row)?, row.revision()))).collect();
        let next = gathered.next.map(|id| PageCursor::from_entry(id.as_bytes()));
        Ok(ListPage { entries: entries?, next })
    }

    /// How many there are in these places, counted up to 10,000.
    pub(super) async fn merged_count(&self, places: &Places) -> Result<Count> {
        let (mut rows, mut after) = (0, None);
        loop {
            let gathered = self.gather(places, after, MAX_PAGE).await?;
            after = gathered.next;
            rows += u64::try_from(self.rows_of(places, gathered.rows).await?.len()).unwrap_or(u64::MAX);
            if after.is_none() || rows >= MAX_COUNTED {
                return Ok(Count::new(rows, after.is_some()));
            }
        }
    }

    /// The next ids, each once; at most so many.
    async fn gather(&self, places: &Places, after: Option<Uuid>, limit: u32) -> Result<Gathered> {
        let behind = |id: Uuid| after.is_none_or(|after| places.is_before(after, id));
        let mut found: BTreeMap<Uuid, Option<Row>> =
            places.known.iter().filter(|id| behind(**id)).map(|id| (*id, None)).collect();
        // The end of what was read of the place of which the least was read: behind it, ids may be missing.
        let mut horizon: Option<Uuid> = None;
        for some in places.of.chunks(AT_ONCE) {
            let scans: Vec<_> = some.iter().map(|place| places.scan(place, after, limit)).collect();
            let read = self.store.scan_many(scans.clone()).await?;
            for ((place, scan), page) in some.iter().zip(scans).zip(read.value) {
                let page = match place {
                    Place::Few(_) => self.whole(scan, page, &behind).await?,
                    _ => self.not_empty(scan, page).await?,
                };
                let mut last = None;
                for row in page.rows {
                    let id = place.id_of(&row)?;
                    last = Some(id);
                    match place {
                        Place::Rows(_) | Place::Few(_) => drop(found.insert(id, Some(row))),
                        Place::Grants(..) if is_live(&row, read.now)? => drop(found.entry(id).or_default()),
                        Place::Grants(..) => {}
                    }
                }
                if let (Some(last), true) = (last, page.next.is_some())
                    && horizon.is_none_or(|horizon| places.is_before(last, horizon))
                {
                    horizon = Some(last);
                }
            }
        }
        let certain = |id: Uuid| horizon.is_none_or(|horizon| !places.is_before(horizon, id));
        let mut rows: Vec<_> = found.into_iter().filter(|(id, _)| certain(*id)).collect();
        if places.newest_first {
            rows.reverse();
        }
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut next = horizon;
        if rows.len() > most {
            rows.truncate(most);
            next = rows.last().map(|(id, _)| *id);
        }
        Ok(Gathered { rows, next })
    }

    /// The first page of a scan that has a row, or the last one.
    async fn not_empty(&self, scan: Scan, mut page: Page) -> Result<Page> {
        while page.rows.is_empty() && page.next.is_some() {
            page = self.store.scan(scan.clone().after(page.next)).await?.value;
        }
        Ok(page)
    }

    /// All rows of a scan whose ids are behind a place.
    async fn whole(
        &self,
        scan: Scan,
        mut page: Page,
        behind: &(impl Fn(Uuid) -> bool + Sync),
    ) -> Result<Page> {
        while let Some(next) = page.next.take() {
            let more = self.store.scan(scan.clone().after(next)).await?.value;
            page.rows.extend(more.rows);
            page.next = more.next;
        }
        page.rows.retain(|row| row.id::<()>("id").is_ok_and(|id| behind(id.uuid())));
        Ok(page)
    }

    /// The rows of ids: those that were only named are read, and pass the tests or not.
    async fn rows_of(&self, places: &Places, ids: Vec<(Uuid, Option<Row>)>) -> Result<Vec<Row>> {
        let named = ids.iter().filter(|(_, row)| row.is_none());
        let named: Vec<_> = named.map(|(id, _)| (places.table, (*id).into())).collect();
        let read = if named.is_empty() { Vec::new() } else { self.store.get_many(named).await?.value };
        let mut read = read.into_iter();
        let mut rows = Vec::with_capacity(ids.len());
        for (_, row) in ids {
            let is_named = row.is_none();
            let Some(row) = row.or_else(|| read.next().flatten()) else { continue };
            if !is_named || places.tests.iter().all(|test| test.accepts(&row)) {
                rows.push(row);
            }
        }
        Ok(rows)
    }
}

/// Whether a grant has not ended.
pub(super) fn is_live(grant: &Row, now: Timestamp) -> Result<bool> {
    Ok(grant.opt_time("expires_at")?.is_none_or(|end| end > now))
}

fn id_of(cursor: &PageCursor) -> Result<Uuid> {
    let id = cursor.entry().and_then(|bytes| Uuid::from_slice(&bytes).ok());
    id.ok_or_else(|| Error::invalid("after", "it is not where a page of this list ended"))
}
