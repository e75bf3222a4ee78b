//! How long refused logins take, by why they are refused.

use std::time::Duration;

use benches::refused::{Refused, Spread, Why};
use benches::stores::{Failed, GROUPS, SYNC_AT_LEAST, Stores};

use super::Size;

/// Prints the table of a store whose commits cost nothing, and those of one whose commits take their time.
pub(crate) async fn refused(size: Size) -> Result<(), Failed> {
    println!("\nrefused logins in turn, {} of each, with the default cost of a hash", size.refused);
    println!("\nin memory, where a commit takes no time\n");
    table(&Refused::new(Stores::memory()?).await?, size, 0).await?;
    let files = Stores::new(SYNC_AT_LEAST)?;
    let on_file = Refused::new(files.redb(GROUPS)?).await?;
    println!("\nredb, where a commit takes at least {SYNC_AT_LEAST:?}, each after a commit of one batch\n");
    table(&on_file, size, 1).await?;
    println!("\nthe same, each after a commit of two batches\n");
    table(&on_file, size, 2).await
}

async fn table(refused: &Refused, size: Size, before: usize) -> Result<(), Failed> {
    println!("{:<40} {:<16} {:>9} {:>9} {:>9}", "", "answer", "10 %", "median", "90 %");
    let measured = refused.measure(size.refused, before).await?;
    for (why, spread) in &measured {
        let answer = if why.tells_to_wait() { "TooSoon" } else { "Unauthenticated" };
        let [p10, median, p90] = [spread.p10, spread.median, spread.p90].map(milliseconds);
        println!("{:<40} {answer:<16} {p10:>9} {median:>9} {p90:>9}", why.name());
    }
    let those = |wanted: fn(Why) -> bool| {
        let those = measured.iter().filter(move |(why, _)| wanted(*why)).map(|(_, spread)| *spread);
        let overlap = if Spread::overlap(those.clone()) { "overlap" } else { "do not all overlap" };
        format!("{overlap}, medians up to {} apart", milliseconds(Spread::apart(those)))
    };
    println!("\nintervals from 10 to 90 %, all: {}", those(|_| true));
    println!("of the answer Unauthenticated: {}", those(|why| !why.tells_to_wait()));
    println!("of the answer TooSoon: {}", those(Why::tells_to_wait));
    Ok(())
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}
