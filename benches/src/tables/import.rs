//! What exists elsewhere, brought into each store.

use std::time::Duration;

use benches::import::Import;
use benches::server::Server;
use benches::stores::{Failed, Stores};

use super::Size;

/// How long so many may take.
const REACH: (f64, f64) = (100_000.0, 60.0);

/// Prints the table.
pub(crate) async fn import(server: &Server, size: Size) -> Result<(), Failed> {
    let count = size.imported;
    println!("\nimport of {count} instances with a port and a tenth of a GPU each, a thousand in a call\n");
    let heads = ["instances/s", "100,000 take", "again/s", "users, nodes"];
    println!("{:<10} {:>12} {:>13} {:>10} {:>13}  to reach", "store", heads[0], heads[1], heads[2], heads[3]);
    let files = Stores::new(Duration::ZERO)?;
    for (name, store) in files.all(&server.fresh_database()?).await? {
        let took = Import::new(store, count)?.run().await?;
        let items = f64::from(u32::try_from(count)?);
        let rate = |took: Duration| items / took.as_secs_f64();
        let seconds = REACH.0 / rate(took.instances);
        let told = if seconds < REACH.1 { "reached" } else { "missed" };
        println!(
            "{name:<10} {:>12.0} {seconds:>12.1}s {:>10.0} {:>12.1}s  {:.0}s, {told}",
            rate(took.instances),
            rate(took.again),
            took.before.as_secs_f64(),
            REACH.1
        );
    }
    Ok(())
}
