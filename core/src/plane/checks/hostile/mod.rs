//! What nobody means well with: each is refused with the same code and field on every store, and changes nothing.
#![expect(clippy::panic, reason = "a check fails by panicking")]

mod ids;
mod lists;
mod texts;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::World;
use super::machine::Machine;
use crate::entity::{LOGS, REFUSAL_COUNTS, TABLES};
use crate::error::{Error, Result};
use crate::store::{Answer, Cursor, Query, Scan};

/// So many bytes are too many for anything.
const TEN_MB: usize = 10_000_000;
/// And so many of anything are too many but for the containers of a report.
const MANY: usize = 100_000;

/// Something that is asked, how it is called, and how it is refused: the code, and the field or kind of thing.
struct Case<'w> {
    what: String,
    asked: BoxFuture<'w, Result<()>>,
    refused: (&'static str, &'static str),
}

/// A row of the table.
fn case<'w, T>(
    what: impl Into<String>,
    refused: (&'static str, &'static str),
    asked: impl Future<Output = Result<T>> + Send + 'w,
) -> Case<'w> {
    Case { what: what.into(), asked: asked.map(|answer| answer.map(drop)).boxed(), refused }
}

/// Texts that no short text may be.
fn bad_texts() -> [(&'static str, String); 2] {
    [("10 MB", "x".repeat(TEN_MB)), ("NUL", "a\0b".to_owned())]
}

pub(super) async fn check_hostile(world: &World) {
    texts::ranges();
    let mut machine = Machine::new(world).await;
    machine.running(world).await;
    refused(world, texts::names(world, &machine)).await;
    refused(world, texts::wishes(world, &machine)).await;
    refused(world, texts::said(world, &machine).await).await;
    refused(world, lists::launches(world, &machine)).await;
    refused(world, lists::reports(world, &machine)).await;
    refused(world, lists::numbers(world, &machine)).await;
    refused(world, ids::absent(world, &machine)).await;
    refused(world, ids::taken(world, &machine).await).await;
    ids::forged(world).await;
    ids::what_is_anothers_is_as_what_is_not_there(world).await;
    assert!(world.cloud.audit().await.unwrap().is_clean());
}

/// Asks one after the other.
async fn refused(world: &World, cases: Vec<Case<'_>>) {
    let before = tables(world).await;
    let mut wrong = Vec::new();
    for Case { what, asked, refused } in cases {
        let answer = asked.await;
        let got = match &answer {
            Err(Error::Invalid { field, .. }) => ("invalid", field.as_str()),
            Err(Error::NotFound { kind, .. }) => ("not_found", *kind),
            Err(Error::AlreadyExists { key, .. }) => ("already_exists", *key),
            Err(Error::WrongState { kind, .. }) => ("wrong_state", *kind),
            Err(other) => (other.code(), ""),
            Ok(()) => ("ok", ""),
        };
        // An answer is read by people: it does not say again what was too long.
        let short = answer.as_ref().err().is_none_or(|error| error.to_string().len() <= 1000);
        if got != refused || !short {
            wrong.push(format!("{what}: {refused:?} was expected, short {short}, got {got:?}"));
        } else if tables(world).await != before {
            wrong.push(format!("{what}: it was refused, and has changed something"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// How many rows each table has, and where the feed ends. What is refused to somebody is noted in the audit trail, and nowhere else.
async fn tables(world: &World) -> (Vec<u64>, Cursor) {
    let store = world.cloud.store();
    let kept = TABLES.iter().filter(|table| ![LOGS.name, REFUSAL_COUNTS.name].contains(&table.name));
    let reads = store.read(kept.map(|table| Query::Count(Scan::of(table))).collect()).await.unwrap();
    let counts = reads.answers.into_iter().map(|answer| match answer {
        Answer::Count(count) => count.rows,
        other => panic!("{other:?}"),
    });
    (counts.collect(), store.snapshot().await.unwrap().cursor())
}
