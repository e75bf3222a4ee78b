//! Queues of runs: made, changed and deleted; and what share of them an account has.

mod terms;

pub use terms::{NewQueue, QueueQuota, QueueTerms};

use super::ControlPlane;
use super::decided::Decided;
use super::users::Happened;
use crate::entity::{
    AccountId, Entity as _, Entry, FAIR_SHARES, FairShare, QUOTAS, QueueId, Quota, RUN_QUEUE_USES,
    RUN_QUEUES, RunQueue, entry,
};
use crate::error::{Error, Result};
use crate::store::{Batch, NewRow, StoreExt as _, Write};
use crate::time::Timestamp;
use terms::{DEFAULT, MAX_WEIGHT_MILLI};

/// How many queues there may be above one.
const MAX_ABOVE: usize = 8;

impl ControlPlane {
    /// The id of the queue that a run goes to where none is named: the same everywhere.
    pub const DEFAULT_QUEUE: QueueId = RunQueue::DEFAULT;

    /// Makes a queue, with nothing in it. The same request again, with its id, is answered with the queue that is there.
    ///
    /// # Errors
    /// `NotFound` for the parent; `Invalid` for what a queue cannot be like; `AlreadyExists` where another one has the name or id.
    #[tracing::instrument(skip_all)]
    pub async fn create_queue(&self, request: NewQueue) -> Result<Entry<RunQueue>> {
        let id = request.id.unwrap_or_else(|| self.new_id().into());
        request.terms.check(id == Self::DEFAULT_QUEUE)?;
        self.made_queue("queue.create", id, Some(&request.terms)).await
    }

    /// The queue that a run goes to where none is named. It is made, without limits, the first time that it is asked for, by
    /// whoever of any number of processes is first.
    #[tracing::instrument(skip_all)]
    pub async fn default_queue(&self) -> Result<Entry<RunQueue>> {
        if let Some(kept) = self.repositories.get_entry(Self::DEFAULT_QUEUE).await? {
            return Ok(kept);
        }
        self.made_queue("queue.default", Self::DEFAULT_QUEUE, None).await
    }

    /// Makes a queue like that, unless it is there already; where nothing is wanted of it, whatever it is like.
    async fn made_queue(
        &self,
        operation: &'static str,
        id: QueueId,
        wanted: Option<&QueueTerms>,
    ) -> Result<Entry<RunQueue>> {
        let plain = QueueTerms::new(DEFAULT);
        let terms = wanted.unwrap_or(&plain);
        self.decided(operation, RunQueue::KIND, || async move {
            let read = self.store.get(&RUN_QUEUES, id).await?;
            if let Some(kept) = &read.value {
                let kept = entry::<RunQueue>(kept)?;
                let taken = Error::AlreadyExists { kind: RunQueue::KIND, key: "id" };
                let same = wanted.is_none_or(|wanted| QueueTerms::of(&kept) == *wanted);
                return if same { Ok(Decided::Done(kept)) } else { Err(taken) };
            }
            let mut above = self.guards_above(id, terms.parent).await?;
            self.tells_of_change(&mut above, id, read.now).await?;
            Ok(self.new_queue(operation, terms.queue(id, read.now), above, read.now))
        })
        .await
    }

    fn new_queue(
        &self,
        operation: &'static str,
        queue: RunQueue,
        above: Vec<Write>,
        now: Timestamp,
    ) -> Decided<Entry<RunQueue>> {
        let mut batch = self.batch(operation).with(Write::Insert(queue.to_row()));
        batch.push(Write::Insert(NewRow::new(&RUN_QUEUE_USES).set("queue_id", queue.id)));
        batch.writes.extend(above);
        batch.push(self.log(of_queue(operation, &queue), now));
        Decided::Commit(Entry::new(queue, 1), batch)
    }

    /// Changes the queue that still has this revision to be like this. What its runs hold they keep, also beyond a new limit.
    ///
    /// # Errors
    /// `NotFound` for the queue or the parent; `Conflict` where somebody else has changed it since; `Invalid` for what a queue
    /// cannot be like, such as a part of itself; `AlreadyExists` where another one has the name.
    #[tracing::instrument(skip_all)]
    pub async fn change_queue(
        &self,
        id: QueueId,
        revision: i64,
        terms: QueueTerms,
    ) -> Result<Entry<RunQueue>> {
        terms.check(id == Self::DEFAULT_QUEUE)?;
        let terms = &terms;
        self.decided("queue.change", RunQueue::KIND, || async move {
            let read = self.store.get(&RUN_QUEUES, id).await?;
            let row = read.value.ok_or_else(|| no_queue(id))?;
            let kept = entry::<RunQueue>(&row)?;
            if kept.revision != revision {
                return Err(Error::Conflict { what: RunQueue::KIND.into() });
            }
            if QueueTerms::of(&kept) == *terms {
                return Ok(Decided::Done(kept));
            }
            let mut above = self.guards_above(id, terms.parent).await?;
            self.tells_of_change(&mut above, id, read.now).await?;
            let changed = RunQueue { created_at: kept.created_at, ..terms.queue(id, read.now) };
            let mut batch = self.batch("queue.change");
            batch.push(Write::update(&RUN_QUEUES, id, revision, changed.plain()));
            batch.writes.extend(above);
            batch.push(self.log(of_queue("queue.change", &changed), read.now));
            Ok(Decided::Commit(Entry::new(changed, revision + 1), batch))
        })
        .await
    }

    /// Adds the write by which whoever looked at all queues can tell that one was changed, made or deleted: it changes the default
    /// queue, which every grant guards, since what one queue may take follows from the quotas of all.
    async fn tells_of_change(&self, writes: &mut Vec<Write>, changed: QueueId, now: Timestamp) -> Result<()> {
        if changed == Self::DEFAULT_QUEUE {
            return Ok(());
        }
        // Before there is one, nothing is granted.
        let Some(default) = self.repositories.get_entry::<RunQueue>(Self::DEFAULT_QUEUE).await? else {
            return Ok(());
        };
        let guards_it = |write: &Write| {
            matches!(write, Write::Guard { table, key, .. }
                if table.name == RUN_QUEUES.name && key.as_uuid() == Some(Self::DEFAULT_QUEUE.uuid()))
        };
        writes.retain(|write| !guards_it(write));
        let set = vec![("updated_at", now.into())];
        writes.push(Write::update(&RUN_QUEUES, Self::DEFAULT_QUEUE, default.revision, set));
        Ok(())
    }

    /// The guards of the queues above one that is to be a part of this parent. With them nobody of two who move queues under each
    /// other makes a ring of them: whoever is second moves one that the first has looked at, or the other way round.
    async fn guards_above(&self, id: QueueId, parent: Option<QueueId>) -> Result<Vec<Write>> {
        let (mut guards, mut next) = (Vec::new(), parent);
        while let Some(above) = next {
            if above == id {
                return Err(Error::invalid("parent", "a queue is no part of itself, nor of its own parts"));
            }
            if guards.len() == MAX_ABOVE {
                return Err(Error::invalid("parent", format!("at most {MAX_ABOVE} queues are above one")));
            }
            let row = self.store.get(&RUN_QUEUES, above).await?.value.ok_or_else(|| no_queue(above))?;
            guards.push(Write::guard(&RUN_QUEUES, above, row.revision()));
            next = row.opt_id("parent_id")?;
        }
        Ok(guards)
    }

    /// Deletes a queue.
    ///
    /// # Errors
    /// `NotFound`, so also the second time; `StillUsed` for the default queue, and while another queue is a part of it, a run waits in it, or a lease is
    /// charged to it.
    #[tracing::instrument(skip(self))]
    pub async fn delete_queue(&self, id: QueueId) -> Result<()> {
        if id == Self::DEFAULT_QUEUE {
            return Err(Error::StillUsed { kind: RunQueue::KIND, by: "runs that name no queue" });
        }
        self.decided("queue.delete", RunQueue::KIND, || async move {
            let keys = vec![(&RUN_QUEUES, id.into()), (&RUN_QUEUE_USES, id.into())];
            let read = self.store.get_many(keys).await?;
            let mut rows = read.value.into_iter();
            let (queue, used) = (rows.next().flatten(), rows.next().flatten());
            let queue = queue.ok_or_else(|| no_queue(id))?;
            let mut batch: Batch = self.batch("queue.delete");
            if let Some(used) = used {
                batch.push(Write::delete(&RUN_QUEUE_USES, id, used.revision()));
            }
            batch.push(Write::delete(&RUN_QUEUES, id, queue.revision()));
            self.tells_of_change(&mut batch.writes, id, read.now).await?;
            batch.push(self.log(of_queue("queue.delete", &RunQueue::from_row(&queue)?), read.now));
            Ok(Decided::Commit((), batch))
        })
        .await
    }

    /// Sets the weight of an account among the others, in thousandths: 1 to 1,000,000. An account of which nothing is said has
    /// 1000, one share.
    ///
    /// # Errors
    /// `NotFound` for the account; `Invalid`.
    #[tracing::instrument(skip(self))]
    pub async fn set_fair_share(&self, account: AccountId, weight_milli: u32) -> Result<FairShare> {
        if !(1..=MAX_WEIGHT_MILLI).contains(&weight_milli) {
            return Err(Error::invalid("weight_milli", format!("1 to {MAX_WEIGHT_MILLI} are allowed")));
        }
        self.decided("fair_share.set", FairShare::KIND, || async move {
            let keys = vec![(&QUOTAS, account.into()), (&FAIR_SHARES, account.into())];
            let read = self.store.get_many(keys).await?;
            let [Some(_), kept] = read.value.as_slice() else {
                return Err(Error::not_found(Quota::KIND, account));
            };
            let share = FairShare { account_id: account, weight_milli };
            let mut batch = self.batch("fair_share.set");
            match kept {
                Some(kept) if FairShare::from_row(kept)? == share => return Ok(Decided::Done(share)),
                Some(kept) => {
                    batch.push(Write::update(&FAIR_SHARES, account, kept.revision(), share.plain()));
                }
                None => drop(batch.push(Write::Insert(share.to_row()))),
            }
            let weight = weight_milli.to_string();
            let happened = Happened {
                operation: "fair_share.set",
                actor: None,
                kind: FairShare::KIND,
                subject: account.uuid(),
                description: &weight,
            };
            batch.push(self.log(happened, read.now));
            Ok(Decided::Commit(share, batch))
        })
        .await
    }
}

fn no_queue(id: QueueId) -> Error {
    Error::not_found(RunQueue::KIND, id)
}

fn of_queue<'h>(operation: &'static str, queue: &'h RunQueue) -> Happened<'h> {
    Happened {
        operation,
        actor: None,
        kind: RunQueue::KIND,
        subject: queue.id.uuid(),
        description: &queue.name,
    }
}
