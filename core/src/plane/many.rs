//! Many operations at once, decided in the given order and committed together.

use rustc_hash::{FxHashMap, FxHashSet};

use super::delete::{DeleteRows, Deletion, delete_queries};
use super::launch::{Decision, LaunchRows, Tentative, launch_queries};
use super::retry::lost_race;
use super::{ControlPlane, LaunchRequest};
use crate::entity::{Entry, INSTANCES, Instance, InstanceEvent, InstanceId, InstanceState, UserId};
use crate::error::{Error, Result};
use crate::store::{Answer, Batch, Query, Receipt, StoreError};
use crate::time::Timestamp;

/// One of many operations.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Operation {
    /// [`ControlPlane::launch`].
    Launch(Box<LaunchRequest>),
    /// [`ControlPlane::stop`].
    Stop(InstanceId),
    /// [`ControlPlane::start`].
    Start(InstanceId),
    /// [`ControlPlane::delete`].
    Delete(InstanceId),
}

/// What became of one of many operations: the instance as it is now, or why not.
pub type Outcome = Result<Entry<Instance>>;

/// An operation that was decided, with its place among the answers.
#[derive(Debug)]
struct Open {
    at: usize,
    operation: Operation,
    instance: Instance,
    revision: i64,
}

/// What earlier decisions of a window do before they are committed.
#[derive(Debug, Default)]
struct Window {
    open: Vec<Open>,
    batches: Vec<Batch>,
    accounts: FxHashMap<UserId, Tentative>,
}

impl ControlPlane {
    /// Carries out many operations: decides them in the given order, each seeing those before it, and commits them in that
    /// order. The result is the same as doing one after the other, and what is durable is at any time a prefix.
    ///
    /// An operation that loses a race against another process is decided again, after the others.
    pub async fn apply_many(&self, operations: Vec<Operation>) -> Vec<Outcome> {
        let mut answers: Vec<Option<Outcome>> = Vec::new();
        answers.resize_with(operations.len(), || None);
        let mut rest: Vec<(usize, Operation)> = operations.into_iter().enumerate().collect();
        while !rest.is_empty() {
            // An operation on an instance that this window touches waits for the next one.
            let mut seen = FxHashSet::default();
            let end = rest.iter().position(|(_, operation)| operation.instance().is_some_and(|id| !seen.insert(id))).unwrap_or(rest.len());
            let later = rest.split_off(end);
            self.apply_window(std::mem::replace(&mut rest, later), &mut answers).await;
        }
        answers.into_iter().flatten().collect()
    }

    async fn apply_window(&self, operations: Vec<(usize, Operation)>, answers: &mut [Option<Outcome>]) {
        let queries = operations.iter().flat_map(|(_, operation)| operation.queries()).collect();
        let read = match self.followed.refresh().await {
            Ok(()) => self.store.read(queries).await,
            Err(error) => Err(error),
        };
        let reads = match read {
            Ok(reads) => reads,
            Err(error) => {
                operations.iter().for_each(|(at, _)| fill(answers, *at, Err(error.clone().into())));
                return;
            }
        };
        let mut window = Window::default();
        let mut rows = reads.answers.into_iter();
        for (at, operation) in operations {
            let decided = self.decide_one(at, operation, &mut rows, reads.now, &mut window);
            if let Some(outcome) = decided {
                fill(answers, at, outcome);
            }
        }
        let receipts = self.store.commit_many(std::mem::take(&mut window.batches)).await;
        for (open, receipt) in window.open.into_iter().zip(receipts) {
            let at = open.at;
            let outcome = self.settle(open, receipt).await;
            fill(answers, at, outcome);
        }
    }

    /// Decides one operation of a window; an answer where it needs no commit.
    fn decide_one(
        &self,
        at: usize,
        operation: Operation,
        rows: &mut impl Iterator<Item = Answer>,
        now: Timestamp,
        window: &mut Window,
    ) -> Option<Outcome> {
        let decided = match &operation {
            Operation::Launch(request) => {
                let answers = rows.by_ref().take(launch_queries(request).len()).collect();
                self.decide_launch_in(request, &LaunchRows::from_answers(request, answers), now, window)
            }
            Operation::Delete(id) => self.decide_delete_in(*id, &DeleteRows::from_answers(rows), now, window),
            Operation::Stop(id) => self.decide_turn_in(*id, InstanceEvent::Stop, InstanceState::Stopped, rows.next(), now),
            Operation::Start(id) => self.decide_turn_in(*id, InstanceEvent::Start, InstanceState::Running, rows.next(), now),
        };
        match decided {
            Err(error) => Some(Err(error)),
            Ok((entry, None)) => Some(Ok(entry)),
            Ok((entry, Some(batch))) => {
                window.batches.push(batch);
                window.open.push(Open { at, operation, instance: entry.value, revision: entry.revision });
                None
            }
        }
    }

    fn decide_launch_in(&self, request: &LaunchRequest, rows: &LaunchRows, now: Timestamp, window: &mut Window) -> Result<(Entry<Instance>, Option<Batch>)> {
        let id = request.id.unwrap_or_else(|| self.ids.next_id().into());
        let account = window.accounts.entry(request.owner).or_default();
        match self.decide_launch(request, id, rows, *account, now, 0)? {
            Decision::Done(entry) => Ok((*entry, None)),
            Decision::Commit(instance, batch) => {
                account.instances += 1;
                account.gpu_milli += i64::from(instance.gpu_count) * instance.gpu_milli.get();
                Ok((Entry::new(*instance, 1), Some(batch)))
            }
        }
    }

    fn decide_delete_in(&self, id: InstanceId, rows: &DeleteRows, now: Timestamp, window: &mut Window) -> Result<(Entry<Instance>, Option<Batch>)> {
        match self.decide_delete(id, rows, now)? {
            Deletion::Done(entry) => Ok((*entry, None)),
            Deletion::Commit(instance, revision, batch) => {
                // Decisions after this one may use what it gives back: their batches come after its.
                let pending = rows.pending(instance.last_node_id.uuid())?;
                self.followed.with(|view| view.begin(id.uuid(), pending))?;
                let account = window.accounts.entry(instance.owner_id).or_default();
                account.instances -= 1;
                account.gpu_milli -= i64::from(instance.gpu_count) * instance.gpu_milli.get();
                Ok((Entry::new(*instance, revision), Some(batch)))
            }
        }
    }

    fn decide_turn_in(
        &self,
        id: InstanceId,
        event: InstanceEvent,
        goal: InstanceState,
        row: Option<Answer>,
        now: Timestamp,
    ) -> Result<(Entry<Instance>, Option<Batch>)> {
        let Some(Answer::Row(Some(row))) = row else { return Err(Error::not_found("instance", id)) };
        let (instance, batch) = self.decide_turn(&row, event, goal, now)?;
        let raised = i64::from(batch.is_some());
        Ok((Entry::new(instance, row.revision() + raised), batch))
    }

    /// Answers a decided operation; one that lost a race is carried out on its own.
    async fn settle(&self, open: Open, receipt: std::result::Result<Receipt, StoreError>) -> Outcome {
        let error = match receipt {
            Ok(_) => return Ok(Entry::new(open.instance, open.revision)),
            Err(error) => error,
        };
        self.forget(open.instance.id)?;
        if !lost_race(&error) {
            return match open.operation {
                Operation::Launch(_) => self.launched(open.instance, Err(error)),
                _ => Err(Error::of_store("instance", error)),
            };
        }
        match open.operation {
            Operation::Launch(request) => self.launch(request.id(open.instance.id)).await,
            Operation::Stop(id) => self.stop(id).await,
            Operation::Start(id) => self.start(id).await,
            Operation::Delete(id) => self.delete(id).await,
        }
    }
}

impl Operation {
    /// The instance that it is about, where the caller named it.
    fn instance(&self) -> Option<InstanceId> {
        match self {
            Self::Launch(request) => request.id,
            Self::Stop(id) | Self::Start(id) | Self::Delete(id) => Some(*id),
        }
    }

    fn queries(&self) -> Vec<Query> {
        match self {
            Self::Launch(request) => launch_queries(request),
            Self::Delete(id) => delete_queries(*id),
            Self::Stop(id) | Self::Start(id) => vec![Query::Get { table: &INSTANCES, key: (*id).into() }],
        }
    }
}

fn fill(answers: &mut [Option<Outcome>], at: usize, outcome: Outcome) {
    if let Some(place) = answers.get_mut(at) {
        *place = Some(outcome);
    }
}
