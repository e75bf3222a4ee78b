//! Durable launches on Postgres, beside a transaction that was written by hand, on the same server.

use benches::by_hand::{ByHand, Choice};
use benches::launches::{Bench, Load};
use benches::server::Server;
use benches::stores::{Failed, SCHEMA, Stores};

use super::{Launches, Size, Way, head, side_by_side};

/// The most callers.
const MOST: usize = 256;
/// The connections of the transaction that was written by hand: as many as callers.
const CONNECTIONS: u32 = 256;

/// Prints the table.
pub(crate) async fn postgres(server: &Server, size: Size) -> Result<Vec<Launches>, Failed> {
    println!(
        "\ndurable launches through the control plane, Postgres, and by a transaction written by hand, which finds a place \
         (the ratio is to that one) or is told one\n"
    );
    describe(server);
    let url = server.fresh_database()?;
    let ours = Bench::new(Stores::postgres(&url, SCHEMA).await?, MOST).await?;
    // What the other writes to its feed is as large as what this one writes.
    ours.run(Load::new(1, 1)).await?;
    let by_hand = ByHand::new(&url, Choice::Found, MOST, CONNECTIONS).await?;
    let told = ByHand::new(&url, Choice::Told, MOST, CONNECTIONS).await?;
    head();
    let mut rows = Vec::new();
    for (callers, some_refused, to_reach) in [
        (1, false, "0.67x"),
        (16, false, ""),
        (64, false, "4x"),
        (64, true, "4x"),
        (256, false, "6x"),
        (256, true, "6x"),
    ] {
        let load = size.load(callers, some_refused);
        let others = if some_refused { vec![&by_hand] } else { vec![&by_hand, &told] };
        let (figures, others) = side_by_side(&ours, &others, load, size.rounds).await?;
        let compared = others.first().copied().ok_or("nothing was measured by hand")?;
        let row = |way, figures| Launches { callers, some_refused, way, figures, compared };
        for (way, figures) in [Way::ByHand, Way::Told].into_iter().zip(others) {
            rows.push(row(way, figures).told(""));
        }
        rows.push(row(Way::Groups, figures).told(to_reach));
    }
    ours.check().await?;
    by_hand.check().await?;
    told.check().await?;
    println!("\naudit of all three clean");
    Ok(rows)
}

/// Says what a commit costs on this server, and whether it was made to.
fn describe(server: &Server) {
    let now = server.commit;
    match server.added {
        None => println!("a lone commit takes {:.1?}; nothing was added", now.median),
        Some((added, before)) => println!(
            "a lone commit took {:.1?} (at least {:.1?}); commit_delay = {} µs was set, which others' commits may join: \
             now it takes {:.1?} (at least {:.1?})",
            before.median,
            before.least,
            added.as_micros(),
            now.median,
            now.least
        ),
    }
    println!("fsync, synchronous_commit and full_page_writes are on\n");
}
