//! Faults of reading: the question that reaches the store inside is another, or the answer is.

use std::ops::Bound;
use std::sync::Arc;

use apportion::store::{
    Answer, Changes, Cursor, MAX_EXAMINED, MAX_PAGE, Query, Reads, Row, Scan, StoreError, Value,
};
use apportion::time::Timestamp;

use crate::fault::Fault;
use crate::store::Faulty;

impl Faulty {
    pub(crate) async fn read_with_fault(&self, queries: Vec<Query>) -> Result<Reads, StoreError> {
        let asked: Vec<Query> = queries.iter().cloned().map(|query| self.rewrite_query(query)).collect();
        let before = self.remembered().before.clone();
        let mut reads = match before {
            Some(before) if self.has(Fault::ReadsLag) => before.read(asked).await?,
            _ => self.inner.read(asked).await?,
        };
        if self.has(Fault::TimeRunsBackwards) {
            reads.now = self.clock.now();
        }
        for (query, answer) in queries.iter().zip(&mut reads.answers) {
            match (query, answer) {
                (Query::Scan(scan), Answer::Page(page)) => {
                    self.rewrite_rows(scan, &mut page.rows);
                    if self.has(Fault::PagesLoseARow) && page.next.is_some() {
                        page.rows.pop();
                    }
                }
                (Query::Get { .. }, Answer::Row(Some(row))) => *row = self.rewrite_row(row),
                _ => {}
            }
        }
        Ok(reads)
    }

    fn rewrite_query(&self, mut query: Query) -> Query {
        let count = matches!(query, Query::Count(_));
        let (Query::Scan(scan) | Query::Count(scan)) = &mut query else {
            return query;
        };
        match self.fault {
            Some(Fault::DescendingIgnored) => scan.descending = false,
            Some(Fault::RangeEndsIncluded) => {
                let (from, to) = &mut scan.range;
                for end in [from, to] {
                    if let Bound::Excluded(value) = end {
                        *end = Bound::Included(value.clone());
                    }
                }
            }
            Some(Fault::ExaminesEverything) if !count => scan.examine = MAX_EXAMINED,
            Some(Fault::CountsUncapped) if count => scan.examine = MAX_EXAMINED,
            Some(Fault::LimitsClamped) => {
                scan.limit = scan.limit.clamp(1, MAX_PAGE);
                scan.examine = scan.examine.clamp(1, MAX_EXAMINED);
            }
            Some(Fault::TestsAfterTheLimit) if !count => scan.tests.clear(),
            Some(Fault::NullsPassTests) if !count && !scan.tests.is_empty() => {
                scan.tests.clear();
                scan.limit = MAX_PAGE;
            }
            Some(Fault::UnknownIndexFallsBack) => {
                let info = self.inner.schema().find(scan.table.name);
                scan.index = scan.index.filter(|name| info.is_some_and(|info| info.order(name).is_some()));
            }
            _ => {}
        }
        query
    }

    fn rewrite_rows(&self, scan: &Scan, rows: &mut Vec<Row>) {
        match self.fault {
            Some(Fault::TestsAfterTheLimit) => {
                rows.retain(|row| scan.tests.iter().all(|test| test.accepts(row)));
            }
            Some(Fault::NullsPassTests) => {
                let null = |row: &Row, column| row.get(column).is_none_or(Value::is_null);
                rows.retain(|row| scan.tests.iter().all(|test| test.accepts(row) || null(row, test.column)));
            }
            Some(Fault::StaleIndex) if scan.index.is_some() => rows.retain(|row| row.revision() == 1),
            Some(Fault::NullsLast) => {
                let info = self.inner.schema().find(scan.table.name).unwrap();
                if let Some(order) = scan.index.and_then(|index| info.order(index)) {
                    let first = info.orders[order].columns[0];
                    rows.sort_by_key(|row| row.values()[first].is_null());
                }
            }
            Some(Fault::TextIsCollated) if scan.index == Some("things_by_note") => {
                rows.sort_by_cached_key(|row| row.opt_text("note").unwrap().map(str::to_lowercase));
            }
            _ => {}
        }
        for row in rows {
            *row = self.rewrite_row(row);
        }
    }

    fn rewrite_row(&self, row: &Row) -> Row {
        let values = row.values().iter().map(|value| match (self.fault, value) {
            (Some(Fault::EmptyTextIsNull), Value::Text(text)) if text.is_empty() => Value::Null,
            (Some(Fault::TimesInMillis), Value::Time(at)) => {
                Value::Time(Timestamp::from_micros(at.as_micros() / 1000 * 1000))
            }
            (_, same) => same.clone(),
        });
        Row::from_parts(row.table(), values.collect(), row.revision(), row.version()).unwrap()
    }

    pub(crate) async fn changes_with_fault(&self, after: Cursor, limit: u32) -> Result<Changes, StoreError> {
        let answer = self.inner.changes(after, limit).await;
        let page = match (self.fault, answer) {
            (Some(Fault::CursorsUnchecked), Err(StoreError::CursorForeign { position })) => {
                let Some(batch) = self.remembered().batches_at.get(&position).copied() else {
                    return Ok(Changes::new(Vec::new(), after, 0));
                };
                self.inner.changes(Cursor { position, batch }, limit).await?
            }
            (Some(Fault::ExpiredIsSkipped), Err(StoreError::CursorExpired { low_water })) => {
                let batch = self.remembered().batches_at[&low_water];
                let position = low_water;
                self.inner.changes(Cursor { position, batch }, limit).await?
            }
            (_, answer) => answer?,
        };
        Ok(self.rewrite_changes(page))
    }

    fn rewrite_changes(&self, mut page: Changes) -> Changes {
        match self.fault {
            Some(Fault::RecordsLost) => page.records.retain(|record| record.position % 3 != 0),
            Some(Fault::ChangesLost) => {
                for record in page.records.iter_mut().filter(|record| record.changes.len() > 1) {
                    Arc::make_mut(record).changes.pop();
                }
            }
            Some(Fault::FeedOutOfOrder) => {
                for stretch in page.records.chunks_mut(8) {
                    let mut changes: Vec<_> = stretch.iter().map(|record| record.changes.clone()).collect();
                    for record in stretch {
                        Arc::make_mut(record).changes = changes.pop().unwrap();
                    }
                }
            }
            Some(Fault::PagesOverlap) if page.records.len() > 1 => {
                page.next = page.records[page.records.len() - 2].cursor();
            }
            Some(Fault::LagIsZero) => page.lag = 0,
            _ => {}
        }
        page
    }
}
