//! Reads of each store.

use std::time::Duration;

use benches::launches::now;
use benches::reads::{Kind, Reads};
use benches::server::Server;
use benches::stores::{Failed, Stores};

use super::Size;

/// How many readers there are beside the single one.
const READERS: usize = 16;

/// Prints the table.
pub(crate) async fn reads(server: &Server, size: Size) -> Result<(), Failed> {
    println!("\nreads, microseconds for one reader, and reads a second of {READERS} readers\n");
    println!("{:<10} {:<12} {:>10} {:>12}", "store", "", "µs", "reads/s");
    let files = Stores::new(Duration::ZERO)?;
    for (name, store) in files.all(&server.fresh_database()?).await? {
        let reads = Reads::new(store).await?;
        for kind in Kind::ALL {
            let one = per_second(&reads, kind, 1, size).await?;
            let many = per_second(&reads, kind, READERS, size).await?;
            println!("{name:<10} {:<12} {:>10.1} {many:>12.0}", kind.name(), 1e6 / one);
        }
    }
    Ok(())
}

/// How often so many readers can read.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
async fn per_second(reads: &Reads, kind: Kind, readers: usize, size: Size) -> Result<f64, Failed> {
    let (began, long) = (now(), Duration::from_millis(size.reads_ms));
    let mut tasks = Vec::with_capacity(readers);
    for _ in 0..readers {
        let reads = reads.clone();
        tasks.push(tokio::spawn(async move {
            let mut count = 0_u64;
            while began.elapsed() < long {
                reads.read(kind).await?;
                count += 1;
            }
            Ok(count)
        }));
    }
    let mut count = 0;
    for task in tasks {
        let done: Result<u64, Failed> = task.await?;
        count += done?;
    }
    Ok(count as f64 / began.elapsed().as_secs_f64())
}
