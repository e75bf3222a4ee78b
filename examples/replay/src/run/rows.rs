//! Reading all rows of a table, a page at a time.

use apportion::store::{Answer, MAX_EXAMINED, MAX_PAGE, Query, Row, Scan, Snapshot, StoreError, Table};

/// Shows every row of a table in a snapshot to `look`, in the order of the key.
pub(super) async fn each(
    snapshot: &dyn Snapshot,
    table: &'static Table,
    mut look: impl FnMut(&Row) -> Result<(), StoreError> + Send,
) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let scan = Scan::of(table).limit(MAX_PAGE).examine(MAX_EXAMINED).after(after);
        let reads = snapshot.read(vec![Query::Scan(scan)]).await?;
        let Some(Answer::Page(page)) = reads.answers.into_iter().next() else {
            return Ok(());
        };
        page.rows.iter().try_for_each(&mut look)?;
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}
