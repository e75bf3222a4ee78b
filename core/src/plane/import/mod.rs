//! Bringing in what exists: users, nodes, images and instances, with their own ids and times.
//!
//! Each kind is an [`Item`]: which rows it is decided on, and which [`Parts`] a batch takes of it. Here many of them become one
//! batch, and each gets its own answer. What exists exists, also above a limit or beyond what its node has, so it is recorded and
//! not admitted; but a port has one owner, and of a GPU nobody holds more than there is.

mod answer;
mod images;
mod instances;
mod item;
mod nodes;
mod parts;
#[cfg(test)]
mod tests;
mod users;

pub use answer::{Imported, NotImported};
pub use item::{ImportedInstance, ImportedPort};
pub use nodes::{ImportedGpu, ImportedNode};
pub use users::ImportedUser;

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;
use uuid::Uuid;

use super::ControlPlane;
use super::nodes::fill;
use super::retry::Retry;
use crate::entity::{ADMINISTRATIONS, Administration, Entity, Image};
use crate::error::{Error, Result};
use crate::store::{Cause, Key, Refusal, Row, StoreError, StoreExt as _, Table};
use crate::time::Timestamp;
use parts::Parts;

/// The most items that are decided and committed at once, in several batches.
const AT_ONCE: usize = 1_000;
/// The most items of one batch.
const IN_BATCH: usize = 250;
/// The most writes of one batch: as many as it may have, but for its line and for what counts administrators.
const MAX_PARTS: usize = crate::store::MAX_WRITES - 8;

/// What became of one item.
type Answer = std::result::Result<Imported, NotImported>;

/// The rows that items are decided on, by table and key.
#[derive(Debug, Default)]
struct Known {
    rows: FxHashMap<(&'static str, Key), Row>,
    /// Whether administrators are counted: they are from the first one on.
    counted: bool,
}

impl Known {
    fn row(&self, table: &Table, key: impl Into<Key>) -> Option<&Row> {
        self.rows.get(&(table.name, key.into()))
    }
}

/// What is there of an item, and what has to be written of it.
#[derive(Debug)]
enum Decision {
    WasThere,
    Make(Parts),
}

/// A kind of thing that is brought in.
trait Item: Send + Sync {
    /// What the log calls it.
    const OPERATION: &'static str;
    /// What it becomes; its id is the key.
    type Entity: Entity;

    fn id(&self) -> Uuid;

    /// The rows that it is decided on.
    fn needs(&self) -> Vec<(&'static Table, Key)>;

    /// Decides over these rows, which are all that there are of what it needs.
    fn decide(&self, plane: &ControlPlane, known: &Known, now: Timestamp) -> Result<Decision>;

    /// What a refusal means: the part of the item that was refused, where it is not all of it, and why.
    fn refused(&self, refusal: &Refusal) -> Option<(Option<String>, Error)>;
}

impl ControlPlane {
    /// Brings in users, in the given order, and answers each. They have no password: they ask for one.
    ///
    /// What was imported before, with the same id and content, changes nothing, so an import that was cut off is simply made again.
    /// Another content under an id that is there is `AlreadyExists`, and so is what was changed here since. Users first, then
    /// nodes, then images, then instances: what an item refers to has to be there.
    #[tracing::instrument(skip_all)]
    pub async fn import_users(&self, users: &[ImportedUser]) -> Vec<Answer> {
        self.import(users).await
    }

    /// Brings in nodes with their GPUs, in the given order, and answers each; see [`ControlPlane::import_users`]. They count
    /// against their owners' limits and are not refused by them.
    #[tracing::instrument(skip_all)]
    pub async fn import_nodes(&self, nodes: &[ImportedNode]) -> Vec<Answer> {
        self.import(nodes).await
    }

    /// Brings in images, in the given order, and answers each; see [`ControlPlane::import_users`]. None waits for a command.
    #[tracing::instrument(skip_all)]
    pub async fn import_images(&self, images: &[Image]) -> Vec<Answer> {
        self.import(images).await
    }

    /// Brings in instances with their ports and GPUs, in the given order, and answers each; see [`ControlPlane::import_users`].
    /// What they hold counts on their node and their account, also where that is above a limit or beyond what there is. One that
    /// was changed here since is still recognised.
    ///
    /// An import before the agents of the nodes report finds the ports free; what an agent has reported before is a container that
    /// nobody launched, and has its ports.
    #[tracing::instrument(skip_all)]
    pub async fn import_instances(&self, instances: &[ImportedInstance]) -> Vec<Answer> {
        self.import(instances).await
    }

    async fn import<I: Item>(&self, items: &[I]) -> Vec<Answer> {
        let mut answers = Vec::with_capacity(items.len());
        for some in items.chunks(AT_ONCE) {
            answers.extend(self.import_some(some).await);
        }
        answers
    }

    /// Brings in items of some batches. Where one is refused each of its items is tried alone, so that each gets its own answer.
    async fn import_some<I: Item>(&self, items: &[I]) -> Vec<Answer> {
        let mut answers: Vec<Option<Answer>> = Vec::new();
        answers.resize_with(items.len(), || None);
        let mut retry = Retry::new(I::OPERATION, &*self.ids, &*self.metrics);
        if let Err(error) = self.import_together(items, &mut answers).await {
            fill_open(items, &mut answers, &error);
        }
        while answers.iter().any(Option::is_none) {
            match self.import_alone(items, &mut answers).await {
                Ok(0) => {}
                Ok(_) => {
                    if let Err(conflict) = retry.again().await {
                        fill_open(items, &mut answers, &conflict);
                    }
                }
                Err(error) => fill_open(items, &mut answers, &error),
            }
        }
        answers.into_iter().flatten().collect()
    }

    /// Decides all of them and commits them, many in a batch; leaves those open whose batch is refused.
    async fn import_together<I: Item>(&self, items: &[I], answers: &mut [Option<Answer>]) -> Result<()> {
        let (parts, mut known, now) = self.decide_open(items, answers).await?;
        let (mut places, mut batches) = (Vec::new(), Vec::new());
        let mut rest = parts.into_iter().peekable();
        while rest.peek().is_some() {
            let (mut some, mut of_some, mut writes) = (Vec::new(), Vec::new(), 0);
            while let Some((at, parts)) = rest.next_if(|(_, next)| {
                writes += next.writes();
                some.is_empty() || (writes <= MAX_PARTS && some.len() < IN_BATCH)
            }) {
                some.push(at);
                of_some.push(parts);
            }
            places.push(some);
            batches.push(self.import_batch::<I>(of_some, &mut known, now));
        }
        for (some, receipt) in places.into_iter().zip(self.store.commit_many(batches).await) {
            for at in some {
                match &receipt {
                    Ok(_) => fill(answers, at, Ok(Imported::New)),
                    Err(StoreError::Refused(_) | StoreError::Invalid { .. }) => {}
                    Err(error) => {
                        let Some(item) = items.get(at) else { continue };
                        fill(answers, at, Err(NotImported::of(item, None, error.clone().into())));
                    }
                }
            }
        }
        Ok(())
    }

    /// Decides each that is open and commits each in a batch of its own; says how many of them lost a race.
    async fn import_alone<I: Item>(&self, items: &[I], answers: &mut [Option<Answer>]) -> Result<usize> {
        let (parts, mut known, now) = self.decide_open(items, answers).await?;
        let (mut places, mut batches) = (Vec::new(), Vec::new());
        for (at, parts) in parts {
            places.push(at);
            batches.push(self.import_batch::<I>(vec![parts], &mut known, now));
        }
        let mut lost = 0;
        for (at, receipt) in places.into_iter().zip(self.store.commit_many(batches).await) {
            let Some(item) = items.get(at) else { continue };
            match receipt {
                Ok(_) => fill(answers, at, Ok(Imported::New)),
                Err(error) if is_lost::<I>(item, &error) => lost += 1,
                Err(error) => fill(answers, at, Err(NotImported::by_store(item, error))),
            }
        }
        Ok(lost)
    }

    /// What has to be written of each that is open; the others are answered.
    async fn decide_open<I: Item>(
        &self,
        items: &[I],
        answers: &mut [Option<Answer>],
    ) -> Result<(Vec<(usize, Parts)>, Known, Timestamp)> {
        let open = || (0..).zip(items).zip(answers.iter()).filter(|(_, answer)| answer.is_none());
        let needs: BTreeSet<(&str, Key)> =
            open().flat_map(|((_, item), _)| item.needs()).map(|(table, key)| (table.name, key)).collect();
        let (known, now) = self.known_of(needs).await?;
        let open: Vec<(usize, &I)> = open().map(|(item, _)| item).collect();
        let mut parts = Vec::with_capacity(open.len());
        for (at, item) in open {
            match item.decide(self, &known, now) {
                Ok(Decision::WasThere) => fill(answers, at, Ok(Imported::WasThere)),
                Ok(Decision::Make(made)) => parts.push((at, made)),
                Err(error) => fill(answers, at, Err(NotImported::of(item, None, error))),
            }
        }
        Ok((parts, known, now))
    }

    async fn known_of(&self, needs: BTreeSet<(&str, Key)>) -> Result<(Known, Timestamp)> {
        let tables = crate::entity::TABLES;
        let keys = needs.into_iter().filter_map(|(name, key)| {
            tables.iter().find(|table| table.name == name).map(|table| (*table, key))
        });
        let read = self.store.get_many(keys.collect()).await?;
        let rows = read.value.into_iter().flatten().map(|row| ((row.table().name, row.key()), row));
        let mut known = Known { rows: rows.collect(), counted: false };
        known.counted = known.row(&ADMINISTRATIONS, Administration::ID).is_some();
        Ok((known, read.now))
    }
}

/// Whether another one was first, of the same import too, so that another look tells what is there now.
fn is_lost<I: Item>(item: &I, error: &StoreError) -> bool {
    let Some(refusal) = error.refusal() else { return false };
    let same_id =
        matches!(&refusal.cause, Cause::Duplicate { unique, .. } if *unique == I::Entity::TABLE.name);
    same_id
        || refusal.table == ADMINISTRATIONS.name
        || (refusal.is_conflict() && item.refused(refusal).is_none())
}

fn fill_open<I: Item>(items: &[I], answers: &mut [Option<Answer>], error: &Error) {
    for (item, answer) in items.iter().zip(answers).filter(|(_, answer)| answer.is_none()) {
        *answer = Some(Err(NotImported::of(item, None, error.clone())));
    }
}
