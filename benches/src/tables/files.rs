//! Durable launches on the stores that are files, beside one durable commit at a time.

use benches::launches::{Bench, Figures};
use benches::stores::{Failed, GROUPS, SYNC_AT_LEAST, Stores};

use super::{Launches, Size, Way, alone, head};

/// The callers of the comparison.
const CALLERS: usize = 64;

/// redb.
pub(crate) async fn redb(size: Size) -> Result<Vec<Launches>, Failed> {
    println!("\ndurable launches through the control plane, redb\n");
    let stores = Stores::new(SYNC_AT_LEAST)?;
    let one = Bench::new(stores.redb(1)?, CALLERS).await?;
    let groups = Bench::new(stores.redb(GROUPS)?, CALLERS).await?;
    let rows = table(size, &one, &groups, "20x, 4,000/s, 0.0313 commits").await?;
    println!("\naudit clean; the file has {} bytes", stores.redb_bytes(GROUPS)?);
    Ok(rows)
}

/// SQLite.
pub(crate) async fn sqlite(size: Size) -> Result<Vec<Launches>, Failed> {
    println!("\ndurable launches through the control plane, SQLite (write-ahead log, synchronous=FULL)\n");
    let stores = Stores::new(SYNC_AT_LEAST)?;
    let one = Bench::new(stores.sqlite(1).await?, CALLERS).await?;
    let groups = Bench::new(stores.sqlite(GROUPS).await?, CALLERS).await?;
    let rows = table(size, &one, &groups, "15x, 3,000/s").await?;
    println!("\naudit clean");
    Ok(rows)
}

/// The same launches by as many callers, but one durable commit at a time; then groups.
async fn table(size: Size, one: &Bench, groups: &Bench, to_reach: &str) -> Result<Vec<Launches>, Failed> {
    println!("a commit that takes less than {SYNC_AT_LEAST:?} is delayed, so that it takes that long\n");
    head();
    let row = |callers, some_refused, way, figures: Figures, compared| Launches {
        callers,
        some_refused,
        way,
        figures,
        compared,
    };
    // One at a time, callers only wait in turn: fewer launches tell as much.
    let short = Size { each: size.each * 2, most: size.each * 2, ..size };
    let base = alone(one, short.load(CALLERS, false), size.rounds).await?;
    let mut rows = vec![row(CALLERS, false, Way::OneAtATime, base, base).told("")];
    for count in [1, 16, CALLERS] {
        let figures = alone(groups, size.load(count, false), size.rounds).await?;
        let to_reach = if count == CALLERS { to_reach } else { "" };
        rows.push(row(count, false, Way::Groups, figures, base).told(to_reach));
    }
    let base = alone(one, short.load(CALLERS, true), size.rounds).await?;
    rows.push(row(CALLERS, true, Way::OneAtATime, base, base).told(""));
    let figures = alone(groups, size.load(CALLERS, true), size.rounds).await?;
    rows.push(row(CALLERS, true, Way::Groups, figures, base).told(""));
    one.check().await?;
    groups.check().await?;
    Ok(rows)
}
