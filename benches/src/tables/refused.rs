//! How long refused logins take, by why they are refused.

use std::time::Duration;

use benches::refused::{Refused, Spread, Why};
use benches::stores::{Failed, GROUPS, SYNC_AT_LEAST, Stores};

use super::Size;

/// Prints the table of a store whose commits cost nothing, and that of one whose commits take their time.
pub(crate) async fn refused(size: Size) -> Result<(), Failed> {
    println!(
        "\nrefused logins, in turn, {} of each; the password costs what it costs by default",
        size.refused
    );
    println!("\nin memory, where a commit takes no time\n");
    table(Refused::new(Stores::memory()?).await?, size).await?;
    let files = Stores::new(SYNC_AT_LEAST)?;
    println!("\nredb, where a commit takes at least {SYNC_AT_LEAST:?}\n");
    table(Refused::new(files.redb(GROUPS)?).await?, size).await
}

async fn table(mut refused: Refused, size: Size) -> Result<(), Failed> {
    println!("{:<40} {:<16} {:>9} {:>9} {:>9}", "", "answer", "10 %", "median", "90 %");
    let measured = refused.measure(size.refused).await?;
    for (why, spread) in &measured {
        let answer = if why.tells_to_wait() { "TooSoon" } else { "Unauthenticated" };
        let [p10, median, p90] = [spread.p10, spread.median, spread.p90].map(milliseconds);
        println!("{:<40} {answer:<16} {p10:>9} {median:>9} {p90:>9}", why.name());
    }
    let overlap = |wanted: fn(&Why) -> bool| {
        let those = measured.iter().filter(|(why, _)| wanted(why)).map(|(_, spread)| *spread);
        if Spread::overlap(those) { "yes" } else { "no" }
    };
    println!(
        "\nthe intervals from 10 to 90 % all overlap: {}; those of the answer Unauthenticated: {}, of TooSoon: {}",
        overlap(|_| true),
        overlap(|why| !why.tells_to_wait()),
        overlap(|why| why.tells_to_wait()),
    );
    Ok(())
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}
