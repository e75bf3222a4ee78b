//! An invoice and an instance, together or not at all.
//!
//! `cargo run -p host-transaction` tells the story on a Postgres server of its own, `-- --postgres URL` in a database of
//! yours, `-- --sqlite` on a file in a temporary folder, and `-- --sqlite PATH` on a file of yours.

mod shop;

use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use apportion::Error;
use apportion::amount::{CpuMilli, MemoryMib};
use apportion::entity::{InstanceFilter, InstanceState, Limits, PageRequest, UserId};
use apportion::plane::{LaunchRequest, NewNode, NewUser};
use apportion::store::Cursor;
use apportion_throwaway_postgres::ThrowawayPostgres;
use shop::{Ending, Failure, Shop, new_id};
use uuid::Uuid;

/// Where the story takes place.
enum At {
    Postgres(String),
    Sqlite(PathBuf),
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = tempfile::tempdir()?;
    let mut server = None;
    let (at, rest) = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--postgres", url, rest @ ..] => (At::Postgres((*url).to_owned()), rest.to_vec()),
        ["--sqlite"] => (At::Sqlite(folder.path().join("shop.sqlite")), Vec::new()),
        ["--sqlite", path, rest @ ..] => (At::Sqlite(path.into()), rest.to_vec()),
        [] => (At::Postgres(server.insert(ThrowawayPostgres::start()?).url()), Vec::new()),
        _ => return Err("usage: host-transaction [--postgres URL | --sqlite [PATH]]".into()),
    };
    let shop = match &at {
        At::Postgres(url) => Shop::on_postgres(url).await?,
        At::Sqlite(path) => Shop::on_sqlite(path).await?,
    };
    match rest.as_slice() {
        [] => tell(&shop, &at).await?,
        // The story starts the program again like this, to see it die.
        ["--die-as", customer] => {
            let customer = UserId::new(Uuid::parse_str(customer)?);
            shop.order(machine(customer, "doomed"), 99_00, Ending::Abort).await?;
        }
        _ => return Err("usage: host-transaction [--postgres URL | --sqlite [PATH]]".into()),
    }
    shop.cloud.store().close().await?;
    Ok(())
}

/// The story, each sentence of which is checked.
async fn tell(shop: &Shop, at: &At) -> Result<(), Failure> {
    let customer = opened_for_business(shop).await?;
    let before = shop.cloud.store().snapshot().await?.cursor();

    let bought = shop.order(machine(customer, "first"), 99_00, Ending::Commit).await?;
    let bought = bought.ok_or("the order was not carried out")?;
    expect(shop, customer, before, 1).await?;
    println!("bought:   an invoice, and instance {} which runs: both are there", bought.name);

    let greedy = machine(customer, "greedy").gpus(2);
    match shop.order(greedy, 19_800, Ending::Commit).await {
        Ok(_) => return Err("the limit did not hold".into()),
        Err(refusal) => {
            let refusal = refusal.downcast::<Error>()?;
            if !matches!(*refusal, Error::QuotaExceeded { .. }) {
                return Err(refusal);
            }
            expect(shop, customer, before, 1).await?;
            println!("refused:  {refusal}: no invoice either");
        }
    }

    if shop.order(machine(customer, "forgotten"), 99_00, Ending::Vanish).await?.is_some() {
        return Err("an order that was dropped was carried out".into());
    }
    expect(shop, customer, before, 1).await?;
    println!("dropped:  whoever ordered went away before the commit: neither is there");

    let ended = die(at, customer)?;
    if !was_killed(ended) {
        return Err(
            format!("the process was to die in the middle of an order, and ended with {ended}").into()
        );
    }
    expect(shop, customer, before, 1).await?;
    println!("crashed:  the process died before the commit: neither is there");

    // Nothing that was undone is still charged: what is left of the limit can be bought.
    shop.order(machine(customer, "second"), 99_00, Ending::Commit).await?;
    expect(shop, customer, before, 2).await?;
    let drifts = shop.cloud.audit().await?.drifts;
    if !drifts.is_empty() {
        return Err(format!("counters drifted: {drifts:?}").into());
    }
    println!("bought:   another one, and every counter equals its recount");
    Ok(())
}

/// A customer who may have two GPUs, and a machine with four.
async fn opened_for_business(shop: &Shop) -> Result<UserId, Failure> {
    let name = new_id().simple().to_string();
    let limits = Limits {
        instance_limit: 3,
        node_limit: 1,
        gpu_milli_limit: Some(apportion::amount::GpuMilli::from_u32(2_000)),
        ..Limits::default()
    };
    let customer = NewUser::new(format!("{name}@example.org"), "Ada").limits(limits);
    let customer = shop.cloud.create_user(customer).await?.id;
    let node = NewNode::new(customer, name.get(24..).unwrap_or("rack"))
        .cpu(CpuMilli::from_u32(64_000))
        .memory(MemoryMib::from_u32(262_144))
        .gpus(4, "A100");
    shop.cloud.register_node(node).await?;
    Ok(customer)
}

fn machine(customer: UserId, name: &str) -> LaunchRequest {
    LaunchRequest::new(customer, name).cpu(CpuMilli::from_u32(4_000)).gpus(1)
}

/// Compares what is there of a customer's: invoices, running instances, and launches that the feed tells of.
async fn expect(shop: &Shop, customer: UserId, before: Cursor, orders: i64) -> Result<(), Failure> {
    let filter = InstanceFilter { owner_id: Some(customer), ..InstanceFilter::default() };
    let instances = shop.cloud.repositories().instances().list(filter, PageRequest::default()).await?;
    let running = instances.entries.iter().filter(|found| found.state == InstanceState::Running).count();
    let (mut cursor, mut launches) = (before, 0);
    loop {
        let changes = shop.cloud.store().changes(cursor, 100).await?;
        let launched = changes
            .records
            .iter()
            .filter(|record| record.operation == "instance.launch" && record.actor == Some(customer.uuid()));
        launches += i64::try_from(launched.count())?;
        cursor = changes.next;
        if changes.lag == 0 {
            break;
        }
    }
    let there = (shop.invoices(customer).await?, i64::try_from(running)?, launches);
    if there == (orders, orders, orders) {
        return Ok(());
    }
    Err(format!("{orders} orders, and (invoices, instances, launches in the feed) are {there:?}").into())
}

/// Starts this program again, to die in the middle of an order; answers how it ended.
fn die(at: &At, customer: UserId) -> Result<ExitStatus, Failure> {
    let mut again = Command::new(std::env::current_exe()?);
    match at {
        At::Postgres(url) => again.args(["--postgres", url]),
        At::Sqlite(path) => again.arg("--sqlite").arg(path),
    };
    Ok(again.args(["--die-as", &customer.uuid().to_string()]).status()?)
}

/// Whether a process died on the spot. One that ended with an error may never have come as far as the order.
#[cfg(unix)]
fn was_killed(ended: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    ended.signal().is_some()
}

/// Whether a process died on the spot. Other systems tell that from no other failure.
#[cfg(not(unix))]
fn was_killed(ended: ExitStatus) -> bool {
    !ended.success()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_ended_by_a_signal_was_killed() {
        for (ends, killed) in
            [("exit 0", false), ("exit 1", false), ("exit 101", false), ("kill -ABRT $$", true)]
        {
            let ended = Command::new("sh").args(["-c", ends]).status().unwrap();
            assert_eq!(was_killed(ended), killed, "{ends}");
        }
    }
}
