//! Reports of a machine on each store.

use std::time::Duration;

use apportion::machine::FoundState;
use benches::reports::Reports;
use benches::server::Server;
use benches::stores::{Failed, Stores};

use super::Size;

/// Prints the table.
pub(crate) async fn reports(server: &Server, size: Size) -> Result<(), Failed> {
    println!(
        "\na report of a node with {} instances, in which nothing or every instance has changed\n",
        size.reported
    );
    println!("{:<10} {:>12} {:>14}", "store", "as it was", "all changed");
    let files = Stores::new(Duration::ZERO)?;
    for (name, store) in files.all(&server.fresh_database()?).await? {
        let node = Reports::new(store, size.reported).await?;
        node.report(FoundState::Running).await?;
        let (mut same, mut changed) = (Vec::new(), Vec::new());
        for _ in 0..size.rounds.max(3) {
            for state in [FoundState::Stopped, FoundState::Running] {
                let (took, news) = node.report(state).await?;
                if news != usize::try_from(size.reported)? {
                    return Err(format!("{news} of {} changed", size.reported).into());
                }
                changed.push(took);
                let (took, news) = node.report(state).await?;
                if news != 0 {
                    return Err(format!("{news} things changed that had not").into());
                }
                same.push(took);
            }
        }
        let median = |mut took: Vec<Duration>| {
            took.sort();
            took.get(took.len() / 2).map_or(0.0, |took| took.as_secs_f64() * 1e3)
        };
        println!("{name:<10} {:>10.1}ms {:>12.1}ms", median(same), median(changed));
    }
    Ok(())
}
