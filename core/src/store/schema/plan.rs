//! Scans, resolved and checked: [`ScanPlan`].

use std::ops::Bound;

use super::{Schema, TableId, TableInfo};
use crate::store::error::StoreError;
use crate::store::keycode;
use crate::store::query::{Count, Is, MAX_EXAMINED, MAX_PAGE, Page, PageCursor, Scan};
use crate::store::row::{Key, Row};
use crate::store::table::Table;
use crate::store::value::Value;

/// The largest number of tests in one scan or patch, and of values in one `In`.
const MAX_TESTS: usize = 100;

/// A scan as a backend runs it: over the entries of one order, from `lower` up to but without `upper`.
#[derive(Debug)]
#[non_exhaustive]
pub struct ScanPlan {
    /// The table.
    pub table: TableId,
    /// The position in the table's `orders`; the primary key where there is none.
    pub order: Option<usize>,
    /// The first entry that can belong to the page.
    pub lower: Vec<u8>,
    /// The first entry behind the page; none where nothing bounds it.
    pub upper: Option<Vec<u8>>,
    /// Whether the entries are walked from the end.
    pub descending: bool,
    /// The comparisons, each with the position of its column.
    pub tests: Vec<(usize, Is)>,
    /// The bounds once more, column by column, for a backend that is asked in those terms.
    pub bounds: Bounds,
    limit: usize,
    examine: usize,
}

/// The bounds of a scan, column by column.
#[derive(Debug)]
#[non_exhaustive]
pub struct Bounds {
    /// The positions of the columns that entries are made of: the order's, then the primary key's.
    pub columns: Vec<usize>,
    /// What the first columns hold.
    pub prefix: Vec<Value>,
    /// The range of the column behind the prefix. It leaves nulls out where it bounds anything.
    pub range: (Bound<Value>, Bound<Value>),
    /// The values of the entry behind which the page begins, in the scan's direction.
    pub after: Option<Vec<Value>>,
}

impl Schema {
    /// Resolves and checks a look-up by key.
    pub fn plan_get(&self, table: &Table, key: &Key) -> Result<&TableInfo, StoreError> {
        let info = self
            .find(table.name)
            .ok_or_else(|| StoreError::invalid(table.name, "the store has no such table"))?;
        info.check_key_values(key, table.name)?;
        Ok(info)
    }

    /// Resolves and checks a scan.
    pub fn plan(&self, scan: &Scan) -> Result<ScanPlan, StoreError> {
        let name = scan.table.name;
        let info = self.find(name).ok_or_else(|| StoreError::invalid(name, "the store has no such table"))?;
        let order = match scan.index {
            None => None,
            Some(index) => {
                let unknown =
                    || StoreError::invalid(format!("{name}.{index}"), "the table has no such index");
                Some(info.order(index).ok_or_else(unknown)?)
            }
        };
        let columns = info.order_columns(order);
        check_size("limit", scan.limit, MAX_PAGE)?;
        check_size("examine", scan.examine, MAX_EXAMINED)?;
        let (mut lower, mut upper) = info.bounds(scan, &columns)?;
        let mut after = None;
        if let Some(cursor) = &scan.after {
            let entry = info.cursor_entry(cursor, &columns);
            let entry =
                entry.filter(|entry| *entry >= lower && upper.as_ref().is_none_or(|upper| entry < upper));
            let mut entry = entry
                .ok_or_else(|| StoreError::invalid(format!("{name}.after"), "not a cursor of this scan"))?;
            after = info.entry_values(&entry, &columns);
            if scan.descending {
                upper = Some(entry);
            } else {
                // No entry is the beginning of another: this is the first place behind it.
                entry.push(0);
                lower = entry;
            }
        }
        Ok(ScanPlan {
            table: info.id,
            order,
            lower,
            upper,
            descending: scan.descending,
            tests: info.resolve_tests(&scan.tests, name)?,
            bounds: Bounds { columns, prefix: scan.prefix.clone(), range: scan.range.clone(), after },
            limit: usize::try_from(scan.limit).unwrap_or(usize::MAX),
            examine: usize::try_from(scan.examine).unwrap_or(usize::MAX),
        })
    }
}

fn check_size(field: &str, asked: u32, max: u32) -> Result<(), StoreError> {
    if (1..=max).contains(&asked) {
        return Ok(());
    }
    Err(StoreError::invalid(field, format!("must be from 1 to {max}, got {asked}")))
}

impl TableInfo {
    /// The positions of the columns that entries of an order are made of.
    fn order_columns(&self, order: Option<usize>) -> Vec<usize> {
        let leading = order.and_then(|at| self.orders.get(at)).map_or(&[][..], |order| &order.columns);
        leading.iter().chain(&self.key).copied().collect()
    }

    fn bounds(&self, scan: &Scan, columns: &[usize]) -> Result<(Vec<u8>, Option<Vec<u8>>), StoreError> {
        let name = self.table.name;
        if scan.prefix.len() > columns.len() {
            return Err(StoreError::invalid(name, "the prefix has more values than the index has columns"));
        }
        let mut ordered = columns.iter().filter_map(|at| self.table.columns.get(*at));
        for (value, column) in scan.prefix.iter().zip(ordered.by_ref()) {
            value
                .check(column.kind)
                .map_err(|reason| StoreError::invalid(format!("{name}.{}", column.name), reason))?;
        }
        let prefix = keycode::encode_all(&scan.prefix);
        let ends = [&scan.range.0, &scan.range.1];
        let values = ends.iter().filter_map(|end| match end {
            Bound::Included(value) | Bound::Excluded(value) => Some(value),
            Bound::Unbounded => None,
        });
        let mut bounded = false;
        let next = ordered.next();
        for value in values {
            bounded = true;
            let column = next
                .ok_or_else(|| StoreError::invalid(name, "there is no column behind the prefix to bound"))?;
            let reason = if value.is_null() {
                Err("a range has no null end".into())
            } else {
                value.check(column.kind)
            };
            reason.map_err(|reason| StoreError::invalid(format!("{name}.{}", column.name), reason))?;
        }
        let extend = |value: &Value| {
            let mut bytes = prefix.clone();
            keycode::encode(value, &mut bytes);
            bytes
        };
        // Behind every entry there is none: an empty range is expressed by its own beginning.
        let behind = |bytes: Vec<u8>| keycode::successor(&bytes).unwrap_or(bytes);
        let lower = match &scan.range.0 {
            Bound::Included(value) => extend(value),
            Bound::Excluded(value) => behind(extend(value)),
            // A range leaves nulls out, and nulls come first.
            Bound::Unbounded if bounded => behind(extend(&Value::Null)),
            Bound::Unbounded => prefix.clone(),
        };
        let upper = match &scan.range.1 {
            Bound::Included(value) => Some(behind(extend(value))),
            Bound::Excluded(value) => Some(extend(value)),
            Bound::Unbounded => keycode::successor(&prefix),
        };
        Ok((lower, upper))
    }

    fn cursor_entry(&self, cursor: &PageCursor, columns: &[usize]) -> Option<Vec<u8>> {
        let entry = cursor.entry()?;
        self.entry_values(&entry, columns).map(|_| entry)
    }

    fn entry_values(&self, entry: &[u8], columns: &[usize]) -> Option<Vec<Value>> {
        let mut rest = entry;
        let values: Option<Vec<Value>> =
            columns.iter().map(|at| keycode::decode(self.table.columns.get(*at)?.kind, &mut rest)).collect();
        values.filter(|_| rest.is_empty())
    }

    pub(super) fn resolve_tests(
        &self,
        tests: &[crate::store::query::Test],
        path: &str,
    ) -> Result<Vec<(usize, Is)>, StoreError> {
        if tests.len() > MAX_TESTS {
            return Err(StoreError::invalid(path, format!("at most {MAX_TESTS} tests are allowed")));
        }
        let mut resolved = Vec::with_capacity(tests.len());
        for test in tests {
            let field = || format!("{path}.{}", test.column);
            let at = self
                .column(test.column)
                .ok_or_else(|| StoreError::invalid(field(), "the table has no such column"))?;
            let values = test.is.values();
            if values.len() > MAX_TESTS {
                return Err(StoreError::invalid(field(), format!("at most {MAX_TESTS} values are allowed")));
            }
            if let Some(column) = self.table.columns.get(at) {
                for value in values {
                    value.check(column.kind).map_err(|reason| StoreError::invalid(field(), reason))?;
                }
            }
            resolved.push((at, test.is.clone()));
        }
        Ok(resolved)
    }
}

impl ScanPlan {
    /// How many rows the page may have.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// How many entries may be examined.
    pub fn examine(&self) -> usize {
        self.examine
    }

    /// Makes the page of a backend that judged the tests itself, from the rows that satisfy them and the last of
    /// the entries that may be examined, each with its number in the order, from 1. `examined` says how many
    /// entries there are, counted up to one more than may be examined.
    pub fn page_of(&self, rows: impl IntoIterator<Item = (usize, Row)>, examined: usize) -> Page {
        let mut page = Page::default();
        let cursor = |row: &Row| PageCursor::from_entry(&self.entry(row));
        for (number, row) in rows {
            let last = number == self.examine && examined > self.examine;
            if self.accepts(&row) {
                let full = page.rows.len() + 1 == self.limit;
                if last || (full && examined > number) {
                    page.next = Some(cursor(&row));
                }
                page.rows.push(row);
                if full {
                    break;
                }
            } else if last {
                page.next = Some(cursor(&row));
            }
        }
        page
    }

    /// The entry of a row in the plan's order.
    pub fn entry(&self, row: &Row) -> Vec<u8> {
        keycode::encode_all(self.bounds.columns.iter().filter_map(|at| row.values().get(*at)))
    }

    /// Whether no entry can lie between the bounds.
    pub fn is_empty(&self) -> bool {
        self.upper.as_ref().is_some_and(|upper| *upper <= self.lower)
    }

    /// Whether a row satisfies the tests.
    pub fn accepts(&self, row: &Row) -> bool {
        self.tests.iter().all(|(at, is)| row.values().get(*at).is_some_and(|value| is.holds(value)))
    }

    /// Makes the page from the entries between the bounds, in the plan's direction, each with its row.
    pub fn page<B: AsRef<[u8]>, E>(
        &self,
        entries: impl Iterator<Item = Result<(B, Row), E>>,
    ) -> Result<Page, E> {
        let mut page = Page::default();
        let mut last: Option<B> = None;
        for (examined, entry) in entries.enumerate() {
            let (entry, row) = entry?;
            if page.rows.len() == self.limit || examined == self.examine {
                page.next = last.map(|last| PageCursor::from_entry(last.as_ref()));
                break;
            }
            if self.accepts(&row) {
                page.rows.push(row);
            }
            last = Some(entry);
        }
        Ok(page)
    }

    /// Counts the entries between the bounds, each with its row.
    pub fn count<B, E>(&self, entries: impl Iterator<Item = Result<(B, Row), E>>) -> Result<Count, E> {
        let mut count = Count { rows: 0, capped: false };
        for (examined, entry) in entries.enumerate() {
            let (_, row) = entry?;
            if examined == self.examine {
                count.capped = true;
                break;
            }
            count.rows += u64::from(self.accepts(&row));
        }
        Ok(count)
    }
}
