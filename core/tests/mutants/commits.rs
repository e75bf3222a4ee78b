//! Faults of commits: the batch that reaches the store inside is another, or its answer is.

use std::collections::HashSet;
use std::time::Duration;

use apportion::store::kernel::register_consumer;
use apportion::store::{
    Batch, Cause, Cursor, Key, Limit, Mode, Op, Receipt, Refusal, Row, Scan, StoreError, StoreExt, Table,
    Value, Write,
};

use crate::fault::Fault;
use crate::store::Faulty;

impl Faulty {
    pub(crate) async fn commit_with_fault(&self, mut batch: Batch) -> Result<Receipt, StoreError> {
        let Some(fault) = self.fault else {
            return self.inner.commit(batch).await;
        };
        self.rewrite_ids(fault, &mut batch);
        self.rewrite_writes(fault, &mut batch).await;
        match fault {
            Fault::TornBatch => self.commit_torn(batch).await,
            Fault::CommitsInTwoSteps => self.commit_in_two_steps(batch).await,
            Fault::JudgesInReverse => {
                let last = batch.writes.len().saturating_sub(1);
                batch.writes.reverse();
                let answer = self.inner.commit(batch).await;
                answer.map_err(|error| renamed(error, |refusal| refusal.write = last - refusal.write))
            }
            Fault::NamesTheFirstWrite => {
                let answer = self.inner.commit(batch).await;
                answer.map_err(|error| renamed(error, |refusal| refusal.write = 0))
            }
            Fault::RefusalsStick => {
                let kept = self.remembered().refusals.get(&batch.id).cloned();
                match kept {
                    Some(error) => Err(error),
                    None => self.inner.commit(batch).await,
                }
            }
            Fault::FingerprintIgnored => match self.inner.commit(batch.clone()).await {
                Err(StoreError::UnusableId { .. }) => {
                    let mut receipt = self.remembered().receipts[&batch.id];
                    receipt.repeated = true;
                    Ok(receipt)
                }
                other => other,
            },
            Fault::OldIdsAccepted => match self.inner.commit(batch.clone()).await {
                Err(StoreError::UnusableId { .. }) => {
                    batch.id = self.fresh();
                    self.inner.commit(batch).await
                }
                other => other,
            },
            Fault::NullsCollide | Fault::UniqueKeysStayTaken | Fault::UniqueByLookingFirst => {
                self.commit_with_own_uniques(fault, batch).await
            }
            _ => self.commit_again(fault, batch).await,
        }
    }

    fn rewrite_ids(&self, fault: Fault, batch: &mut Batch) {
        match fault {
            Fault::DeadlineIgnored => batch.deadline = None,
            Fault::RepeatsApply if self.remembered().receipts.contains_key(&batch.id) => {
                batch.id = self.fresh();
            }
            _ => {}
        }
    }

    async fn rewrite_writes(&self, fault: Fault, batch: &mut Batch) {
        let mut rewritten = Vec::with_capacity(batch.writes.len());
        let mut adjusted = HashSet::new();
        for (at, mut write) in std::mem::take(&mut batch.writes).into_iter().enumerate() {
            let table = write.table();
            match (&mut write, fault) {
                (
                    Write::Update { key, revision, .. }
                    | Write::Delete { key, revision, .. }
                    | Write::Guard { key, revision, .. },
                    Fault::IgnoresRevisions,
                ) => {
                    if let Some(row) = self.row(table, key).await {
                        *revision = row.revision();
                    }
                }
                (Write::Guard { .. }, Fault::IgnoresGuards) => write = nothing(at),
                (Write::Guard { key, revision, .. }, Fault::GuardTouches) => {
                    write = Write::update(table, key.clone(), *revision, Vec::new());
                }
                (Write::Delete { key, revision, .. }, Fault::DeletesNothing) => {
                    write = Write::guard(table, key.clone(), *revision);
                }
                (Write::Update { set, .. }, Fault::UpdateClearsTheRest) => clear_the_rest(table, set),
                (Write::Update { key, .. }, Fault::UpdateRewritesCounters) => {
                    let zeroed = self.row(table, key).await.map(|row| zeroed(&row)).unwrap_or_default();
                    rewritten.push(write);
                    rewritten.extend(zeroed);
                    continue;
                }
                (Write::Adjust { key, .. }, Fault::AdjustRaisesRevision) => {
                    let row = self.row(table, key).await;
                    if let Some(row) = row.filter(|_| adjusted.insert((table.name, key.clone(), ""))) {
                        rewritten.push(Write::update(table, key.clone(), row.revision(), Vec::new()));
                    }
                }
                (Write::Adjust { key, column, .. }, Fault::AdjustsOnce)
                    if !adjusted.insert((table.name, key.clone(), *column)) =>
                {
                    continue;
                }
                (Write::Adjust { mode, .. }, Fault::RecordIsJudged) => *mode = Mode::Admit,
                (Write::Adjust { .. }, Fault::AdmitsByLookingFirst) => self.look_and_record(&mut write).await,
                (Write::Patch { tests, .. }, Fault::PatchIgnoresTests) => tests.clear(),
                (Write::Patch { set, .. }, Fault::MaxComesDown) => maxima_to_sets(set),
                _ => {}
            }
            rewritten.push(write);
        }
        batch.writes = rewritten;
    }

    /// Checks the limit, and then adds in the belief that it still holds.
    async fn look_and_record(&self, write: &mut Write) {
        let Write::Adjust { table, key, column, delta, mode } = write else {
            return;
        };
        let Some(row) = self.row(table, key).await else {
            return;
        };
        let fits = table.ceilings.iter().filter(|ceiling| ceiling.column == *column).all(|ceiling| {
            let limit = match ceiling.limit {
                Limit::Value(limit) => Some(limit),
                Limit::Column(name) => row.opt_int(name).unwrap(),
                _ => None,
            };
            let wanted = row.opt_int(column).unwrap().unwrap_or(0) + *delta;
            limit.is_none_or(|limit| wanted <= limit)
        });
        if fits {
            tokio::time::sleep(Duration::from_millis(2)).await;
            *mode = Mode::Record;
        }
    }

    /// Every write in a batch of its own.
    async fn commit_torn(&self, batch: Batch) -> Result<Receipt, StoreError> {
        let mut receipt = None;
        let (writes, mut frame) = split(batch);
        if writes.is_empty() {
            return self.inner.commit(frame).await;
        }
        for (at, write) in writes.into_iter().enumerate() {
            if at > 0 {
                frame.id = self.fresh();
            }
            let answer = self.inner.commit(frame.clone().with(write)).await;
            let answer = answer.map_err(|error| renamed(error, |refusal| refusal.write = at))?;
            receipt = receipt.or(Some(answer));
        }
        Ok(receipt.unwrap())
    }

    /// The first half under another id; whoever drops the future in between leaves it alone.
    async fn commit_in_two_steps(&self, batch: Batch) -> Result<Receipt, StoreError> {
        let (mut writes, frame) = split(batch);
        let rest = writes.split_off(writes.len() / 2);
        if !writes.is_empty() {
            let mut half = frame.clone();
            (half.id, half.writes) = (self.fresh(), writes);
            self.inner.commit(half).await?;
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
        }
        let mut half = frame;
        half.writes = rest;
        self.inner.commit(half).await
    }

    /// Tries again in another way what was refused.
    async fn commit_again(&self, fault: Fault, mut batch: Batch) -> Result<Receipt, StoreError> {
        if fault == Fault::EnsureOverwrites
            && let Ok(prepared) = self.inner.schema().prepare(batch.clone())
        {
            for (write, prepared) in batch.writes.iter().zip(&prepared.writes) {
                if matches!(prepared.op, Op::Ensure(_)) {
                    self.forget(write.table(), &prepared.key).await;
                }
            }
        }
        loop {
            let error = match self.inner.commit(batch.clone()).await {
                Err(error) => error,
                done => return done,
            };
            let Some(refusal) = error.refusal() else {
                return Err(error);
            };
            let table = batch.writes[refusal.write].table();
            match (fault, &refusal.cause) {
                (Fault::InsertOverwrites, Cause::Duplicate { unique, owner }) if *unique == table.name => {
                    self.forget(table, owner).await;
                }
                (Fault::CascadesDeletes, Cause::StillReferenced { reference, by }) => {
                    self.let_go(by, reference, refusal).await;
                }
                (Fault::MissingRowsAreSkipped, Cause::Missing)
                | (Fault::CountersSaturate, Cause::Overflow { .. }) => {
                    batch.writes[refusal.write] = nothing(refusal.write);
                }
                _ => return Err(error),
            }
        }
    }

    /// Deletes a row behind everybody's back.
    async fn forget(&self, table: &'static Table, key: &Key) {
        if let Some(row) = self.row(table, key).await {
            let batch = Batch::new(self.fresh(), "forget");
            self.inner.commit(batch.with(Write::delete(table, key.clone(), row.revision()))).await.unwrap();
        }
    }

    /// As `ON DELETE SET NULL` does in SQL.
    async fn let_go(&self, by: &str, reference: &'static str, refusal: &Refusal) {
        let child = self.inner.schema().find(by).unwrap().table;
        let columns = child.references.iter().find(|declared| declared.name == reference).unwrap().columns;
        let mut scan = Scan::of(child).by(reference);
        scan.prefix = refusal.key.values().to_vec();
        for row in self.inner.scan_all(scan).await.unwrap() {
            let set = columns.iter().map(|column| (*column, Value::Null)).collect();
            let update = Write::update(child, row.key(), row.revision(), set);
            self.inner.commit(Batch::new(self.fresh(), "let go").with(update)).await.unwrap();
        }
    }
}

fn split(mut batch: Batch) -> (Vec<Write>, Batch) {
    (std::mem::take(&mut batch.writes), batch)
}

/// A write that does next to nothing, in the place of one that is left out.
fn nothing(at: usize) -> Write {
    register_consumer(&format!("nobody {at}"), Cursor::START)
}

fn renamed(error: StoreError, rename: impl FnOnce(&mut Refusal)) -> StoreError {
    match error {
        StoreError::Refused(mut refusal) => {
            rename(&mut refusal);
            StoreError::Refused(refusal)
        }
        other => other,
    }
}

fn clear_the_rest(table: &Table, set: &mut Vec<(&'static str, Value)>) {
    use apportion::store::Role;
    for column in table.columns.iter().filter(|column| column.nullable && column.role == Role::Plain) {
        if set.iter().all(|(named, _)| *named != column.name) {
            set.push((column.name, Value::Null));
        }
    }
}

/// Adjusts that bring every integer counter of a row back to zero.
fn zeroed(row: &Row) -> Vec<Write> {
    use apportion::store::{Kind, Role};
    let table = row.table();
    let counters =
        table.columns.iter().filter(|column| column.role == Role::Counter && column.kind == Kind::Int);
    counters
        .filter_map(|column| {
            let used = row.opt_int(column.name).unwrap().filter(|used| *used != 0)?;
            Some(Write::record(table, row.key(), column.name, -used))
        })
        .collect()
}

fn maxima_to_sets(set: &mut [(&'static str, apportion::store::Change)]) {
    use apportion::store::Change;
    for (_, change) in set {
        if let Change::Max(value) = change {
            *change = Change::Set(value.clone());
        }
    }
}
